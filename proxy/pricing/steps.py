"""Steps: what happens to a quantity, to its price, and to a sum on the way to an amount. Each is exact.

A line of a charge carries its steps, so that its amount follows from the line alone, see `exact_amounts`.

`with` and `without` say for which calls a rate is by what else they use: those that use so much of the meter
that is named, and those that use less.

`times` multiplies a price, and `unused` would have: where discounts do not add up, which are multipliers
below 1, the largest counts alone, see `largest_alone`.

Where a price depends on what an account has used before, `window` is the first day of a period, which it
names, and `counted` is what the counter, which it names, had there before the line. `tier` is where the tier
of the line's price begins, and `until` where it ends: all units of the line are in it. With `volume` in place
of `tier` it is the tier that the period has reached with the line: what was used before, `weighted` by what
multiplied its price, costs so much less than it `was`, and what that is more than the line costs is `credit`
of the next.

Where what is free rolls over, `since` is what the counter had as the period began that is named by its length
and, before that, by its first day: `month 20423`. `rolled` units of those before were left to it, at most
`most_rolled`.

`run_share` is the markup of a run, which it names, on what its calls cost. The line of that is of so many
nano-dollars: `counted` is what the run's calls had cost before, and `carried` the markup on that, exactly. It
comes to what the markup grows by, rounded on the whole of the run.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Final, Literal, Protocol

import msgspec
from msgspec.structs import replace

StepKind = Literal[
    "above",
    "upto",
    "with",
    "without",
    "less",
    "least",
    "block",
    "carry",
    "times",
    "unused",
    "share",
    "at_least",
    "at_most",
    "window",
    "counted",
    "tier",
    "volume",
    "until",
    "weighted",
    "was",
    "credit",
    "since",
    "rolled",
    "most_rolled",
    "run_share",
    "carried",
]

CONTEXT: Final = "input_tokens"
"""The meter that says how long a call is: all its input, with what came from a cache."""
OF_LENGTH: Final = frozenset({"above", "upto"})
"""Steps that say for which calls a rate is: those with all their input above, or up to, a length."""
BESIDE: Final = frozenset({"with", "without"})
"""Steps that say it by what else a call uses."""
OF_QUANTITY: Final = frozenset({"less", "least", "block", "carry"})
"""`less` is included in each call, `least` is billed at least, and `block` is what is billed whole.

`carry` is the same as `block`, but that what is left of a block serves the next calls: what is billed is what
the blocks that were begun grow by after what was `counted` before.
"""
MULTIPLIERS: Final = frozenset({"times", "unused"})
"""Steps of what multiplies a price: those that do, and discounts that a larger one keeps from it."""
OF_SUM: Final = frozenset({"share", "at_least", "at_most", "run_share"})
"""Steps of a line that adds to the lines before it: a share of their sum, or what bounds it."""


class Step(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One step. `value` is an exact number: units, nano-USD, or a ratio such as `0.8` or `1/3`.

    `name` says whose step it is where several are of a kind: the group that a multiplier belongs to.
    """

    kind: StepKind
    value: str
    name: str = ""

    @property
    def number(self) -> Fraction:
        """The value as a number. Raises ValueError for what is none."""
        return _number(self.value)


class Stepped(Protocol):
    """A line, as far as its amount follows from it."""

    @property
    def quantity(self) -> int:
        """Whole units."""
        ...

    @property
    def price_nano(self) -> str:
        """An exact price in nano-USD."""
        ...

    @property
    def per(self) -> int:
        """The units that the price is for."""
        ...

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done, in order."""
        ...


def billed(quantity: int, steps: Sequence[Step]) -> int:
    """The quantity that is billed where so much was used. What was not used at all is not billed.

    Nor is anything of a call that has used no more than is included.
    """
    for step in steps:
        if not quantity:
            return 0
        units = int(step.number) if step.kind in OF_QUANTITY else 0
        if step.kind == "less":
            quantity = max(0, quantity - units)
        elif step.kind == "least":
            quantity = max(units, quantity)
        elif step.kind == "block":
            quantity = -(-quantity // units) * units
        elif step.kind == "carry":
            before = next((int(each.number) for each in steps if each.kind == "counted"), 0)
            quantity = (-(-(before + quantity) // units) + before // -units) * units
    return quantity


def times(steps: Iterable[Step]) -> Fraction:
    """What all multipliers among the steps come to."""
    product = Fraction(1)
    for step in steps:
        if step.kind == "times":
            product *= step.number
    return product


def largest_alone(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Steps of which the largest discount counts, the first of those that are as large, and no other one.

    What makes dearer counts as ever.
    """
    steps = tuple(steps)
    discounts = [at for at, step in enumerate(steps) if step.kind in MULTIPLIERS and step.number < 1]
    largest = min(discounts, key=lambda at: steps[at].number, default=None)
    return tuple(
        replace(step, kind="unused" if at in discounts and at != largest else "times")
        if step.kind in MULTIPLIERS
        else step
        for at, step in enumerate(steps)
    )


def added(before: Fraction, step: Step) -> Fraction:
    """What a step adds to a sum."""
    if step.kind == "share":
        return before * step.number
    if step.kind == "run_share":
        # A run's markup is rounded as a whole, so that it may grow by up to one more.
        return before * step.number + 1 if before else before
    if step.kind == "at_least":
        return max(Fraction(0), step.number - before)
    return min(Fraction(0), step.number - before)


def exact_amounts(lines: Iterable[Stepped]) -> Iterator[Fraction]:
    """The exact amount of each line in nano-USD, in order. Raises ValueError for one that has no meaning."""
    total = Fraction(0)
    for line in lines:
        of_sum = [step for step in line.steps if step.kind in OF_SUM]
        if of_sum:
            amount = added(total, of_sum[0])
        elif (before := carried(line)) is not None:
            # What the lines before it are rounded by is in it, so that all of them come to whole amounts.
            amount = grown_by(line, before) + round(total) - total
        else:
            amount = max(Fraction(0), due(line))
        total += amount
        yield amount


def due(line: Stepped) -> Fraction:
    """What quantity and price of a line come to; below zero where volume tiers give back more than that."""
    price = _number(line.price_nano)
    amount = billed(line.quantity, line.steps) * price / line.per * times(line.steps)
    if any(step.kind == "volume" for step in line.steps):
        said = {step.kind: step.number for step in line.steps}
        amount += said["weighted"] * (price - said["was"]) / line.per - said["credit"]
    return amount


def carried(line: Stepped) -> Fraction | None:
    """The exact markup of a run before a line of it; None for a line that is not of that."""
    return next((step.number for step in line.steps if step.kind == "carried"), None)


def grown_by(line: Stepped, before: Fraction) -> int:
    """How much the rounded markup of a run grows by with a line of it, half to even."""
    return round(before + due(line)) - round(before)


def said_of(steps: Iterable[Step]) -> str:
    """Steps as a text, for the version of a card."""
    return "".join(f";{step.kind} {step.name if step.kind in BESIDE else step.value}" for step in steps)


def applies(
    steps: Iterable[Step], usage: Mapping[str, int], kinds: Collection[str] = OF_LENGTH | BESIDE
) -> bool:
    """Whether a rate with these steps is for a call that uses this, as far as steps of some kinds say."""
    for step in steps:
        if step.kind not in kinds:
            continue
        if step.kind in OF_LENGTH:
            is_above = usage.get(CONTEXT, 0) > step.number
        else:
            is_above = usage.get(step.name, 0) >= step.number
        if is_above != (step.kind in ("above", "with")):
            return False
    return True


@lru_cache(maxsize=4096)
def _number(text: str) -> Fraction:
    return Fraction(text)
