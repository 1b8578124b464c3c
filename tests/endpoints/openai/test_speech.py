"""Speech: characters or tokens are held and charged, and sound passes as it comes but for its last piece."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import ForwardPlan, Reading
from proxy.endpoints.openai.speech import FRAME_TOKENS, INPUT_BYTES_MAX, SpeechAsk
from proxy.endpoints.openai.spoken import PCM_BYTES_A_SECOND, TOKENS_A_SECOND
from proxy.endpoints.reading.body import LARGE_BYTES
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from tests.endpoints.events import cut, event, fed
from tests.metering.test_sounds import FRAME, wav

LEAST = {"model": "tts-1", "input": "Hall\u00f6chen", "voice": "alloy"}


def read(data: bytes) -> SpeechAsk:
    ask = ENDPOINTS["/v1/audio/speech"].read(data)
    assert isinstance(ask, SpeechAsk)
    return ask


def asked(**members: Any) -> SpeechAsk:
    return read(json.dumps(LEAST | members).encode())


def test_a_text_is_held_by_its_characters_or_by_its_tokens() -> None:
    """The rate card decides which; the sound is what the card says that a call can produce."""
    ceiling = asked(instructions="Soft").ceiling()
    assert ceiling.fixed == {"characters": 13, "input_tokens": 14 + FRAME_TOKENS}
    assert (ceiling.elastic, ceiling.bound, ceiling.firm, ceiling.either) == (
        "output_tokens",
        None,
        True,
        True,
    )
    exact = asked(input="word " * 100).ceiling_exact().fixed
    assert exact["characters"] == 500
    assert exact["input_tokens"] < 110 + FRAME_TOKENS
    assert asked(input="word " * 100).estimate("m")["characters"] == 500


@pytest.mark.parametrize(
    "text", ["\u00e4" * 50_000, 'a"b\n' * 20_000, "\U0001f600" * 9_000, "\ud800" * 70_000]
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_characters_are_counted_however_the_text_is_written(text: str, ascii_only: bool) -> None:
    """A long text is measured as what it says, and not by its escapes."""
    if not ascii_only and not text.isascii() and "\ud800" in text:
        return
    body = json.dumps(LEAST | {"input": text}, ensure_ascii=ascii_only).encode()
    assert read(body).ceiling().fixed["characters"] == len(text)
    assert read(body).ceiling_exact().fixed["characters"] == len(text)


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("input", {"input": None}),
    ("input", {"input": ["a"]}),
    ("input", {"input": "a" * INPUT_BYTES_MAX}),
    ("instructions", {"instructions": {"a": "b"}}),
    ("instructions", {"instructions": "a" * (INPUT_BYTES_MAX + 1)}),
    ("stream_format", {"stream_format": "SSE"}),
    ("response_format", {"response_format": 7}),
    ("model", {"model": ""}),
]


@pytest.mark.parametrize(("param", "members"), REFUSED)
def test_what_cannot_be_bounded_is_refused_by_name(param: str, members: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        asked(**members)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


def test_a_body_goes_up_as_it_came_but_for_the_name_of_the_model() -> None:
    sent = json.loads(asked().forward_body(ForwardPlan("other", 7)))
    assert sent == LEAST | {"model": "other"}


SOUND = wav(1)


@given(st.lists(st.integers(1, len(SOUND)), max_size=8))
def test_sound_passes_but_for_its_last_piece(places: list[int]) -> None:
    """However it is cut, it is whole only with what waits for the settle."""
    tally = asked(response_format="wav").tally()
    passed = fed(tally, cut(SOUND, places))
    tally.finish()
    kept = tally.tail()
    assert kept
    assert passed + kept == SOUND
    assert (tally.complete, tally.failed, tally.reported()) == (True, False, None)
    assert tally.produced(0, "m")["output_tokens"] == TOKENS_A_SECOND


@pytest.mark.parametrize(
    ("response_format", "sound", "tokens"),
    [
        ("pcm", bytes(3 * PCM_BYTES_A_SECOND), 60),
        ("wav", SOUND, 20),
        ("mp3", FRAME * 383, 200),
        ("opus", b"OggS" + bytes(15_996), 40),
    ],
)
def test_sound_without_a_usage_takes_the_tokens_of_its_seconds(
    response_format: str, sound: bytes, tokens: int
) -> None:
    tally = asked(response_format=response_format).tally()
    sizes = []
    for chunk in cut(sound, range(0, len(sound), 5_000)):
        tally.feed(chunk)
        sizes.append(tally.produced_size)
    assert sizes == sorted(sizes)
    assert sizes[-1] == pytest.approx(tokens, abs=1)
    assert tally.produced(0, "m") == {"output_tokens": sizes[-1], "output_audio_tokens": sizes[-1]}


def test_no_sound_is_no_answer() -> None:
    tally = asked().tally()
    tally.finish()
    assert (tally.complete, tally.tail()) == (False, b"")


def test_an_error_in_place_of_sound_is_one_and_has_produced_nothing() -> None:
    tally = asked().tally()
    assert tally.feed(b'{"error": {"message": "No"}}') == b""
    tally.finish()
    assert (tally.failed, tally.complete, tally.produced_size) == (True, False, 0)


@pytest.mark.parametrize("sound", [b"{not json", b'{"a": 1}', b"{" + bytes(LARGE_BYTES)])
def test_samples_that_begin_like_json_are_sound(sound: bytes) -> None:
    tally = asked(response_format="pcm").tally()
    tally.feed(sound)
    tally.finish()
    assert (tally.failed, tally.complete) == (False, True)


def delta(sound: bytes, **more: object) -> bytes:
    return event({"type": "speech.audio.delta", "audio": base64.b64encode(sound).decode(), **more})


USAGE = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
END = event({"type": "speech.audio.done", "usage": USAGE})
EVENTS = [delta(SOUND[:9_000]), delta(SOUND[9_000:]), END]
STREAM = b"".join(EVENTS)
REPORTED = Reading({"input_tokens": 14, "output_tokens": 101, "output_audio_tokens": 101})


@given(st.lists(st.integers(0, len(STREAM)), max_size=8), st.booleans())
def test_events_of_sound_are_read_wherever_chunks_end(places: list[int], keep: bool) -> None:
    """All output is sound; the end waits for the settle."""
    tally = asked(stream_format="sse", response_format="wav").tally(keep_usage=keep)
    passed = fed(tally, cut(STREAM, places))
    assert passed == STREAM.removesuffix(END)
    assert (tally.complete, tally.failed, tally.anomalies) == (True, False, 0)
    assert tally.reported() == REPORTED
    assert tally.tail() == END


@pytest.mark.parametrize("count", range(3))
def test_events_that_break_off_are_counted_by_how_long_they_sound(count: int) -> None:
    tally = asked(stream_format="sse", response_format="wav").tally()
    fed(tally, EVENTS[:count])
    assert (tally.complete, tally.reported(), tally.has_data) == (False, None, count > 0)
    assert tally.produced_size == tally.produced(0, "m")["output_tokens"]
    assert tally.produced_size == (0, 6, 20)[count]


def test_a_large_event_is_read_by_its_length() -> None:
    sound = bytes(40 * PCM_BYTES_A_SECOND)
    tally = asked(stream_format="sse", response_format="pcm").tally()
    fed(tally, [delta(sound, obfuscation="x"), END])
    assert tally.produced(0, "m")["output_audio_tokens"] == 40 * TOKENS_A_SECOND
    assert tally.complete


@pytest.mark.parametrize(
    "odd",
    [
        event({"type": "speech.audio.delta", "audio": 7}),
        event({"type": "speech.audio.delta"}),
        event({"type": "speech.audio.delta", "audio": "*" * 4_096}),
        b": alive\n\n",
        b"data: nonsense\n\n",
    ],
)
def test_odd_events_keep_nothing_from_being_read(odd: bytes) -> None:
    tally = asked(stream_format="sse").tally()
    fed(tally, [odd, END])
    reading = tally.reported()
    assert reading is not None
    assert (reading.usage, tally.complete) == (REPORTED.usage, True)


def test_an_event_that_is_nested_too_deeply_does_not_pass() -> None:
    with pytest.raises(Refusal) as refused:
        asked(stream_format="sse").tally().feed(b"data: " + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"\n\n")
    assert refused.value.code == "upstream_invalid"


def test_an_error_within_events_is_one() -> None:
    tally = asked(stream_format="sse").tally()
    fed(tally, [EVENTS[0], event({"error": {"message": "No"}})])
    assert (tally.failed, tally.complete) == (True, False)
