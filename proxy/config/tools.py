"""Routes with a path as plans in use: every figure has a place, a meter, a rate and a bound."""

import re
from fractions import Fraction
from math import ceil
from typing import Final, get_args

from proxy.config.faults import Findings
from proxy.config.formulas import bounded_part, formula_of, worked_out
from proxy.config.schema import RouteSchema
from proxy.config.tool_schema import (
    FailureSchema,
    JobIdSchema,
    MeasureSchema,
    MultipleSchema,
    ParameterSchema,
    PartSchema,
)
from proxy.endpoints.formulas import Part
from proxy.endpoints.reading.pointer import Pointer, pointer_of
from proxy.endpoints.sources import OF_REQUESTS, Place, Source
from proxy.endpoints.tool_plan import Failure, JobPlan, Measure, Multiple, Parameter, ToolPlan
from proxy.metering.quantities import quantity_of
from proxy.metering.usage import METERS, ONE_CALL, SURCHARGES
from proxy.pricing.cards import RateCard
from proxy.upstream.headers import goes_up, leads
from proxy.upstream.routes import Upstream
from proxy.validation import Path, did_you_mean

MEASURED: Final = tuple(
    name
    for name, meter in METERS.items()
    if meter.part_of is None and name not in ONE_CALL and name not in SURCHARGES and not meter.is_over_time
)
"""The meters that a tool's calls may have beside `requests`."""

TOOL_KEYS: Final = ("measures", "parameters", "charged_statuses", "free_when", "query_fields", "job")
"""The keys of a route that only one with a path has."""

NEVER_CHARGED: Final = frozenset({401, 402, 403, 407, 429})
"""Statuses that may be about the account that all callers share."""

_PLACES: Final[tuple[Place, ...]] = get_args(Place)
_Placed = MeasureSchema | MultipleSchema | ParameterSchema | FailureSchema | JobIdSchema | PartSchema
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def plan_of(schema: RouteSchema, card: RateCard | None, path: Path, findings: Findings) -> ToolPlan:
    """The plan of a route with a path. Faults go to `findings`."""
    found = [
        _measure(meter, measure, (*path, "measures", meter), findings)
        for meter, measure in schema.measures.items()
    ]
    if card is not None:
        _check_rates(schema, card, path, findings)
    parameters = [
        Parameter(name, source, parameter.otherwise)
        for name, parameter in schema.parameters.items()
        if (source := _source(parameter, (*path, "parameters", name), findings)) is not None
    ]
    return ToolPlan(
        tuple(measure for measure in found if measure is not None),
        tuple(parameters),
        _charged_statuses(schema, (*path, "charged_statuses"), findings),
        _failure(schema, (*path, "free_when"), findings),
        None if schema.query_fields is None else frozenset(schema.query_fields),
        _job(schema, (*path, "job"), findings),
    )


def _charged_statuses(schema: RouteSchema, path: Path, findings: Findings) -> frozenset[int]:
    for index, status in enumerate(schema.charged_statuses):
        if status in NEVER_CHARGED:
            findings.fault(
                (*path, index), "is about Farebox's own credential, and never charged", str(status)
            )
    return frozenset(schema.charged_statuses)


def _failure(schema: RouteSchema, path: Path, findings: Findings) -> Failure | None:
    if schema.free_when is None:
        return None
    source = _source(schema.free_when, path, findings)
    return None if source is None else Failure(source, schema.free_when.equals)


def replaced_by(upstream: Upstream, plan: ToolPlan) -> list[str]:
    """The headers and fields that a plan reads of requests, and that never reach this upstream.

    It gets its own in their place, so that the client's would be charged and not be carried out.
    """
    credential = upstream.credential
    fields = (
        {credential.query.casefold()} if credential is not None and credential.query is not None else set()
    )
    headers = {name.casefold() for name, _ in upstream.headers}
    if credential is not None and credential.query is None:
        headers.add(credential.header.casefold())
    own = {"query": fields, "request_header": headers}
    return [one.name for one in plan.sources if one.name.casefold() in own.get(one.place, ())]


def _check_rates(schema: RouteSchema, card: RateCard, path: Path, findings: Findings) -> None:
    """What is measured is priced, and what is priced is measured."""
    rated = {meter for each in card.versions for variant in each.variants for meter in variant.rated}
    for meter in schema.measures:
        if meter in MEASURED and meter not in rated:
            findings.fault((*path, "measures", meter), f"has no rate on the rate card {card.id!r}")
    if rated.isdisjoint({*ONE_CALL, *schema.measures}):
        findings.fault(
            (*path, "rate_card"),
            f"has no rate for {next(iter(ONE_CALL))}, so calls of a path have no price",
            schema.rate_card,
        )
    elif schema.measures and (others := rated - {*ONE_CALL, *schema.measures}):
        message = f"has a rate for {', '.join(sorted(others))}, which the route's `measures` do not have"
        findings.fault((*path, "rate_card"), message, schema.rate_card)


def _measure(meter: str, schema: MeasureSchema, path: Path, findings: Findings) -> Measure | None:
    if meter not in MEASURED:
        findings.fault(path, f"is no meter of a tool; {did_you_mean(meter, MEASURED)}")
        return None
    most = _quantity(schema.most, meter, (*path, "most"), findings)
    if schema.product or schema.sum:
        return _worked_out(meter, most, schema, path, findings)
    if schema.per is not None:
        findings.fault((*path, "per"), "divides a `product` or a `sum`, and there is none", str(schema.per))
    source = _source(schema, path, findings)
    otherwise = None
    if schema.otherwise is not None:
        otherwise = _quantity(schema.otherwise, meter, (*path, "otherwise"), findings)
    multiple = None
    if schema.for_each is not None:
        multiple = _multiple(schema.for_each, (*path, "for_each"), findings)
    elif otherwise is not None and otherwise > most:
        findings.fault((*path, "otherwise"), "is more than `most`", schema.otherwise)
    return Measure(meter, source, most, otherwise, multiple) if source is not None else None


def _worked_out(
    meter: str, most: int, schema: MeasureSchema, path: Path, findings: Findings
) -> Measure | None:
    """A measure that is worked out of several figures."""
    places: tuple[str, ...] = (*_PLACES, "product", "sum")
    if sum(bool(getattr(schema, place)) for place in places) != 1:
        findings.fault(path, f"needs exactly one of {', '.join(places)}")
    for name in ("otherwise", "for_each"):
        if getattr(schema, name) is not None:
            findings.fault((*path, name), "cannot stand beside a `product` or a `sum`")
    formula = formula_of(
        schema.product, schema.sum, schema.per, lambda each, at: _part(each, at, findings), path
    )
    return None if formula is None else worked_out(meter, most, formula)


def _part(schema: PartSchema, path: Path, findings: Findings) -> Part | None:
    source = _source(schema, path, findings)
    if source is None:
        return None
    if schema.most is None and source.place not in OF_REQUESTS:
        message = "is missing: so much is held of what only the answer tells"
        findings.fault((*path, "most"), message)
    if schema.chunk_characters is not None and source.place != "request":
        findings.fault((*path, "chunk_characters"), "counts a text of the body, at a place in `request`")
    return bounded_part(schema, source, path, findings)


def _multiple(schema: MultipleSchema, path: Path, findings: Findings) -> Multiple | None:
    source = _source(schema, path, findings)
    if source is None:
        return None
    return Multiple(source, ceil(Fraction(schema.otherwise)))


def _source(schema: _Placed, path: Path, findings: Findings) -> Source | None:
    """The one place that a schema names."""
    places = [place for place in _PLACES if place in schema.__struct_fields__]
    named = [(place, name) for place in places if (name := getattr(schema, place)) is not None]
    if len(named) != 1:
        findings.fault(path, f"needs exactly one of {', '.join(places)}")
        return None
    place, name = named[0]
    if place in ("answer", "request"):
        pointer = _pointer(name, (*path, place), findings)
        return None if pointer is None else Source(place, name, pointer)
    fault = None
    if place != "query" and not _HEADER.fullmatch(name):
        fault = "is not a header name"
    elif place == "request_header" and ("_" in name or not goes_up(name)):
        fault = "is a header that does not go up as it is"
    if fault is not None:
        findings.fault((*path, place), fault, name)
        return None
    return Source(place, name)


def _pointer(text: str, path: Path, findings: Findings) -> Pointer | None:
    try:
        return pointer_of(text)
    except ValueError as error:
        findings.fault(path, str(error), text)
        return None


def _job(schema: RouteSchema, path: Path, findings: Findings) -> JobPlan | None:
    job = schema.job
    if job is None:
        return None
    id_ = _source(job.id, (*path, "id"), findings)
    if id_ is not None and id_.place == "answer_header" and leads(id_.name):
        findings.fault((*path, "id", id_.place), "is a header that does not come down as it is", id_.name)
    status = _pointer(job.status, (*path, "status"), findings)
    complete, failed = (
        frozenset(each.casefold() for each in listed) for listed in (job.complete, job.failed)
    )
    for index, each in enumerate(job.failed):
        if each.casefold() in complete:
            findings.fault((*path, "failed", index), "is a status of `complete` too", each)
    return None if id_ is None or status is None else JobPlan(id_, status, complete, failed)


def _quantity(text: str, meter: str, path: Path, findings: Findings) -> int:
    quantity = quantity_of(text, meter)
    if quantity is None:
        findings.fault(path, "is more than any call may use", text)
        return 0
    return quantity
