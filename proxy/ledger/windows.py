"""Spending windows: which UTC day, ISO week and month an instant lies in, and when they end."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal

Window = Literal["day", "week", "month", "total"]
WINDOWS: Final[tuple[Window, ...]] = ("day", "week", "month", "total")
DAY_US: Final = 86_400_000_000
EPOCH: Final = date(1970, 1, 1)


@lru_cache(maxsize=64)
def starts_of_day(day: int) -> tuple[tuple[Window, int], ...]:
    """Each window of a day with its own first day, both in days since 1970-01-01 UTC; `total` starts at 0."""
    today = EPOCH + timedelta(days=day)
    first_days = {"day": day, "week": day - today.weekday(), "month": day - today.day + 1, "total": 0}
    return tuple((window, first_days[window]) for window in WINDOWS)


def ends_us(window: Window, start_day: int) -> int | None:
    """The instant a window ends, in microseconds since the epoch; None for `total`, which never does."""
    if window == "total":
        return None
    first = EPOCH + timedelta(days=start_day)
    if window == "month":
        end = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    else:
        end = first + timedelta(days=1 if window == "day" else 7)
    return (end - EPOCH).days * DAY_US


def iso(at_us: int) -> str:
    """An instant as RFC 3339 in UTC, to the second; fractions of a second are cut off."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
