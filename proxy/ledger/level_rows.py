"""Levels: how much there is of a thing, as it was told, and what that comes to over time. Exact, and pure."""

from bisect import bisect_right
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from proxy.ledger.rows import NEVER_US

UNIT: Final = 1_000_000
"""A level counts in millionths of its unit."""
HOUR_US: Final = 3_600_000_000
TOLD_MAX: Final = 100
"""The most changes of a level that are kept; then what they come to has to be charged."""

LevelState = Literal["used", "ended", "stopped"]


class Told(msgspec.Struct, frozen=True, array_like=True):
    """That there are so many millionths of a thing from a moment on, until something else is told.

    `parameters` are what prices may depend on, by name; `end_user` is for whom it is there, empty for nobody.
    """

    at_us: int
    level: int
    parameters: tuple[tuple[str, str], ...] = ()
    end_user: str = ""


class Level(msgspec.Struct, frozen=True):
    """A thing that an account uses over time, which its `type` of events has told of, as far as is known.

    What it came to is charged until `charged_us`, but for `carry`, in millionths of a unit for a microsecond:
    less than a millionth of a unit for an hour. `told` begins with what holds then, and its moments ascend.
    `since_us` is the first moment from there on at which there is anything; NEVER_US for none. `key_id` is
    the key that has told of it first, empty for none. It is `used` while there is anything of it, and
    `stopped` where funds have ended it.
    """

    account_id: str
    type: str
    thing: str
    key_id: str
    began_us: int
    since_us: int
    charged_us: int
    carry: int
    told: tuple[Told, ...]
    state: LevelState = "used"

    @property
    def now(self) -> int:
        """How much there is, as was told of the latest moment."""
        return self.told[-1].level

    @property
    def parameters(self) -> dict[str, str]:
        """What prices depend on at `since_us`."""
        return dict(self.told[_place(self.told, self.since_us)].parameters)

    @property
    def end_user(self) -> str:
        """For whom it is there at `since_us`."""
        return self.told[_place(self.told, self.since_us)].end_user

    @property
    def same_until_us(self) -> int:
        """When `parameters` or the end user change for what there is; NEVER_US if they do not."""
        place = _place(self.told, self.since_us)
        mine, rest = self.told[place], self.told[place + 1 :]
        about = (mine.parameters, mine.end_user)
        changes = (each.at_us for each in rest if each.level and (each.parameters, each.end_user) != about)
        return next(changes, NEVER_US)


def begun(account_id: str, type_: str, thing: str, key_id: str, told: Told) -> Level:
    """A level of which nothing was told before."""
    return with_told(Level(account_id, type_, thing, key_id, told.at_us, NEVER_US, 0, 0, ()), told)


def with_told(level: Level, told: Told) -> Level:
    """The level with what is told of a moment that is not charged, in whatever order it is told.

    What is told of a moment again takes the place of what was, and what is told of the moment until which the
    level is charged leaves nothing of what held before.
    """
    assert told.at_us >= level.charged_us, (level, told)
    rest = [each for each in level.told if each.at_us != told.at_us]
    whole = tuple(sorted((*rest, told), key=lambda each: each.at_us))
    after = replace(level, told=whole, began_us=min(level.began_us, told.at_us))
    return _as_told(replace(after, told=tuple(_spans(after))))


def accrued(level: Level, until_us: int) -> tuple[int, Level]:
    """What the level comes to from `charged_us` to a moment, in millionths for an hour; and it after that.

    To accrue until one moment and then until another comes to what the second does at once.
    """
    whole = level.carry
    ends = [each.at_us for each in level.told[1:]]
    for told, end_us in zip(level.told, (*ends, until_us), strict=True):
        start_us = max(told.at_us, level.charged_us)
        whole += told.level * max(0, min(end_us, until_us) - start_us)
    quantity, carry = divmod(whole, HOUR_US)
    kept = level.told[max(0, _place(level.told, until_us)) :]
    after = _as_told(replace(level, charged_us=until_us, carry=carry, told=kept))
    return quantity, replace(after, state=level.state)


def stopped(level: Level) -> Level:
    """The level as it is when nothing is left to pay for it: nothing of it is there any more."""
    last = replace(level.told[-1], at_us=level.charged_us, level=0)
    return replace(_as_told(replace(level, told=(last,))), state="stopped")


def _as_told(level: Level) -> Level:
    used = next((each for each in _spans(level) if each.level), None)
    since_us = NEVER_US if used is None else max(used.at_us, level.charged_us)
    return replace(level, since_us=since_us, state="used" if level.now else "ended")


def _spans(level: Level) -> list[Told]:
    """What was told that holds at some moment from `charged_us` on."""
    return list(level.told[max(0, _place(level.told, level.charged_us)) :])


def _place(told: tuple[Told, ...], at_us: int) -> int:
    """The place of what holds at a moment; -1 for one before all."""
    return bisect_right(told, at_us, key=lambda each: each.at_us) - 1
