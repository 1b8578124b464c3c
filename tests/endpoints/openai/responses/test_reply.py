"""Answers to requests for responses: they pass untouched, the end waits, and all output counts once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import Tally
from proxy.endpoints.openai.responses.part import KEPT_MAX, ResponseReader
from proxy.endpoints.openai.responses.tally import ResponseStream, ResponseWhole
from proxy.endpoints.registry import ENDPOINTS
from proxy.endpoints.tallies.sighted import Sighting
from tests.endpoints.events import cut, fed
from tests.endpoints.openai.responses.read import REPORTED, read_whole, streamed, tally
from tests.endpoints.openai.responses.replies import (
    CALL,
    REASONING,
    STREAM,
    TEXT,
    event,
    response,
    text,
    usage,
)

WHOLE_STREAM = b"".join(STREAM)


def test_events_pass_at_once_and_the_end_waits() -> None:
    stream = tally()
    for one in STREAM[:-1]:
        assert stream.feed(one) == one
        assert not stream.done
    assert stream.feed(STREAM[-1]) == b""
    assert (stream.done, stream.complete, stream.failed, stream.anomalies) == (True, True, False, 0)
    assert stream.reported() == REPORTED
    assert stream.output_text() == TEXT
    assert stream.tail() == STREAM[-1]


@given(st.lists(st.integers(0, len(WHOLE_STREAM)), max_size=8), st.booleans())
def test_nothing_depends_on_where_chunks_end(places: list[int], keep: bool) -> None:
    stream = tally(keep_usage=keep)
    passed = fed(stream, cut(WHOLE_STREAM, places))
    assert passed + stream.tail() == WHOLE_STREAM
    assert (stream.reported(), stream.output_text(), stream.complete) == (REPORTED, TEXT, True)


@pytest.mark.parametrize("count", range(len(STREAM)))
def test_a_stream_cut_after_any_event_counts_what_was_produced(count: int) -> None:
    """It is never whole: only its last event says so, and only that reports a usage."""
    stream = tally()
    assert fed(stream, STREAM[:count]) == b"".join(STREAM[:count])
    stream.finish()
    assert not stream.complete
    assert TEXT.startswith(stream.output_text())
    assert stream.reported() is None


def test_a_whole_response_has_the_output_of_its_stream() -> None:
    whole = read_whole(response(REASONING, text("Hello there."), CALL))
    assert (whole.complete, whole.output_text(), whole.reported()) == (True, TEXT, REPORTED)


@pytest.mark.parametrize("names_items", [True, False])
@pytest.mark.parametrize("numbers_items", [True, False])
@pytest.mark.parametrize("left_out", ["delta", "done", "added", ""])
def test_nothing_counts_twice_or_not_at_all_whatever_a_server_leaves_out(
    left_out: str, names_items: bool, numbers_items: bool
) -> None:
    """Text comes in pieces, at the end of its item, and with the whole response."""
    if not (names_items or numbers_items):
        return
    events = []
    for one in STREAM:
        data = json.loads(one.split(b"data: ")[1])
        if left_out and data["type"].endswith(f".{left_out}"):
            continue
        if not numbers_items:
            data.pop("output_index", None)
        if not names_items:
            data.pop("item_id", None)
        events.append(event(data.pop("type"), **data))
    stream = streamed(*events)
    assert stream.complete
    assert sorted(stream.output_text()) == sorted(TEXT)


@pytest.mark.parametrize(
    ("kind", "status", "complete", "failed"),
    [
        ("response.completed", "completed", True, False),
        ("response.incomplete", "incomplete", True, False),
        ("response.cancelled", "cancelled", True, False),
        ("response.failed", "failed", False, True),
    ],
)
def test_every_end_waits_for_the_charge(kind: str, status: str, complete: bool, failed: bool) -> None:
    error = {"code": "server_error", "message": "x"} if failed else None
    end = event(kind, response=response(text("Hello"), status=status, error=error))
    stream = tally()
    assert fed(stream, [*STREAM[:10], end]) == b"".join(STREAM[:10])
    assert (stream.done, stream.complete, stream.failed) == (True, complete, failed)
    assert stream.reported() == REPORTED
    assert stream.tail() == end
    whole = read_whole(response(status=status, error=error))
    assert (whole.complete, whole.failed) == (complete, failed)


def test_what_a_server_sends_after_the_end_is_kept_with_it() -> None:
    done = b"data: [DONE]\n\n"
    stream = tally()
    assert fed(stream, [*STREAM, done]) == b"".join(STREAM[:-1])
    assert stream.tail() == STREAM[-1] + done


@pytest.mark.parametrize(
    "error",
    [
        event("error", code="server_error", message="x", param=None),
        event("error", error={"code": "server_error", "message": "x"}),
        b'data: {"error":{"message":"x"}}\n\n',
    ],
)
def test_an_error_within_a_stream_passes_and_is_no_success(error: bytes) -> None:
    stream = tally()
    assert fed(stream, [*STREAM[:10], error]) == b"".join(STREAM[:10]) + error
    assert (stream.failed, stream.complete, stream.output_text()) == (True, False, "Let me see. Hello ")


def test_the_cost_is_in_the_usage_of_the_response() -> None:
    stream = tally(keep_usage=True)
    fed(stream, STREAM)
    tail = stream.tail("0.01")
    ended = json.loads(tail.split(b"data: ")[1])
    assert ended["response"].pop("usage") == {**usage(), "cost": "0.01"}
    assert (
        ended["response"] == response(REASONING, text("Hello there."), CALL, usage=...) | {"usage": ...}
        or "usage" not in ended["response"]
    )
    whole = tally(stream=False, keep_usage=True)
    fed(whole, [json.dumps(response(text("Hi"))).encode()])
    assert json.loads(whole.tail("0.01"))["usage"]["cost"] == "0.01"


@pytest.mark.parametrize("size", [1_000, 300_000])
def test_the_cost_is_there_however_large_the_response_is(size: int) -> None:
    stream = tally(keep_usage=True)
    end = event("response.completed", response=response(text("x" * size)))
    fed(stream, [*STREAM[:2], end])
    tail = stream.tail("0.01")
    assert json.loads(tail.split(b"data: ")[1])["response"]["usage"]["cost"] == "0.01"
    assert len(tail) == len(end) + len(b',"cost":"0.01"')


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (text("Hello"), "Hello"),
        ({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        ({"type": "message", "content": "Hello"}, "Hello"),
        ({"type": "message", "content": [{"type": "unheard_of", "words": "Hello"}]}, "Hello"),
        ({"type": "message", "content": {"words": "Hello"}}, "Hello"),
        (REASONING, "Let me see. "),
        (REASONING | {"content": [{"type": "reasoning_text", "text": "Hm."}]}, "Hm."),
        (CALL, 'look_up{"q":1}'),
        ({"type": "custom_tool_call", "id": "c", "name": "f", "input": "go"}, "fgo"),
        ({"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}", "output": "not this"}, "f{}"),
        ({"type": "function_call", "name": "f", "arguments": {"a": [1]}}, 'f{"a": [1]}'),
        ({"type": "code_interpreter_call", "code": "1+1", "outputs": [{"logs": "not this"}]}, "1+1"),
        ({"type": "computer_call", "action": {"type": "click", "x": 1}}, '{"type": "click", "x": 1}'),
        ({"type": "shell_call", "action": {"commands": ["ls"]}}, '{"commands": ["ls"]}'),
        ({"type": "apply_patch_call", "operation": {"diff": "+a"}}, '{"diff": "+a"}'),
        ({"type": "web_search_call", "action": {"type": "search", "query": "not this"}}, ""),
        ({"type": "file_search_call", "results": [{"text": "not this"}]}, ""),
        ({"type": "image_generation_call", "result": "QUJD" * 3_000}, ""),
        ({"type": "function_call_output", "output": "not this"}, ""),
        ({"type": "mcp_list_tools", "tools": [{"name": "not this"}]}, ""),
        ({"type": "compaction", "encrypted_content": "not this"}, ""),
        ({"type": "unheard_of", "words": "Hello"}, "Hello"),
        ({"words": "Hello"}, "Hello"),
        ("Hello", "Hello"),
    ],
)
def test_what_an_item_has_that_is_output_counts(item: object, said: str) -> None:
    """Whole, as it ends in a stream, and with the response that ends one."""
    assert read_whole(response(item)).output_text() == said
    assert streamed(event("response.output_item.done", output_index=0, item=item)).output_text() == said
    assert streamed(event("response.completed", response=response(item))).output_text() == said


@pytest.mark.parametrize(
    ("kind", "members", "said"),
    [
        ("response.output_text.delta", {"delta": "Hello"}, "Hello"),
        ("response.refusal.delta", {"delta": "No."}, "No."),
        ("response.reasoning_text.delta", {"delta": "Hm."}, "Hm."),
        ("response.custom_tool_call_input.delta", {"delta": "go"}, "go"),
        ("response.mcp_call_arguments.delta", {"delta": "{"}, "{"),
        ("response.code_interpreter_call_code.delta", {"delta": "1+"}, "1+"),
        ("response.audio.transcript.delta", {"delta": "Hello"}, "Hello"),
        ("response.unheard_of.delta", {"delta": "Hello"}, "Hello"),
        ("response.output_text.delta", {"delta": {"text": "Hello"}}, "Hello"),
        ("response.shell_call_output_content.delta", {"delta": "not this"}, ""),
        ("response.image_generation_call.partial_image", {"partial_image_b64": "QUJD" * 3_000}, ""),
        ("response.output_text.annotation.added", {"annotation": {"title": "not this"}}, ""),
        ("response.unheard_of", {"words": "not this"}, ""),
    ],
)
def test_what_an_event_has_that_is_output_counts(kind: str, members: Any, said: str) -> None:
    stream = streamed(event(kind, output_index=0, item_id="x", **members))
    assert (stream.output_text(), stream.anomalies) == (said, 0)


def test_sound_counts_by_its_size() -> None:
    stream = streamed(event("response.audio.delta", delta="QUJD" * 30_000))
    assert stream.has_data
    assert stream.produced(0, "m")["output_audio_tokens"] == 38


PLANTED = usage(0, 0)


@pytest.mark.parametrize(
    "members",
    [
        {"metadata": {"usage": PLANTED}},
        {"tools": [{"type": "function", "name": "f", "parameters": {"usage": PLANTED}}]},
        {"text": {"format": {"schema": {"usage": PLANTED}}}},
        {"instructions": json.dumps({"usage": PLANTED})},
        {"output": [text("x") | {"usage": usage(10**6, 10**6)}]},
    ],
)
def test_usage_within_what_is_echoed_does_not_count(members: dict[str, Any]) -> None:
    reply = response(**members)
    assert read_whole(reply).reported() == REPORTED
    assert streamed(event("response.completed", response=reply)).reported() == REPORTED
    created = event("response.created", response=response(status="in_progress", usage=None, **members))
    assert streamed(created, STREAM[-1]).reported() == REPORTED


@pytest.mark.parametrize(
    "data", [b"[]", b"7", b'"x"', b"nonsense", b'{"output": ' + b"[" * 300 + b"]" * 300 + b"}"]
)
def test_what_is_no_response_is_not_complete(data: bytes) -> None:
    whole = tally(stream=False)
    fed(whole, [data])
    assert not whole.complete


def test_an_error_in_place_of_a_response_is_one() -> None:
    whole = read_whole({"error": {"message": "x", "type": "server_error"}})
    assert (whole.failed, whole.complete) == (True, False)


def test_a_response_in_place_of_events_is_read() -> None:
    """Some servers do not stream what they were asked to."""
    stream = tally()
    data = json.dumps(response(text("Hi"))).encode()
    assert fed(stream, cut(data, [5])) == b""
    assert (stream.complete, stream.output_text(), stream.reported()) == (True, "Hi", REPORTED)
    assert stream.tail() == data


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_large_event_is_read_like_a_small_one(size: int) -> None:
    """Its long strings are text as well."""
    call = CALL | {"arguments": "y" * size}
    reply = response(text("x" * size), call)
    for read in (streamed(event("response.completed", response=reply)), read_whole(reply)):
        assert (read.complete, len(read.output_text())) == (True, 2 * size + len("look_up"))
    assert ResponseReader()(b'{"output": [' + b"1," * 400_000 + b"1]}") is None


def sighted(reply: Tally) -> Sighting | None:
    assert isinstance(reply, ResponseStream | ResponseWhole)
    return reply.sighting


def test_a_response_that_has_ended_is_told_with_its_items() -> None:
    """Later requests may name them; before the end there is nothing to name."""
    expected = Sighting("resp_1", "complete", within=("rs_1", "msg_1", "fc_1"))
    assert sighted(streamed(*STREAM)) == expected
    assert sighted(read_whole(response(REASONING, text("Hello there."), CALL))) == expected
    assert sighted(streamed(*STREAM[:-1])) is None


def test_of_a_response_no_more_items_are_kept_than_are_bounded() -> None:
    """Each is a row of the account's, whatever an upstream answers with."""
    items = [text("x") | {"id": f"msg_{number}"} for number in range(KEPT_MAX + 1)]
    told = sighted(read_whole(response(*items)))
    assert told is not None
    assert told.within == tuple(item["id"] for item in items[:KEPT_MAX])


@pytest.mark.parametrize("id_", [None, 7, "", "a/b", "x" * 300, ".."])
def test_an_id_that_can_be_none_is_not_told(id_: object) -> None:
    assert sighted(read_whole(response(text("x"), id=id_))) is None
    item = text("x") | {"id": id_}
    assert sighted(read_whole(response(item))) == Sighting("resp_1", "complete")


def test_a_response_that_is_not_kept_is_not_told() -> None:
    body = {"model": "m", "input": "Hi", "store": False}
    whole = ENDPOINTS["/v1/responses"].read(json.dumps(body).encode()).tally()
    whole.feed(json.dumps(response(text("x"))).encode())
    assert whole.complete
    assert sighted(whole) is None


STANDS = [
    {"type": "reasoning", "id": "rs_2", "summary": []},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "container_id": "cntr_1", "outputs": None},
    {"type": "shell_call", "id": "sh_1", "action": {}, "environment": {"container_id": "cntr_2"}},
]
"""Items that stand for more than they show."""


def test_what_items_stand_for_is_told_whether_the_response_is_kept_or_not() -> None:
    """Requests have to name it by its id in either case; a response that is not kept has no other name."""
    reply = response(REASONING, *STANDS, text("x"))
    kept = sighted(read_whole(reply))
    assert kept is not None
    assert set(kept.within) == {"rs_1", "msg_1", "rs_2", "ws_1", "ci_1", "sh_1", "cntr_1", "cntr_2"}
    body = {"model": "m", "input": "Hi", "store": False}
    whole = ENDPOINTS["/v1/responses"].read(json.dumps(body).encode()).tally()
    whole.feed(json.dumps(reply).encode())
    assert whole.complete
    told = Sighting("", "complete", within=("rs_2", "ws_1", "ci_1", "cntr_1", "cntr_2"))
    assert sighted(whole) == told
