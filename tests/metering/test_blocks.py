"""Anthropic's messages are counted by another vocabulary, and corrected by what theirs takes more of."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.blocks import LEVELS_MAX, LIKELY_TOOLS_TOKENS, blocks_of, messages_estimate
from proxy.metering.tokens import count_text

MODEL = "claude-sonnet-4-5"
TEXT = "The fare, due before the ride, is five dollars."


def body(content: object, **more: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **more}


def test_an_estimate_is_a_little_more_than_another_vocabulary_counts() -> None:
    tokens = count_text(TEXT, MODEL)
    assert tokens < messages_estimate(body(TEXT), MODEL) < 2 * tokens


def test_text_counts_alike_wherever_it_stands() -> None:
    """As a string, in a block, as a thought, within the result of a tool, as the system's."""
    plain = messages_estimate(body(TEXT), MODEL)
    for content in (
        [{"type": "text", "text": TEXT, "cache_control": {"type": "ephemeral"}}],
        [{"type": "thinking", "thinking": TEXT, "signature": "c2ln" * 99}],
        [{"type": "tool_result", "tool_use_id": "toolu_1", "content": TEXT}],
        [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": TEXT}]}],
    ):
        assert messages_estimate(body(content), MODEL) == plain
    assert messages_estimate(body("", system=TEXT), MODEL) == plain


def test_a_tool_is_its_text_and_a_prompt_for_all() -> None:
    tool = {"name": "look_up", "input_schema": {"type": "object"}}
    one, two = (messages_estimate(body(TEXT, tools=[tool] * count), MODEL) for count in (1, 2))
    assert two - one < 100
    assert one > messages_estimate(body(TEXT), MODEL) + LIKELY_TOOLS_TOKENS


def test_every_block_is_found_those_within_others_too() -> None:
    inner: dict[str, Any] = {"type": "text", "text": "x"}
    document = {"type": "document", "source": {"type": "content", "content": [inner]}}
    result = {"type": "tool_result", "content": [inner, document, "no block"]}
    assert list(blocks_of([result, inner])) == [result, inner, document, inner, inner]
    assert list(blocks_of("text")) == list(blocks_of(None)) == []
    deep: Any = []
    for _ in range(50):
        deep = [{"type": "tool_result", "content": deep}]
    assert len(list(blocks_of(deep))) == LEVELS_MAX + 1


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "text", "content", "source", "data", "input", "name", "x"]), inner
        ),
    ),
    max_leaves=12,
)


@given(VALUES, VALUES, VALUES)
def test_what_is_of_no_known_form_is_counted_as_it_stands(
    messages: object, system: object, tools: object
) -> None:
    assert messages_estimate({"messages": messages, "system": system, "tools": tools}, MODEL) >= 0
