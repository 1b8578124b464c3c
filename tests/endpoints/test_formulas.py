"""A quantity of several figures is exact, bounded before the call is forwarded, and never only guessed."""

import json
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import Reading
from proxy.endpoints.event_plan import EventPlan, read_event
from proxy.endpoints.formulas import Formula, Part
from proxy.endpoints.reading.pointer import pointer_of
from proxy.endpoints.sources import Place, Source
from proxy.endpoints.tool_plan import Measure, ToolPlan
from proxy.endpoints.tools import ToolAsk, ToolEndpoint
from proxy.errors import Refusal
from proxy.metering.usage import MAX_QUANTITY


def source(place: Place, name: str) -> Source:
    return Source(place, name, pointer_of(name) if name.startswith("/") else ())


QUERIES = Part(source("request", "/queries"), otherwise=Fraction(1))
DOCUMENTS = Part(source("request", "/documents"))
CHUNKS = Part(source("request", "/documents"), chunk_characters=4)
SCREENS = Part(source("query", "screens"), Fraction(4), Fraction(1))
SECONDS = Part(source("answer", "/seconds"), Fraction(600))
FRAMES = Part(source("answer_header", "x-frames"), Fraction(9), Fraction(2))


def endpoint(
    *parts: Part, per: int = 1, most: int = 50, meter: str = "results", query: str = ""
) -> ToolEndpoint:
    formula = Formula("product", parts, per)
    measure = Measure(meter, parts[0].source, most, formula=formula)
    return ToolEndpoint("rank", "/rank", ToolPlan((measure,)), query=query)


def asked(of: ToolEndpoint, **body: Any) -> ToolAsk:
    return of.read(json.dumps(body).encode() if body else b"")


@pytest.mark.parametrize(
    ("body", "units"),
    [
        ({"documents": [{}]}, 1),
        ({"documents": [{}] * 100}, 1),
        ({"documents": [{}] * 101}, 2),
        ({"queries": ["a"] * 3, "documents": [{}] * 100}, 3),
        ({"queries": ["a"] * 3, "documents": [{}] * 34}, 2),
        ({"queries": [], "documents": [{}] * 101}, 2),
        ({"queries": 2.5, "documents": "40.4"}, 2),
    ],
)
def test_search_units_are_queries_times_documents_by_the_hundred(body: dict[str, Any], units: int) -> None:
    """Nothing is rounded before the end; there what has begun counts."""
    assert asked(endpoint(QUERIES, DOCUMENTS, per=100), **body).ceiling().fixed["results"] == units


@pytest.mark.parametrize(
    ("documents", "chunks"),
    [("abcd", 1), ("abcde", 2), ("", 1), (["abcd", "abcde", ""], 4), (["\u00e9\U0001f600ab"], 1)],
)
def test_a_text_counts_once_for_each_chunk_that_it_begins(documents: object, chunks: int) -> None:
    """By characters, whatever they are in bytes; an empty one counts too."""
    assert asked(endpoint(CHUNKS), documents=documents).ceiling().fixed["results"] == chunks


@pytest.mark.parametrize(
    ("of", "body", "said"),
    [
        (
            endpoint(QUERIES, DOCUMENTS),
            {},
            "`/documents` is missing or 0, and what the call costs depends on it.",
        ),
        (endpoint(QUERIES, DOCUMENTS), {"documents": []}, "`/documents` is missing or 0"),
        (endpoint(QUERIES, DOCUMENTS), {"documents": None}, "`/documents` is missing or 0"),
        (
            endpoint(QUERIES, DOCUMENTS),
            {"documents": "x"},
            "`/documents` is 'x', which is no quantity; it must be a decimal",
        ),
        (endpoint(QUERIES, DOCUMENTS), {"documents": -1}, "`/documents` is '-1', which is no quantity"),
        (endpoint(QUERIES, DOCUMENTS), {"documents": {"a": 1}}, "which is no quantity"),
        (endpoint(CHUNKS), {"documents": [1]}, "`/documents` must be a text, or an array of texts."),
        (endpoint(CHUNKS), {"documents": ["a", {"text": "b"}]}, "`/documents` must be a text"),
        (endpoint(CHUNKS), {"documents": []}, "`/documents` is missing or 0"),
        (
            endpoint(QUERIES, DOCUMENTS),
            {"queries": 11, "documents": [1] * 5},
            "`/queries` x `/documents` comes to more than 50.00 results, the most that a call may use.",
        ),
        (endpoint(QUERIES, DOCUMENTS), {"queries": 10**29, "documents": 10**29}, "comes to more than 50"),
        (
            endpoint(SCREENS, query="screens=5"),
            {},
            "`screens` is '5', which is more than 4.00, the most that it may be.",
        ),
    ],
)
def test_what_a_request_does_not_tell_or_not_sanely_is_refused(
    of: ToolEndpoint, body: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refusal) as refused:
        asked(of, **body)
    assert refused.value.code == "invalid_value"
    assert said in refused.value.message


def read(ask: ToolAsk, answer: object, *headers: tuple[str, str]) -> Reading:
    tally = ask.tally()
    tally.read_head([("Content-Type", "application/json"), *headers])  # type: ignore[attr-defined]
    tally.feed(json.dumps(answer).encode())
    tally.finish()
    reading = tally.reported()
    assert reading is not None
    return reading


@pytest.mark.parametrize(
    ("answer", "frames", "units", "is_assumed"),
    [
        ({"seconds": 7}, "3", 42, False),
        ({"seconds": 0}, "3", 0, False),
        ({"seconds": 7.25}, "0.5", 8, False),
        # The most that it may be, or what is assumed of it, for what is not told.
        ({}, "3", 3_600, True),
        ({"seconds": 7}, None, 28, True),
        ({}, None, 2_400, True),
        ({"seconds": -7}, "3", 3_600, True),
        ({"seconds": "many"}, "3", 3_600, True),
        # What is told beyond its bound is charged as it was told, as any figure is.
        ({"seconds": 700}, "9", 12_600, False),
    ],
)
def test_figures_of_the_answer_take_part(
    answer: dict[str, Any], frames: str | None, units: int, is_assumed: bool
) -> None:
    """The request's two screens, the answer's seconds and its frames."""
    ask = asked(endpoint(SCREENS, SECONDS, FRAMES, most=10_800, query="screens=2"))
    assert ask.ceiling().fixed == {"requests": 1}
    [feature] = ask.features
    assert feature.allowed == {"results": 2 * 600 * 9}
    reading = read(ask, answer, *([("X-Frames", frames)] if frames else []))
    assert reading.usage == {"requests": 1, "results": units}
    assert reading.inferred == ({"results": "assumed"} if is_assumed else {})
    assert bool(reading.anomalies) == is_assumed


def test_a_call_holds_no_more_than_the_measure_allows() -> None:
    ask = asked(endpoint(SCREENS, SECONDS, most=1_000, query="screens=4"))
    assert ask.features[0].allowed == {"results": 1_000}
    assert read(ask, {}).usage["results"] == 1_000


def test_the_largest_of_each_figure_counts_in_a_stream() -> None:
    ask = asked(endpoint(SCREENS, SECONDS, most=2_400, query="screens=2"))
    tally = ask.tally()
    tally.read_head([("Content-Type", "text/event-stream")])  # type: ignore[attr-defined]
    tally.feed(b'data: {"seconds": 5}\n\ndata: {"seconds": 9}\n\ndata: {"seconds": 3}\n\n')
    assert tally.produced(0, "") == {"results": 18}
    tally.finish()
    reading = tally.reported()
    assert reading is not None
    assert reading.usage["results"] == 18


NUMBERS = st.fractions(0, 10**9, max_denominator=1_000)


@given(
    values=st.lists(NUMBERS, min_size=1, max_size=4),
    per=st.integers(1, 1_000),
    kind=st.sampled_from(["product", "sum"]),
)
def test_a_formula_is_rounded_up_once_at_its_end(values: list[Fraction], per: int, kind: Any) -> None:
    """It never falls when a figure grows, so that the most of each part bounds it."""
    formula = Formula(kind, tuple(Part(source("request", "/a")) for _ in values), per)
    exact = Fraction(1 if kind == "product" else 0)
    for value in values:
        exact = exact * value if kind == "product" else exact + value
    whole = ceil(exact / per)
    found = formula.quantity(values, "results")
    assert found == (whole if whole <= MAX_QUANTITY else None)
    more = formula.quantity([value + 1 for value in values], "results")
    assert found is None or more is None or more >= found


COPIES = Part(source("request", "/properties/copies"), Fraction(9), Fraction(1))
SHEETS = Part(source("request", "/properties/sheets"))
TEXT = Part(source("request", "/properties/text"), chunk_characters=4)


def of_event(*parts: Part, **properties: object) -> int:
    formula = Formula("product", parts, 2)
    plan = EventPlan("scan", "scans", (Measure("pages", parts[0].source, 50, formula=formula),))
    return read_event(plan, json.dumps({"properties": properties}).encode()).usage["pages"]


def test_a_quantity_of_an_event_is_worked_out_as_that_of_a_tool_is() -> None:
    """Exactly, and whole only at its end; 0 is told, and text may be counted by its chunks."""
    assert of_event(COPIES, SHEETS, sheets=5) == 3
    assert of_event(COPIES, SHEETS, copies="1.5", sheets=2.4) == 2
    assert of_event(COPIES, SHEETS, copies=0, sheets=5) == 0
    assert of_event(COPIES, TEXT, copies=3, text="nine letters") == 5


@pytest.mark.parametrize(
    ("properties", "param", "said"),
    [
        ({"copies": 2}, "/properties/sheets", "is missing, and what"),
        ({"copies": 10, "sheets": 1}, "/properties/copies", "is '10', which is more than 9"),
        ({"sheets": -1}, "/properties/sheets", "is '-1', which is no quantity"),
        ({"copies": 9, "sheets": 12}, "/properties/copies", "comes to more than 50.00 pages"),
    ],
)
def test_an_event_that_tells_no_quantity_is_rejected(
    properties: dict[str, object], param: str, said: str
) -> None:
    with pytest.raises(Refusal, match=said) as refused:
        of_event(COPIES, SHEETS, **properties)
    assert refused.value.param == param
