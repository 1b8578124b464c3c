"""Requests for messages that hide something, or that no client writes."""

import base64
import json
from typing import Any

import pytest

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.features import ALLOWANCE
from proxy.errors import Refusal
from tests.endpoints.anthropic.requests import AS_IS, ENDPOINT, FETCHED, FUNCTION, needs, read, said


@pytest.mark.parametrize(
    "block",
    [
        {
            "type": "tool_addition",
            "tool": {"type": "tool_definition", "definition": {"type": "web_search_1"}},
        },
        {"type": "compaction", "content": "x", "tool_changes": [{"type": "tool_addition"}]},
        {"type": "tool_result", "content": [{"type": "compaction", "tool_changes": [{}]}]},
    ],
)
def test_tools_that_come_within_messages_are_refused(block: dict[str, Any]) -> None:
    """Nothing bounds or prices what they do."""
    assert any(not found.needs and not found.optional for found in read(messages=said(block)).features)


def test_another_model_that_advises_is_refused() -> None:
    (found,) = read(tools=[{"type": "advisor_20260301", "name": "advisor", "model": "claude-dear"}]).features
    assert found.needs == ()


def test_what_is_of_an_unknown_life_is_as_dear_as_the_longest() -> None:
    for ttl in ("24h", ["1h"], 7):
        assert needs(read(cache_control={"type": "ephemeral", "ttl": ttl})) == {"rates.cache_write_1h_tokens"}


def test_blocks_of_the_system_are_looked_into_like_those_of_messages() -> None:
    assert needs(read(system=[FETCHED])) == {ALLOWANCE}
    with pytest.raises(Refusal):
        read(system={"type": "text", "text": "x"})
    with pytest.raises(Refusal):
        read(system=[{"type": "text", "Cache_Control": {"type": "ephemeral"}}])


def test_thoughts_fit_in_what_was_clamped() -> None:
    ask = read(max_tokens=10_000, thinking={"type": "enabled", "budget_tokens": 9_999})
    sent = json.loads(ask.forward_body(ForwardPlan("claude-there", 2_000)))
    assert (sent["max_tokens"], sent["thinking"]["budget_tokens"]) == (2_000, 1_999)
    as_asked = json.loads(ask.forward_body(AS_IS))
    assert (as_asked["max_tokens"], as_asked["thinking"]["budget_tokens"]) == (10_000, 9_999)


def test_a_document_is_paged_whatever_it_begins_with() -> None:
    data = base64.b64encode(b"\n%PDF-1.4 " + b"x" * 30).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    assert read(messages=said({"type": "document", "source": source})).ceiling().usage["input_tokens"] > 4_000


@pytest.mark.parametrize("name", ["tools", "mcp_servers"])
def test_more_tools_or_servers_than_are_read_are_refused(name: str) -> None:
    """Before any of them is decoded."""
    with pytest.raises(Refusal) as caught:
        ENDPOINT.read(b'{"model":"m","messages":[],"%b":[%b1]}' % (name.encode(), b"1," * 100_000))
    assert caught.value.code == "invalid_value"


def test_blocks_that_are_nested_without_end_take_the_allowance() -> None:
    deep: Any = "x"
    for _ in range(55):
        deep = [{"type": "tool_result", "tool_use_id": "x", "content": deep}]
    assert needs(read(messages=said(*deep))) == {ALLOWANCE}


@pytest.mark.parametrize("kind", [["web_search_20260318"], 7, True, {"a": 1}, ""])
def test_a_tool_of_an_odd_type_is_not_taken_for_the_callers_own(kind: object) -> None:
    assert needs(read(tools=[{"type": kind, "name": "f", "input_schema": {}}])) == {
        "rates.server_tools",
        ALLOWANCE,
    }
    assert read(tools=[{"type": None, "name": "f", "input_schema": {}}]).features == ()


def test_what_a_caller_has_thought_up_turns_nothing_on() -> None:
    """A tool may have parameters of any name."""
    odd = {"cache_control": {"type": "ephemeral"}, "tool_changes": [1], "type": "tool_addition"}
    ask = read(
        tools=[FUNCTION | {"input_schema": {"type": "object", "properties": odd}, "input_examples": [odd]}],
        messages=said({"type": "tool_use", "id": "x", "name": "look_up", "input": odd}),
    )
    assert ask.features == ()


@pytest.mark.parametrize(
    "member",
    [
        rb'"context_management":{"edits":[{"type":"clear_x","n":"\ud800"}]}',
        rb'"tools":[{"name":"\ud800"}]',
        rb'"metadata":{"user_id":"\ud800"}',
        rb'"system":[{"type":"text","text":"\ud800","cache_control":{"ttl":"\ud800"}}]',
        rb'"cache_control":{"ttl":"\ud800"}',
        rb'"thinking":{"budget_tokens":5,"x":"\ud800"}',
        rb'"speed":"\ud800"',
    ],
)
def test_halves_of_characters_are_read_or_refused_and_go_up_as_they_came(member: bytes) -> None:
    body = b'{"model":"m","max_tokens":9,"messages":[],%b}' % member
    try:
        ask = ENDPOINT.read(body)
    except Refusal as refusal:
        assert refusal.code == "invalid_value"  # noqa: PT017 - either is right.
        return
    assert member.split(b":")[-1] in ask.forward_body(ForwardPlan("m"))
    assert ask.estimate("m")["input_tokens"] >= 0


@pytest.mark.parametrize("container", ["container_1", {"id": "container_1", "skills": []}, 7])
def test_a_container_that_is_there_already_is_refused(container: object) -> None:
    """It could be another account's; a new one is priced."""
    assert any(not found.needs for found in read(container=container).features)
    assert needs(read(container={"skills": []})) == {"rates.server_tools", ALLOWANCE}
    assert needs(read(container={"id": None})) == {"rates.server_tools", ALLOWANCE}
