"""Types of events as plans in use: every figure has a place, a meter, a rate and a bound."""

from typing import Final

from proxy.config import event_sessions
from proxy.config.event_levels import check_card, level_of
from proxy.config.event_schema import EventMeasureSchema, EventPartSchema, EventTypeSchema
from proxy.config.event_sources import failure_of, quantity_at, source_at
from proxy.config.faults import Findings
from proxy.config.formulas import bounded_part, formula_of, worked_out
from proxy.config.schema import ConfigSchema
from proxy.endpoints.event_plan import EventPlan, EventPolicy
from proxy.endpoints.formulas import Part
from proxy.endpoints.tool_plan import Measure, Parameter
from proxy.metering.usage import METERS, ONE_CALL
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.validation import Path, did_you_mean

MEASURED: Final = tuple(
    name for name, meter in METERS.items() if name not in ONE_CALL and not meter.is_over_time
)
"""The meters that events may have beside `requests`: all but those of what is there over time."""
_SECOND_US: Final = 1_000_000
_DAY_SECONDS: Final = 86_400
_SHORTEST_MONTH_DAYS: Final = 28


def build_events(schema: ConfigSchema, book: PriceBook, findings: Findings) -> EventPolicy:
    """The events that are taken. Faults go to `findings`."""
    events = schema.events
    if events.types:
        _check_age(schema, findings)
    plans = {name: _plan(name, each, schema, book, findings) for name, each in events.types.items()}
    return EventPolicy(
        plans,
        events.max_age_days * _DAY_SECONDS * _SECOND_US,
        events.max_ahead_seconds * _SECOND_US,
        events.on_shortfall,
    )


def _check_age(schema: ConfigSchema, findings: Findings) -> None:
    """An event must be known for longer than it is taken, or it could be charged twice."""
    age, path = schema.events.max_age_days, ("events", "max_age_days")
    if age >= schema.objects.keep_days:
        days = schema.objects.keep_days
        message = f"must be less than objects.keep_days, which is {days}: so long an id is known"
        findings.fault(path, message, age)
    if schema.keep_months is not None and age >= schema.keep_months * _SHORTEST_MONTH_DAYS:
        message = f"is more than keep_months, which is {schema.keep_months}, surely keeps receipts"
        findings.fault(path, message, age)


def _plan(
    name: str, schema: EventTypeSchema, config: ConfigSchema, book: PriceBook, findings: Findings
) -> EventPlan:
    path: Path = ("events", "types", name)
    card = book.by_id(schema.rate_card)
    if card is None:
        near = did_you_mean(schema.rate_card, config.rate_cards)
        findings.fault((*path, "rate_card"), f"is not a rate card; {near}", schema.rate_card)
    else:
        _check_card(schema, card, path, findings)
        if schema.session is not None:
            event_sessions.check_card(schema, card, path, findings)
        elif schema.level is not None:
            check_card(schema, schema.level, card, path, findings)
        else:
            _check_rates(schema, card, path, findings)
    measures = (_measure(meter, (*path, "measures", meter), schema, findings) for meter in schema.measures)
    parameters = (
        Parameter(each, source_at(one.event, (*path, "parameters", each, "event"), findings), one.otherwise)
        for each, one in schema.parameters.items()
    )
    return EventPlan(
        name,
        schema.rate_card,
        tuple(one for one in measures if one is not None),
        tuple(parameters),
        failure_of(schema.free_when, (*path, "free_when"), findings),
        schema.from_keys,
        level_of(schema, path, findings),
        event_sessions.session_of(schema, path, findings),
    )


def _check_rates(schema: EventTypeSchema, card: RateCard, path: Path, findings: Findings) -> None:
    """What is measured is priced, and what is priced is measured, or is the event itself."""
    variants = [variant for version in card.versions for variant in version.variants]
    rated = {meter for variant in variants for meter in variant.rated}
    for meter in schema.measures:
        if meter in MEASURED and meter not in rated:
            findings.fault((*path, "measures", meter), f"has no rate on the rate card {card.id!r}")
    if others := rated - {*ONE_CALL, *schema.measures}:
        message = f"has a rate for {', '.join(sorted(others))}, which the type's `measures` do not have"
        findings.fault((*path, "rate_card"), message, schema.rate_card)


def _check_card(schema: EventTypeSchema, card: RateCard, path: Path, findings: Findings) -> None:
    """It prices events, and what its cases ask for is told."""
    if card.endpoints:
        message = f"prices calls on {', '.join(card.endpoints)} alone, and no events"
        findings.fault((*path, "rate_card"), message, schema.rate_card)
    for condition in card.conditions:
        if condition not in schema.parameters:
            message = f"has cases by {condition}, which the type's `parameters` do not have"
            findings.fault((*path, "rate_card"), message, schema.rate_card)


def _measure(meter: str, path: Path, schema: EventTypeSchema, findings: Findings) -> Measure | None:
    if meter not in MEASURED:
        findings.fault(path, f"is no meter of an event; {did_you_mean(meter, MEASURED)}")
        return None
    said = schema.measures[meter]
    if sum(bool(place) for place in (said.event, said.product, said.sum)) != 1:
        findings.fault(path, "needs exactly one of event, product, sum")
    most = quantity_at(said.most, meter, (*path, "most"), findings)
    if said.event is None:
        return _worked_out(meter, most, said, path, findings)
    if said.per is not None:
        findings.fault((*path, "per"), "divides a `product` or a `sum`, and there is none", str(said.per))
    source = source_at(said.event, (*path, "event"), findings)
    otherwise = None
    if said.otherwise is not None:
        otherwise = quantity_at(said.otherwise, meter, (*path, "otherwise"), findings)
        if otherwise > most:
            findings.fault((*path, "otherwise"), "is more than `most`", said.otherwise)
    return Measure(meter, source, most, otherwise)


def _worked_out(
    meter: str, most: int, schema: EventMeasureSchema, path: Path, findings: Findings
) -> Measure | None:
    """A measure that is worked out of several figures of the event."""
    if schema.otherwise is not None:
        findings.fault((*path, "otherwise"), "cannot stand beside a `product` or a `sum`")

    def part(each: EventPartSchema, at: Path) -> Part:
        return bounded_part(each, source_at(each.event, (*at, "event"), findings), at, findings)

    formula = formula_of(schema.product, schema.sum, schema.per, part, path)
    return worked_out(meter, most, formula) if formula is not None and formula.parts else None
