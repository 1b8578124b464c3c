"""Receipts of some days: of calls, and of usage from outside, whose ids begin otherwise.

An id tells when it was made: for a call when it came, and for usage from outside when it was told.
"""

from collections.abc import Awaitable, Callable
from datetime import date

import msgspec

from proxy.api.call_sums import CALL_PREFIX
from proxy.api.decode import invalid
from proxy.api.reader import SeenReceipt
from proxy.endpoints.event_plan import EVENT_PREFIX
from proxy.ids import first_id
from proxy.ledger.windows import DAY_US, EPOCH

Read = Callable[[str, int, str], Awaitable[list[SeenReceipt]]]
"""Reads receipts, the newest first: those before an id, so many at most, down to another id."""


class Span(msgspec.Struct, frozen=True):
    """The ids from `down_to` on that come before `before`."""

    down_to: str
    before: str


def spans_of(start: date | None, end: date | None) -> tuple[Span, ...]:
    """The ids of days, both included, in the order of the list. Raises Refusal `invalid_value`."""
    start_us = _instant("start_date", start)
    end_us = _instant("end_date", end)
    return tuple(
        Span(
            f"{prefix}_" if start_us is None else first_id(prefix, start_us),
            f"{prefix}_~" if end_us is None else first_id(prefix, end_us + DAY_US),
        )
        for prefix in (CALL_PREFIX, EVENT_PREFIX)
    )


async def receipts_in(
    spans: tuple[Span, ...], read: Read, before: str | None, limit: int
) -> list[SeenReceipt]:
    """Up to `limit` receipts of spans, those before an id."""
    found: list[SeenReceipt] = []
    for span in spans:
        if len(found) < limit and (before is None or before > span.down_to):
            last = span.before if before is None else min(before, span.before)
            found += await read(last, limit - len(found), span.down_to)
    return found


def _instant(name: str, day: date | None) -> int | None:
    if day is None:
        return None
    if day < EPOCH:
        raise invalid(name, day, f"it has to be {EPOCH} or later")
    return (day - EPOCH).days * DAY_US
