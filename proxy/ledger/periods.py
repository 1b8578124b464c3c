"""Periods: the days and months of the calendar in UTC, and months that begin with any instant."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

from proxy.ledger.windows import DAY_US

Every = Literal["day", "month"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MONTHS: Final = 12
_LONGEST_MONTH: Final = 31


class Span(NamedTuple):
    """From one instant to just before another, in microseconds since the epoch."""

    start_us: int
    end_us: int


def period_at(every: Every, at_us: int) -> Span:
    """The day or month of the calendar in which an instant lies."""
    if every == "day":
        start_us = at_us // DAY_US * DAY_US
        return Span(start_us, start_us + DAY_US)
    first = _EPOCH + timedelta(days=at_us // DAY_US)
    start_us = _instant_us(first.replace(day=1))
    return Span(start_us, months_after(start_us, 1))


def periods_before(every: Every, at_us: int, count: int) -> Iterator[Span]:
    """The period in which an instant lies, and those before it, the latest first."""
    span = period_at(every, at_us)
    for _ in range(count):
        yield span
        span = period_at(every, span.start_us - 1)


def month_since(anchor_us: int, at_us: int, length: int = 1) -> Span:
    """The month in which an instant lies, where months begin with `anchor_us`; or so many months.

    They begin on the same day of each month at the same time, or on the last day of a month without it.
    """
    first, now = _EPOCH + anchor_us * _MICROSECOND, _EPOCH + at_us * _MICROSECOND
    months = (now.year - first.year) * _MONTHS + now.month - first.month
    if months_after(anchor_us, months) > at_us:
        months -= 1
    months = months // length * length
    return Span(months_after(anchor_us, months), months_after(anchor_us, months + length))


def months_after(at_us: int, months: int) -> int:
    """The instant so many months later, on the same day of the month or on the last one that it has."""
    first = _EPOCH + at_us * _MICROSECOND
    count = first.year * _MONTHS + first.month - 1 + months
    year, month = count // _MONTHS, count % _MONTHS + 1
    start = first.replace(year=year, month=month, day=1)
    following = (start + timedelta(days=_LONGEST_MONTH)).replace(day=1)
    last = (following - timedelta(days=1)).day
    return _instant_us(start.replace(day=min(first.day, last)))


def day_text(at_us: int) -> str:
    """The day of an instant, such as 2026-03-01."""
    return (_EPOCH + timedelta(days=at_us // DAY_US)).strftime("%Y-%m-%d")


def _instant_us(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND
