"""What events tell the level of, as plans in use: one meter over time, and a card that prices no more."""

from typing import Final

from proxy.config.event_schema import EventLevelSchema, EventTypeSchema
from proxy.config.event_sources import failure_of, quantity_at, source_at
from proxy.config.faults import Findings
from proxy.endpoints.event_plan import LevelPlan
from proxy.metering.usage import METERS
from proxy.pricing.cards import RateCard
from proxy.pricing.steps import OF_QUANTITY
from proxy.validation import Path, did_you_mean

OVER_TIME: Final = tuple(name for name, meter in METERS.items() if meter.is_over_time)
"""The meters of what is there over time."""
_MINUTE_US: Final = 60_000_000


def level_of(schema: EventTypeSchema, path: Path, findings: Findings) -> LevelPlan | None:
    """The plan of a type's level; None where it has none, or that has a fault."""
    said = schema.level
    if said is None:
        return None
    for name in ("measures", "free_when"):
        if getattr(schema, name):
            findings.fault((*path, name), "cannot stand beside a `level`")
    at = (*path, "level")
    if said.meter not in OVER_TIME:
        near = did_you_mean(said.meter, OVER_TIME)
        findings.fault((*at, "meter"), f"is no meter over time; {near}", said.meter)
        return None
    return _plan(said, at, findings)


def check_card(
    schema: EventTypeSchema, level: EventLevelSchema, card: RateCard, path: Path, findings: Findings
) -> None:
    """A level is charged piece by piece, so that its price may not depend on how many these are."""
    at = (*path, "rate_card")
    variants = [variant for version in card.versions for variant in version.variants]
    if level.meter in METERS and any({level.meter} != set(variant.rated) for variant in variants):
        findings.fault(at, f"has to have a rate for {level.meter}, and for nothing else", schema.rate_card)
    if any(version.hours for version in card.versions):
        findings.fault(at, "has prices by the hour of the day, and a level has none", schema.rate_card)
    steps = {step.kind for variant in variants for rate in variant.rates for step in rate.steps}
    bounds = {each.step.kind for variant in variants for each in variant.adjustments}
    if steps & OF_QUANTITY or bounds & {"at_least", "at_most"}:
        message = "has quantities or bounds for each request, and a level is no request"
        findings.fault(at, message, schema.rate_card)


def _plan(said: EventLevelSchema, path: Path, findings: Findings) -> LevelPlan:
    return LevelPlan(
        said.meter,
        source_at(said.thing, (*path, "thing"), findings),
        source_at(said.event, (*path, "event"), findings),
        quantity_at(said.most, said.meter, (*path, "most"), findings),
        failure_of(said.ends_when, (*path, "ends_when"), findings),
        said.every,
        said.late_minutes * _MINUTE_US,
        said.when_short,
    )
