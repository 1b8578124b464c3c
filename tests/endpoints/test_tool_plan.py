"""What a tool's request says of its own quantities is read exactly, bounded, or refused."""

from typing import Any

import pytest

from proxy.endpoints.reading.pointer import pointer_of
from proxy.endpoints.sources import Place, Source
from proxy.endpoints.tool_plan import (
    Measure,
    Multiple,
    Parameter,
    ToolPlan,
    ToolRequest,
    parameters_of,
    quantities,
)
from proxy.errors import Refusal

NAMES: dict[Place, str] = {
    "request": "/search/limit",
    "request_header": "X-Limit",
    "query": "limit",
    "answer": "/credits",
    "answer_header": "x-credits",
}


def source(place: Place) -> Source:
    name = NAMES[place]
    return Source(place, name, pointer_of(name) if name.startswith("/") else ())


def asked(place: Place, told: str | None, more: str = "") -> dict[str, Any]:
    """A request that tells `told` at a place, as an array, number or text of it may stand there."""
    request: dict[str, Any] = {"body": b"", "headers": (), "query": ""}
    if told is None:
        return request
    match place:
        case "request":
            request["body"] = f'{{"search": {{"limit": {told}{more}}}}}'.encode()
        case "request_header":
            request["headers"] = (("x-limit", told), *((("X-LIMIT", "1"),) if more else ()))
        case _:
            request["query"] = f"q=x&limit={told}{'&limit=1' if more else ''}"
    return request


def found(measure: Measure, request: dict[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    plan = ToolPlan((measure,))
    return quantities(plan, ToolRequest(plan, **request))


IN_REQUEST: list[Place] = ["request", "request_header", "query"]


@pytest.mark.parametrize("place", IN_REQUEST)
@pytest.mark.parametrize(
    ("told", "quantity"), [("3", 3), ("10", 10), ("1e1", 10), (None, 7), ("0", 7), ("2.5", 3)]
)
def test_a_quantity_of_the_request_is_what_it_says(place: Place, told: str | None, quantity: int) -> None:
    """0 is no quantity: upstreams take it for their default, or for no bound at all."""
    measure = Measure("results", source(place), most=10, otherwise=7)
    assert found(measure, asked(place, told)) == ({"results": quantity}, {})


@pytest.mark.parametrize("place", IN_REQUEST)
@pytest.mark.parametrize("told", ["11", "-1", "NaN", "1e9", "99999999999999999999", "x", "true"])
def test_a_quantity_that_is_not_sane_or_too_large_is_refused(place: Place, told: str) -> None:
    if place == "request" and told in {"NaN", "x"}:
        told = f'"{told}"'
    with pytest.raises(Refusal) as refused:
        found(Measure("results", source(place), most=10), asked(place, told))
    assert (refused.value.code, refused.value.param) == ("invalid_value", NAMES[place])
    assert told.strip('"') in refused.value.message.replace("1000000000", "1e9").replace("11.00", "11")


@pytest.mark.parametrize("place", IN_REQUEST)
def test_a_quantity_given_twice_is_refused(place: Place) -> None:
    with pytest.raises(Refusal) as refused:
        found(Measure("results", source(place), most=10), asked(place, "1", more=', "limit": 9'))
    assert refused.value.code == "invalid_value"


@pytest.mark.parametrize(
    "query", ["Limit=5", "limit[]=5", "limit[0]=5", "l%69mit=5&limit=1", "limit=1;limit=9", "q=1;limit=9"]
)
def test_a_field_that_some_upstreams_take_for_the_measured_one_is_refused(query: str) -> None:
    with pytest.raises(Refusal) as refused:
        found(Measure("results", source("query"), most=10), {"body": b"", "headers": (), "query": query})
    assert refused.value.code == "invalid_value"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not json", "invalid_json"),
        (b"[1]", "invalid_json"),
        (b'{"search": {"limit": 1}, "search": {"limit": 9}}', "invalid_value"),
        (b'{"other": 1, "other": 2, "search": {"limit": 1}}', "invalid_value"),
        (b'{"search": {"limit": 1, "Limit": 9}}', "invalid_value"),
        (b'{"search": {"limit": {}}}', "invalid_value"),
    ],
)
def test_a_body_that_can_be_read_in_two_ways_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        found(Measure("results", source("request"), most=10), {"body": body, "headers": (), "query": ""})
    assert refused.value.code == code


def test_of_an_array_the_items_count() -> None:
    measure = Measure("urls", source("request"), most=10)
    assert found(measure, asked("request", '["a", "b, c", {"d": [1, 2]}]')) == ({"urls": 3}, {})
    large = asked("request", "[" + ",".join(['"https://example.com/, /"'] * 9_999) + "]")
    assert found(Measure("urls", source("request"), most=10_000), large) == ({"urls": 9_999}, {})


@pytest.mark.parametrize(("told", "most"), [("3", 15), (None, 50), ("0", 50), ("2.1", 15)])
@pytest.mark.parametrize("place", IN_REQUEST)
def test_the_most_of_an_answer_is_a_multiple_of_what_the_request_says(
    place: Place, told: str | None, most: int
) -> None:
    """Five credits at most for each page, and as many pages as the request allows."""
    measure = Measure("results", source("answer"), most=5, multiple=Multiple(source(place), 10))
    assert found(measure, asked(place, told)) == ({}, {"results": most})


def test_a_multiple_that_no_call_may_come_to_is_refused() -> None:
    measure = Measure("results", source("answer"), most=1000, multiple=Multiple(source("query"), 1))
    with pytest.raises(Refusal):
        found(measure, asked("query", "1000000"))


def test_what_no_measure_reads_is_not_looked_at() -> None:
    """A body that can be anything is anything, also where an answer is measured."""
    measure = Measure("credits", source("answer"), most=5)
    assert found(measure, {"body": b"\xff{", "headers": (), "query": "a=1;a=2"}) == ({}, {"credits": 5})


def value_of(request: dict[str, Any], place: Place = "request", otherwise: str | None = None) -> str | None:
    """The value of the one parameter of a plan."""
    plan = ToolPlan(parameters=(Parameter("p", source(place), otherwise),))
    return parameters_of(plan, ToolRequest(plan, **request)).get("p")


@pytest.mark.parametrize("place", IN_REQUEST)
def test_a_parameter_has_the_value_that_the_request_has_for_it(place: Place) -> None:
    assert value_of(asked(place, "true"), place) == "true"
    assert value_of(asked(place, "1.0"), place, "no") == "1.0"
    assert value_of(asked(place, None), place, "no") == "no"
    assert value_of(asked(place, None), place) is None


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ('"basic"', "basic"),
        ('""', ""),
        ("false", "false"),
        ("null", "usual"),
        ("[]", "array"),
        ('[{"a": 1}]', "array"),
        ("{}", "object"),
        (r'"b\u0061sic"', "basic"),
    ],
)
def test_of_an_array_or_object_only_the_kind_is_a_value(told: str, value: str) -> None:
    assert value_of(asked("request", told), otherwise="usual") == value


@pytest.mark.parametrize("told", ['"' + "x" * 65 + '"', '"' + "x" * 70_000 + '"', r'"\ud800"', "1" * 65])
def test_what_is_too_long_or_no_text_is_no_value(told: str) -> None:
    """It could be read as another value than the one that a price is for."""
    with pytest.raises(Refusal) as refused:
        value_of(asked("request", told))
    assert (refused.value.code, refused.value.param) == ("invalid_value", "/search/limit")


@pytest.mark.parametrize("place", IN_REQUEST)
def test_a_parameter_given_twice_is_refused(place: Place) -> None:
    with pytest.raises(Refusal):
        value_of(asked(place, "1", more=', "Limit": 9'), place)


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("", False),
        ("q=a&count=2", False),
        ("q=a&q=b", False),
        ("other=1", True),
        ("Q=a", True),
        ("q[]=a", True),
        ("%71=a", False),
        ("q=a;other=1", True),
        ("q=a&&", False),
        ("=a", True),
    ],
)
def test_a_query_has_only_the_fields_that_its_route_lists(query: str, refused: bool) -> None:
    plan = ToolPlan(query_fields=frozenset({"q", "count"}))
    if refused:
        with pytest.raises(Refusal) as found:
            ToolRequest(plan, b"", (), query)
        assert found.value.code == "invalid_value"
    else:
        ToolRequest(plan, b"", (), query)


def test_a_query_of_very_many_fields_is_not_walked() -> None:
    with pytest.raises(Refusal):
        ToolRequest(ToolPlan(query_fields=frozenset({"q"})), b"", (), "&".join(["q=1"] * 1_001))


@pytest.mark.parametrize(
    "headers",
    [
        (("x_limit", "1"),),
        (("X-Limit", "1"), ("x_limit", "9")),
        (("X-Limit", "1"), ("Connection", "keep-alive, X-LIMIT")),
    ],
)
def test_a_header_that_the_upstream_may_not_read_alike_is_refused(
    headers: tuple[tuple[str, str], ...],
) -> None:
    """It may take `_` for `-` or not, and never sees what `Connection` names."""
    measure = Measure("results", source("request_header"), most=10)
    with pytest.raises(Refusal) as refused:
        found(measure, {"body": b"", "headers": headers, "query": ""})
    assert refused.value.code == "invalid_value"


@pytest.mark.parametrize(
    ("kind", "is_json"),
    [
        *(
            (kind, True)
            for kind in ("application/json", "Application/JSON; charset=UTF-8", "application/x.y+json")
        ),
        ('application/json; charset="utf-8"', True),
        *(
            (kind, False)
            for kind in ("application/x-www-form-urlencoded", "text/plain", "", "multipart/form-data")
        ),
        *(
            (kind, False)
            for kind in ("application/json; charset=utf-7", "application/json, text/plain", "json")
        ),
    ],
)
def test_a_body_that_is_read_is_json_for_the_upstream_too(kind: str, is_json: bool) -> None:
    """One that is JSON and a form at once has two figures, each for one reader."""
    measure = Measure("results", source("request"), most=10)
    request = asked("request", "1", more=', "x": "&limit=9&"') | {"headers": (("content-type", kind),)}
    if is_json:
        assert found(measure, request) == ({"results": 1}, {})
    else:
        with pytest.raises(Refusal) as refused:
            found(measure, request)
        assert refused.value.param == "Content-Type"
