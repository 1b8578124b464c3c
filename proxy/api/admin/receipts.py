"""The admin API's holds, usage and receipts, over all accounts."""

from typing import Final

from aiohttp import web

from proxy.api.operations import ADMIN, Binder, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, continued, page_of, place_of
from proxy.api.reader import Reader
from proxy.api.usage import AdminUsageQuery, UsageView, usage_report
from proxy.api.views.receipts import AdminReceiptView, HoldView, admin_receipt_view, hold_view
from proxy.clock import Clock
from proxy.ledger.rows import HoldState


class HoldQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filters of a list of holds."""

    state: HoldState | None = None
    account_id: str | None = None


SEARCHED_CALLS: Final = 20_000
"""How many calls one page searches for a model across accounts, without an index: tens of milliseconds."""


class ReceiptQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filters of a list of receipts. `model` is the exact public name."""

    account_id: str | None = None
    key_id: str | None = None
    model: str | None = None


LIST_HOLDS: Final = Operation(
    id="list_holds",
    method="GET",
    path=f"{ADMIN}/holds",
    summary="List holds, the newest first.",
    audience="admin",
    reply=Page[HoldView],
    query=HoldQuery,
    body=Nothing,
)
USAGE: Final = Operation(
    id="usage",
    method="GET",
    path=f"{ADMIN}/usage",
    summary="Sum up usage and charges by UTC day, model, key or account.",
    audience="admin",
    reply=UsageView,
    query=AdminUsageQuery,
    body=Nothing,
)
LIST_RECEIPTS: Final = Operation(
    id="list_receipts",
    method="GET",
    path=f"{ADMIN}/receipts",
    summary=(
        "List the receipts of calls, the newest first. With `model` alone a page searches "
        f"{SEARCHED_CALLS:,} calls, and may be empty though there are more."
    ),
    audience="admin",
    reply=Page[AdminReceiptView],
    query=ReceiptQuery,
    body=Nothing,
)
SHOW_RECEIPT: Final = Operation(
    id="show_receipt",
    method="GET",
    path=f"{ADMIN}/receipts/{{call_id}}",
    summary="Show the receipt of one call.",
    audience="admin",
    reply=AdminReceiptView,
    query=Nothing,
    body=Nothing,
)

OPERATIONS: Final = (LIST_HOLDS, USAGE, LIST_RECEIPTS, SHOW_RECEIPT)


class Receipts:
    """Shows holds, usage and receipts.

    A page of one model's calls in all accounts searches `searched_calls` at most, since it has no index.
    """

    def __init__(self, *, reader: Reader, clock: Clock, searched_calls: int = SEARCHED_CALLS) -> None:
        self._reader = reader
        self._clock = clock
        self._searched_calls = searched_calls

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(LIST_HOLDS, self.list_holds),
            bind(USAGE, self.usage),
            bind(LIST_RECEIPTS, self.list_receipts),
            bind(SHOW_RECEIPT, self.show_receipt),
        ]

    async def list_holds(self, incoming: Incoming[None, HoldQuery, Nothing]) -> Page[HoldView]:
        """A page of holds."""
        query, unit = incoming.query, incoming.settings.unit
        rows = await self._reader.holds(
            account_id=query.account_id or "",
            state=query.state or "",
            before=place_of(query, str),
            limit=query.limit + 1,
        )
        return page_of(rows, query.limit, lambda row: hold_view(row, unit), lambda row: row.id)

    async def usage(self, incoming: Incoming[None, AdminUsageQuery, Nothing]) -> UsageView:
        """Usage by group. Raises Refusal `not_found` for an unknown account."""
        account_id = incoming.query.account_id
        if account_id is not None:
            await self._reader.account(account_id)
        return await usage_report(
            self._reader,
            incoming.query,
            account_id=account_id or "",
            unit=incoming.settings.unit,
            now_us=self._clock.now_us(),
        )

    async def list_receipts(self, incoming: Incoming[None, ReceiptQuery, Nothing]) -> Page[AdminReceiptView]:
        """A page of receipts."""
        query, unit, before = incoming.query, incoming.settings.unit, place_of(incoming.query, str)
        searches = query.model and not (query.account_id or query.key_id)
        down_to = await self._reader.receipt_place(before, self._searched_calls) if searches else ""
        rows = await self._reader.receipts(
            account_id=query.account_id or "",
            key_id=query.key_id or "",
            model=query.model or "",
            before=before,
            limit=query.limit + 1,
            down_to=down_to,
        )
        page = page_of(rows, query.limit, lambda row: admin_receipt_view(row, unit), lambda row: row.call.id)
        return continued(page, down_to) if down_to and not page.has_more else page

    async def show_receipt(self, incoming: Incoming[None, Nothing, Nothing]) -> AdminReceiptView:
        """One receipt. Raises Refusal `not_found`, also while the call is in flight."""
        return admin_receipt_view(
            await self._reader.receipt(incoming.path["call_id"]), incoming.settings.unit
        )
