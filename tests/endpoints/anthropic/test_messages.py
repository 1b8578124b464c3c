"""Requests for messages: what is held for them, what they turn on, and what goes upstream."""

import base64
import json
from typing import Any

import pytest

from proxy.endpoints.anthropic.tools import MOST_USES, USES_MAX
from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.features import ALLOWANCE, Feature
from proxy.errors import Refusal
from proxy.metering.blocks import TOOLS_TOKENS
from tests.endpoints.anthropic.requests import (
    AS_IS,
    COUNT,
    ENDPOINT,
    FETCHED,
    FUNCTION,
    needs,
    read,
    said,
    written,
)

PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x04\x00\x00\x00\x04\x00\x08\x02"
PNG = base64.b64encode(PNG_HEAD).decode()
PDF = base64.b64encode(b"%PDF-1.4 " + b"x" * 90_000).decode()
STORED = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}


def test_the_ceiling_is_the_bytes_and_the_bound() -> None:
    """A token is a byte at least."""
    ask = read()
    ceiling = ask.ceiling()
    assert len(written()) <= ceiling.usage["input_tokens"] <= len(written()) + 8
    assert ceiling.usage["output_tokens"] == 100
    assert ask.ceiling_exact() == ceiling
    assert 0 < ask.estimate("claude-there")["input_tokens"] <= ceiling.usage["input_tokens"]


@pytest.mark.parametrize("least", [0, 1, None, ...])
def test_the_upstream_judges_a_bound_that_is_odd(least: object) -> None:
    """Without one, the rate card's is held; 0 may mean none at all."""
    ask = read(max_tokens=least)
    assert ask.ceiling().bound == (1 if least == 1 else None)
    assert ask.forward_body(AS_IS) == written(max_tokens=least)


def test_what_is_clamped_goes_up_under_its_name() -> None:
    sent = json.loads(read().forward_body(ForwardPlan("claude-here", 7)))
    assert (sent["model"], sent["max_tokens"]) == ("claude-here", 7)
    assert "max_completion_tokens" not in sent
    assert "stream_options" not in json.loads(read(stream=True).forward_body(AS_IS))


@pytest.mark.parametrize(
    "extra", [{}, {"temperature": 0.5}, {"system": "Be brief."}, {"metadata": {"user_id": "u"}}]
)
def test_the_body_goes_on_as_it_came_if_nothing_has_to_change(extra: dict[str, Any]) -> None:
    assert read(**extra).forward_body(AS_IS) == written(**extra)


def test_the_end_user_is_the_one_in_the_metadata() -> None:
    assert read(metadata={"user_id": "user-7\n"}).end_user == "user-7"
    assert read(metadata={"user_id": 7}).end_user == read().end_user == ""


@pytest.mark.parametrize(("budget", "beside"), [(99, 0), (100, 100), (5_000, 5_000)])
def test_thoughts_are_within_the_bound_unless_they_are_let_go_beyond_it(budget: int, beside: int) -> None:
    """With tools between them they may."""
    ask = read(thinking={"type": "enabled", "budget_tokens": budget})
    assert ask.ceiling().usage["output_tokens"] == 100 + beside
    assert read(thinking={"type": "adaptive"}).ceiling().usage["output_tokens"] == 100


@pytest.mark.parametrize("budget", ["many", -1, 1.5, 10**12])
def test_a_budget_that_cannot_be_read_is_refused(budget: object) -> None:
    with pytest.raises(Refusal) as caught:
        read(thinking={"type": "enabled", "budget_tokens": budget})
    assert (caught.value.code, caught.value.param) == ("invalid_value", "thinking")


def test_a_picture_takes_what_its_size_does_wherever_it_stands() -> None:
    """Its base64 is no text, also within the result of a tool or a document."""
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PNG + "A" * 90_000},
    }
    for blocks in (
        [picture],
        [{"type": "tool_result", "tool_use_id": "x", "content": [picture]}],
        [{"type": "document", "source": {"type": "content", "content": [picture]}}],
    ):
        ask = read(messages=said(*blocks))
        assert ask.features == ()
        assert ask.ceiling().usage["input_tokens"] < 6_000
        assert 1_300 < ask.estimate("claude-there")["input_tokens"] < 2_000
    elsewhere = {"type": "image", "source": {"type": "url", "url": "https://host/a.png"}}
    assert read(messages=said(elsewhere)).features == ()


def test_a_document_takes_what_its_pages_do() -> None:
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
    ask = read(messages=said(pdf))
    assert ask.features == ()
    assert ask.ceiling().usage["input_tokens"] > ask.estimate("claude-there")["input_tokens"] > 5_000
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Fares. " * 9}}
    assert read(messages=said(text)).features == ()


@pytest.mark.parametrize(
    "block",
    [
        STORED,
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "url", "url": "https://host/long.pdf"}},
        {"type": "document", "source": {"type": "base64", "data": "https://host/long.pdf"}},
        {"type": "document", "source": {"type": "text", "data": "x", "file_id": "file_1"}},
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "image", "source": {"type": "file"}}]},
        },
        {"type": "container_upload", "file_id": "file_1"},
        {"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "content": FETCHED}},
        {"type": "code_execution_tool_result", "content": [{"file_id": "file_1"}]},
        {"type": "unheard_of", "text": "x"},
        {"type": "text", "text": "x", "file_id": "file_1"},
    ],
)
def test_what_a_block_only_refers_to_takes_the_allowance(block: dict[str, Any]) -> None:
    """At the top, and within the result of a tool."""
    for content in (block, {"type": "tool_result", "tool_use_id": "x", "content": [block]}):
        (found,) = (each for each in read(messages=said(content)).features if not each.kept)
        assert (found.needs, found.hidden, found.name) == ((ALLOWANCE,), {"input_tokens": 1}, "messages")


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"cache_control": {"type": "ephemeral"}}, "rates.cache_write_tokens"),
        ({"cache_control": {"type": "ephemeral", "ttl": "5m"}}, "rates.cache_write_tokens"),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "rates.cache_write_1h_tokens"),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            "rates.cache_write_1h_tokens",
        ),
        ({"tools": [FUNCTION | {"cache_control": {"type": "ephemeral"}}]}, "rates.cache_write_tokens"),
        (
            {"messages": said({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}})},
            "rates.cache_write_tokens",
        ),
        (
            {
                "messages": said(
                    {
                        "type": "tool_result",
                        "tool_use_id": "x",
                        "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
                    }
                )
            },
            "rates.cache_write_tokens",
        ),
    ],
)
def test_what_is_to_be_cached_needs_the_rate_of_writes(members: dict[str, Any], key: str) -> None:
    """However its name is written: an escape is no way around it."""
    assert needs(read(**members)) == {key}
    escaped = written(**members).replace(b"cache_control", rb"cache\u005fcontrol")
    assert {need for found in ENDPOINT.read(escaped).features for need in found.needs} == {key}


@pytest.mark.parametrize(
    ("told", "uses"), [(None, USES_MAX), (3, 3), (0, 0), (2.0, 2), (MOST_USES, MOST_USES)]
)
def test_a_search_is_held_as_often_as_it_may_be_made(told: object, uses: int) -> None:
    """The upstream is told how often that is."""
    ask = read(tools=[FUNCTION, {"type": "web_search_20260318", "name": "web_search", "max_uses": told}])
    (found,) = ask.features
    assert found == Feature(
        "tools[].type: web_search_20260318",
        "tools",
        ("rates.web_searches", ALLOWANCE),
        hidden={"input_tokens": uses},
        allowed={"web_searches": uses},
    )
    sent = json.loads(ask.forward_body(AS_IS))["tools"]
    assert [tool.get("max_uses") for tool in sent] == [None, uses]


@pytest.mark.parametrize("told", ["many", -1, MOST_USES + 1, [3]])
def test_a_number_of_uses_that_cannot_be_read_is_refused(told: object) -> None:
    with pytest.raises(Refusal) as caught:
        read(tools=[{"type": "web_search_20260318", "name": "web_search", "max_uses": told}])
    assert (caught.value.code, caught.value.param) == ("invalid_value", "tools")


@pytest.mark.parametrize("edits", [[], [{"type": "clear_thinking_20251015"}]])
def test_what_leaves_something_out_holds_nothing_more(edits: list[Any]) -> None:
    ask = read(context_management={"edits": edits})
    assert (ask.features, ask.ceiling().bound, ask.ceiling().beside) == ((), 100, 0)


def test_a_summary_on_the_way_is_held_for_as_one_more_answer_to_everything() -> None:
    """It reads all input, and writes up to the bound; what else it could read takes the allowance."""
    edits = [{"type": "compact_20260112"}, {"type": "clear_thinking_20251015"}]
    plain, ask = read(context_management={"edits": []}), read(context_management={"edits": edits})
    once, both = plain.ceiling().usage, ask.ceiling().usage
    assert both["input_tokens"] > 2 * once["input_tokens"]
    assert both["output_tokens"] == 2 * once["output_tokens"]
    (found,) = ask.features
    assert (found.needs, found.hidden) == (("input_allowance_tokens",), {"input_tokens": 1})


@pytest.mark.parametrize("tools", [[7], ["web_search"], {"type": "web_search_20260318"}, "web_search"])
def test_tools_that_cannot_be_read_are_refused(tools: object) -> None:
    with pytest.raises(Refusal) as caught:
        read(tools=tools)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "tools")


@pytest.mark.parametrize(
    ("name", "twice"),
    [
        ("tools", b'[{"type":"custom","name":"f","type":"web_search_20260318"}]'),
        ("tools", b'[{"name":"f","cache_control":{"ttl":"1h","ttl":"5m"}}]'),
        ("system", b'[{"type":"text","text":"x","cache_control":{"type":"ephemeral"},"cache_control":null}]'),
        ("messages", b'[{"role":"user","content":[{"type":"text","text":"a"}],"content":[]}]'),
        ("context_management", b'{"edits":[{"type":"compact_1"}],"edits":[{"type":"clear_1"}]}'),
        ("context_management", b'{"edits":[{"type":"compact_1","type":"clear_1"}]}'),
    ],
)
def test_a_name_given_twice_is_refused(name: str, twice: bytes) -> None:
    """An upstream could read the other one."""
    body = b'{"model":"m","max_tokens":9,"messages":[],"%b":%b}' % (name.encode(), twice)
    with pytest.raises(Refusal) as caught:
        ENDPOINT.read(body)
    assert (caught.value.code, caught.value.param) == ("invalid_value", name)


@pytest.mark.parametrize(
    ("name", "twice", "once"),
    [
        ("cache_control", b'{"type":"ephemeral","ttl":"1h","ttl":"5m"}', b'{"type":"ephemeral","ttl":"5m"}'),
        ("thinking", b'{"budget_tokens":9999,"budget_tokens":5}', b'{"budget_tokens":5}'),
    ],
)
def test_what_is_put_back_is_what_was_read(name: str, twice: bytes, once: bytes) -> None:
    body = b'{"model":"m","max_tokens":9,"messages":[],"%b":%b}' % (name.encode(), twice)
    assert ENDPOINT.read(body).forward_body(ForwardPlan("m")).endswith(once + b"}")


def test_tools_that_anthropic_describes_are_held_beside_their_text() -> None:
    """And its own prompt about tools, once. The caller's own are text alone."""
    plain = read(tools=[FUNCTION] * 3)
    assert plain.ceiling().usage["input_tokens"] - len(written(tools=[FUNCTION] * 3)) < TOOLS_TOKENS + 8
    bash = [{"type": "bash_20250124", "name": "bash"}, {"type": "computer_toolset_20260801"}]
    ask = read(tools=bash)
    assert ask.features == ()
    assert ask.ceiling().usage["input_tokens"] >= len(written(tools=bash)) + 3 * TOOLS_TOKENS


@pytest.mark.parametrize(
    ("value", "tiers"),
    [
        ("context-1m-2025-08-07", {"service_tiers.context-1m"}),
        ("fine-grained-tool-streaming-2025-05-14, Context-1M-2027-01-01", {"service_tiers.context-1m"}),
        ("fine-grained-tool-streaming-2025-05-14", set()),
    ],
)
@pytest.mark.parametrize("name", ["Anthropic-Beta", "anthropic_beta"])
def test_a_beta_with_other_rates_needs_its_tier(name: str, value: str, tiers: set[str]) -> None:
    assert needs(read([(name, value), ("anthropic-version", "2023-06-01")])) == tiers


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": ...}, "model"),
        ({"messages": ...}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"messages": said({"type": "text", "Text": "x"})}, "messages[].content[].Text"),
        ({"messages": [{"role": "user", "Content": []}]}, "messages[].Content"),
    ],
)
def test_what_cannot_be_read_safely_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(**members)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


@pytest.mark.parametrize(
    "members",
    [
        {"user_profile_id": "u"},
        {"frobnicate": 1},
        {"messages": said({"type": "document", "source": {"type": "file", "file_id": "file_1"}})},
    ],
)
def test_a_count_names_nothing_that_a_message_could_not_name(members: dict[str, Any]) -> None:
    """Its figure would tell how long another's file is. What only costs a message is free to count."""
    assert any(not each.needs for each in COUNT.read(written(**members)).features)
    address = {"type": "document", "source": {"type": "url", "url": "https://host/long.pdf"}}
    assert COUNT.read(written(messages=said(address))).features == ()


def test_a_count_is_free_and_goes_on_as_it_came() -> None:
    body = written(max_tokens=..., tools=[{"type": "web_search_20260318", "name": "web_search"}])
    ask = COUNT.read(body)
    assert (ask.features, ask.ceiling().usage) == ((), {"requests": 0})
    assert ask.forward_body(AS_IS) == body
    tally = ask.tally()
    tally.feed(b'{"input_tokens": 14}')
    reading = tally.reported()
    assert tally.complete
    assert reading is not None
    assert reading.usage == {"requests": 0}
