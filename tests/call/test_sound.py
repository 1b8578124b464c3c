"""Calls about sound through the life of a call: what is not reported is counted with its parts."""

from fractions import Fraction

import pytest

from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
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
    ("reply", "meters"),
    [
        (
            b'{"text":"Hi","usage":{"input_tokens":9,"output_tokens":2}}',
            {"input_tokens": 9, "output_tokens": 2},
        ),
        (b'{"text":"Hi","usage":{"type":"duration","seconds":7}}', {"audio_seconds": 7, "output_tokens": 1}),
        (b'{"text":"Hi"}', {"audio_seconds": 10, **HUNDRED, "output_tokens": 1}),
    ],
)
async def test_what_is_billed_in_one_unit_is_not_counted_in_another(
    reply: bytes, meters: dict[str, int]
) -> None:
    """Where a card prices both, and the answer tells one; where it tells neither, the card decides."""
    seconds = Rate("audio_seconds", Fraction(100), 1)
    stage = Stage(Upstreams([reply]), rates=(*RATES, SOUND, seconds), funds_nano=10**9)
    await stage.relay.relay(Body(PATH, form_of({"file": wav(10), "model": "m"}), headers=HEADERS), Sink())
    await stage.rest()
    (row,) = stage.rows()
    assert row.outcome.usage == meters


async def test_a_ranking_is_billed_by_search_units_or_by_tokens() -> None:
    units = Rate("search_units", Fraction(1_000), 1)
    told = [b'{"results":[],"meta":{"billed_units":{"search_units":1}}}']
    stage = Stage(Upstreams(told), rates=(*RATES, units))
    await stage.relay.relay(Body("/v1/rerank", b'{"model":"m","query":"a","documents":["a"]}'), Sink())
    await stage.rest()
    (row,) = stage.rows()
    assert (row.outcome.usage, row.outcome.basis, row.charged_nano) == (
        {"search_units": 1},
        "reported",
        1_000,
    )


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
