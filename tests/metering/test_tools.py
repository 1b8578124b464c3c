import pytest

from proxy.metering.prompts import chat_tokens
from proxy.metering.tokens import count_text

NEW, OLD = "gpt-4o", "gpt-4"
FARE = {
    "name": "fare",
    "description": "Tell the price of a ride.",
    "parameters": {
        "type": "object",
        "properties": {
            "stop": {"type": "string", "description": "Where the ride ends."},
            "class": {"type": "string", "description": "Comfort", "enum": ["first", "second"]},
        },
        "required": ["stop"],
    },
}
BARE = {"name": "stops"}


def added(model: str = OLD, **fields: object) -> int:
    """Tokens that the fields add to an empty chat."""
    return chat_tokens({"messages": [], **fields}, model) - chat_tokens({"messages": []}, model)


def tool(function: object) -> dict[str, object]:
    return {"type": "function", "function": function}


def text(*texts: str, model: str = OLD) -> int:
    return sum(count_text(one, model) for one in texts)


@pytest.mark.parametrize(("model", "per_function"), [(NEW, 7), (OLD, 10), ("gpt-3.5-turbo", 10), ("o3", 7)])
def test_a_function_is_its_texts_and_the_constants_of_its_model(model: str, per_function: int) -> None:
    texts = ("fare:Tell the price of a ride", "stop:string:Where the ride ends", "class:string:Comfort")
    constants = per_function + 3 + 2 * 3 + (-3 + 2 * 3) + 12
    assert added(model, tools=[tool(FARE)]) == constants + text(*texts, "first", "second", model=model)


def test_the_end_of_the_functions_counts_once() -> None:
    one, two = added(tools=[tool(BARE)]), added(tools=[tool(BARE), tool(FARE)])
    assert one == 10 + text("stops:") + 12
    assert two - one == added(tools=[tool(FARE)]) - 12


def test_legacy_functions_count_as_tools_do() -> None:
    assert added(functions=[FARE]) == added(tools=[tool(FARE)])


def test_only_one_full_stop_is_dropped_from_a_description() -> None:
    assert added(tools=[tool({**BARE, "description": "And so on..."})]) == 10 + 12 + text("stops:And so on..")


def test_schemas_inside_a_parameter_count_as_text_of_their_json() -> None:
    def with_stops(schema: dict[str, object]) -> int:
        return added(tools=[tool({"name": "f", "parameters": {"properties": {"stops": schema}}})])

    plain = with_stops({"type": "array"})
    assert with_stops({"type": "array", "items": {"type": "string"}}) == plain + text('{"type":"string"}')
    assert with_stops({"type": "array", "minItems": 1, "title": "Stops"}) == plain


def test_shared_schemas_count_as_text_of_their_json() -> None:
    parameters = {"type": "object", "properties": {}, "$defs": {"a": {"type": "string"}}}
    assert added(tools=[tool({"name": "f", "parameters": parameters})]) == 10 + 12 + text(
        "f:", '{"a":{"type":"string"}}'
    )


def test_a_parameter_of_several_types_is_named_with_all_of_them() -> None:
    function = {"name": "f", "parameters": {"properties": {"x": {"type": ["string", "null"]}}}}
    assert added(tools=[tool(function)]) == 10 + 3 + 3 + 12 + text("f:", 'x:["string","null"]:')


def test_tools_that_are_no_functions_count_as_text_of_their_json() -> None:
    assert added(tools=[{"type": "custom", "custom": {"name": "x"}}]) == text(
        '{"type":"custom","custom":{"name":"x"}}'
    )


@pytest.mark.parametrize(
    ("choice", "tokens"),
    [
        (None, 0),
        ("auto", 0),
        ("required", 0),
        ("none", 1),
        ({"type": "function", "function": {"name": "fare"}}, 7 + text("fare")),
        ({"name": "fare"}, 7 + text("fare")),
        ({"type": "allowed"}, text('{"type":"allowed"}')),
    ],
)
def test_a_choice_of_tool_counts(choice: object, tokens: int) -> None:
    assert added(tool_choice=choice) == added(function_call=choice) == tokens


@pytest.mark.parametrize(
    "function",
    [
        None,
        5,
        {},
        {"name": 5},
        {"name": "f", "description": 5, "parameters": []},
        {"name": "f", "parameters": "x"},
        {"name": "f", "parameters": {"properties": []}},
        {"name": "f", "parameters": {"properties": {"a": 1, "b": None, "c": [], "d": {"enum": "x"}}}},
        {"name": "f", "parameters": {"properties": {"a": {"enum": [1, None, "x"], "description": []}}}},
    ],
)
def test_odd_definitions_are_counted_and_never_raise(function: object) -> None:
    assert added(tools=[tool(function), function]) >= 0
    assert added(functions=[function]) >= 0
