"""The admin API's grants and adjustments, and its lists of lots and entries."""

from typing import Final

from aiohttp import web

from proxy.api.admin.bodies import NewAdjustment, NewGrant, amount_nano, expiry_us
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
from proxy.money import MAX_NANO, Unit

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
    query=PageQuery,
    body=Nothing,
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

OPERATIONS: Final = (GRANT, ADJUST, LIST_LOTS, LIST_ENTRIES)


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

    async def list_lots(self, incoming: Incoming[None, PageQuery, Nothing]) -> Page[LotView]:
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
    reader: Reader, account_id: str, query: PageQuery, unit: Unit, *, now_us: int
) -> Page[LotView]:
    """A page of lots with something left, in draw order."""
    rows = await reader.lots(account_id, after=place_of(query, str), limit=query.limit + 1)
    return page_of(rows, query.limit, lambda row: lot_view(row, unit, now_us), lambda row: row.id)


async def entries_page(reader: Reader, account_id: str, query: PageQuery, unit: Unit) -> Page[EntryView]:
    """A page of entries, the newest first."""
    rows = await reader.entries(account_id, before=place_of(query, int), limit=query.limit + 1)
    return page_of(rows, query.limit, lambda row: entry_view(row, unit), lambda row: row.seq)


def _entry(done: Done, unit: Unit) -> WithHeaders[EntryView]:
    """The entry that a command made, or that it made when it was first carried out."""
    assert done.entry is not None
    return WithHeaders(entry_view(done.entry, unit), {REPLAYED: "true"} if done.replayed else {})
