"""Days and months in UTC: where they begin and end, also those that begin on a day that few months have."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger.periods import Span, day_text, month_since, period_at, periods_before

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def span(first: str, last: str) -> Span:
    return Span(us(first), us(last))


@pytest.mark.parametrize(
    ("at", "day", "month"),
    [
        ("2026-03-01T00:00:00", ("2026-03-01", "2026-03-02"), ("2026-03-01", "2026-04-01")),
        ("2026-02-28T23:59:59.999999", ("2026-02-28", "2026-03-01"), ("2026-02-01", "2026-03-01")),
        ("2024-02-29T12:00:00", ("2024-02-29", "2024-03-01"), ("2024-02-01", "2024-03-01")),
        ("2026-12-31T00:00:01", ("2026-12-31", "2027-01-01"), ("2026-12-01", "2027-01-01")),
    ],
)
def test_periods_of_the_calendar_begin_at_midnight_utc(
    at: str, day: tuple[str, str], month: tuple[str, str]
) -> None:
    assert period_at("day", us(at)) == span(*day)
    assert period_at("month", us(at)) == span(*month)


@pytest.mark.parametrize(
    ("anchor", "at", "first", "last"),
    [
        ("2026-01-10T09:00:00", "2026-01-10T09:00:00", "2026-01-10T09:00:00", "2026-02-10T09:00:00"),
        ("2026-01-10T09:00:00", "2026-02-10T08:59:59", "2026-01-10T09:00:00", "2026-02-10T09:00:00"),
        ("2026-01-31T09:00:00", "2026-02-28T09:00:00", "2026-02-28T09:00:00", "2026-03-31T09:00:00"),
        ("2026-01-31T09:00:00", "2026-04-30T08:00:00", "2026-03-31T09:00:00", "2026-04-30T09:00:00"),
        ("2024-02-29T00:00:00", "2025-03-01T00:00:00", "2025-02-28T00:00:00", "2025-03-29T00:00:00"),
        ("2026-01-10T09:00:00", "2025-12-31T00:00:00", "2025-12-10T09:00:00", "2026-01-10T09:00:00"),
    ],
)
def test_a_month_may_begin_with_any_instant(anchor: str, at: str, first: str, last: str) -> None:
    """On a day that a month lacks, it begins with its last day; later ones begin as the first did."""
    assert month_since(us(anchor), us(at)) == span(first, last)


@given(st.integers(0, 2**52), st.integers(0, 2**52))
def test_months_follow_one_another_without_a_gap(anchor_us: int, at_us: int) -> None:
    found = month_since(anchor_us, at_us)
    assert found.start_us <= at_us < found.end_us
    assert month_since(anchor_us, found.end_us).start_us == found.end_us
    assert month_since(anchor_us, found.start_us) == found


def test_periods_before_come_the_latest_first() -> None:
    found = [day_text(each.start_us) for each in periods_before("month", us("2026-01-15"), 3)]
    assert found == ["2026-01-01", "2025-12-01", "2025-11-01"]
