"""Answers of models that listen: seconds or tokens are read from them, or counted from file and text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import Reading, Tally
from proxy.endpoints.openai.transcriptions import TOKENS_SAID_A_SECOND, TranscriptionAsk
from proxy.endpoints.reading.body import LARGE_BYTES
from proxy.endpoints.registry import ENDPOINTS
from tests.endpoints.events import DONE, cut, event, fed
from tests.endpoints.forms import HEADERS, form_of
from tests.metering.test_sounds import m4a, wav

TOKENS = {"type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 4, "audio_tokens": 10}}
TOKENS |= {"output_tokens": 45, "total_tokens": 59}
REPORTED = {"input_tokens": 14, "input_audio_tokens": 10, "output_tokens": 45}
SECONDS = {"type": "duration", "seconds": 8.47}


def asked(**members: Any) -> TranscriptionAsk:
    body = form_of({"file": wav(10), "model": "m", **members})
    ask = ENDPOINTS["/v1/audio/transcriptions"].read(body, HEADERS)
    assert isinstance(ask, TranscriptionAsk)
    return ask


def heard(data: bytes, **members: Any) -> Tally:
    tally = asked(**members).tally()
    assert fed(tally, cut(data, [3, 9])) == b""
    tally.finish()
    assert tally.tail() == data
    return tally


def heard_json(reply: object, **members: Any) -> Tally:
    return heard(json.dumps(reply).encode(), **members)


@pytest.mark.parametrize(
    ("reply", "usage"),
    [
        ({"text": "Hi", "usage": TOKENS}, REPORTED),
        ({"text": "Hi", "usage": SECONDS}, {"audio_seconds": 9}),
        ({"text": "Hi", "usage": {"type": "duration", "seconds": "8.47"}}, {"audio_seconds": 9}),
        (
            {"text": "Hi", "duration": 8.47, "language": "en", "segments": [{"text": "Hi"}]},
            {"audio_seconds": 9},
        ),
        ({"text": "Hi", "duration": 60.5, "usage": SECONDS}, {"audio_seconds": 61}),
        (
            {"text": "Hi", "task": "transcribe", "duration": 2, "usage": TOKENS},
            REPORTED | {"audio_seconds": 2},
        ),
        (
            {"text": "Hi", "usage": {"prompt_audio_seconds": 4, "prompt_tokens": 7, "completion_tokens": 3}},
            {"audio_seconds": 4, "input_tokens": 7, "output_tokens": 3},
        ),
        ({"text": "", "usage": SECONDS}, {"audio_seconds": 9}),
    ],
)
def test_what_an_answer_reports_is_read(reply: dict[str, Any], usage: dict[str, int]) -> None:
    """Tokens, seconds, or how long the sound was; seconds are rounded up."""
    tally = heard_json(reply)
    assert (tally.complete, tally.failed) == (True, False)
    assert tally.reported() == Reading(usage)
    assert tally.output_text() == reply["text"]


@pytest.mark.parametrize(
    "seconds", [-1, 10**9, "many", [], {"seconds": 3}, True, float("inf"), "9" * 50, "1e3"]
)
def test_absurd_seconds_are_none_and_are_noted(seconds: object) -> None:
    tally = heard_json({"text": "Hi", "duration": seconds, "usage": {"seconds": seconds}})
    assert (tally.reported(), tally.anomalies, tally.complete) == (None, 1, True)


def test_a_usage_that_somebody_said_or_planted_is_not_read() -> None:
    """Only that at the top level of the answer counts, whatever a text or a segment holds."""
    planted = {"usage": {"seconds": 1}, "duration": 1}
    reply = {"text": json.dumps(planted), "segments": [planted], "words": planted}
    assert heard_json(reply).reported() is None
    said = heard(
        json.dumps({"error": {"message": "Free"}, "usage": SECONDS}).encode(), response_format="text"
    )
    assert (said.complete, said.failed, said.reported()) == (True, False, None)


PLAIN = {
    "text": b"Hello there.\n",
    "srt": b"1\n00:00:00,000 --> 00:00:04,000\nHello there.\n",
    "vtt": b"WEBVTT\n\n00:00.000 --> 00:04.000\nHello there.\n",
}


@pytest.mark.parametrize(("response_format", "reply"), PLAIN.items())
def test_plain_text_is_whole_and_charged_by_the_file(response_format: str, reply: bytes) -> None:
    ask = asked(response_format=response_format)
    estimate = ask.estimate("m")
    tally = ask.tally(keep_usage=True)
    assert fed(tally, [reply]) == b""
    tally.finish()
    assert (tally.complete, tally.failed, tally.reported()) == (True, False, None)
    assert tally.produced(4, "m") == {"output_tokens": 4, "audio_seconds": 10}
    assert estimate["audio_seconds"] == 10
    assert tally.tail("0.01") == reply


@pytest.mark.parametrize("response_format", PLAIN)
def test_no_text_is_the_whole_answer_of_a_silence(response_format: str) -> None:
    assert heard(b"", response_format=response_format).complete
    assert not heard(b"", response_format="json").complete


@pytest.mark.parametrize(
    ("response_format", "reply", "seconds"),
    [
        ("text", b"word " * 6_000, -(-6_000 // TOKENS_SAID_A_SECOND)),
        ("json", b'{"text":"%b"}' % (b"word " * 6_000), -(-6_000 // TOKENS_SAID_A_SECOND)),
        ("srt", PLAIN["srt"] + b"2\n01:00:00,500 --> 01:00:02,500\nBye.\n", 3_573),
        ("vtt", PLAIN["vtt"] + b"\n59:58.000 --> 59:59.900\nBye --> you.\n", 3_570),
    ],
)
def test_no_more_is_said_than_fits_into_the_seconds_that_are_charged(
    response_format: str, reply: bytes, seconds: int
) -> None:
    """A file whose header says one second is charged for the hour whose text it gave."""
    ask = asked(response_format=response_format, file=m4a(1_000, 1_000) + bytes(10**6))
    assert ask.estimate("m")["audio_seconds"] < seconds
    tally = ask.tally()
    tally.feed(reply)
    tally.finish()
    assert tally.produced(6_000, "m")["audio_seconds"] == seconds


@pytest.mark.parametrize("stream", [True, False])
def test_reported_tokens_tell_the_least_seconds_of_a_file_whose_header_lies(stream: bool) -> None:
    """Where seconds are charged and tokens are reported; a WAV and an MP3 are measured, and cannot lie."""
    many = TOKENS | {"output_tokens": 6_000, "total_tokens": 6_014}
    reply = done(usage=many) if stream else json.dumps({"text": "Hi", "usage": many}).encode()
    for sound, seconds in (
        (m4a(1_000, 1_000) + bytes(10**6), 120),
        (wav(1), None),
        (m4a(200_000, 1_000) + bytes(10**6), None),
    ):
        tally = asked(stream=stream, file=sound).tally()
        fed(tally, [reply])
        tally.finish()
        reading = tally.reported()
        assert reading is not None
        assert reading.usage.get("audio_seconds") == seconds
        assert reading.inferred == ({"audio_seconds": "counted"} if seconds else {})


@pytest.mark.parametrize("reply", [{"error": {"message": "No"}}, {"error": "No"}, {"text": "x", "error": 1}])
def test_an_error_in_place_of_a_transcript_is_one(reply: object) -> None:
    tally = heard_json(reply)
    assert (tally.complete, tally.failed) == (False, True)


@pytest.mark.parametrize("data", [b"Hello", b"[]", b"", b'{"text":', b"<html>", b"[" * 100_000])
def test_what_is_no_json_is_no_answer_where_json_was_asked_for(data: bytes) -> None:
    assert not heard(data).complete


def test_a_large_answer_is_read_by_what_matters() -> None:
    """Words and segments are many, and say again what the text says."""
    words = [{"word": "word", "start": at, "end": at + 1} for at in range(300_000)]
    text = "word " * LARGE_BYTES
    tally = heard_json({"words": words, "text": text, "duration": 7.5, "logprobs": [[[0]]] * 9})
    assert (tally.reported(), tally.complete) == (Reading({"audio_seconds": 8}), True)
    assert tally.produced_size == len(text)


def delta(text: str, **more: object) -> bytes:
    return event({"type": "transcript.text.delta", "delta": text, **more})


def segment(text: str) -> bytes:
    return event(
        {
            "type": "transcript.text.segment",
            "id": "seg_1",
            "start": 0.0,
            "end": 1.5,
            "speaker": "A",
            "text": text,
        }
    )


def done(text: str = "Hello there", usage: object = TOKENS) -> bytes:
    return event({"type": "transcript.text.done", "text": text, "usage": usage})


EVENTS = [delta("Hel", logprobs=[{"token": "Hel", "logprob": -1, "bytes": [72]}]), delta("lo there"), done()]
STREAM = b"".join(EVENTS)


def test_events_pass_at_once_and_the_end_waits() -> None:
    tally = asked(stream=True).tally()
    assert [tally.feed(one) for one in EVENTS] == [EVENTS[0], EVENTS[1], b""]
    assert (tally.done, tally.complete, tally.failed) == (True, True, False)
    assert tally.reported() == Reading(REPORTED)
    assert (tally.output_text(), tally.tail(), tally.anomalies) == ("Hello there", EVENTS[2], 0)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8), st.booleans())
def test_nothing_depends_on_where_chunks_end(places: list[int], keep: bool) -> None:
    tally = asked(stream=True).tally(keep_usage=keep)
    passed = fed(tally, cut(STREAM, places))
    assert passed + tally.tail() == STREAM
    assert (tally.reported(), tally.output_text()) == (Reading(REPORTED), "Hello there")


def test_the_cost_is_in_the_last_event_for_who_wants_it() -> None:
    tally = asked(stream=True).tally(keep_usage=True)
    assert fed(tally, EVENTS) == b"".join(EVENTS[:2])
    last = json.loads(tally.tail("0.01").removeprefix(b"data: "))
    assert last == {"type": "transcript.text.done", "text": "Hello there", "usage": TOKENS | {"cost": "0.01"}}


@pytest.mark.parametrize(
    "events",
    [
        [delta("Hello there"), segment("Hello there"), done()],
        [segment("Hello "), segment("there"), done()],
        [done()],
        [delta("Hello there"), done(), DONE],
        [b": alive\n\n", delta("Hello there"), done()],
    ],
)
def test_what_is_told_twice_counts_once(events: list[bytes]) -> None:
    """Deltas, segments and the end may each have the whole text."""
    tally = asked(stream=True).tally()
    fed(tally, events)
    assert (tally.output_text(), tally.complete) == ("Hello there", True)


@pytest.mark.parametrize("count", range(3))
def test_a_stream_that_breaks_off_is_not_whole(count: int) -> None:
    tally = asked(stream=True).tally()
    fed(tally, EVENTS[:count])
    assert (tally.complete, tally.reported()) == (False, None)
    assert "Hello there".startswith(tally.output_text())


def test_an_error_within_a_stream_is_one() -> None:
    tally = asked(stream=True).tally()
    fed(tally, [EVENTS[0], event({"type": "error", "error": {"message": "No"}})])
    assert (tally.failed, tally.complete, tally.output_text()) == (True, False, "Hel")


def test_chunks_of_chats_are_read_as_such() -> None:
    """Some upstreams stream transcripts so."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2}
    chunks = [
        event({"object": "transcription.chunk", "choices": [{"delta": {"content": "Hello"}}]}),
        event({"object": "transcription.chunk", "choices": [{"delta": {}, "finish_reason": "stop"}]}),
        event({"object": "transcription.chunk", "choices": [], "usage": usage}),
        DONE,
    ]
    tally = asked(stream=True).tally()
    fed(tally, chunks)
    assert (tally.output_text(), tally.complete) == ("Hello", True)
    assert tally.reported() == Reading({"input_tokens": 9, "output_tokens": 2})


@pytest.mark.parametrize(
    ("response_format", "reply"),
    [("json", json.dumps({"text": "Hello", "usage": SECONDS}).encode()), *PLAIN.items(), ("text", b"")],
)
def test_a_model_that_cannot_stream_answers_in_one_piece(response_format: str, reply: bytes) -> None:
    tally = asked(stream=True, response_format=response_format).tally()
    passed = fed(tally, cut(reply, [4]))
    assert tally.complete
    assert passed + tally.tail() == reply
    assert tally.reported() == (Reading({"audio_seconds": 9}) if response_format == "json" else None)
