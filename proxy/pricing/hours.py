"""Hours: windows of time in which calls have other prices, as the clocks and calendars of a zone show them.

A window is looked up by the time that a clock on the wall shows. So each moment has one answer also on days
on which clocks are changed: what they leave out is in no window, and what they show twice is so both times.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Final, Literal, get_args

import msgspec

DAY_MINUTES: Final = 1_440
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: Final[tuple[Weekday, ...]] = get_args(Weekday)
_DAY: Final = timedelta(days=1)
_ANY_WEEK: Final = tuple(date(2001, 1, 1) + index * _DAY for index in range(len(WEEK)))
"""Monday to Sunday, where a configuration has no dates."""


class Window(msgspec.Struct, frozen=True):
    """The minutes of a day from one until before another, which may be of the next day.

    It begins on each of `days`, words of `WEEK`, and on each of `dates`; on every day where there are
    neither; and never on one of `exceptions`.
    """

    name: str
    zone: tzinfo
    from_minute: int = 0
    to_minute: int = DAY_MINUTES
    days: tuple[Weekday, ...] = ()
    dates: tuple[date, ...] = ()
    exceptions: tuple[date, ...] = ()

    def holds(self, at_us: int) -> bool:
        """Whether it is on at a moment."""
        shown = datetime.fromtimestamp(at_us // 1_000_000, self.zone)
        minute, day = shown.hour * 60 + shown.minute, shown.date()
        if self.from_minute <= minute < self.to_minute:
            return self.begins_on(day)
        return minute + DAY_MINUTES < self.to_minute and self.begins_on(day - _DAY)

    def begins_on(self, day: date) -> bool:
        """Whether it begins on a day."""
        if day in self.exceptions:
            return False
        everyday = not self.days and not self.dates
        return everyday or day in self.dates or WEEK[day.weekday()] in self.days

    @property
    def said(self) -> str:
        """When it holds, in a few words."""
        begins = (*self.days, *(day.isoformat() for day in self.dates))
        never = ("except", *(day.isoformat() for day in self.exceptions)) if self.exceptions else ()
        times = f"{clock_time(self.from_minute)}-{clock_time(self.to_minute)}"
        return " ".join((times, *begins, *never, str(self.zone)))

    def shared_day(self, other: "Window") -> date | None:
        """A day on which it begins and meets another of its zone; None where they never meet."""
        for day in _telling_days((self, other)):
            for later in (-1, 0, 1):
                begins = self.from_minute - later * DAY_MINUTES
                ends = self.to_minute - later * DAY_MINUTES
                meet = begins < other.to_minute and other.from_minute < ends
                if meet and self.begins_on(day) and other.begins_on(day + later * _DAY):
                    return day
        return None


def clock_time(minute: int) -> str:
    """A minute of a day, or of the next one, as a clock shows it; the end of a day is `24:00`."""
    shown = minute if minute <= DAY_MINUTES else minute - DAY_MINUTES
    return f"{shown // 60:02}:{shown % 60:02}"


def _telling_days(windows: Sequence[Window]) -> Iterator[date]:
    """Days enough to tell whether windows meet: those named and their neighbours, and a week of others."""
    named = {day for window in windows for day in (*window.dates, *window.exceptions)}
    yield from sorted({day + near * _DAY for day in named for near in (-1, 0, 1)})
    yield from _ANY_WEEK
