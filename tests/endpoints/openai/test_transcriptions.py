"""Requests for transcripts: what a sound can cost is bounded, and the form goes up as it came."""

import json
from typing import Any

import pytest

from proxy.endpoints.base import Ask, ForwardPlan
from proxy.endpoints.openai.transcriptions import FRAME_TOKENS, TOKENS_A_SECOND
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from proxy.metering.durations import LEAST_BYTES_A_SECOND
from proxy.metering.frames import FRAME_BYTES_A_SECOND
from tests.endpoints.forms import HEADERS, field, file, form, form_of
from tests.metering.test_sounds import Made, lying_wav, mp3, opus, wav

PATHS = ["/v1/audio/transcriptions", "/v1/audio/translations"]
TEN = wav(10)


def read(path: str = PATHS[0], **members: Any) -> Ask:
    return ENDPOINTS[path].read(form_of({"file": TEN, "model": "whisper-1", **members}), HEADERS)


@pytest.mark.parametrize("path", PATHS)
def test_a_sound_is_held_by_its_seconds_or_by_their_tokens(path: str) -> None:
    """The rate card decides which; the output is what the card says that a call can produce."""
    ceiling = read(path, prompt="Hall\u00f6chen").ceiling()
    tokens = 10 * TOKENS_A_SECOND + 10 + FRAME_TOKENS
    assert ceiling.fixed == {"audio_seconds": 10, "input_tokens": tokens}
    assert (ceiling.elastic, ceiling.bound, ceiling.firm, ceiling.either) == (
        "output_tokens",
        None,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("made", "held", "exact", "likely"),
    [
        (lambda: TEN, 10, 10, 10),
        (lying_wav, 3_600, 3_600, 3_600),
        (lambda: mp3(383), -(-383 * 417 // FRAME_BYTES_A_SECOND), 11, 11),
        (lambda: opus(48_000), -(-len(opus(48_000)) // LEAST_BYTES_A_SECOND), 5, 1),
        (lambda: b"\x1a\x45\xdf\xa3" + bytes(996), 2, 2, 1),
    ],
)
def test_what_is_held_is_told_by_the_bytes_and_never_by_a_header_alone(
    made: Made, held: int, exact: int, likely: int
) -> None:
    ask = read(file=made())
    assert ask.ceiling().fixed["audio_seconds"] == held
    assert ask.ceiling_exact().fixed["audio_seconds"] == exact
    assert ask.estimate("m")["audio_seconds"] == likely


def test_the_text_that_comes_with_a_sound_is_counted_exactly_where_that_matters() -> None:
    ask = read(prompt="word " * 400, keywords=["Rome", "Paris"])
    text_tokens = ask.ceiling_exact().fixed["input_tokens"] - 10 * TOKENS_A_SECOND - FRAME_TOKENS
    assert 400 < text_tokens < 410
    assert ask.ceiling().fixed["input_tokens"] > 2_000
    estimate = ask.estimate("m")
    assert estimate["input_tokens"] == 10 * TOKENS_A_SECOND + text_tokens
    assert estimate["input_audio_tokens"] == 10 * TOKENS_A_SECOND


def test_voices_for_comparison_are_sounds_as_well() -> None:
    voice = "data:audio/wav;base64," + "A" * 10 * LEAST_BYTES_A_SECOND
    ask = read(known_speaker_names=["a", "b"], known_speaker_references=[voice, voice])
    assert 30 <= ask.ceiling().fixed["audio_seconds"] <= 34


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("file", {"file": None}),
    ("file", {"file": "RIFF"}),
    ("file", {"file": b""}),
    ("file", {"file": b"#EXTM3U\nhttp://host/long.mp3"}),
    ("model", {"model": None}),
    ("model", {"model": "a\nb"}),
    ("model", {"model": b"whisper-1"}),
    ("stream", {"stream": "yes"}),
    ("response_format", {"response_format": "JSON"}),
    ("known_speaker_references", {"known_speaker_references": ["https://host/a.wav"]}),
    ("known_speaker_references", {"known_speaker_references": ["data:,"] * 17}),
]


@pytest.mark.parametrize(("param", "members"), REFUSED)
def test_what_cannot_be_bounded_is_refused_by_name(param: str, members: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        read(**members)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


def test_a_body_that_is_no_form_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        ENDPOINTS[PATHS[0]].read(json.dumps({"model": "m"}).encode(), [("content-type", "application/json")])
    assert (refused.value.code, refused.value.param) == ("invalid_value", "content-type")


def test_a_form_goes_up_as_it_came_but_for_the_name_of_the_model() -> None:
    """Fields may come after the file, which is not looked into."""
    parts = (file("file", TEN), field("model", "whisper-1"), field("stream", "true"))
    data = form(*parts)
    ask = ENDPOINTS[PATHS[0]].read(data, HEADERS)
    assert ask.stream
    assert ask.forward_body(ForwardPlan("whisper-1")) is data
    assert ask.forward_body(ForwardPlan("other", 7)) == form(parts[0], field("model", "other"), parts[2])


def test_who_it_is_for_is_told() -> None:
    assert read(user="u-1").end_user == "u-1"


@pytest.mark.parametrize("size", [0, 3, 200_000])
def test_a_sound_that_takes_long_to_measure_is_not_measured_on_the_loop(size: int) -> None:
    assert read(file=mp3(10) + bytes(size)).input_text_length() > size
