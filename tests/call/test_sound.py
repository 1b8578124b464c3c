"""Calls about sound through the life of a call: what is not reported is counted with its parts."""

from fractions import Fraction

import pytest

from proxy.pricing.charge import price
from proxy.pricing.rates import Rate, RateCard
from tests.call.fakes import RATES, Stage, Upstreams
from tests.call.hostile import Body, Sink
from tests.endpoints.forms import HEADERS, form_of
from tests.endpoints.openai.test_transcripts import EVENTS, STREAM
from tests.metering.test_sounds import wav

PATH = "/v1/audio/transcriptions"
SOUND = Rate("input_audio_tokens", Fraction(6_000), 1)
HUNDRED = {"input_tokens": 100, "input_audio_tokens": 100}
"""What ten seconds are."""


@pytest.mark.parametrize(
    ("asked", "reply", "usage"),
    [
        ({"response_format": "text"}, [b"Hello there"], HUNDRED | {"output_tokens": 2}),
        ({}, [b'{"text": "Hello there"}'], HUNDRED | {"output_tokens": 2}),
        ({}, [b'{"text": "Hello", "usage": {"output_tokens": 7}}'], HUNDRED | {"output_tokens": 7}),
        ({"stream": True}, EVENTS[:2], HUNDRED | {"output_tokens": 2}),
        ({"stream": True}, [STREAM], {"input_tokens": 14, "input_audio_tokens": 10, "output_tokens": 45}),
    ],
)
async def test_sound_that_is_not_reported_is_counted_as_sound(
    asked: dict[str, object], reply: list[bytes], usage: dict[str, int]
) -> None:
    """At its own rate, and not at that of text."""
    stage = Stage(Upstreams(reply), rates=(*RATES, SOUND), funds_nano=10**9)
    body = form_of({"file": wav(10), "model": "m", **asked})
    await stage.relay.relay(Body(PATH, body, headers=HEADERS), Sink())
    await stage.rest()
    (row,) = stage.rows()
    charged = {meter: n for meter, n in row.outcome.usage.items() if meter != "audio_seconds"}
    assert charged == usage
    assert row.charged_nano == price(RateCard("card", (), (*RATES, SOUND)), usage).total_nano
