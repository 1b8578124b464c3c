"""End users: whom an account makes its calls for, in its own words, and how each of them is limited.

An end user belongs to its account. All that is known of one is a single row, which is there only while a
limit counts it: what has ended leaves the row, and an idle row leaves the ledger.
"""

from typing import Final, Literal

import msgspec

from proxy.ledger.windows import DAY_US, ends_us, starts_of_day
from proxy.money import MAX_NANO

UserWindow = Literal["day", "week", "month"]
USER_WINDOWS: Final[tuple[UserWindow, ...]] = ("day", "week", "month")
LATE_US: Final = 3_600_000_000
"""How long a window is kept after its end: the clock of another process may be behind."""
RATES_US: Final = 120_000_000
"""How long rates are kept count of: a minute later nothing is left of them."""
NEW_A_MINUTE: Final = 600
"""How many end users that are not known an account may bring in a minute, where nothing says otherwise."""
NEWCOMERS: Final = ""
"""The id of the row that counts them: no end user is called so."""


class EndUserLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits of an end user. None: not set, the default applies. NO_LIMIT: none at all.

    The spending limits are nano-USD for each window, `rpm` and `tpm` are requests and tokens a minute,
    `concurrency` is calls at once.
    """

    day_nano: int | None = None
    week_nano: int | None = None
    month_nano: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None

    def window_nano(self, window: UserWindow) -> int | None:
        """The spending limit for one window, None for none."""
        value: int | None = getattr(self, f"{window}_nano")
        return None if value == MAX_NANO else value

    def over(self, defaults: "EndUserLimits") -> "EndUserLimits":
        """These limits, with `defaults` where one is not set."""
        names = EndUserLimits.__struct_fields__
        mine = {name: getattr(self, name) for name in names}
        rest = {n: getattr(defaults, n) if value is None else value for n, value in mine.items()}
        return EndUserLimits(**rest)


class EndUserTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How calls for end users are limited. None: not set, the default applies.

    `limits` are those of every end user without any of its own. Where it `is_required`, a call has to say
    whom it is for. `new_rpm` is how many end users that are not known calls may name in a minute.
    """

    limits: EndUserLimits = EndUserLimits()
    is_required: bool | None = None
    new_rpm: int | None = None

    def over(self, defaults: "EndUserTerms | None") -> "EndUserTerms":
        """These terms, with `defaults` where one is not set."""
        if defaults is None:
            return self
        return EndUserTerms(
            self.limits.over(defaults.limits),
            defaults.is_required if self.is_required is None else self.is_required,
            defaults.new_rpm if self.new_rpm is None else self.new_rpm,
        )


UNLIMITED_USER: Final = EndUserLimits()


class UserSums(msgspec.Struct, frozen=True, array_like=True):
    """What an end user has spent and holds in one window; `start_day` is in days since 1970-01-01."""

    window: UserWindow
    start_day: int
    spent_nano: int = 0
    held_nano: int = 0


class UserLevel(msgspec.Struct, frozen=True, array_like=True):
    """How full the leaky bucket of one rate limit is, as in a `Throttle`."""

    kind: Literal["requests", "tokens"]
    level: int
    at_us: int


class EndUser(msgspec.Struct, frozen=True):
    """An end user of an account. `limits` are its own.

    `open_holds` counts its calls in flight, `sums` are by window, and `levels` those of its rate limits. It
    is forgotten from `kept_until_us` on, unless it has limits of its own or calls in flight.
    """

    account_id: str
    id: str
    limits: EndUserLimits = UNLIMITED_USER
    open_holds: int = 0
    kept_until_us: int = 0
    sums: tuple[UserSums, ...] = ()
    levels: tuple[UserLevel, ...] = ()

    def may_go(self, at_us: int) -> bool:
        """Whether nothing is left of it that any call could still depend on."""
        return not self.open_holds and self.limits == UNLIMITED_USER and self.kept_until_us <= at_us

    def sums_of(self, window: UserWindow, start_day: int) -> UserSums:
        """The sums of one window."""
        found = (each for each in self.sums if (each.window, each.start_day) == (window, start_day))
        return next(found, UserSums(window, start_day))


def moved(
    sums: tuple[UserSums, ...], day: int, at_us: int, *, spent_nano: int = 0, held_nano: int = 0
) -> tuple[UserSums, ...]:
    """The sums with something added in the windows of a day, and without those that have ended by `at_us`.

    A window in which something is still held stays, however long ago it has ended.
    """
    wanted = {(each.window, each.start_day): each for each in sums}
    for window, start_day in windows_of(day):
        before = wanted.get((window, start_day), UserSums(window, start_day))
        wanted[window, start_day] = UserSums(
            window, start_day, before.spent_nano + spent_nano, before.held_nano + held_nano
        )
    kept = (each for each in wanted.values() if each.held_nano or end_us(each) + LATE_US > at_us)
    return tuple(sorted(kept, key=lambda each: (each.start_day, each.window)))


def windows_of(day: int) -> tuple[tuple[UserWindow, int], ...]:
    """The windows of a day in which end users are summed up, each with its first day."""
    first_days = dict(starts_of_day(day))
    return tuple((window, first_days[window]) for window in USER_WINDOWS)


def end_us(sums: UserSums) -> int:
    """When a window ends."""
    ends = ends_us(sums.window, sums.start_day)
    assert ends is not None, sums
    return ends


def kept_until_us(limits: EndUserLimits, at_us: int) -> int:
    """Until when what a call adds now is counted: the end of the longest window with a limit."""
    return max(at_us + RATES_US, summed_until_us(limits, at_us))


def summed_until_us(limits: EndUserLimits, at_us: int) -> int:
    """Until when what is spent at an instant counts to any spending limit; 0 for to none."""
    ends = (
        end_us(UserSums(window, start_day)) + LATE_US
        for window, start_day in windows_of(at_us // DAY_US)
        if limits.window_nano(window) is not None
    )
    return max(ends, default=0)
