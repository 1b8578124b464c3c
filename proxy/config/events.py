"""Types of events as plans in use: every figure has a place, a meter, a rate and a bound."""

from typing import Final

from proxy.config.event_schema import EventMeasureSchema, EventPartSchema, EventTypeSchema
from proxy.config.faults import Findings
from proxy.config.formulas import bounded_part, formula_of, worked_out
from proxy.config.schema import ConfigSchema
from proxy.endpoints.event_plan import EventPlan, EventPolicy
from proxy.endpoints.formulas import Part
from proxy.endpoints.reading.pointer import pointer_of
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import Failure, Measure, Parameter
from proxy.metering.quantities import quantity_of
from proxy.metering.usage import METERS, ONE_CALL
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.validation import Path, did_you_mean

MEASURED: Final = tuple(name for name in METERS if name not in ONE_CALL)
"""The meters that events may have beside `requests`: all that there are."""
_MEMBERS: Final = ("id", "source", "type", "account", "timestamp", "properties")
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
        _check_rates(schema, card, path, findings)
    measures = (_measure(meter, (*path, "measures", meter), schema, findings) for meter in schema.measures)
    parameters = (
        Parameter(each, _source(one.event, (*path, "parameters", each, "event"), findings), one.otherwise)
        for each, one in schema.parameters.items()
    )
    failure = None
    if schema.free_when is not None:
        source = _source(schema.free_when.event, (*path, "free_when", "event"), findings)
        failure = Failure(source, schema.free_when.equals)
    return EventPlan(
        name,
        schema.rate_card,
        tuple(one for one in measures if one is not None),
        tuple(parameters),
        failure,
        schema.from_keys,
    )


def _check_rates(schema: EventTypeSchema, card: RateCard, path: Path, findings: Findings) -> None:
    """What is measured is priced, and what is priced is measured, or is the event itself."""
    if card.endpoints:
        message = f"prices calls on {', '.join(card.endpoints)} alone, and no events"
        findings.fault((*path, "rate_card"), message, schema.rate_card)
    variants = [variant for version in card.versions for variant in version.variants]
    rated = {meter for variant in variants for meter in variant.rated}
    for meter in schema.measures:
        if meter in MEASURED and meter not in rated:
            findings.fault((*path, "measures", meter), f"has no rate on the rate card {card.id!r}")
    if others := rated - {*ONE_CALL, *schema.measures}:
        message = f"has a rate for {', '.join(sorted(others))}, which the type's `measures` do not have"
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
    most = _quantity(said.most, meter, (*path, "most"), findings)
    if said.event is None:
        return _worked_out(meter, most, said, path, findings)
    if said.per is not None:
        findings.fault((*path, "per"), "divides a `product` or a `sum`, and there is none", str(said.per))
    source = _source(said.event, (*path, "event"), findings)
    otherwise = None
    if said.otherwise is not None:
        otherwise = _quantity(said.otherwise, meter, (*path, "otherwise"), findings)
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
        return bounded_part(each, _source(each.event, (*at, "event"), findings), at, findings)

    formula = formula_of(schema.product, schema.sum, schema.per, part, path)
    return worked_out(meter, most, formula) if formula is not None and formula.parts else None


def _quantity(text: str, meter: str, path: Path, findings: Findings) -> int:
    quantity = quantity_of(text, meter)
    if quantity is None:
        findings.fault(path, "is more than any event may tell", text)
        return 0
    return quantity


def _source(text: str, path: Path, findings: Findings) -> Source:
    try:
        pointer = pointer_of(text)
    except ValueError as error:
        findings.fault(path, str(error), text)
        return Source("request", text, ("",))
    if pointer[0] not in _MEMBERS:
        findings.fault(path, f"begins with no member of an event; these are {', '.join(_MEMBERS)}", text)
    return Source("request", text, pointer)
