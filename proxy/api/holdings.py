"""Holdings: what accounts hold elsewhere decides their groups, told by the operator or a webhook."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, Literal, Protocol

from aiohttp import web
from msgspec import Struct
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from proxy.api import decode
from proxy.api.admin.bodies import Fields, Instant, instant_us
from proxy.api.operations import (
    ADMIN,
    ApiSettings,
    Binder,
    Commands,
    Incoming,
    Nothing,
    Operation,
    body_of,
    json_response,
)
from proxy.api.views.money import When, instant
from proxy.call.renewals import Renewals
from proxy.clock import Clock
from proxy.config.holdings import Holdings
from proxy.edge.auth import require_admin
from proxy.errors import Refusal
from proxy.ledger.quotas import SetHoldings
from proxy.validation import wants

WEBHOOK: Final = "/v1/webhooks/holdings"
MOST_BYTES: Final = 16_384
FUTURE_US: Final = 300_000_000
"""How far the clocks of others may be ahead. What is later would keep all that follows from being heard."""

Held = Annotated[int, wants("a whole number from 0 to 1000000000000000000", ge=0, le=10**18)]


class HeldNow(Fields, frozen=True):
    """How much an account holds, as of a time: null is now."""

    held: Held
    as_of: Instant | None = None


class HeldAccount(Struct, frozen=True):
    """How much which account holds, as of a time: null is when the event was made."""

    account_id: str
    held: Held
    as_of: Instant | None = None


class HoldingsEvent(Struct, frozen=True):
    """What the webhook is told, in the shape of Standard Webhooks. Other members are passed over."""

    type: Literal["holdings.updated"]
    timestamp: Instant
    data: HeldAccount


class HoldingsView(Struct, frozen=True, kw_only=True):
    """What an account holds by the latest that is known, as of when, and the group that it is in."""

    object: Literal["holdings"] = "holdings"
    account_id: str
    held: int
    as_of: When
    group: str


SET_HOLDINGS: Final = Operation(
    id="set_holdings",
    method="PUT",
    path=f"{ADMIN}/accounts/{{account_id}}/holdings",
    summary="Tell how much an account holds elsewhere, which decides its group. What is older is ignored.",
    audience="admin",
    reply=HoldingsView,
    query=Nothing,
    body=HeldNow,
)
TELL_HOLDINGS: Final = Operation(
    id="tell_holdings",
    method="POST",
    path=WEBHOOK,
    summary="The same by an event with a signature of Standard Webhooks, in place of a key.",
    audience="public",
    reply=HoldingsView,
    query=Nothing,
    body=HoldingsEvent,
)

OPERATIONS: Final = (SET_HOLDINGS, TELL_HOLDINGS)


class HoldingsSettings(ApiSettings, Protocol):
    """The part of the configuration that holdings need as well."""

    @property
    def holdings(self) -> Holdings:
        """Which group goes with how much, and the webhook's secret."""
        ...


class HoldingsRoutes:
    """Notes what accounts hold, and puts them in the group for that."""

    def __init__(self, *, ledger: Commands, clock: Clock, settings: Callable[[], HoldingsSettings]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._renewals = Renewals(ledger=ledger, clock=clock)

    def routes(self) -> list[web.RouteDef]:
        """A route for each operation."""

        async def admin(request: web.Request) -> None:
            require_admin(request, self._settings().admin.key)

        bind: Binder[None] = Binder(admin, self._settings)
        return [
            bind(SET_HOLDINGS, self.set_holdings),
            web.route(TELL_HOLDINGS.method, TELL_HOLDINGS.path, self.tell_holdings),
        ]

    async def set_holdings(self, incoming: Incoming[None, Nothing, HeldNow]) -> HoldingsView:
        """Note what the operator says. Raises Refusal `not_found`, `conflict`, `invalid_value`."""
        return await self._noted(incoming.path["account_id"], incoming.body.held, incoming.body.as_of)

    async def tell_holdings(self, request: web.Request) -> web.Response:
        """Note what an event says whose signature is right. Raises Refusal as `set_holdings`."""
        event = decode.from_json(await self._signed(request), HoldingsEvent)
        told = event.data
        return json_response(
            200, await self._noted(told.account_id, told.held, told.as_of or event.timestamp), {}
        )

    async def _signed(self, request: web.Request) -> bytes:
        """The body of an event with a right signature of the last minutes. Raises Refusal otherwise.

        Without a secret there is no such path.
        """
        secret = self._settings().holdings.secret
        if not secret:
            raise web.HTTPNotFound
        body = await body_of(request, MOST_BYTES)
        try:
            Webhook(secret).verify(body, dict(request.headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            raise Refusal(
                "invalid_api_key", "The event has no right signature of the last minutes."
            ) from None
        return body

    async def _noted(self, account_id: str, held: int, as_of: datetime | None) -> HoldingsView:
        settings, now_us = self._settings(), self._clock.now_us()
        as_of_us = now_us if as_of is None else instant_us(as_of, "as_of")
        if as_of_us > now_us + FUTURE_US:
            raise decode.invalid("as_of", str(as_of), "it has to lie in the past")
        holdings = settings.holdings
        group = holdings.group_of(held)
        if settings.groups.has_dues:
            # What is due in the present group comes first, whichever that is.
            await self._renewals.settle(account_id, "", settings.groups)
        command = SetHoldings(account_id, held, as_of_us, group, holdings.groups, now_us)
        done = await self._ledger.command(command)
        assert done.account is not None
        assert done.membership is not None
        found, member = done.account.group, done.membership
        if not done.replayed and settings.groups.has_dues:
            found = await self._renewals.settle(account_id, found, settings.groups)
        return HoldingsView(
            account_id=account_id, held=member.held, as_of=instant(member.held_at_us), group=found
        )
