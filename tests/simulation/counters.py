"""How the auditor's model counts: prices of the card `stairs` depend on what an account has used before.

Each million of input tokens has the price of its own step of the day, together with what was recorded. All
output tokens of a month have the price of the step that it has reached, less what was paid too much.

Those of the card `saver` go on from call to call: requests are billed by whole fives of a week, and of a day
so many output tokens are free, with what was left of those before.
"""

from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from math import ceil
from typing import Final

import msgspec

from proxy.ledger.rows import Counter
from proxy.ledger.windows import WINDOWS
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge, Line, rounded
from proxy.pricing.rates import Rate
from proxy.pricing.steps import Step
from proxy.pricing.tiers import Rolled, Tier, Tiers, Volume
from proxy.storage.codecs import row_of

MILLION: Final = 1_000_000
DAY_US: Final = 86_400_000_000
EPOCH: Final = date(1970, 1, 1).toordinal()
Row = tuple[object, ...]
Place = tuple[str, str, str, int]
"""An account, and the name, the window and the first day of a counter."""
Stairs = tuple[tuple[int, int, str], ...]
"""Where each step begins and ends, and its price."""

INPUT: Final[Stairs] = ((0, 4_000, "33333333.5"), (4_000, 20_000, "20000000.25"), (20_000, 0, "7000000"))
OUTPUT: Final[Stairs] = ((0, 5_000, "111111111"), (5_000, 40_000, "66666666.5"), (40_000, 0, "50000000"))


def _tiers(counter: str, stairs: Stairs, *, month: bool) -> Tiers:
    steps = tuple(Tier(end, nano) for _, end, nano in stairs)
    return Tiers(counter, "month" if month else "day", steps, is_volume=month)


_OF_INPUT: Final = _tiers("tokens", INPUT, month=False)
_OF_OUTPUT: Final = _tiers("stairs/output_tokens", OUTPUT, month=True)
STAIRS: Final = RateCard(
    "stairs",
    ("stairs",),
    (
        Rate("input_tokens", Fraction(INPUT[0][2]), MILLION, (), _OF_INPUT),
        Rate("output_tokens", Fraction(OUTPUT[0][2]), MILLION, (), _OF_OUTPUT),
    ),
)


FIVE: Final = 5
FREE: Final = 6_000
KEPT: Final = 9_000
_OF_FIVES: Final = Tiers("saver/requests", "week", (Tier(0, "1234567.50"),))
_OF_DAYS: Final = Tiers("saved", "day", (Tier(FREE, "0"), Tier(0, "77777777.5")), rolls=KEPT)
SAVER: Final = RateCard(
    "saver",
    ("saver",),
    (
        Rate("requests", Fraction("1234567.5"), FIVE, (Step("carry", str(FIVE)),), _OF_FIVES),
        Rate("output_tokens", Fraction("77777777.5"), MILLION, (), _OF_DAYS),
    ),
)


class Used(msgspec.Struct):
    """What was used by now, of a month what was paid too much, and of a run its markup, exactly.

    Of a month, so many of the units are `gone`: nobody has paid for them.

    Of days what is free of each: the `day` of now began at so many units, `begun`, with so many `left` of
    those before.
    """

    units: int = 0
    gone: Fraction = Fraction(0)
    credit: Fraction = Fraction(0)
    markup: Fraction = Fraction(0)
    day: int = 0
    begun: int = 0
    left: int = 0


Uses = dict[Place, Used]


def counted(uses: Uses, account_id: str, at_us: int, charge: Charge) -> Charge:
    """What a charge comes to, and count it in the windows of a time. One without tiers stays as it is."""
    if not charge.tiers:
        return charge
    day = at_us // DAY_US
    today = date.fromordinal(EPOCH + day)
    days = {"day": day, "week": day - today.weekday(), "month": day - today.day + 1}
    lines: list[Line] = []
    tiers_of = dict(charge.tiers)
    for number, line in enumerate(charge.lines):
        if line.meter == "run_markup":
            return _marked_up(uses, account_id, tiers_of[number], rounded(lines, charge.price_id))
        if number not in tiers_of:
            lines.append(line)
        elif line.meter == "requests":
            place = (account_id, "saver/requests", "week", days["week"])
            lines.append(_in_fives(uses.setdefault(place, Used()), line, days))
        elif tiers_of[number].counter == "saved":
            lines += _free_at_first(uses.setdefault((account_id, "saved", "total", 0), Used()), line, day)
        elif line.meter == "input_tokens":
            lines += _each_step(
                uses.setdefault((account_id, "tokens", "day", days["day"]), Used()), line, days
            )
        else:
            place = (account_id, "stairs/output_tokens", "month", days["month"])
            lines.append(_step_reached(uses.setdefault(place, Used()), line, days))
    return rounded(lines, charge.price_id)


def let_go(uses: Uses, account_id: str, charge: Charge, short_nano: int) -> None:
    """Of what is short each line has its part; by that it has used less of a month than was counted."""
    whole_nano = sum(max(0, line.amount_nano) for line in charge.lines)
    for line in charge.lines:
        said = {step.kind: step for step in line.steps}
        if "volume" in said and line.amount_nano > 0:
            used = uses[account_id, said["counted"].name, "month", int(said["window"].value)]
            unpaid = Fraction(short_nano * line.amount_nano, whole_nano)
            gone = used.gone + unpaid * MILLION / Fraction(line.price_nano)
            used.gone = min(gone, Fraction(used.units))  # A line may be rounded up.


def _marked_up(uses: Uses, account_id: str, tiers: Tiers, charge: Charge) -> Charge:
    """A charge with what the markup of its run grows by, which is rounded on all that the run has cost."""
    used, share = uses.setdefault((account_id, tiers.counter, "total", 0), Used()), tiers.tiers[0].price_nano
    place = (Step("window", "0", "total"), Step("counted", str(used.units), tiers.counter))
    steps = (*place, Step("carried", str(used.markup)))
    after = used.markup + charge.total_nano * Fraction(share)
    grown_nano = round(after) - round(used.markup)
    line = Line("run_markup", charge.total_nano, share, 1, grown_nano, steps)
    used.units, used.markup = used.units + charge.total_nano, after
    return Charge(charge.total_nano + grown_nano, (*charge.lines, line), charge.price_id)


def counter_rows(uses: Uses, account_id: str) -> Iterator[Row]:
    """An account's counters."""
    for (mine, name, window, day), used in uses.items():
        if mine == account_id:
            (kind,) = (each for each in WINDOWS if each == window)
            volumes = {
                "month": Volume(_OF_OUTPUT.digest, str(used.units - used.gone), str(used.credit)),
                "total": Volume(weighted=str(used.markup)),
            }
            if name == "saved":
                volumes["total"] = Volume(rolled=Rolled(used.day, used.begun, FREE, used.left, KEPT))
            yield row_of(Counter(mine, name, kind, day, used.units, volumes.get(kind, Volume())))


def exact(line: Line) -> Fraction:
    """The exact amount of a line by its own figures."""
    amount = Fraction(line.price_nano) * line.quantity / line.per
    said = {step.kind: Fraction(step.value) for step in line.steps}
    if "carried" in said:
        return Fraction(round(said["carried"] + amount) - round(said["carried"]))
    if "carry" in said:
        fives = ceil((said["counted"] + line.quantity) / FIVE) - ceil(said["counted"] / FIVE)
        return Fraction(line.price_nano) * fives
    if "volume" not in said:
        return amount
    less = said["weighted"] * (Fraction(line.price_nano) - said["was"]) / line.per
    return max(Fraction(0), amount + less - said["credit"])


def _each_step(used: Used, line: Line, days: dict[str, int]) -> Iterator[Line]:
    last = used.units + line.quantity
    for begin, end, nano in INPUT:
        first, stop = max(used.units, begin), min(last, end or last)
        if first < stop:
            where = (Step("window", str(days["day"]), "day"), Step("counted", str(first), "tokens"))
            bounds = (Step("tier", str(begin)), *([Step("until", str(end))] if end else []))
            yield Line("input_tokens", stop - first, nano, MILLION, 0, (*where, *bounds))
    used.units = last


def _in_fives(used: Used, line: Line, days: dict[str, int]) -> Line:
    where = (Step("window", str(days["week"]), "week"), Step("counted", str(used.units), "saver/requests"))
    used.units += line.quantity
    return msgspec.structs.replace(line, steps=(*line.steps, *where, Step("tier", "0")))


def _free_at_first(used: Used, line: Line, day: int) -> Iterator[Line]:
    if not used.day:
        used.day = day
    while used.day < day:
        # One day after the other, as a calendar has them.
        unused = max(0, used.begun + FREE + used.left - used.units)
        used.day, used.begun, used.left = used.day + 1, used.units, min(KEPT, unused)
    until, last = used.begun + FREE + used.left, used.units + line.quantity
    whose = (
        Step("since", str(used.begun), f"day {used.day}"),
        *(Step("rolled", str(used.left)), Step("most_rolled", str(KEPT))),
    )
    for begin, end, nano in ((0, until, "0"), (until, last, "77777777.5")):
        first, stop = max(used.units, begin), min(last, end)
        if first < stop:
            where = (Step("window", "0", "total"), Step("counted", str(first), "saved"))
            bounds = (Step("tier", str(begin)), *([] if begin else [Step("until", str(end))]))
            yield Line("output_tokens", stop - first, nano, MILLION, 0, (*where, *bounds, *whose))
    used.units = last


def _step_reached(used: Used, line: Line, days: dict[str, int]) -> Line:
    def step_of(units: int) -> tuple[int, int, str]:
        return next(step for step in OUTPUT if not step[1] or units <= step[1])

    before, after = used.units, used.units + line.quantity
    begin, end, nano = step_of(after)
    was = step_of(before)[2]
    steps = (
        Step("window", str(days["month"]), "month"),
        Step("counted", str(before), "stairs/output_tokens"),
        Step("volume", str(begin)),
        *([Step("until", str(end))] if end else []),
        Step("weighted", str(before - used.gone), _OF_OUTPUT.digest),
        Step("was", was),
        Step("credit", str(used.credit)),
    )
    worth = (after - used.gone) * Fraction(nano) - (before - used.gone) * Fraction(was)
    used.units, used.credit = after, max(Fraction(0), used.credit - worth / MILLION)
    return Line("output_tokens", line.quantity, nano, MILLION, 0, steps)
