"""Answers of Anthropic's: they pass untouched, their end waits, and all that they produced is found."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.anthropic.part import read_message_part
from proxy.endpoints.base import Reading, Tally
from proxy.endpoints.registry import ENDPOINTS
from tests.endpoints.anthropic.replies import (
    PING,
    STOP,
    THOUGHTFUL,
    THOUGHTFUL_TEXT,
    added,
    begun,
    ended,
    event,
    message,
    started,
    usage,
)
from tests.endpoints.events import cut, fed

STREAM = b"".join(THOUGHTFUL)
REPORTED = Reading({"input_tokens": 25, "output_tokens": 50})


def tally(*, stream: bool = True, keep_usage: bool = False) -> Tally:
    body = {"model": "m", "max_tokens": 99, "messages": [], "stream": stream}
    return ENDPOINTS["/v1/messages"].read(json.dumps(body).encode()).tally(keep_usage=keep_usage)


def read_whole(reply: object) -> Tally:
    whole = tally(stream=False)
    data = json.dumps(reply).encode()
    assert fed(whole, [data]) == b""
    whole.finish()
    assert whole.tail() == data
    return whole


def test_events_pass_at_once_and_the_end_waits() -> None:
    stream = tally()
    for one in THOUGHTFUL[:-1]:
        assert stream.feed(one) == one
    assert stream.feed(STOP) == b""
    assert stream.done
    assert stream.complete
    assert not stream.failed
    assert stream.reported() == REPORTED
    assert stream.output_text() == THOUGHTFUL_TEXT
    assert stream.tail() == STOP
    assert stream.anomalies == 0


@given(st.lists(st.integers(0, len(STREAM)), max_size=8), st.booleans())
def test_nothing_depends_on_where_chunks_end(places: list[int], keep: bool) -> None:
    stream = tally(keep_usage=keep)
    passed = fed(stream, cut(STREAM, places))
    assert passed + stream.tail() == STREAM
    assert (stream.reported(), stream.output_text(), stream.complete) == (REPORTED, THOUGHTFUL_TEXT, True)


@pytest.mark.parametrize("count", range(len(THOUGHTFUL)))
def test_a_stream_cut_after_any_event_counts_what_was_produced(count: int) -> None:
    """It is whole once it has ended with a reason, and never before."""
    stream = tally()
    assert fed(stream, THOUGHTFUL[:count]) == b"".join(THOUGHTFUL[:count])
    assert stream.complete == (count == len(THOUGHTFUL) - 1)
    assert THOUGHTFUL_TEXT.startswith(stream.output_text())
    assert stream.produced_size == len(stream.output_text())
    reading = stream.reported()
    assert (reading is None) == (count == 0)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_lines_may_end_in_any_way(end: bytes) -> None:
    line = end[: len(end) // 2]
    other = STREAM.replace(b"\n\n", end).replace(b"\ndata", line + b"data")
    stream = tally()
    assert fed(stream, [other]) + stream.tail() == other
    assert (stream.reported(), stream.output_text()) == (REPORTED, THOUGHTFUL_TEXT)


def test_an_error_within_a_stream_passes_and_is_no_success() -> None:
    failed = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    stream = tally()
    assert fed(stream, [*THOUGHTFUL[:9], failed]) == b"".join(THOUGHTFUL[:9]) + failed
    assert (stream.failed, stream.complete, stream.output_text()) == (True, False, "Let me see. Hello")


def test_the_cost_is_in_the_last_usage_of_a_stream() -> None:
    stream = tally(keep_usage=True)
    passed = fed(stream, THOUGHTFUL)
    assert passed == b"".join(THOUGHTFUL[:-2])
    tail = stream.tail("0.01")
    assert json.loads(tail.split(b"data: ")[1].split(b"\n")[0])["usage"] == {
        "output_tokens": 50,
        "cost": "0.01",
    }
    assert tail.endswith(STOP)


def test_the_cost_is_in_the_usage_of_a_message() -> None:
    whole = tally(stream=False, keep_usage=True)
    fed(whole, [json.dumps(message({"type": "text", "text": "Hi"})).encode()])
    assert json.loads(whole.tail("0.01"))["usage"]["cost"] == "0.01"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "text", "text": "Hello", "citations": [{"cited_text": "not this"}]}, "Hello"),
        ({"type": "thinking", "thinking": "Hm.", "signature": "not this"}, "Hm."),
        ({"type": "tool_use", "id": "x", "name": "f", "input": {"a": [1]}}, 'f{"a": [1]}'),
        ({"type": "server_tool_use", "id": "x", "name": "web_fetch", "input": {}}, "web_fetch"),
        (
            {"type": "mcp_tool_use", "id": "x", "name": "f", "server_name": "s", "input": {"a": 1}},
            'f{"a": 1}',
        ),
        ({"type": "web_search_tool_result", "tool_use_id": "x", "content": [{"title": "not this"}]}, ""),
        ({"type": "container_upload", "file_id": "file_1"}, ""),
        ({"type": "compaction", "content": "In short."}, "In short."),
        ({"type": "unheard_of", "words": "Hello"}, "Hello"),
        ("a string", "a string"),
    ],
)
def test_what_a_block_has_that_is_output_counts(block: object, text: str) -> None:
    """Whole, and as it begins in a stream."""
    whole = read_whole(message(block))
    assert (whole.complete, whole.output_text()) == (True, text)
    stream = tally()
    begins = event("content_block_start", index=0, content_block=block)
    assert fed(stream, [started(), begins]) == started() + begins
    assert stream.output_text() == text


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        ({"type": "text_delta", "text": "Hello"}, "Hello"),
        ({"type": "thinking_delta", "thinking": "Hm."}, "Hm."),
        ({"type": "input_json_delta", "partial_json": "{"}, "{"),
        ({"type": "compaction_delta", "content": "In short."}, "In short."),
        ({"type": "signature_delta", "signature": "c2ln"}, ""),
        ({"type": "citations_delta", "citation": {"cited_text": "not this"}}, ""),
        ({"type": "unheard_of_delta", "words": "Hello"}, "Hello"),
        ({"type": "text_delta", "text": ["Hel", "lo"]}, "Hello"),
        ("Hello", "Hello"),
    ],
)
def test_what_a_delta_has_that_is_output_counts(delta: object, text: str) -> None:
    stream = tally()
    fed(stream, [started(), event("content_block_delta", index=0, delta=delta)])
    assert stream.output_text() == text


def test_what_is_no_text_counts_by_its_size() -> None:
    """What was thought and is not shown comes encrypted, and pictures would come as data."""
    stream = tally()
    hidden = begun(0, type="redacted_thinking", data="QUJD" * 3_000)
    assert fed(stream, [started(), hidden]) == started() + hidden
    assert stream.has_data
    assert stream.produced_size > 0
    assert stream.output_text() == ""


@pytest.mark.parametrize("told", [3, 0, None])
def test_searches_count_as_reported_or_as_seen(told: int | None) -> None:
    """A search is billed by itself, so that none is free where the usage is silent; one that failed is."""
    found: dict[str, Any] = {
        "type": "web_search_tool_result",
        "tool_use_id": "x",
        "content": [{"title": "Fares"}],
    }
    failed = found | {"content": {"error_code": "unavailable"}}
    blocks = [begun(at, **each) for at, each in enumerate([found, found, failed])]
    more: dict[str, Any] = {} if told is None else {"server_tool_use": {"web_search_requests": told}}
    for reply in (
        read_whole(message(found, found, failed, usage=usage(25, 12, **more))),
        _streamed([started(), *blocks, ended(12, **more), STOP]),
    ):
        reading = reply.reported()
        assert reading is not None
        assert reading.usage["web_searches"] == (2 if told is None else told)
        assert reading.inferred == ({"web_searches": "counted"} if told is None else {})


def test_the_output_that_a_stream_begins_with_is_none() -> None:
    """Its figure stands for nothing: a server that gives no other one has told none."""
    stream = _streamed([*THOUGHTFUL[:-2], event("message_delta", delta={"stop_reason": "end_turn"}), STOP])
    assert stream.complete
    assert stream.reported() == Reading({"input_tokens": 25})


def test_the_cost_is_there_also_where_a_sign_of_life_follows_the_usage() -> None:
    stream = tally(keep_usage=True)
    fed(stream, [*THOUGHTFUL[:-1], PING, STOP])
    assert b'"cost":"0.01"' in stream.tail("0.01")


def _streamed(events: list[bytes]) -> Tally:
    stream = tally()
    fed(stream, events)
    return stream


@pytest.mark.parametrize(
    "planted",
    [
        {"type": "text", "text": "x", "usage": usage(0, 0)},
        {"type": "tool_use", "id": "x", "name": "f", "input": {"usage": {"input_tokens": 10**6}}},
    ],
)
def test_usage_within_what_the_model_wrote_does_not_count(planted: Any) -> None:
    assert read_whole(message(planted)).reported() == Reading({"input_tokens": 25, "output_tokens": 12})


@pytest.mark.parametrize(
    "data", [b"[]", b"7", b'"x"', b"nonsense", b'{"type": ' + b"[" * 300 + b"]" * 300 + b"}"]
)
def test_what_is_no_message_is_not_complete(data: bytes) -> None:
    whole = tally(stream=False)
    fed(whole, [data])
    assert not whole.complete


def test_an_error_in_place_of_a_message_is_one() -> None:
    whole = read_whole({"type": "error", "error": {"type": "api_error", "message": "x"}})
    assert (whole.failed, whole.complete) == (True, False)


def test_a_message_in_place_of_events_is_read() -> None:
    """Some servers do not stream what they were asked to."""
    stream = tally()
    data = json.dumps(message({"type": "text", "text": "Hi"})).encode()
    assert fed(stream, cut(data, [5])) == b""
    assert (stream.complete, stream.output_text()) == (True, "Hi")
    assert stream.reported() == Reading({"input_tokens": 25, "output_tokens": 12})
    assert stream.tail() == data


def test_events_of_no_known_form_count_as_text() -> None:
    stream = tally()
    fed(stream, [started(), PING, event("unheard_of", words="Hello there")])
    assert stream.output_text() == "Hello there"
    assert stream.anomalies == 1


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_large_event_is_read_like_a_small_one(size: int) -> None:
    """Its long strings are text as well."""
    stream = tally()
    events = [
        started(),
        begun(0, type="text", text=""),
        added(0, "text_delta", text="x" * size),
        ended(),
        STOP,
    ]
    fed(stream, events)
    assert len(stream.output_text()) == size
    whole = read_whole(
        message(
            {"type": "text", "text": "x" * size},
            {"type": "tool_use", "name": "f", "input": {"a": "y" * size}},
        )
    )
    assert len(whole.output_text()) == len('f{"a": ""}') + 2 * size
    assert read_message_part(b'{"type": "message", "content": [' + b"1," * 400_000 + b"1]}") is None
