"""The rates of a card: every price exact, every meter known, and for which calls each is."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final

from msgspec.structs import replace

from proxy.config.card_schema import ContextTierSchema, RateSchema
from proxy.config.faults import Findings
from proxy.config.prices import NO_PRICE, PERS, written_price
from proxy.config.tiers import carried_rate, counted_rate, is_counted
from proxy.metering.usage import METERS
from proxy.money import Unit
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.rates import Rate
from proxy.pricing.steps import OF_LENGTH, Step, StepKind
from proxy.validation import Path, did_you_mean

OUTPUT: Final = "output_tokens"
COMPANIONS_MAX: Final = 4
"""A hold looks at each call that uses some of these meters and not the others."""
_STEPS: Final[tuple[tuple[str, StepKind], ...]] = (
    ("included", "less"),
    ("least", "least"),
    ("block", "block"),
)


def rates_of(
    schemas: Mapping[str, RateSchema] | None, unit: Unit, path: Path, findings: Findings
) -> tuple[Rate, ...]:
    """The rates of known meters, in order."""
    rates: list[Rate] = []
    for meter, schema in (schemas or {}).items():
        place = (*path, meter)
        if meter in METERS:
            rate = _rate(meter, schema, unit, place, findings)
            if schema.free_without is None:
                rates += _beside(rate, schema.free_with, (*place, "free_with"), findings)
            else:
                rates += _only_beside(rate, schema.free_without, (*place, "free_without"), findings)
                if schema.free_with:
                    findings.fault((*place, "free_without"), "cannot stand beside `free_with`")
        else:
            findings.fault(place, f"is not a meter; {did_you_mean(meter, METERS)}")
    return tuple(rates)


def over(rates: Sequence[Rate], others: Sequence[Rate]) -> tuple[Rate, ...]:
    """Rates, with others in the place of those of the same meters."""
    by_meter: dict[str, list[Rate]] = {}
    for rate in rates:
        by_meter.setdefault(rate.meter, []).append(rate)
    by_meter |= {rate.meter: [other for other in others if other.meter == rate.meter] for rate in others}
    return tuple(rate for each in by_meter.values() for rate in each)


def tiered_rates(
    rates: Sequence[Rate],
    tiers: Sequence[ContextTierSchema],
    unit: Unit,
    path: Path,
    findings: Findings,
) -> tuple[Rate, ...]:
    """Rates, and those that hold in their place above each length of a call's whole input."""
    lengths = [0, *(tier.above for tier in tiers)]
    for index, tier in enumerate(tiers):
        if tier.above <= lengths[index]:
            findings.fault((*path, index, "above"), f"must be more than {lengths[index]}", tier.above)
    spans: list[tuple[Rate, ...]] = [tuple(rates)]
    for index, tier in enumerate(tiers):
        spans.append(over(rates, rates_of(tier.rates, unit, (*path, index, "rates"), findings)))
    meters = dict.fromkeys(rate.meter for span in spans for rate in span)
    return tuple(rate for meter in meters for rate in _by_length(meter, lengths, spans))


def _by_length(meter: str, lengths: Sequence[int], spans: Sequence[Sequence[Rate]]) -> Iterator[Rate]:
    """The rates of a meter, each with the lengths that it is for; one that is for all has none."""
    found = [[rate for rate in span if rate.meter == meter] for span in spans]
    # Where one length after the other has the same rate, they are one.
    begins = [at for at, rate in enumerate(found) if not at or rate != found[at - 1]]
    for at, after in zip_longest(begins, begins[1:]):
        conditions = [Step("above", str(lengths[at]))] if at else []
        conditions += [Step("upto", str(lengths[after]))] if after else []
        for rate in found[at]:
            yield replace(rate, steps=(*conditions, *rate.steps))


def without_lengths(card: RateCard) -> tuple[Rate, ...]:
    """The rates of a card for short calls, as rates for calls of every length."""
    return tuple(
        replace(rate, steps=tuple(step for step in rate.steps if step.kind not in OF_LENGTH))
        for rate in card.contexts[0][1].rates
    )


def case_rates(rates: Sequence[Rate], case: Case) -> tuple[Rate, ...]:
    """The rates of a case of a card with these: its own in place of others, all multiplied by its flags."""
    found = over(rates, case.said)
    for flag in case.flags:
        found = flag.over(found, case.card.discounts)
    return found


def checked_meters(names: Sequence[str], path: Path, findings: Findings) -> Iterator[str]:
    """Meters that a card names, without those that there are none of."""
    for index, meter in enumerate(names):
        if meter not in METERS:
            findings.fault((*path, index), f"is not a meter; {did_you_mean(meter, METERS)}", meter)
        else:
            yield meter


def lacks_bound(card: RateCard) -> bool:
    """Whether a card prices output and does not say how much there can be."""
    return not card.default_bound and any(
        OUTPUT in (rate.meter, METERS[rate.meter].part_of) for rate in card.rates
    )


def _rate(meter: str, schema: RateSchema, unit: Unit, path: Path, findings: Findings) -> Rate:
    kind = METERS[meter]
    if schema.carried is not None:
        return carried_rate(meter, schema, unit, path, findings)
    if is_counted(schema):
        return counted_rate(meter, schema, unit, path, findings)
    way, price = written_price(schema, meter, unit, path, findings)
    for name in ("period", "counter", "rolls_over"):
        if getattr(schema, name) is not None:
            findings.fault((*path, name), "counts for `tiers`, `volume_tiers` or `free`, and there are none")
    steps = tuple(
        Step(step, str(units * kind.scale))
        for name, step in _STEPS
        if (units := getattr(schema, name)) is not None
    )
    return Rate(meter, price, PERS[way] * kind.scale, steps)


def _beside(rate: Rate, meters: Sequence[str], path: Path, findings: Findings) -> Iterator[Rate]:
    """A rate, before it what takes its place in calls that use one of these meters: nothing is charged."""
    for index, meter in enumerate(meters):
        _check_other(rate, meter, (*path, index), findings)
        if meter in meters[:index]:
            findings.fault((*path, index), "is there already", meter)
    if len(meters) > COMPANIONS_MAX:
        findings.fault(path, f"must name {COMPANIONS_MAX} meters at most")
    unless: tuple[Step, ...] = ()
    for meter in meters[:COMPANIONS_MAX]:
        yield Rate(rate.meter, NO_PRICE, rate.per, (*unless, Step("with", "1", meter)))
        unless = (*unless, Step("without", "1", meter))
    yield replace(rate, steps=(*unless, *rate.steps)) if unless else rate


def _only_beside(rate: Rate, meter: str, path: Path, findings: Findings) -> Iterator[Rate]:
    """A rate for calls that use another meter, before it what others are charged: nothing."""
    _check_other(rate, meter, path, findings)
    yield Rate(rate.meter, NO_PRICE, rate.per, (Step("without", "1", meter),))
    yield replace(rate, steps=(Step("with", "1", meter), *rate.steps))


def _check_other(rate: Rate, meter: str, path: Path, findings: Findings) -> None:
    if meter not in METERS:
        findings.fault(path, f"is not a meter; {did_you_mean(meter, METERS)}", meter)
    elif meter in (rate.meter, "requests"):
        findings.fault(path, "is used by every such call", meter)
