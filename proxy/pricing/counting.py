"""Charges whose prices depend on counters: what they come to once it is known what these have.

A card with tiers makes a charge at its dearest prices, with the tiers beside its lines. Only when that is
settled is it known what was used before it: then each of these lines gets the prices of its own tiers.
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Final

from msgspec.structs import replace

from proxy.pricing.charge import Charge, Line, rounded
from proxy.pricing.steps import Step, billed, carried, due, grown_by, times
from proxy.pricing.tiers import Count, CounterKey, Period, Rolled, Tier, Tiers, Volume, rolled_to

NOTHING: Final = Count()


def counter_keys(charge: Charge, first_days: Mapping[Period, int]) -> list[CounterKey]:
    """The counters that a charge needs, where periods begin on these days. One without tiers needs none."""
    return [(tiers.counter, tiers.window, first_days[tiers.window]) for _, tiers in charge.tiers]


def counted(
    charge: Charge, counts: Mapping[CounterKey, Count], first_days: Mapping[Period, int]
) -> tuple[Charge, dict[CounterKey, Count]]:
    """A charge as its counters make it, and what these have after it. Counters that are missing have nothing.

    Lines are counted in their order, the markup of a run last. To count a charge and then another comes to
    what both in one come to, but for what each is rounded by.
    """
    tiers_of, after = dict(charge.tiers), dict(counts)
    lines: list[Line] = []
    for place, line in enumerate(charge.lines):
        tiers = tiers_of.get(place)
        if tiers is None:
            lines.append(line)
            continue
        key = (tiers.counter, tiers.window, first_days[tiers.window])
        before = after.get(key, NOTHING)
        if tiers.is_share:
            charge = _with_markup(rounded(lines, charge.price_id), line, tiers, key, before)
            spent = charge.lines[-1]
            return charge, after | {key: Count(before.quantity + spent.quantity, volume_after(spent))}
        if tiers.rolls:
            rolled = rolled_to(before, tiers, first_days[tiers.period])
            lines += _rolled_over(line, tiers, key, before.quantity, rolled)
            volume = Volume(rolled=rolled)
        elif tiers.is_volume:
            line = _at_volume(line, tiers, key, before)  # noqa: PLW2901 - it takes its place.
            lines.append(line)
            volume = volume_after(line)
        else:
            lines += _by_tier(line, tiers, key, before.quantity)
            volume = before.volume
        after[key] = Count(before.quantity + line.quantity, volume)
    return rounded(lines, charge.price_id), after


def let_go(lines: Iterable[Line], shortfall_nano: int) -> Iterator[tuple[Line, Fraction]]:
    """Each line by volume tiers of a charge that was paid but for so much, and how many units that was of.

    What was let go is split as the amounts of the lines are. These are units as volume tiers weigh them, of
    the line and of those before it in the charge that are priced anew with it, see `volume_after`.
    """
    lines = list(lines)
    whole_nano = sum(max(0, line.amount_nano) for line in lines)
    units_of: dict[tuple[str, str], Fraction] = {}
    for line in lines:
        said: dict[str, Step] = {step.kind: step for step in line.steps}
        if "volume" not in said:
            continue
        price = Fraction(line.price_nano) / line.per
        units = units_of.get(place := (said["counted"].name, said["weighted"].name), Fraction(0))
        if price and line.amount_nano > 0:
            units += Fraction(shortfall_nano * line.amount_nano, whole_nano) / price
        units_of[place] = units
        yield line, units


def volume_after(line: Line, gone: Fraction = Fraction(0)) -> Volume:
    """What volume tiers need of the period after a line that was priced by them, or a run of its markup.

    `gone` units were let go: nothing was paid for them, so that nothing of it can be given back.
    """
    said: dict[str, Step] = {step.kind: step for step in line.steps}
    if "since" in said:
        return Volume(rolled=rolled_of(said))
    if (before := carried(line)) is not None:
        return Volume(weighted=str(before + due(line)))
    weighted = said["weighted"].number + billed(line.quantity, line.steps) * times(line.steps)
    weighted = max(Fraction(0), weighted - gone)
    return Volume(said["weighted"].name, str(weighted), str(max(Fraction(0), -due(line))))


def _by_tier(line: Line, tiers: Tiers, key: CounterKey, before: int) -> Iterator[Line]:
    """A line for each tier that a quantity reaches into, after so much of the period."""
    at, end = before, before + line.quantity
    while at < end:
        floor, tier = tiers.at(at + 1)
        stop = min(end, tier.upto) if tier.upto else end
        steps = (*line.steps, *_place(key, at), Step("tier", str(floor)), *_until(tier))
        yield replace(line, quantity=stop - at, price_nano=tier.price_nano, steps=steps)
        at = stop


def _rolled_over(line: Line, tiers: Tiers, key: CounterKey, before: int, rolled: Rolled) -> Iterator[Line]:
    """The same, where the first tier ends with what is free by now."""
    now = replace(tiers, tiers=(replace(tiers.tiers[0], upto=rolled.until), *tiers.tiers[1:]))
    steps = (
        Step("since", str(rolled.begun), f"{tiers.period} {rolled.first_day}"),
        *(Step("rolled", str(rolled.rolled)), Step("most_rolled", str(rolled.most))),
    )
    for each in _by_tier(line, now, key, before):
        yield replace(each, steps=(*each.steps, *steps))


def rolled_of(said: Mapping[str, Step]) -> Rolled:
    """The period that a line with these steps, by their kinds, belongs to."""
    begun, rolled, most = (int(said[kind].value) for kind in ("since", "rolled", "most_rolled"))
    until = int(said["until" if "until" in said else "tier"].value)
    return Rolled(int(said["since"].name.split()[1]), begun, until - begun - rolled, rolled, most)


def _at_volume(line: Line, tiers: Tiers, key: CounterKey, before: Count) -> Line:
    """A line at the tier that the period has reached with it, less what the period costs less so far."""
    floor, tier = tiers.at(before.quantity + line.quantity)
    _, last = tiers.at(before.quantity)
    volume, prices = before.volume, tiers.digest
    # What was used at other prices is not priced anew.
    weighted = volume.weighted if volume.prices == prices else "0"
    steps = (
        *(*line.steps, *_place(key, before.quantity), Step("volume", str(floor)), *_until(tier)),
        *(Step("weighted", weighted, prices), Step("was", last.price_nano), Step("credit", volume.credit)),
    )
    return replace(line, price_nano=tier.price_nano, steps=steps)


def _with_markup(charge: Charge, line: Line, tiers: Tiers, key: CounterKey, before: Count) -> Charge:
    """A charge with what the markup of its run grows by: a share of what all calls of that cost."""
    exactly = before.volume.weighted
    line = replace(
        line,
        quantity=charge.total_nano,
        price_nano=tiers.tiers[0].price_nano,
        steps=(*_place(key, before.quantity), Step("carried", exactly)),
    )
    amount_nano = grown_by(line, Fraction(exactly))
    lines = (*charge.lines, replace(line, amount_nano=amount_nano))
    return Charge(charge.total_nano + amount_nano, lines, charge.price_id)


def _place(key: CounterKey, before: int) -> tuple[Step, Step]:
    name, period, first_day = key
    return Step("window", str(first_day), period), Step("counted", str(before), name)


def _until(tier: Tier) -> tuple[Step, ...]:
    return (Step("until", str(tier.upto)),) if tier.upto else ()
