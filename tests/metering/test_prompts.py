import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.prompts import (
    chat_items,
    chat_tokens,
    prompt_tokens,
)
from proxy.metering.tokens import COUNTER, Counter, count_text

MODEL = "gpt-4"
"""Its vocabulary is the smaller one."""


def chat(*messages: object, model: str = MODEL, **fields: object) -> int:
    return chat_tokens({"messages": list(messages), **fields}, model)


def text(*texts: str, model: str = MODEL) -> int:
    return sum(count_text(one, model) for one in texts)


SYSTEM = {"role": "system", "content": "You sell tickets for the tram and the ferry."}
USER = {"role": "user", "content": "How much is a day pass?"}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4-0613", "gpt-3.5-turbo", "o4-mini", "gpt-5", "llama3"])
def test_a_message_is_its_strings_and_three_tokens_and_the_reply_three_more(model: str) -> None:
    expected = text("system", str(SYSTEM["content"]), "user", str(USER["content"]), model=model)
    assert chat(SYSTEM, USER, model=model) == 3 + 3 + expected + 3


def test_a_name_is_its_text_and_one_token() -> None:
    assert chat({**USER, "name": "ada"}) == chat(USER) + text("ada") + 1


def test_the_first_turbo_model_takes_four_per_message_and_drops_the_role_of_a_named_one() -> None:
    model = "gpt-3.5-turbo-0301"
    assert chat(SYSTEM, USER, model=model) == chat(SYSTEM, USER) + 2
    assert chat({**USER, "name": "ada"}, model=model) == chat(USER, model=model) + text("ada") - 1


def test_text_parts_count_as_their_text() -> None:
    parts = [{"type": "text", "text": "How much "}, {"type": "refusal", "refusal": "I will not say."}, "now"]
    whole = chat({"role": "user", "content": parts})
    assert whole == 6 + text("user", "How much ", "I will not say.", "now")


def test_parts_that_are_no_text_count_by_their_bound() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    assert chat({"role": "user", "content": [image, image]}, model="gpt-4o") == 6 + 1 + 2 * 85


def test_unknown_parts_count_as_text_of_their_json() -> None:
    assert chat({"role": "user", "content": [{"type": "new", "n": 1}]}) == 6 + text(
        "user", '{"type":"new","n":1}'
    )


def test_a_tool_call_counts_its_name_and_arguments_and_not_its_id() -> None:
    function = {"name": "fare", "arguments": '{"from": "Harbour"}'}
    call = {"id": "call_0123456789", "type": "function", "function": function}
    counted = text("assistant", "fare", '{"from": "Harbour"}')
    assert chat({"role": "assistant", "content": None, "tool_calls": [call, call]}) == 6 + counted + text(
        "fare", '{"from": "Harbour"}'
    )
    assert chat({"role": "assistant", "function_call": function}) == 6 + counted
    custom = {"id": "call_1", "type": "custom", "custom": {"name": "fare", "input": "Harbour"}}
    assert chat({"role": "assistant", "tool_calls": [custom]}) == 6 + text("assistant", "fare", "Harbour")


def test_a_schema_for_the_reply_counts_as_text_of_its_json() -> None:
    schema = {"name": "fare", "schema": {"type": "object", "properties": {"price": {"type": "number"}}}}
    written = '{"name":"fare","schema":{"type":"object","properties":{"price":{"type":"number"}}}}'
    assert chat(USER, response_format={"type": "json_schema", "json_schema": schema}) == chat(USER) + text(
        written
    )
    for kind in ("text", "json_object"):
        assert chat(USER, response_format={"type": kind}) == chat(USER)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": None},
        {"messages": "a string"},
        {"messages": {"role": "user"}},
        {"messages": [None, 5, "text", [], {}, [[]], True, 1e15]},
        {"messages": [{"role": 5, "name": ["x"], "content": {"a": 1}, "tool_calls": "x"}]},
        {
            "messages": [
                {"content": [None, 5, [], {"type": []}, {"type": "text"}, {"type": "text", "text": 5}]}
            ]
        },
        {"messages": [{"tool_calls": [None, {"function": "x"}, {"type": []}], "function_call": 5}]},
        {"response_format": {"type": "json_schema"}, "messages": []},
        {"response_format": [], "tools": {"a": 1}, "functions": "x", "tool_choice": 5, "function_call": []},
    ],
)
def test_odd_shapes_are_counted_and_never_raise(body: dict[str, object]) -> None:
    assert chat_tokens(body, MODEL) >= 3


def test_nesting_as_deep_as_a_decoder_lets_through_is_counted() -> None:
    deep: object = "x"
    for _ in range(5_000):
        deep = [deep]
    assert chat({"role": "user", "content": deep}) > 1_000


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("hello world", 2),
        (["hello world", "hello"], 3),
        ([15339, 1917, 5], 3),
        ([[15339, 1917], [5], list(range(500))], 503),
        ("", 1),
        ([], 1),
        (None, 1),
        ([""], 1),
        (["", "", "hello"], 3),
        ([[], [1]], 2),
        ([1, "hello world", [1, 2]], 5),
        (True, 1),
        ([None], 1),
    ],
)
def test_prompts_and_inputs_come_in_four_shapes(value: object, tokens: int) -> None:
    assert prompt_tokens(value, MODEL) == tokens


def test_token_ids_need_no_tokenizer() -> None:
    class NoText:
        def encode_ordinary(self, text: str) -> list[int]:
            raise AssertionError(text)

    class NoTokenizer:
        def encoder(self, _name: str) -> NoText:
            return NoText()

        def is_loaded(self, _name: str) -> bool:
            return True

    counter = Counter(NoTokenizer())
    assert prompt_tokens([[1, 2, 3], [4]], MODEL, counter=counter) == 4
    assert prompt_tokens(list(range(9)), MODEL, counter=counter) == 9
    assert counter.fallbacks == 0


@given(
    st.one_of(
        st.text(), st.lists(st.text()), st.lists(st.integers(0, 9)), st.lists(st.lists(st.integers(0, 9)))
    )
)
def test_an_input_has_no_more_tokens_than_its_json_has_bytes(value: object) -> None:
    assert 1 <= prompt_tokens(value, MODEL) <= max(1, len(str(value).encode()))


async def test_a_long_chat_is_counted_off_the_loop_as_it_is_on_it() -> None:
    body = {"messages": [SYSTEM, *([USER] * 500), {"role": "user", "content": "so " * 100_000}]}
    assert await COUNTER.total_off_loop(chat_items(body, MODEL), 400_000, MODEL) == chat_tokens(body, MODEL)
