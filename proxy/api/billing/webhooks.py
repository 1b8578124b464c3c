"""An account's own webhooks: where it wants to be told of its events, and what became of that."""

import secrets
from collections.abc import Mapping
from typing import Annotated, Final

from aiohttp import web
from msgspec import Struct, field

from proxy.api.admin.bodies import Instant, instant_us
from proxy.api.admin.webhooks import DeliveryQuery
from proxy.api.decode import invalid
from proxy.api.event_reader import EventReader
from proxy.api.notifications import event_place, place_text
from proxy.api.operations import BILLING, ApiSettings, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.paging import Cursor, Page, cursor_of, page_of
from proxy.api.patience import Patience
from proxy.api.views.deliveries import (
    DeliveryView,
    ReplayView,
    SentView,
    delivery_view,
    without_reason,
)
from proxy.api.views.events import EventPlace
from proxy.api.views.receivers import (
    DeletedReceiver,
    NewReceiverView,
    ReceiversView,
    ReceiverView,
    receiver_view,
)
from proxy.billing.account_webhooks import endpoint_of, secret_of
from proxy.billing.webhooks import body_of
from proxy.clock import Clock
from proxy.edge.auth import require_billing
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.deliveries import RouteEvent
from proxy.ledger.events import EVENT_TYPES, Event, Receiver
from proxy.ledger.receivers import AddReceiver, DropReceiver, RotateReceiver
from proxy.ledger.rows import Key
from proxy.upstream.webhooks import OK, Message, Sender, Webhooks, matches, names_private_address, url_fault
from proxy.validation import wants

PAGE: Final = 100
"""How many events are sent again by one request."""
OFTEN: Final = 10
"""How often in a minute an account may have something sent at once, or anew."""

Url = Annotated[str, wants("an https:// URL of up to 2000 characters", min_length=1, max_length=2_000)]
Glob = Annotated[str, wants("a glob of types of events", min_length=1, max_length=100)]
Globs = Annotated[list[Glob], wants("1 to 50 globs of types of events", min_length=1, max_length=50)]
EventId = Annotated[str, wants("the id of an event", min_length=1, max_length=200)]


class NewReceiver(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to send events of which types."""

    url: Url
    types: Globs = field(default_factory=lambda: ["*"])


class OwnReplay(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is sent again: one event, or all that the webhook wants from `since` on."""

    event_id: EventId | None = None
    since: Instant | None = None
    cursor: Cursor | None = None


_PATH: Final = f"{BILLING}/webhooks"
_ONE: Final = f"{_PATH}/{{webhook_id}}"
ADD: Final = Operation(
    id="billing_add_webhook",
    method="POST",
    path=_PATH,
    summary="Have the account's events sent somewhere. The secret is in this answer and never again.",
    audience="account",
    reply=NewReceiverView,
    query=Nothing,
    body=NewReceiver,
    status=201,
)
LIST: Final = Operation(
    id="billing_webhooks",
    method="GET",
    path=_PATH,
    summary="The account's webhooks.",
    audience="account",
    reply=ReceiversView,
    query=Nothing,
    body=Nothing,
)
DELETE: Final = Operation(
    id="billing_delete_webhook",
    method="DELETE",
    path=_ONE,
    summary="Delete a webhook: nothing is sent to it any more.",
    audience="account",
    reply=DeletedReceiver,
    query=Nothing,
    body=Nothing,
)
ROTATE: Final = Operation(
    id="billing_rotate_webhook",
    method="POST",
    path=f"{_ONE}/rotate",
    summary="Give a webhook another secret. For a day both sign; it is in this answer and never again.",
    audience="account",
    reply=NewReceiverView,
    query=Nothing,
    body=Nothing,
)
TEST: Final = Operation(
    id="billing_test_webhook",
    method="POST",
    path=f"{_ONE}/test",
    summary="Send a webhook a message of the type webhook.test at once, and tell what it answers.",
    audience="account",
    reply=SentView,
    query=Nothing,
    body=Nothing,
)
DELIVERIES: Final = Operation(
    id="billing_webhook_deliveries",
    method="GET",
    path=f"{_ONE}/deliveries",
    summary="List what a webhook is to be told, was told, or could not be told, the latest first.",
    audience="account",
    reply=Page[DeliveryView],
    query=DeliveryQuery,
    body=Nothing,
)
REPLAY: Final = Operation(
    id="billing_replay_webhook",
    method="POST",
    path=f"{_ONE}/replay",
    summary="Send a webhook an event again, or all since a time.",
    audience="account",
    reply=ReplayView,
    query=Nothing,
    body=OwnReplay,
)

OPERATIONS: Final = (ADD, LIST, DELETE, ROTATE, TEST, DELIVERIES, REPLAY)


class OwnWebhooks:
    """Webhooks of accounts, for keys that may decide about their account's money: events tell of it."""

    def __init__(self, *, ledger: Commands, reader: EventReader, clock: Clock, sender: Sender) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock
        self._sender = sender
        self._patience = Patience(OFTEN, "Too many messages were asked for within a minute.")

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(ADD, self.add),
            bind(LIST, self.page),
            bind(DELETE, self.delete),
            bind(ROTATE, self.rotate),
            bind(TEST, self.test),
            bind(DELIVERIES, self.deliveries),
            bind(REPLAY, self.replay),
        ]

    async def add(self, incoming: Incoming[Key, Nothing, NewReceiver]) -> NewReceiverView:
        """Add a webhook. Raises Refusal `invalid_value`, and `conflict` for one too many."""
        webhooks, key = _allowed(incoming.settings, incoming.caller), incoming.caller
        url, types, now_us = incoming.body.url, tuple(incoming.body.types), self._clock.now_us()
        fault = url_fault(url, allow_http=webhooks.allow_http)
        if not fault and names_private_address(url) and not webhooks.allow_private:
            fault = "must lead to a public address"
        if fault:
            raise Refusal("invalid_value", f"`url` {fault}.", param="url")
        for glob in types:
            if not any(matches(name, (glob,)) for name in EVENT_TYPES):
                raise invalid("types", glob, "it has to match a type of events")
        self._expect_patience(key.account_id, now_us)
        receiver = Receiver(key.account_id, new_id("whk", now_us), url, types, 1, now_us, now_us)
        await self._ledger.command(AddReceiver(key.account_id, receiver, now_us, webhooks.accounts_most))
        return _with_secret(receiver, webhooks)

    async def page(self, incoming: Incoming[Key, Nothing, Nothing]) -> ReceiversView:
        """All webhooks of the account."""
        _allowed(incoming.settings, incoming.caller)
        rows = await self._reader.receivers(incoming.caller.account_id)
        return ReceiversView(data=[receiver_view(each) for each in rows])

    async def delete(self, incoming: Incoming[Key, Nothing, Nothing]) -> DeletedReceiver:
        """Delete a webhook. Raises Refusal `not_found`, also for another account's."""
        _allowed(incoming.settings, incoming.caller)
        id_ = incoming.path["webhook_id"]
        await self._ledger.command(DropReceiver(incoming.caller.account_id, id_, self._clock.now_us()))
        return DeletedReceiver(id=id_)

    async def rotate(self, incoming: Incoming[Key, Nothing, Nothing]) -> NewReceiverView:
        """Give a webhook another secret. Raises Refusal `not_found`."""
        webhooks, account_id = _allowed(incoming.settings, incoming.caller), incoming.caller.account_id
        command = RotateReceiver(account_id, incoming.path["webhook_id"], self._clock.now_us())
        done = await self._ledger.command(command)
        assert done.receiver is not None
        return _with_secret(done.receiver, webhooks)

    async def test(self, incoming: Incoming[Key, Nothing, Nothing]) -> SentView:
        """Send a test message. Raises Refusal `not_found` and `rate_limit_exceeded`."""
        webhooks, now_us = _allowed(incoming.settings, incoming.caller), self._clock.now_us()
        receiver = await self._receiver(incoming.caller, incoming.path)
        self._expect_patience(receiver.account_id, now_us)
        endpoint = endpoint_of(receiver, webhooks.accounts_secret, now_us)
        body = body_of("webhook.test", now_us, f'{{"endpoint":"{receiver.id}"}}')
        sent = await self._sender.send(
            endpoint, Message(f"evt_{secrets.token_hex(16)}", body, now_us), webhooks
        )
        return SentView(
            endpoint=receiver.id,
            delivered=sent.status in OK,
            status=sent.status or None,
            reason=without_reason(sent.status, sent.reason),
        )

    async def deliveries(self, incoming: Incoming[Key, DeliveryQuery, Nothing]) -> Page[DeliveryView]:
        """A page of deliveries to a webhook. Raises Refusal `not_found`."""
        _allowed(incoming.settings, incoming.caller)
        query, receiver = incoming.query, await self._receiver(incoming.caller, incoming.path)
        before = event_place(query)
        rows = await self._reader.deliveries(receiver.id, query.state, before=before, limit=query.limit + 1)
        return page_of(
            rows,
            query.limit,
            lambda row: delivery_view(row, hides_network=True),
            lambda row: place_text(row.at_us, row.account_id, row.event_id),
        )

    async def replay(self, incoming: Incoming[Key, Nothing, OwnReplay]) -> ReplayView:
        """Send again. Raises Refusal `not_found`, `invalid_value` and `rate_limit_exceeded`."""
        _allowed(incoming.settings, incoming.caller)
        body, receiver = incoming.body, await self._receiver(incoming.caller, incoming.path)
        self._expect_patience(receiver.account_id, self._clock.now_us())
        if body.event_id:
            await self._again(await self._reader.event(receiver.account_id, body.event_id), receiver)
            return ReplayView(replayed=1, has_more=False, next_cursor=None)
        if body.since is None:
            raise invalid("since", None, "send it, or event_id")
        since_us = instant_us(body.since, "since")
        after = event_place(body) if body.cursor else EventPlace(since_us, "", "")
        rows = await self._reader.events_of_since(receiver.account_id, after=after, limit=PAGE + 1)
        wanted = [row for row in rows[:PAGE] if matches(row.type, receiver.types)]
        for row in wanted:
            await self._again(row, receiver)
        more = len(rows) > PAGE
        last = place_text(rows[PAGE - 1].at_us, rows[PAGE - 1].account_id, rows[PAGE - 1].id) if more else ""
        return ReplayView(replayed=len(wanted), has_more=more, next_cursor=cursor_of(last) if more else None)

    async def _receiver(self, key: Key, path: Mapping[str, str]) -> Receiver:
        """The webhook of a path. Raises Refusal `not_found`, also for another account's."""
        return await self._reader.receiver(key.account_id, path["webhook_id"])

    async def _again(self, event: Event, receiver: Receiver) -> None:
        now_us = self._clock.now_us()
        await self._ledger.command(RouteEvent(event.account_id, event.id, (receiver.id,), now_us, again=True))

    def _expect_patience(self, account_id: str, now_us: int) -> None:
        self._patience.expect(account_id, now_us)
        self._patience.note(account_id, now_us)


def _allowed(settings: ApiSettings, key: Key) -> Webhooks:
    """How webhooks are told. Raises Refusal as `require_billing`, and `not_found` where there are none."""
    if not settings.webhooks.accounts_secret:
        raise Refusal("not_found", "Accounts have no webhooks here: `webhooks.accounts` is not configured.")
    require_billing(key)
    return settings.webhooks


def _with_secret(receiver: Receiver, webhooks: Webhooks) -> NewReceiverView:
    seen = receiver_view(receiver)
    members = {name: getattr(seen, name) for name in ReceiverView.__struct_fields__}
    secret = secret_of(receiver, webhooks.accounts_secret, receiver.generation)
    return NewReceiverView(secret=secret, **members)
