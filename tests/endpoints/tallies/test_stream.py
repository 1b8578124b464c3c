"""A streamed reply passes untouched and at once; what it used and whether it is whole is read on the way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.produced import Echo
from proxy.endpoints.tallies.stream import StreamTally
from tests.endpoints.events import DONE, cut, delta, event, fed, usage, usage_event

HELLO = [delta("", role="assistant"), delta("Hel"), delta("lo"), delta(finish="stop")]


def test_events_pass_at_once_and_done_waits() -> None:
    tally = StreamTally()
    for chunk in (*HELLO, usage_event(7, 3)):
        assert tally.feed(chunk) == chunk
    assert tally.feed(DONE) == b""
    assert tally.complete
    assert not tally.failed
    assert tally.tail() == DONE
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})
    assert tally.output_text() == "Hello"
    assert tally.produced_size == 5


def test_all_that_follows_done_waits_too() -> None:
    tally = StreamTally()
    late = delta("too late")
    assert tally.feed(DONE + late + b"rest") == b""
    assert tally.feed(late) == b""
    assert tally.tail() == DONE + late + b"rest" + late
    assert tally.output_text() == ""


@pytest.mark.parametrize("end", [b"\n\n", b"\n"])
@pytest.mark.parametrize("places", [[], [20], [25, 40, 60]])
def test_usage_that_follows_done_counts(end: bytes, places: list[int]) -> None:
    """What else is there has no say: the answer had ended."""
    late = delta("more") + DONE + event({"choices": [], "usage": usage(7, 3)}, end)
    tally = StreamTally(swallow_usage=True)
    assert fed(tally, [*HELLO, *cut(DONE + late, places)]) == b"".join(HELLO)
    assert tally.complete
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})
    assert (tally.output_text(), tally.anomalies) == ("Hello", 0)
    assert tally.tail() == DONE + late


def test_the_usage_event_is_swallowed_if_nobody_asked_for_it() -> None:
    tally = StreamTally(swallow_usage=True)
    assert fed(tally, [*HELLO, usage_event(7, 3), DONE]) == b"".join(HELLO)
    assert tally.tail() == DONE
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})


@pytest.mark.parametrize(
    "passes",
    [
        # Azure begins with the results of its filters, and no choices yet.
        event({"id": "", "choices": [], "prompt_filter_results": [{}], "model": "", "object": ""}),
        event({"choices": [], "usage": None}),
        event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": usage()}),
        event({"choices": [{"index": 0, "content_filter_offsets": {}}]}),
        event({"usage": usage()}),
        event({}),
        b": OPENROUTER PROCESSING\n\n",
        b"\n\n",
        b"event: ping\n\n",
        b"data: not JSON\n\n",
    ],
)
def test_only_the_event_that_is_nothing_but_usage_is_swallowed(passes: bytes) -> None:
    tally = StreamTally(swallow_usage=True)
    assert tally.feed(passes) == passes


def test_usage_in_every_event_is_cumulative_and_never_added_up() -> None:
    events = [
        event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": usage(7, count)})
        for count in range(1, 6)
    ]
    tally = StreamTally()
    assert fed(tally, events) == b"".join(events)
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 5})


def test_usage_inside_of_what_the_client_wrote_does_not_count() -> None:
    planted = {"usage": usage(0, 0), "error": {"message": "x"}, "choices": []}
    events = [
        event({"choices": [{"index": 0, "delta": {"content": json.dumps(planted), "usage": usage(1, 1)}}]}),
        event({"choices": [], "metadata": planted, "tools": [planted]}),
    ]
    tally = StreamTally(swallow_usage=True)
    assert fed(tally, events) == b"".join(events)
    assert tally.reported() is None
    assert not tally.failed


def test_groq_reports_in_a_member_of_its_own() -> None:
    tally = StreamTally()
    tally.feed(event({"choices": [], "x_groq": {"id": "r", "usage": usage(7, 3)}}))
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})


@pytest.mark.parametrize(
    ("added", "text"),
    [
        ({"content": "a", "refusal": "b"}, "ab"),
        ({"reasoning_content": "think"}, "think"),
        ({"reasoning": "think"}, "think"),
        ({"reasoning": "think", "reasoning_content": "think"}, "think"),
        ({"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": '{"a":'}}]}, 'look{"a":'),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}, {"index": 1}]}, "1}"),
        ({"tool_calls": [{"type": "custom", "custom": {"name": "run", "input": "ls"}}]}, "runls"),
        ({"function_call": {"name": "look", "arguments": "{}"}}, "look{}"),
        ({"audio": {"id": "a", "expires_at": 1, "transcript": "spoken"}}, "spoken"),
        ({"content": None, "tool_calls": None, "audio": None}, ""),
        # What no type allows is read as far as it can be.
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, "hm"),
        ({"content": "a", "refusal": 7}, "a"),
        ({"content": {"text": "a"}}, "a"),
        ({"tool_calls": [{"function": {"name": "look", "arguments": {"a": 1}}}]}, 'look{"a": 1}'),
        ({"tool_calls": [None, {"function": "x"}], "content": "a"}, "ax"),
        ({"tool_calls": {}, "function_call": "x", "audio": [], "content": "a"}, "ax"),
    ],
)
def test_all_text_that_is_produced_counts(added: dict[str, Any], text: str) -> None:
    tally = StreamTally()
    chunk = event({"choices": [{"index": 0, "delta": added}]})
    assert tally.feed(chunk) == chunk
    assert tally.output_text() == text
    assert tally.produced_size == len(text)
    assert tally.anomalies == 0


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[{"index":0,"delta":{"content":"a\\ud83d"},"logprobs":NaN}]}',
        b'{"choices":[{"index":0,"delta":{"content":"a\xff\xff"}}]}',
        b'{"choices":[{"index":"x","delta":{"content":"ab"},"finish_reason":7}]}',
        b'{"choices":[null,{"delta":{"content":"ab"}}],"object":7,"type":[]}',
        b'{"choices":[{"index":123456789012345678901234567890,"delta":{"content":"ab"}}]}',
    ],
)
def test_an_event_that_is_odd_somewhere_still_counts(data: bytes) -> None:
    tally = StreamTally()
    assert tally.feed(b"data: " + data + b"\n\n") == b"data: " + data + b"\n\n"
    assert tally.output_text().startswith("a")
    assert tally.produced_size >= 2
    assert (tally.anomalies, tally.failed) == (0, False)


@pytest.mark.parametrize("data", [b"ping", b"[1]", b"7", b'"x"', b"null", b"{", b"", b'{"a":[['])
def test_data_that_is_no_json_object_passes_and_is_an_anomaly(data: bytes) -> None:
    tally = StreamTally()
    chunk = b"data: " + data + b"\n\n"
    assert tally.feed(chunk) == chunk
    assert tally.anomalies == 1
    tally.feed(usage_event(7, 3))
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3}, 1)


def test_a_character_that_came_in_two_halves_is_put_together() -> None:
    tally = StreamTally()
    for half in (b"\\ud83d", b"\\ude00"):
        tally.feed(b'data: {"choices":[{"delta":{"content":"' + half + b'"}}]}\n\n')
    assert tally.output_text() == "\N{GRINNING FACE}"
    assert tally.produced_size >= 4


ERRORS = [
    event({"error": {"message": "overloaded", "type": "server_error", "code": None}}),
    event({"object": "error", "message": "out of memory", "code": 500}),
    event({"type": "error", "code": "x", "message": "y"}),
    event({"choices": [], "x_groq": {"error": "over capacity"}}),
    event({"error": {"code": 502}, "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}),
    event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}),
    b'event: error\ndata: {"message": "bad"}\n\n',
]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_within_the_stream_passes_and_is_no_success_even_with_done(error: bytes) -> None:
    tally = StreamTally()
    assert fed(tally, [delta("Hel"), error, DONE]) == delta("Hel") + error
    assert tally.failed
    assert not tally.complete
    assert tally.tail() == DONE
    assert tally.output_text() == "Hel"


@pytest.mark.parametrize(
    ("events", "complete"),
    [
        ([], False),
        ([delta("x")], False),
        ([delta("x"), DONE], True),
        ([DONE], True),
        ([delta("x"), delta(finish="stop")], True),
        ([delta("x"), delta(finish="stop"), usage_event()], True),
        ([delta("x"), delta("y", index=1), delta(finish="stop")], False),
        ([delta("x"), delta("y", index=1), delta(finish="stop"), delta(index=1, finish="length")], True),
        ([delta("x", finish="stop"), delta("", index=0)], True),
        ([usage_event()], False),
        ([b": keep-alive\n\n"], False),
    ],
)
def test_a_stream_is_complete_with_done_or_when_every_choice_has_ended(
    events: list[bytes], complete: bool
) -> None:
    tally = StreamTally()
    fed(tally, events)
    assert tally.complete is complete


def test_the_answers_to_several_choices_are_kept_apart() -> None:
    tally = StreamTally()
    fed(tally, [delta("Hel"), delta("By", index=1), delta("lo"), delta("e", index=1)])
    assert tally.output_text() == "HelloBye"
    assert tally.produced_size == 8


@pytest.mark.parametrize("last", [DONE, usage_event(7, 3), delta(finish="stop"), delta("x"), ERRORS[0]])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_last_event_counts_without_its_empty_line(last: bytes, missing: int) -> None:
    """Its bytes wait all the same: they would complete the reply."""
    whole, short = StreamTally(), StreamTally()
    passed = fed(whole, [delta("x"), last]) + whole.tail()
    assert fed(short, [delta("x"), last[:-missing]]) + short.tail() == passed[:-missing]
    assert short.complete == whole.complete
    assert short.failed == whole.failed
    assert short.reported() == whole.reported()
    assert short.output_text() == whole.output_text()


def test_an_event_that_broke_off_is_kept_and_is_no_anomaly() -> None:
    tally = StreamTally()
    half = delta("lo")[:20]
    assert fed(tally, [delta("Hel"), half]) == delta("Hel")
    assert not tally.complete
    assert tally.anomalies == 0
    assert tally.tail() == half


def test_what_waits_for_the_end_of_its_event_is_pending() -> None:
    tally = StreamTally()
    tally.feed(HELLO[1][:9])
    assert tally.pending_bytes == 9
    tally.feed(HELLO[1][9:])
    assert tally.pending_bytes == 0


def test_an_image_of_twenty_megabytes_in_one_event() -> None:
    url = "data:image/png;base64," + "iVBORw0K" * 2_500_000
    big = delta("Here", images=[{"type": "image_url", "image_url": {"url": url}}])
    tally = StreamTally()
    assert fed(tally, [big[at : at + 65_536] for at in range(0, len(big), 65_536)]) == big
    assert tally.output_text() == "Here"
    assert tally.anomalies == 0


def test_text_of_twenty_megabytes_in_one_event_is_all_there() -> None:
    """Even text that looks like an image, beside a lone surrogate or a NaN."""
    text = "QUJD" * 5_000_000
    for more in (b"", b',"x":"\\ud800"', b',"x":NaN', b',"x":"\xff"'):
        tally = StreamTally()
        tally.feed(b'data: {"choices":[{"delta":{"content":"' + text.encode() + b'"}}]' + more + b"}\n\n")
        assert tally.produced_size == len(text)
        is_all_there = str(tally.output_text()) == text
        assert is_all_there


def test_an_echo_of_the_prompt_is_no_output() -> None:
    tally = StreamTally(echo=Echo((b"Once upon",), choices=2))
    fed(tally, [event({"choices": [{"index": 0, "text": "Once"}, {"index": 1, "text": "Once upon"}]})])
    assert (tally.output_text(), tally.produced_size) == ("", 0)
    fed(tally, [event({"choices": [{"index": 0, "text": " upon a"}, {"index": 1, "text": " a time"}]})])
    assert tally.output_text() == " a a time"
    assert tally.produced_size == 9


def test_without_an_echo_all_text_is_output() -> None:
    tally = StreamTally(echo=Echo((b"Once upon",)))
    fed(tally, [event({"choices": [{"index": 0, "text": "Twice"}, {"index": 5, "text": "x"}]})])
    assert tally.output_text() == "Twicex"


PIECES = st.one_of(
    st.builds(delta, st.text(max_size=5), index=st.integers(0, 2)),
    st.builds(delta, index=st.integers(0, 2), finish=st.sampled_from(["stop", "length", "tool_calls"])),
    st.builds(usage_event, st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from([DONE, *ERRORS]),
    st.sampled_from(
        [b": keep-alive\n\n", b"\n", b"\n\n", b"data: nonsense\n\n", b'data: {"a":\ndata: 1}\n\n']
    ),
)
STREAMS = st.builds(
    lambda pieces, end, cut_off: b"".join(pieces).replace(b"\n", end)[: -cut_off or None],
    st.lists(PIECES, max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.integers(0, 5),
)
PLACES = st.lists(st.integers(0, 5_000), max_size=10)


def findings(tally: StreamTally, chunks: list[bytes], cost: str | None = None) -> tuple[object, ...]:
    sent = fed(tally, chunks)
    return (
        sent + tally.tail(cost),
        tally.reported(),
        tally.complete,
        tally.failed,
        tally.anomalies,
        tally.output_text(),
        tally.produced_size,
    )


@given(STREAMS, PLACES, st.booleans(), st.booleans(), st.sampled_from([None, "0.01"]))
def test_nothing_depends_on_where_chunks_end(
    stream: bytes, places: list[int], swallow: bool, keep: bool, cost: str | None
) -> None:
    def tally() -> StreamTally:
        return StreamTally(swallow_usage=swallow, keep_usage=keep)

    whole = findings(tally(), [stream], cost)
    assert findings(tally(), cut(stream, places), cost) == whole
    assert findings(tally(), [stream[at : at + 1] for at in range(len(stream))], cost) == whole


@given(STREAMS, PLACES, st.booleans())
def test_the_client_gets_every_byte(stream: bytes, places: list[int], keep: bool) -> None:
    tally = StreamTally(keep_usage=keep)
    assert fed(tally, cut(stream, places)) + tally.tail() == stream


@given(st.lists(PIECES, max_size=12), PLACES)
def test_the_client_gets_every_byte_but_the_swallowed_events(pieces: list[bytes], places: list[int]) -> None:
    tally = StreamTally(swallow_usage=True)
    stream = b"".join(pieces)
    ended = pieces.index(DONE) if DONE in pieces else len(pieces)
    kept = [
        piece for at, piece in enumerate(pieces) if at > ended or b'"choices": [], "usage": {' not in piece
    ]
    # A line end alone becomes part of the event after it, and is swallowed with it.
    sent = fed(tally, cut(stream, places)) + tally.tail()
    if b"\n" not in pieces:
        assert sent == b"".join(kept)
    assert sent.replace(b"\n", b"") == b"".join(kept).replace(b"\n", b"")


@given(st.lists(PIECES, min_size=1, max_size=8))
def test_done_never_passes_before_the_tail(pieces: list[bytes]) -> None:
    tally = StreamTally()
    assert b"[DONE]" not in fed(tally, pieces)


@pytest.mark.parametrize("events", range(len(HELLO) + 3))
def test_a_stream_cut_after_any_event_counts_what_was_produced(events: int) -> None:
    stream = [*HELLO, usage_event(7, 3), DONE]
    tally = StreamTally(swallow_usage=True)
    fed(tally, stream[:events])
    assert tally.output_text() == "Hello"[: [0, 0, 3, 5, 5, 5, 5][events]]
    assert tally.complete is (events >= 4)
    assert (tally.reported() is not None) is (events >= 5)
