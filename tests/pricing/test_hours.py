"""At each moment one window holds at most, by the clocks and the calendar of its zone."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.pricing.hours import DAY_MINUTES, WEEK, Window

BERLIN = ZoneInfo("Europe/Berlin")
SHANGHAI = ZoneInfo("Asia/Shanghai")
FIRST = date(2027, 3, 1)
HOUR = 60
DATES = st.lists(st.integers(7, 13).map(lambda day: FIRST + timedelta(day)), max_size=2)


def us_of(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


NIGHT = Window("night", UTC, 16 * HOUR + 30, DAY_MINUTES + 30)
FRIDAY_NIGHT = Window("friday", UTC, 22 * HOUR, DAY_MINUTES + 6 * HOUR, ("fri",))
WEEKEND = Window("weekend", SHANGHAI, days=("sat", "sun"))
CHRISTMAS = Window("christmas", UTC, dates=(date(2026, 12, 25),))
WORKDAYS = Window("work", UTC, 8 * HOUR, 18 * HOUR, WEEK[:5], exceptions=(date(2026, 12, 25),))
MONDAYS_AND = Window("both", UTC, days=("mon",), dates=(date(2026, 12, 25),))
EARLY = Window("early", BERLIN, 2 * HOUR + 15, 2 * HOUR + 45)


@pytest.mark.parametrize(
    ("window", "moment", "holds"),
    [
        (NIGHT, "2026-11-22T16:29:59.999999", False),
        (NIGHT, "2026-11-22T16:30", True),
        (NIGHT, "2026-11-22T23:59:59.999999", True),
        (NIGHT, "2026-11-23T00:00", True),
        (NIGHT, "2026-11-23T00:29:59.999999", True),
        (NIGHT, "2026-11-23T00:30", False),
        (FRIDAY_NIGHT, "2026-11-20T21:59", False),
        (FRIDAY_NIGHT, "2026-11-20T22:00", True),
        (FRIDAY_NIGHT, "2026-11-21T05:59", True),
        (FRIDAY_NIGHT, "2026-11-21T06:00", False),
        (FRIDAY_NIGHT, "2026-11-21T22:00", False),
        (FRIDAY_NIGHT, "2026-11-20T05:00", False),
        (WEEKEND, "2026-11-20T15:59", False),
        (WEEKEND, "2026-11-20T16:00", True),
        (WEEKEND, "2026-11-22T15:59", True),
        (WEEKEND, "2026-11-22T16:00", False),
        (CHRISTMAS, "2026-12-24T23:59", False),
        (CHRISTMAS, "2026-12-25T00:00", True),
        (CHRISTMAS, "2026-12-26T00:00", False),
        (CHRISTMAS, "2027-12-25T12:00", False),
        (WORKDAYS, "2026-12-24T12:00", True),
        (WORKDAYS, "2026-12-25T12:00", False),
        (WORKDAYS, "2026-12-26T12:00", False),
        (WORKDAYS, "2026-12-28T12:00", True),
        (MONDAYS_AND, "2026-12-25T12:00", True),
        (MONDAYS_AND, "2026-12-28T12:00", True),
        (MONDAYS_AND, "2026-12-26T12:00", False),
        # In winter Berlin is one hour ahead of UTC, in summer two. On 28 March its clocks go from 2 to 3.
        (EARLY, "2027-03-27T01:15", True),
        (EARLY, "2027-03-28T00:59", False),
        (EARLY, "2027-03-28T01:00", False),
        (EARLY, "2027-03-28T01:30", False),
        (EARLY, "2027-03-29T00:15", True),
        # On 31 October they go from 3 back to 2, and show that hour twice.
        (EARLY, "2027-10-31T00:15", True),
        (EARLY, "2027-10-31T00:45", False),
        (EARLY, "2027-10-31T01:15", True),
        (EARLY, "2027-10-31T01:45", False),
    ],
)
def test_a_window_holds_as_the_clocks_of_its_zone_show(window: Window, moment: str, holds: bool) -> None:
    assert window.holds(us_of(moment)) is holds


@st.composite
def windows(draw: st.DrawFn, zone: tzinfo = UTC) -> Window:
    """A window of whole hours."""
    begins = draw(st.integers(0, 23))
    ends = begins + draw(st.integers(1, 24 if begins == 0 else 23))
    days = draw(st.lists(st.sampled_from(WEEK), unique=True, max_size=3))
    named, never = draw(DATES), draw(DATES)
    return Window("w", zone, begins * HOUR, ends * HOUR, tuple(days), tuple(named), tuple(never))


@given(one=windows(), other=windows())
def test_windows_meet_just_where_a_moment_is_in_both(one: Window, other: Window) -> None:
    """Hours of four weeks, with all dates in the second and third of them, are all that there can be."""
    start = us_of(FIRST.isoformat())
    hours = range(start, start + 28 * 24 * 3_600_000_000, 3_600_000_000)
    both = any(one.holds(at_us) and other.holds(at_us) for at_us in hours)
    assert (one.shared_day(other) is not None) is both
    assert (other.shared_day(one) is not None) is both


@given(
    one=windows(BERLIN),
    other=windows(BERLIN),
    at_us=st.integers(us_of("2026-03-20"), us_of("2028-01-01")),
)
def test_windows_that_do_not_meet_share_no_moment_of_any_zone(one: Window, other: Window, at_us: int) -> None:
    """Also not on days on which clocks are changed."""
    if one.shared_day(other) is None:
        assert not (one.holds(at_us) and other.holds(at_us))


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (NIGHT, "16:30-00:30 UTC"),
        (WEEKEND, "00:00-24:00 sat sun Asia/Shanghai"),
        (WORKDAYS, "08:00-18:00 mon tue wed thu fri except 2026-12-25 UTC"),
    ],
)
def test_a_window_says_when_it_holds(window: Window, said: str) -> None:
    assert window.said == said
