"""What accounts and keys spend, summed by window.

The sums of the latest windows lie in the row of the account or key, which every call changes already: that
saves up to eight more rows for each call. A window that has ended is a bucket of its own, which only calls
that were authorized in it still move.
"""

from collections.abc import Iterator
from typing import Final, cast

import msgspec

from proxy.ledger.windows import WINDOWS, Window, starts_of_day

Sums = tuple[int, int]
"""What is spent and what is held, in nano-USD."""
_NOTHING: Final[Sums] = (0, 0)
_OfWindows = tuple[Sums, Sums, Sums, Sums]


class Bucket(msgspec.Struct, frozen=True):
    """Spending of an account or key in one window. `start_day` is in days since 1970-01-01, 0 for total."""

    scope_id: str
    window: Window
    start_day: int
    spent_nano: int = 0
    held_nano: int = 0


class EndedBucket(msgspec.Struct, frozen=True):
    """A bucket of a window that has ended, with the account that its scope is or belongs to."""

    account_id: str
    scope_id: str
    window: Window
    start_day: int
    spent_nano: int
    held_nano: int


class Spending(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The sums of the windows of one day, the latest on which anything moved, in the order of `WINDOWS`.

    `day` is in days since 1970-01-01.
    """

    day: int
    sums: _OfWindows

    def sums_of(self, window: Window, start_day: int) -> Sums | None:
        """The sums of one window, or None when the day is not in it."""
        place = WINDOWS.index(window)
        return self.sums[place] if starts_of_day(self.day)[place][1] == start_day else None

    def bucket(self, scope_id: str, window: Window, start_day: int) -> Bucket:
        """One window as a bucket of an account or key; empty when the day is not in it."""
        return Bucket(scope_id, window, start_day, *(self.sums_of(window, start_day) or _NOTHING))

    def buckets(self, scope_id: str) -> list[Bucket]:
        """The windows as buckets of an account or key."""
        return [
            Bucket(scope_id, *window, *sums)
            for window, sums in zip(starts_of_day(self.day), self.sums, strict=True)
        ]

    def ended_by(self, scope_id: str, day: int) -> list[Bucket]:
        """The buckets of the windows that have ended by a later day; none when nothing has moved before."""
        if self == NOTHING_SPENT:
            return []
        later = starts_of_day(day)
        return [bucket for bucket in self.buckets(scope_id) if (bucket.window, bucket.start_day) not in later]

    def others_of(self, day: int) -> Iterator[tuple[Window, int]]:
        """The windows of another day in which this day is not, each with its first day."""
        mine = starts_of_day(self.day)
        return (window for window in starts_of_day(day) if window not in mine)

    def moved_to(self, day: int) -> "Spending":
        """Go on to a later day: a window that it is in keeps its sums, and the others begin with nothing."""
        return _spending(day, [self.sums_of(*window) or _NOTHING for window in starts_of_day(day)])

    def plus(self, day: int, spent_nano: int, held_nano: int) -> "Spending":
        """Add to those of these windows that `day` is in as well."""
        if day == self.day:
            return _spending(day, [(spent + spent_nano, held + held_nano) for spent, held in self.sums])
        pairs = zip(starts_of_day(self.day), starts_of_day(day), self.sums, strict=True)
        added = [
            (spent + spent_nano, held + held_nano) if mine == other else (spent, held)
            for mine, other, (spent, held) in pairs
        ]
        return _spending(self.day, added)


NOTHING_SPENT: Final = Spending(0, (_NOTHING, _NOTHING, _NOTHING, _NOTHING))


def _spending(day: int, sums: list[Sums]) -> Spending:
    return Spending(day, cast("_OfWindows", tuple(sums)))
