"""An account's receipts and usage as tables."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Final

import msgspec

from proxy.api.csv_export import ROWS_AT_ONCE, Cell, Csv, Piece, in_pieces
from proxy.api.reader import SeenReceipt
from proxy.api.usage import UsageView
from proxy.api.views.money import instant
from proxy.money import usd_string

METERS: Final = ("input_tokens", "cached_input_tokens", "output_tokens")
RECEIPT_COLUMNS: Final = (
    *(
        "id",
        "started_at",
        "ended_at",
        "seconds",
        "key_id",
        "endpoint",
        "model",
        "end_user",
        "metadata",
        "stream",
    ),
    *("outcome", "status", "basis", *METERS, "usage"),
    *("price_id", "total_usd", "charged_usd", "shortfall_usd", "owed_usd", "refunded_usd"),
)
USAGE_COLUMNS: Final = ("group", "requests", *METERS, "total_tokens", "charged_usd")

ReadReceipts = Callable[[str | None, int], Awaitable[Sequence[SeenReceipt]]]
"""Reads so many receipts that come after one of this id, the newest first."""


def receipts_table(read: ReadReceipts, before: str | None) -> Csv:
    """All receipts after a place, the newest first; a few are in memory at once."""
    return Csv("receipts", RECEIPT_COLUMNS, _receipt_pieces(read, before))


async def _receipt_pieces(read: ReadReceipts, before: str | None) -> AsyncIterator[Piece]:
    while found := await read(before, ROWS_AT_ONCE):
        yield list(map(_receipt_row, found))
        before = found[-1].call.id


def _receipt_row(seen: SeenReceipt) -> Sequence[Cell]:
    call, outcome, receipt = seen.call, seen.receipt.outcome, seen.receipt
    seconds_us = max(0, outcome.ended_at_us - call.started_at_us)
    nano = (receipt.charged_nano, receipt.shortfall_nano, receipt.owed_nano, seen.refunded_nano)
    return (
        *(call.id, instant(call.started_at_us), instant(outcome.ended_at_us)),
        f"{seconds_us // 1_000_000}.{seconds_us % 1_000_000:06}",
        *(
            call.key_id,
            call.endpoint,
            call.model,
            call.end_user,
            call.metadata,
            "true" if call.stream else "false",
        ),
        *(outcome.outcome, outcome.status, outcome.basis),
        *(outcome.usage.get(meter, 0) for meter in METERS),
        msgspec.json.encode(outcome.usage).decode(),
        *(receipt.charge.price_id, usd_string(receipt.charge.total_nano), *map(usd_string, nano)),
    )


def usage_table(view: UsageView) -> Csv:
    """The groups of a usage report."""
    return Csv("usage", USAGE_COLUMNS, in_pieces(_usage_rows(view)))


def _usage_rows(view: UsageView) -> Iterator[Sequence[Cell]]:
    for one in view.data:
        figures = (getattr(one, name) for name in USAGE_COLUMNS[1:-1])
        yield (one.group, *figures, one.charged)
