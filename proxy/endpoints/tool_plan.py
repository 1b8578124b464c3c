"""The plan of a tool's route: what its calls are metered by, and where that is found. Sans I/O."""

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from proxy.endpoints.base import Headers
from proxy.endpoints.formulas import NOTHING_KNOWN, WANTED, Formula, Known, Part
from proxy.endpoints.members import shown_name
from proxy.endpoints.reading.body import JsonBody, read_body
from proxy.endpoints.reading.fields import text_of
from proxy.endpoints.reading.pointer import OddName, Pointer, value_in
from proxy.endpoints.reading.steps import Text, first_byte, items
from proxy.endpoints.sources import OF_REQUESTS, Source, shown, wrong
from proxy.errors import Refusal
from proxy.metering.quantities import TEXT_CHARS_MAX, number_of, quantity_of
from proxy.metering.usage import MAX_QUANTITY, METERS
from proxy.money import decimal_string

_QUERY_FIELDS_MAX: Final = 1_000
_SAYS_NOTHING: Final = frozenset({b"null", b"false", b'""', b"[]", b"{}", b"0"})
_NO_TEXT: Final = "?" * (TEXT_CHARS_MAX + 1)
"""Stands for a string that cannot be read, or is long: it is neither a quantity nor a parameter's value."""
_JSON_TYPE: Final = re.compile(
    r"application/([a-z0-9.-]+\+)?json\s*(;\s*charset=\"?(utf-?8|us-ascii)\"?\s*)?", re.IGNORECASE
)
"""The types of a body that every server reads as the JSON that it is."""


class Multiple(msgspec.Struct, frozen=True):
    """How many times a call may use a measure's `most`: as many as its request says, or else `otherwise`."""

    source: Source
    otherwise: int


class Measure(msgspec.Struct, frozen=True):
    """One meter of a tool's calls. All quantities are what the meter counts.

    `most` is the most that a call uses, or each of `multiple`. `otherwise` is what is charged where the
    figure is not told; None for as much as the call may use. With a `formula` it is worked out of several
    figures, of which `source` has the first.
    """

    meter: str
    source: Source
    most: int
    otherwise: int | None = None
    multiple: Multiple | None = None
    formula: Formula | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where its figures are told."""
        return (self.source,) if self.formula is None else tuple(part.source for part in self.formula.parts)

    @property
    def is_of_request(self) -> bool:
        """Whether the request alone tells it."""
        return all(source.place in OF_REQUESTS for source in self.sources)

    def assumed(self, most: int, known: Known) -> int:
        """What is charged where the answer tells nothing, of a call that may use so much."""
        if self.formula is not None:
            quantity = self.formula.quantity(self.formula.filled(known, assumed=True), self.meter)
            return most if quantity is None else min(most, quantity)
        return most if self.otherwise is None else self.otherwise


class Parameter(msgspec.Struct, frozen=True):
    """What a price may depend on: a value of the request, by name. `otherwise` is for one without it."""

    name: str
    source: Source
    otherwise: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """What of an answer tells that it is an error in spite of its status, and free.

    That is any value at `source` that says something, or only the one that `equals` it in whatever case.
    """

    source: Source
    equals: str | None = None

    def is_told_by(self, value: Text) -> bool:
        """Whether a JSON value at the source says so."""
        if self.equals is not None:
            return figure_text(value).casefold() == self.equals.casefold()
        short = bytes(value).split() if len(value) <= TEXT_CHARS_MAX else [b"long"]
        return b"".join(short) not in _SAYS_NOTHING


class JobPlan(msgspec.Struct, frozen=True):
    """How the calls of a tool go on as jobs.

    `id` is where the answer to a call has the job's, `status` where an answer about the job tells how far it
    is. With a status of `complete` it has ended and is charged, with one of `failed` it is free; they are
    casefolded.
    """

    id: Source
    status: Pointer
    complete: frozenset[str]
    failed: frozenset[str] = frozenset()


class ToolPlan(msgspec.Struct, frozen=True):
    """What a tool's calls are metered by, what their prices may depend on, and which answers are charged.

    Without measures each is one request. `charged_statuses` are charged as 2xx is. `query_fields` are those
    that a query may have; None for any. With `job` each call begins one.
    """

    measures: tuple[Measure, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    charged_statuses: frozenset[int] = frozenset()
    failure: Failure | None = None
    query_fields: frozenset[str] | None = None
    job: JobPlan | None = None

    @property
    def sources(self) -> Iterator[Source]:
        """Everything that is read of a request."""
        for parameter in self.parameters:
            yield parameter.source
        for measure in self.measures:
            yield from (source for source in measure.sources if source.place in OF_REQUESTS)
            if measure.multiple is not None:
                yield measure.multiple.source


PLAIN: Final = ToolPlan()


class ToolRequest:
    """A request of a tool, as far as its plan reads it. Raises Refusal for what can be read in two ways."""

    def __init__(self, plan: ToolPlan, body: bytes, headers: Headers, query: str) -> None:
        places = {source.place for source in plan.sources}
        self._body = _json(body, headers) if body and "request" in places else None
        self._headers = headers
        self._fields = _fields(query) if "query" in places or plan.query_fields is not None else ()
        if plan.query_fields is not None:
            _refuse_other_fields(self._fields, plan.query_fields)

    def figure(self, source: Source, meter: str) -> int | None:
        """What a source tells of a meter; None where the request has nothing there, or 0.

        Upstreams take 0 for no bound, or for their own default. Raises Refusal `invalid_value` for what is no
        sane quantity.
        """
        told = self._told(source)
        if told is None:
            return None
        quantity = quantity_of(told, meter)
        if quantity is None and number_of(told) is not None:
            raise wrong(source, f"is {shown(told)}, which is more than {MAX_QUANTITY}, the most of anything")
        if quantity is None:
            raise wrong(source, f"is {shown(told)}, which is no quantity; it must be {WANTED}")
        return quantity or None

    def part(self, part: Part) -> Fraction:
        """What a request says of a part of a formula.

        Raises Refusal `invalid_value` where it says nothing, or 0, and nothing is assumed; for more than the
        part may be, and for what is no sane number.
        """
        if not part.chunk_characters:
            return part.value(self._told(part.source))
        return part.value(part.chunks(None if self._body is None else self._value(self._body, part.source)))

    def text(self, source: Source) -> str | None:
        """The value at a source as a text; None where the request has nothing there.

        Of an array or an object it is only that. Raises Refusal `invalid_value` for one that is too long.
        """
        told = self._told(source, {b"[": "array", b"{": "object"})
        if told is not None and len(told) > TEXT_CHARS_MAX:
            raise wrong(source, f"is longer than {TEXT_CHARS_MAX} characters")
        return told

    def _told(self, source: Source, kinds: Mapping[bytes, str] | None = None) -> str | None:
        if source.place == "request":
            return self._told_by_body(source, kinds or {})
        is_query = source.place == "query"
        plain, pairs = (_field_name, self._fields) if is_query else (_header_name, self._headers)
        folded = source.name.casefold()
        found = [(name, value) for name, value in pairs if plain(name) == folded]
        if len(found) > 1:
            raise wrong(source, "is given more than once")
        if not found:
            return None
        name, value = found[0]
        if (name if is_query else name.casefold()) != (source.name if is_query else folded):
            raise wrong(source, f"is given as {shown_name(name)!r}; some upstreams take it for that")
        if not is_query and folded in _of_one_hop(self._headers):
            raise wrong(source, "is named by `Connection`, so that it does not go up")
        return value.strip()

    def _told_by_body(self, source: Source, kinds: Mapping[bytes, str]) -> str | None:
        value = None if self._body is None else self._value(self._body, source)
        return None if value is None else kinds.get(first_byte(value)) or figure_text(value)

    def _value(self, body: JsonBody, source: Source) -> Text | None:
        """The value at a source; None for null."""
        try:
            value = value_in(body, source.pointer)
        except OddName as fault:
            raise wrong(source, f"can be read in two ways: {fault.name!r} is there twice") from fault
        return None if value is None or first_byte(value) == b"n" else value


def figure_text(value: Text) -> str:
    """A JSON value as a text; of an array it is how many items it has. No value makes another's text.

    What is longer than `TEXT_CHARS_MAX` is longer in the text as well.
    """
    match first_byte(value):
        case b"[":
            return str(sum(1 for _ in items(value)))
        case b'"':
            text = text_of(msgspec.Raw(value))
            return _NO_TEXT if text is None else text
        case _:
            return bytes(value[: TEXT_CHARS_MAX + 1]).decode("utf-8", "replace").strip()


def known_parts(plan: ToolPlan, request: ToolRequest) -> dict[str, Known]:
    """What a request says of the parts of formulas, by meter; None for those that only the answer tells.

    Raises Refusal `invalid_value`.
    """
    return {
        measure.meter: tuple(
            request.part(part) if part.source.place in OF_REQUESTS else None for part in measure.formula.parts
        )
        for measure in plan.measures
        if measure.formula is not None
    }


def quantities(
    plan: ToolPlan, request: ToolRequest, known: Mapping[str, Known] = NOTHING_KNOWN
) -> tuple[dict[str, int], dict[str, int]]:
    """What a request uses by what it says itself, and the most it may use by what its answer tells, by meter.

    `known` are its parts of formulas. Raises Refusal `invalid_value` for a figure that is not sane, or more
    than its measure allows.
    """
    fixed: dict[str, int] = {}
    most: dict[str, int] = {}
    for measure in plan.measures:
        if measure.formula is not None:
            (fixed if measure.is_of_request else most)[measure.meter] = _worked_out(
                measure, measure.formula, known[measure.meter]
            )
            continue
        meter, bound = measure.meter, measure.most * _times(measure.multiple, request)
        if not measure.is_of_request:
            if bound > MAX_QUANTITY * METERS[meter].scale:
                raise wrong(measure.source, "could come to more than any call may use")
            most[meter] = bound
            continue
        told = request.figure(measure.source, meter)
        if told is not None and told > bound:
            is_shown, most_shown = (
                decimal_string(Fraction(each, METERS[meter].scale)) for each in (told, bound)
            )
            what = f"is {is_shown}, which is more than {most_shown}, the most that a call may use"
            raise wrong(measure.source, what)
        assumed = bound if measure.otherwise is None else measure.otherwise
        fixed[meter] = assumed if told is None else told
    return fixed, most


def parameters_of(plan: ToolPlan, request: ToolRequest) -> dict[str, str]:
    """The values that a price may depend on, by name. Raises Refusal `invalid_value`."""
    found: dict[str, str] = {}
    for parameter in plan.parameters:
        told = request.text(parameter.source)
        value = parameter.otherwise if told is None else told
        if value is not None:
            found[parameter.name] = value
    return found


def _worked_out(measure: Measure, formula: Formula, known: Known) -> int:
    """The quantity of a formula, with the most of each part that is not known.

    Raises Refusal `invalid_value` where the request alone makes it more than the call may use.
    """
    worst = formula.quantity(formula.filled(known), measure.meter)
    if worst is not None and worst <= measure.most:
        return worst
    if not measure.is_of_request:
        return measure.most
    raise too_much(measure, formula)


def too_much(measure: Measure, formula: Formula) -> Refusal:
    """The refusal of what comes to more than there may be."""
    most_shown = decimal_string(Fraction(measure.most, METERS[measure.meter].scale))
    names = f" {formula.sign} ".join(f"`{source.name}`" for source in measure.sources)
    return Refusal(
        "invalid_value",
        f"{names} comes to more than {most_shown} {measure.meter}, the most that a call may use.",
        param=measure.source.name,
    )


def _times(multiple: Multiple | None, request: ToolRequest) -> int:
    """How many times a measure's `most` may be used; what has begun counts."""
    if multiple is None:
        return 1
    told = request.figure(multiple.source, "requests")
    return multiple.otherwise if told is None else told


def _json(body: bytes, headers: Headers) -> JsonBody:
    """The body as an object. Raises Refusal; names given twice are refused, as it goes up as it came."""
    for name, value in headers:
        if _header_name(name) == "content-type" and not _JSON_TYPE.fullmatch(value.strip()):
            raise Refusal(
                "invalid_value",
                f"The body is read as JSON, and an upstream may not read {shown_name(value)!r} so; "
                "send application/json.",
                param="Content-Type",
            )
    read = read_body(body)
    if sum(1 for _ in items(body)) != len(read.members):
        raise Refusal("invalid_value", "The body has one name twice; upstreams differ in which they read.")
    return read


def _field_name(name: str) -> str:
    """The name of a query's field as the most generous server reads it: `Limit[]` is `limit`."""
    return name.partition("[")[0].strip().casefold()


def _header_name(name: str) -> str:
    """The name of a header as the most generous server reads it."""
    return name.casefold().replace("_", "-")


def _of_one_hop(headers: Headers) -> set[str]:
    """The names of headers that go no further than here."""
    lists = (value for name, value in headers if name.casefold() == "connection")
    return {token.strip().casefold() for value in lists for token in value.split(",")}


def _fields(query: str) -> tuple[tuple[str, str], ...]:
    if ";" in query:
        raise Refusal("invalid_value", "The query has a `;`; some upstreams take it for an `&`.")
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX))
    except ValueError as fault:
        raise Refusal("invalid_value", f"The query has more than {_QUERY_FIELDS_MAX} fields.") from fault


def _refuse_other_fields(fields: tuple[tuple[str, str], ...], known: frozenset[str]) -> None:
    for name, _ in fields:
        if name not in known:
            shown = shown_name(name)
            raise Refusal("invalid_value", f"The query may not have the field {shown!r}.", param=shown)
