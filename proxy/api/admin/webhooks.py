"""The admin API's webhooks: who is told, what became of it, and to tell again."""

import secrets
from typing import Annotated, Final

from aiohttp import web
from yarl import URL

from proxy.api.admin.bodies import Fields, Instant, instant_us
from proxy.api.decode import invalid
from proxy.api.event_reader import EventReader
from proxy.api.notifications import event_place, place_text
from proxy.api.operations import ADMIN, ApiSettings, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.paging import Cursor, Page, PageQuery, cursor_of, page_of
from proxy.api.views.deliveries import (
    DeliveryView,
    ReplayView,
    SentView,
    ToldEventView,
    WebhooksView,
    WebhookView,
    delivery_view,
)
from proxy.api.views.events import EventPlace, EventView, event_view
from proxy.api.views.receivers import DeletedReceiver, ReceiversView, receiver_view
from proxy.billing.webhooks import body_of
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.deliveries import RouteEvent
from proxy.ledger.events import DeliveryState, Event
from proxy.ledger.receivers import DropReceiver
from proxy.upstream.webhooks import OK, Endpoint, Message, Sender
from proxy.validation import wants

PAGE: Final = 200
"""How many events are sent again by one request."""
Name = Annotated[str, wants("the name of an endpoint", min_length=1, max_length=100)]
Id = Annotated[str, wants("an id", min_length=1, max_length=200)]


class DeliveryQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which deliveries to an endpoint."""

    state: DeliveryState = "pending"


class Replay(Fields, frozen=True):
    """What is sent again: one event of an account, or all that the endpoint wants from `since` on."""

    account_id: Id | None = None
    event_id: Id | None = None
    since: Instant | None = None
    cursor: Cursor | None = None


_WEBHOOKS: Final = f"{ADMIN}/webhooks"
LIST_WEBHOOKS: Final = Operation(
    id="list_webhooks",
    method="GET",
    path=_WEBHOOKS,
    summary="List the receivers of events.",
    audience="admin",
    reply=WebhooksView,
    query=Nothing,
    body=Nothing,
)
LIST_DELIVERIES: Final = Operation(
    id="list_deliveries",
    method="GET",
    path=f"{_WEBHOOKS}/{{endpoint}}/deliveries",
    summary="List what a receiver is to be told, was told, or could not be told, the latest first.",
    audience="admin",
    reply=Page[DeliveryView],
    query=DeliveryQuery,
    body=Nothing,
)
SHOW_EVENT: Final = Operation(
    id="show_notification",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/notifications/{{event_id}}",
    summary="Show an event, and what has become of telling of it.",
    audience="admin",
    reply=ToldEventView,
    query=Nothing,
    body=Nothing,
)
REPLAY: Final = Operation(
    id="replay_webhook",
    method="POST",
    path=f"{_WEBHOOKS}/{{endpoint}}/replay",
    summary="Send a receiver an event again, or all since a time.",
    audience="admin",
    reply=ReplayView,
    query=Nothing,
    body=Replay,
)
TEST: Final = Operation(
    id="test_webhook",
    method="POST",
    path=f"{_WEBHOOKS}/{{endpoint}}/test",
    summary="Send a receiver a message of the type webhook.test at once, and tell what it answers.",
    audience="admin",
    reply=SentView,
    query=Nothing,
    body=Nothing,
)
LIST_OWN: Final = Operation(
    id="list_account_webhooks",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/webhooks",
    summary="List the webhooks that an account has registered itself.",
    audience="admin",
    reply=ReceiversView,
    query=Nothing,
    body=Nothing,
)
DELETE_OWN: Final = Operation(
    id="delete_account_webhook",
    method="DELETE",
    path=f"{ADMIN}/accounts/{{account_id}}/webhooks/{{webhook_id}}",
    summary="Delete a webhook that an account has registered itself.",
    audience="admin",
    reply=DeletedReceiver,
    query=Nothing,
    body=Nothing,
)
OPERATIONS: Final = (LIST_WEBHOOKS, LIST_DELIVERIES, SHOW_EVENT, REPLAY, TEST, LIST_OWN, DELETE_OWN)


class WebhookRoutes:
    """Shows webhooks, and sends again."""

    def __init__(self, *, ledger: Commands, reader: EventReader, clock: Clock, sender: Sender) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock
        self._sender = sender

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(LIST_WEBHOOKS, self.list_webhooks),
            bind(LIST_DELIVERIES, self.list_deliveries),
            bind(SHOW_EVENT, self.show_event),
            bind(REPLAY, self.replay),
            bind(TEST, self.test),
            bind(LIST_OWN, self.list_own),
            bind(DELETE_OWN, self.delete_own),
        ]

    async def list_webhooks(self, incoming: Incoming[None, Nothing, Nothing]) -> WebhooksView:
        """All receivers."""
        endpoints = incoming.settings.webhooks.endpoints.values()
        return WebhooksView(
            data=[
                WebhookView(
                    name=each.name,
                    host=URL(each.url).host or "",
                    types=list(each.types),
                    accounts=list(each.accounts),
                )
                for each in endpoints
            ]
        )

    async def list_deliveries(self, incoming: Incoming[None, DeliveryQuery, Nothing]) -> Page[DeliveryView]:
        """A page of deliveries to a receiver."""
        query, name = incoming.query, _endpoint(incoming.path["endpoint"], incoming.settings).name
        before = event_place(query)
        rows = await self._reader.deliveries(name, query.state, before=before, limit=query.limit + 1)
        return page_of(
            rows, query.limit, delivery_view, lambda row: place_text(row.at_us, row.account_id, row.event_id)
        )

    async def show_event(self, incoming: Incoming[None, Nothing, Nothing]) -> ToldEventView:
        """One event. Raises Refusal `not_found`."""
        account_id, event_id = incoming.path["account_id"], incoming.path["event_id"]
        seen = event_view(await self._reader.event(account_id, event_id))
        deliveries = await self._reader.deliveries_of(account_id, event_id)
        members = {name: getattr(seen, name) for name in EventView.__struct_fields__}
        return ToldEventView(**members, deliveries=[delivery_view(each) for each in deliveries])

    async def replay(self, incoming: Incoming[None, Nothing, Replay]) -> ReplayView:
        """Send again. Raises Refusal `not_found` and `invalid_value`."""
        body, endpoint = incoming.body, _endpoint(incoming.path["endpoint"], incoming.settings)
        if body.account_id and body.event_id:
            await self._again(await self._reader.event(body.account_id, body.event_id), endpoint)
            return ReplayView(replayed=1, has_more=False, next_cursor=None)
        if body.since is None:
            raise invalid("since", None, "send it, or both account_id and event_id")
        since_us = instant_us(body.since, "since")
        after = event_place(body) if body.cursor else EventPlace(since_us, "", "")
        rows = await self._reader.events_since(after=after, limit=PAGE + 1)
        wanted = [row for row in rows[:PAGE] if endpoint.wants(row.type, row.account_id)]
        for row in wanted:
            await self._again(row, endpoint)
        more = len(rows) > PAGE
        last = place_text(rows[PAGE - 1].at_us, rows[PAGE - 1].account_id, rows[PAGE - 1].id) if more else ""
        return ReplayView(replayed=len(wanted), has_more=more, next_cursor=cursor_of(last) if more else None)

    async def test(self, incoming: Incoming[None, Nothing, Nothing]) -> SentView:
        """Send a test message."""
        endpoint, now_us = _endpoint(incoming.path["endpoint"], incoming.settings), self._clock.now_us()
        body = body_of("webhook.test", now_us, f'{{"endpoint":"{endpoint.name}"}}')
        message = Message(f"evt_{secrets.token_hex(16)}", body, now_us)
        sent = await self._sender.send(endpoint, message, incoming.settings.webhooks)
        delivered = sent.status in OK
        return SentView(
            endpoint=endpoint.name, delivered=delivered, status=sent.status or None, reason=sent.reason
        )

    async def list_own(self, incoming: Incoming[None, Nothing, Nothing]) -> ReceiversView:
        """The webhooks of an account. Raises Refusal `not_found`."""
        account = await self._reader.account(incoming.path["account_id"])
        rows = await self._reader.receivers(account.id)
        return ReceiversView(data=[receiver_view(each) for each in rows])

    async def delete_own(self, incoming: Incoming[None, Nothing, Nothing]) -> DeletedReceiver:
        """Delete a webhook of an account. Raises Refusal `not_found`."""
        account_id, id_ = incoming.path["account_id"], incoming.path["webhook_id"]
        await self._ledger.command(DropReceiver(account_id, id_, self._clock.now_us()))
        return DeletedReceiver(id=id_)

    async def _again(self, event: Event, endpoint: Endpoint) -> None:
        now_us = self._clock.now_us()
        await self._ledger.command(
            RouteEvent(event.account_id, event.id, (endpoint.name,), now_us, again=True)
        )


def _endpoint(name: str, settings: ApiSettings) -> Endpoint:
    endpoint = settings.webhooks.endpoints.get(name)
    if endpoint is None:
        raise Refusal("not_found", f"There is no webhook {name}.")
    return endpoint
