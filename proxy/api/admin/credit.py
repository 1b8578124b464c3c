"""The admin API's grants and adjustments, and its lists of lots and entries."""

from typing import Final

from aiohttp import web

from proxy.api.admin.bodies import (
    Instant,
    NewAdjustment,
    NewGrant,
    NewRefund,
    NewVoid,
    amount_nano,
    expiry_us,
    instant_us,
)
from proxy.api.operations import (
    ADMIN,
    REPLAYED,
    Binder,
    Commands,
    Incoming,
    Nothing,
    Operation,
    WithHeaders,
)
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.reader import Reader
from proxy.api.views.books import EntryView, LotView, entry_view, lot_view
from proxy.clock import Clock
from proxy.ids import new_id
from proxy.ledger.commands import Adjust, Done, Grant
from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US
from proxy.money import MAX_NANO, Unit


class LotQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filter of a list of lots: those that expire before a time."""

    expires_before: Instant | None = None


GRANT: Final = Operation(
    id="grant",
    method="POST",
    path=f"{ADMIN}/accounts/{{account_id}}/grants",
    summary="Put credit in: debt is repaid first, a lot holds the rest. Answers with the entry it made.",
    audience="admin",
    reply=EntryView,
    query=Nothing,
    body=NewGrant,
    status=201,
    idempotent=True,
)
ADJUST: Final = Operation(
    id="adjust",
    method="POST",
    path=f"{ADMIN}/accounts/{{account_id}}/adjustments",
    summary="Correct a balance, up or down. Answers with the entry it made.",
    audience="admin",
    reply=EntryView,
    query=Nothing,
    body=NewAdjustment,
    status=201,
    idempotent=True,
)
LIST_LOTS: Final = Operation(
    id="list_lots",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/lots",
    summary="List the lots with something left, in the order they are drawn from.",
    audience="admin",
    reply=Page[LotView],
    query=LotQuery,
    body=Nothing,
)
VOID_LOT: Final = Operation(
    id="void_lot",
    method="POST",
    path=f"{ADMIN}/accounts/{{account_id}}/lots/{{lot_id}}/void",
    summary="Take what is left of a lot, but for what calls in flight may draw. Answers with the entry.",
    audience="admin",
    reply=EntryView,
    query=Nothing,
    body=NewVoid,
    status=201,
    idempotent=True,
)
REFUND_LOT: Final = Operation(
    id="refund_lot",
    method="POST",
    path=f"{ADMIN}/accounts/{{account_id}}/lots/{{lot_id}}/refunds",
    summary="Take from a purchase or a grant what its buyer gets back. Answers with the entry it made.",
    audience="admin",
    reply=EntryView,
    query=Nothing,
    body=NewRefund,
    status=201,
    idempotent=True,
)
REFUND_CALL: Final = Operation(
    id="refund_call",
    method="POST",
    path=f"{ADMIN}/receipts/{{call_id}}/refunds",
    summary="Give back some of what a call was charged, or all of it. Answers with the entry it made.",
    audience="admin",
    reply=EntryView,
    query=Nothing,
    body=NewRefund,
    status=201,
    idempotent=True,
)
LIST_ENTRIES: Final = Operation(
    id="list_entries",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/entries",
    summary="List the entries of an account's books, the newest first.",
    audience="admin",
    reply=Page[EntryView],
    query=PageQuery,
    body=Nothing,
)

OPERATIONS: Final = (GRANT, ADJUST, LIST_LOTS, VOID_LOT, REFUND_LOT, REFUND_CALL, LIST_ENTRIES)


class Credit:
    """Puts money in, corrects balances, and shows lots and entries."""

    def __init__(self, *, ledger: Commands, reader: Reader, clock: Clock) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(GRANT, self.grant),
            bind(ADJUST, self.adjust),
            bind(LIST_LOTS, self.list_lots),
            bind(VOID_LOT, self.void_lot),
            bind(REFUND_LOT, self.refund_lot),
            bind(REFUND_CALL, self.refund_call),
            bind(LIST_ENTRIES, self.list_entries),
        ]

    async def grant(self, incoming: Incoming[None, Nothing, NewGrant]) -> WithHeaders[EntryView]:
        """Put credit in. Raises Refusal `not_found`, `idempotency_conflict`, `invalid_value`."""
        body, unit, now_us = incoming.body, incoming.settings.unit, self._clock.now_us()
        command = Grant(
            incoming.path["account_id"],
            incoming.command_id,
            new_id("lot", now_us),
            amount_nano("amount", body.amount, unit, least_nano=1),
            now_us,
            kind=body.kind,
            priority=body.priority,
            expires_at_us=expiry_us(body.expires_at),
            note=body.note,
        )
        return _entry(await self._ledger.command(command), unit)

    async def adjust(self, incoming: Incoming[None, Nothing, NewAdjustment]) -> WithHeaders[EntryView]:
        """Correct a balance. Raises Refusal as `grant`, and `conflict` for more than is available."""
        body, unit, now_us = incoming.body, incoming.settings.unit, self._clock.now_us()
        command = Adjust(
            incoming.path["account_id"],
            incoming.command_id,
            new_id("lot", now_us),
            amount_nano("amount", body.amount, unit, least_nano=-MAX_NANO),
            body.reason,
            now_us,
        )
        return _entry(await self._ledger.command(command), unit)

    async def void_lot(self, incoming: Incoming[None, Nothing, NewVoid]) -> WithHeaders[EntryView]:
        """Take what is left of a lot. Raises Refusal as `grant`, and `conflict` if nothing can be."""
        path, now_us = incoming.path, self._clock.now_us()
        command = VoidLot(
            path["account_id"], incoming.command_id, path["lot_id"], incoming.body.reason, now_us
        )
        return _entry(await self._ledger.command(command), incoming.settings.unit)

    async def refund_lot(self, incoming: Incoming[None, Nothing, NewRefund]) -> WithHeaders[EntryView]:
        """Pay back some of a lot. Raises Refusal as `void_lot`, and `conflict` once its days are over."""
        body, path, unit = incoming.body, incoming.path, incoming.settings.unit
        command = RefundLot(
            *(path["account_id"], incoming.command_id, path["lot_id"], body.reason, self._clock.now_us()),
            amount_nano("amount", body.amount, unit, least_nano=1),
            incoming.settings.refund_days,
        )
        return _entry(await self._ledger.command(command), unit)

    async def refund_call(self, incoming: Incoming[None, Nothing, NewRefund]) -> WithHeaders[EntryView]:
        """Give back some of a charge. Raises Refusal as `grant`, and `conflict` for too much."""
        body, unit, now_us = incoming.body, incoming.settings.unit, self._clock.now_us()
        call = (await self._reader.receipt(incoming.path["call_id"])).call
        seq, draws = await self._reader.charge(call.account_id, call.id)
        command = RefundCall(
            *(call.account_id, incoming.command_id, new_id("lot", now_us), call.id),
            *(amount_nano("amount", body.amount, unit, least_nano=1), body.reason, now_us),
            *(seq, tuple(draw.lot_id for draw in draws)),
        )
        return _entry(await self._ledger.command(command), unit)

    async def list_lots(self, incoming: Incoming[None, LotQuery, Nothing]) -> Page[LotView]:
        """A page of an account's lots. Raises Refusal `not_found`."""
        account = await self._reader.account(incoming.path["account_id"])
        unit = incoming.settings.unit
        now_us = self._clock.now_us()
        return await lots_page(self._reader, account.id, incoming.query, unit, now_us=now_us)

    async def list_entries(self, incoming: Incoming[None, PageQuery, Nothing]) -> Page[EntryView]:
        """A page of an account's entries. Raises Refusal `not_found`."""
        account = await self._reader.account(incoming.path["account_id"])
        return await entries_page(self._reader, account.id, incoming.query, incoming.settings.unit)


async def lots_page(
    reader: Reader, account_id: str, query: LotQuery, unit: Unit, *, now_us: int
) -> Page[LotView]:
    """A page of lots with something left, in draw order."""
    # What never expires does so before no time, and is there where none is given.
    before_us = NEVER_US + 1 if query.expires_before is None else instant_us(query.expires_before)
    rows = await reader.lots(
        account_id, before_us=before_us, after=place_of(query, str), limit=query.limit + 1
    )
    return page_of(rows, query.limit, lambda row: lot_view(row, unit, now_us), lambda row: row.id)


async def entries_page(reader: Reader, account_id: str, query: PageQuery, unit: Unit) -> Page[EntryView]:
    """A page of entries, the newest first."""
    rows = await reader.entries(account_id, before=place_of(query, int), limit=query.limit + 1)
    return page_of(rows, query.limit, lambda row: entry_view(row, unit), lambda row: row.seq)


def _entry(done: Done, unit: Unit) -> WithHeaders[EntryView]:
    """The entry that a command made, or that it made when it was first carried out."""
    assert done.entry is not None
    return WithHeaders(entry_view(done.entry, unit), {REPLAYED: "true"} if done.replayed else {})
