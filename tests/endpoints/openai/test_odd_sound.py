"""No answer about sound is so odd that it cannot be read, passed and charged."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.endpoints.base import Ask, Tally
from proxy.endpoints.registry import ENDPOINTS
from proxy.metering.usage import MAX_QUANTITY
from tests.endpoints.events import cut, event, fed
from tests.endpoints.forms import HEADERS, form_of
from tests.metering.test_sounds import wav


def hears(**members: object) -> Ask:
    body = form_of({"file": wav(1), "model": "m", **members})
    return ENDPOINTS["/v1/audio/transcriptions"].read(body, HEADERS)


def speaks(**members: object) -> Ask:
    return ENDPOINTS["/v1/audio/speech"].read(json.dumps({"model": "m", "input": "x", **members}).encode())


ASKS = {
    "json": hears(),
    "events": hears(stream=True),
    "text": hears(response_format="text"),
    "subtitles in events": hears(response_format="srt", stream=True),
    "sound": speaks(),
    "events of sound": speaks(stream_format="sse"),
    "events of samples": speaks(stream_format="sse", response_format="pcm"),
}
KINDS = ["transcript.text.delta", "transcript.text.segment", "transcript.text.done"]
KINDS += ["speech.audio.delta", "speech.audio.done", "error"]
NAMES = ["type", "text", "delta", "usage", "duration", "seconds", "error", "choices", "audio", "object"]
NAMES += ["input_tokens", "output_tokens", "total_tokens", "input_token_details", "audio_tokens"]
SCALARS = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=5)
ODD = st.recursive(
    SCALARS | st.sampled_from([*KINDS, "AAAA"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
ANSWERS = st.lists(st.dictionaries(st.sampled_from(NAMES), ODD, max_size=6) | ODD, max_size=4)


@pytest.mark.parametrize("name", ASKS)
@given(ANSWERS, st.booleans(), st.booleans(), st.lists(st.integers(0, 999), max_size=5))
@example([{"type": []}], False, False, [])
def test_any_json_is_read_and_passes_whole(
    name: str, values: list[object], is_events: bool, keep: bool, places: list[int]
) -> None:
    """Whatever it says, its figures are sane; chunks do not matter."""
    data = b"".join(event(value) if is_events else json.dumps(value).encode() for value in values)
    found = []
    for chunks in ([data], cut(data, places)):
        tally: Tally = ASKS[name].tally(keep_usage=keep)
        passed = fed(tally, chunks)
        tally.finish()
        reading = tally.reported()
        used = {**tally.produced(5, "m"), **(reading.usage if reading is not None else {})}
        assert all(type(n) is int and 0 <= n <= 2 * MAX_QUANTITY for n in used.values())
        assert passed + tally.tail() == data
        found.append((tally.complete, tally.failed, reading, tally.anomalies, tally.output_text()))
    assert found[0] == found[1]
