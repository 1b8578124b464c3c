"""The admin API's top-ups: opened for an account, confirmed, closed, refunded."""

from collections.abc import Mapping
from typing import Annotated, Final

from aiohttp import web
from msgspec.structs import replace

from proxy.api.admin.bodies import Amount, Fields, NewRefund, NewVoid, amount_nano
from proxy.api.billing.top_ups import NewTopUp, TopUpQuery, open_once, told, top_ups_page
from proxy.api.operations import ADMIN, Binder, Incoming, Nothing, Operation, WithHeaders
from proxy.api.paging import Page
from proxy.api.top_up_reader import TopUpReader
from proxy.api.views.top_ups import TopUpView, top_up_view
from proxy.billing.offers import NANO_PER_CENT
from proxy.billing.top_ups import TopUps, cents_of
from proxy.ledger.top_up_rows import TopUp
from proxy.validation import wants

Reference = Annotated[
    str,
    wants("what the payment is called: up to 200 visible characters", pattern=r"^[^\x00-\x1f\x7f]{0,200}$"),
]
_ONE: Final = f"{ADMIN}/accounts/{{account_id}}/top_ups/{{top_up_id}}"


class AllTopUpQuery(TopUpQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filters of a list of top-ups."""

    account_id: str | None = None


class Confirmation(Fields, frozen=True):
    """What the payment is called, which pays nothing else, and what was paid where that is to be checked."""

    reference: Reference = ""
    paid: Amount | None = None


OPEN: Final = Operation(
    id="open_top_up",
    method="POST",
    path=f"{ADMIN}/accounts/{{account_id}}/top_ups",
    summary="Open a top-up for an account, such as for an invoice that it will pay.",
    audience="admin",
    reply=TopUpView,
    query=Nothing,
    body=NewTopUp,
    status=201,
    idempotent=True,
)
LIST: Final = Operation(
    id="list_top_ups",
    method="GET",
    path=f"{ADMIN}/top_ups",
    summary="List top-ups, the newest first.",
    audience="admin",
    reply=Page[TopUpView],
    query=AllTopUpQuery,
    body=Nothing,
)
SHOW: Final = Operation(
    id="get_top_up",
    method="GET",
    path=_ONE,
    summary="One top-up.",
    audience="admin",
    reply=TopUpView,
    query=Nothing,
    body=Nothing,
)
CONFIRM: Final = Operation(
    id="confirm_top_up",
    method="POST",
    path=f"{_ONE}/confirm",
    summary="Credit a top-up that was paid. It is credited once, however often it is confirmed.",
    audience="admin",
    reply=TopUpView,
    query=Nothing,
    body=Confirmation,
)
FAIL: Final = Operation(
    id="fail_top_up",
    method="POST",
    path=f"{_ONE}/fail",
    summary="Close a top-up that was not paid.",
    audience="admin",
    reply=TopUpView,
    query=Nothing,
    body=NewVoid,
)
REFUND: Final = Operation(
    id="refund_top_up",
    method="POST",
    path=f"{_ONE}/refunds",
    summary="Take back what so much of the price has bought, if it is unused, and the rest of the bonus.",
    audience="admin",
    reply=TopUpView,
    query=Nothing,
    body=NewRefund,
    status=201,
    idempotent=True,
)

OPERATIONS: Final = (OPEN, LIST, SHOW, CONFIRM, FAIL, REFUND)


class AdminTopUps:
    """What the operator does about top-ups."""

    def __init__(self, *, top_ups: TopUps, reader: TopUpReader) -> None:
        self._top_ups = top_ups
        self._reader = reader

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(OPEN, self.open),
            bind(LIST, self.page),
            bind(SHOW, self.show),
            bind(CONFIRM, self.confirm),
            bind(FAIL, self.fail),
            bind(REFUND, self.refund),
        ]

    async def open(self, incoming: Incoming[None, Nothing, NewTopUp]) -> WithHeaders[TopUpView]:
        """Open a top-up. Raises Refusal `not_found`, `invalid_value`, `conflict`, `idempotency_conflict`."""
        key = (incoming.path["account_id"], incoming.command_id)
        body = replace(incoming.body, save_method=False)
        return await open_once(*key, body, incoming.settings, top_ups=self._top_ups, reader=self._reader)

    async def page(self, incoming: Incoming[None, AllTopUpQuery, Nothing]) -> Page[TopUpView]:
        """A page of top-ups."""
        query = incoming.query
        return await top_ups_page(self._reader, query.account_id or "", query, query.state, incoming.settings)

    async def show(self, incoming: Incoming[None, Nothing, Nothing]) -> TopUpView:
        """One top-up. Raises Refusal `not_found`."""
        return top_up_view(await self._found(incoming.path), incoming.settings.unit)

    async def confirm(self, incoming: Incoming[None, Nothing, Confirmation]) -> WithHeaders[TopUpView]:
        """Credit a top-up. Raises Refusal `not_found`, and `conflict` for another payment or price."""
        top_up, body, unit = await self._found(incoming.path), incoming.body, incoming.settings.unit
        paid_cents = top_up.price_cents
        if body.paid is not None:
            paid_cents = cents_of(amount_nano("paid", body.paid, unit, least_nano=NANO_PER_CENT))
        return told(await self._top_ups.confirm(top_up, body.reference, paid_cents), incoming.settings)

    async def fail(self, incoming: Incoming[None, Nothing, NewVoid]) -> TopUpView:
        """Close a top-up. Raises Refusal `not_found`, and `conflict` for one that is not pending."""
        top_up = await self._top_ups.fail(await self._found(incoming.path), incoming.body.reason)
        return top_up_view(top_up, incoming.settings.unit)

    async def refund(self, incoming: Incoming[None, Nothing, NewRefund]) -> WithHeaders[TopUpView]:
        """Refund some of a top-up. Raises Refusal `not_found`, `conflict`, `idempotency_conflict`."""
        body, top_up = incoming.body, await self._found(incoming.path)
        nano = amount_nano("amount", body.amount, incoming.settings.unit, least_nano=NANO_PER_CENT)
        payments = incoming.settings.payments
        refunded = await self._top_ups.refund(top_up, incoming.command_id, nano, body.reason, payments)
        return told(refunded, incoming.settings)

    async def _found(self, path: Mapping[str, str]) -> TopUp:
        return await self._reader.top_up(path["account_id"], path["top_up_id"])
