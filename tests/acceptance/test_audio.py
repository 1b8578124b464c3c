"""The official OpenAI SDK listens and speaks through a real process, and all of it is charged."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from tests.acceptance.harness import Account, Server, config_for, eventually, running
from tests.acceptance.scripted_upstream import Behaviour, ScriptedUpstream, answers, streams
from tests.endpoints.openai.test_transcripts import TOKENS
from tests.metering.test_matroska import RECORDINGS
from tests.metering.test_sounds import Made, lying_wav, m4a, mp3, wav

TEN = wav(10)
CARDS: dict[str, Any] = {
    "seconds": {"rates": {"audio_seconds": {"per_unit": "0.0001"}}},
    "tokens": {
        "rates": {
            "input_tokens": {"per_1m": "1.00"},
            "input_audio_tokens": {"per_1m": "4.00"},
            "output_tokens": {"per_1m": "10.00"},
        },
        "max_output_tokens": 2_000,
    },
    "characters": {"rates": {"characters": {"per_1m": "15.00"}}},
    "calls": {"rates": {"requests": {"per_unit": "0.02"}}},
}


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose models are priced in each of the ways that sound is."""
    folder: Path = tmp_path_factory.mktemp("audio")
    targets = [{"upstream": "scripted"}]
    routes: list[dict[str, Any]] = [
        {"models": [f"{card}-*"], "rate_card": card, "targets": targets} for card in CARDS
    ]
    renamed = {"upstream": "scripted", "model": "whisper-large"}
    routes.append({"models": ["renamed"], "rate_card": "seconds", "targets": [renamed]})
    config = config_for(upstream.port, folder, rate_cards=CARDS, routes=routes)
    with running(config, folder) as started:
        yield started


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as sync:
        yield sync


def event(value: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), json.dumps(value).encode())


def sends(*pieces: bytes, kind: str, cut: bool = False) -> Behaviour:
    """Send these pieces as they are, with an end or without."""

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if cut:
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write_eof()
        return response

    return behaviour


def charged(account: Account) -> tuple[str, str, str, dict[str, int]]:
    row = account.last()
    assert account.nano("held") == 0
    return row["outcome"], row["basis"], row["charged"], row["usage"]


def test_a_transcription_is_charged_by_what_it_reports(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """The upstream gets the form as the SDK wrote it."""
    reply = {"text": "Hello", "usage": {"type": "duration", "seconds": 9}}
    upstream.behaviours["seconds-json"] = answers(reply)
    raw = client.audio.transcriptions.with_raw_response.create(
        model="seconds-json",
        file=("hello.wav", TEN),
        prompt="Hall\u00f6chen",
        timestamp_granularities=["word", "segment"],
        chunking_strategy={"type": "server_vad", "threshold": 0.5},
    )
    assert raw.parse().text == "Hello"
    assert raw.headers["x-farebox-cost"] == "0.0009"
    assert upstream.received[-1] == {
        "model": "seconds-json",
        "file": ("hello.wav", TEN),
        "prompt": "Hall\u00f6chen",
        "timestamp_granularities[]": ["word", "segment"],
        "chunking_strategy[type]": "server_vad",
        "chunking_strategy[threshold]": "0.5",
    }
    assert charged(account) == ("complete", "reported", "0.0009", {"audio_seconds": 9})
    assert account.last()["endpoint"] == "audio.transcriptions"


def test_a_transcription_in_tokens_is_charged_by_its_tokens(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """Those of sound have a rate of their own: 4 of text, 10 of sound, 45 of output."""
    upstream.behaviours["tokens-json"] = answers({"text": "Hello", "usage": TOKENS})
    said = client.audio.transcriptions.create(model="tokens-json", file=("a.wav", TEN))
    assert isinstance(said.usage, openai.types.audio.transcription.UsageTokens)
    assert said.usage.output_tokens == 45
    usage = {"input_tokens": 14, "input_audio_tokens": 10, "output_tokens": 45}
    assert charged(account) == ("complete", "reported", "0.000494", usage)


@pytest.mark.parametrize("stream", ["renamed", "calls-text"])
def test_plain_text_is_charged_by_the_file_or_by_the_call(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account, stream: str
) -> None:
    upstream.behaviours[{"renamed": "whisper-large"}.get(stream, stream)] = answers(b"Hello there.\n")
    said = client.audio.transcriptions.create(model=stream, file=("a.wav", TEN), response_format="text")
    assert said == "Hello there.\n"
    row = account.last()
    if stream == "renamed":
        assert upstream.received[-1]["model"] == "whisper-large"
        assert (row["charged"], row["basis"], row["usage"]["audio_seconds"]) == ("0.001", "counted", 10)
    else:
        assert (row["charged"], row["basis"]) == ("0.02", "per_call")


@pytest.mark.parametrize(
    ("made", "seconds"),
    [
        (lambda: m4a(90_500, 1_000) + bytes(900_000), 91),
        (lambda: m4a(1_000, 1_000) + bytes(20_000_000), 2_502),
        *(((RECORDINGS / name).read_bytes, 3) for name in ("live.webm", "layer2.mpga", "second.mpeg")),
    ],
    ids=["of an M4A", "a lie", "WebM of a browser", "MPEG audio", "an MPEG program stream"],
)
def test_a_file_of_which_only_its_header_tells_is_charged_by_that_as_far_as_its_bytes_allow(
    server: Server, upstream: ScriptedUpstream, made: Made, seconds: int
) -> None:
    """One that says a second and has twenty megabytes is charged as so many bytes. By size it were one."""
    upstream.behaviours["seconds-told"] = answers(b"Hello there.\n")
    account = server.account("9")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as client:
        client.audio.transcriptions.create(
            model="seconds-told", file=("a.m4a", made()), response_format="text"
        )
    outcome, basis, _cost, usage = charged(account)
    assert (outcome, basis, usage["audio_seconds"]) == ("complete", "counted", seconds)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_a_translation_that_reports_nothing_is_charged_by_the_file(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    upstream.behaviours["seconds-into"] = answers({"text": "Hello"})
    assert client.audio.translations.create(model="seconds-into", file=("a.mp3", mp3(383))).text == "Hello"
    outcome, basis, cost, usage = charged(account)
    assert (outcome, basis, cost, usage["audio_seconds"]) == ("complete", "counted", "0.0011", 11)


def test_a_stream_of_a_transcript_arrives_whole(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    done = {"type": "transcript.text.done", "text": "Hello", "usage": TOKENS}
    upstream.behaviours["tokens-events"] = streams(
        event({"type": "transcript.text.delta", "delta": "Hel"}),
        event({"type": "transcript.text.delta", "delta": "lo"}),
        event(done),
    )
    stream = client.audio.transcriptions.create(model="tokens-events", file=("a.wav", TEN), stream=True)
    assert [part.type for part in stream] == [*["transcript.text.delta"] * 2, "transcript.text.done"]
    assert upstream.received[-1]["stream"] == "true"
    assert charged(account)[:3] == ("complete", "reported", "0.000494")


def test_a_stream_that_breaks_off_is_charged_for_what_was_heard(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """And ends with an error, never as if it were whole."""
    delta = event({"type": "transcript.text.delta", "delta": "Hello"})
    upstream.behaviours["seconds-cut"] = sends(delta, kind="text/event-stream", cut=True)
    stream = client.audio.transcriptions.create(model="seconds-cut", file=("a.wav", TEN), stream=True)
    with pytest.raises(openai.APIError):
        list(stream)
    outcome, basis, cost, usage = charged(account)
    assert (outcome, basis, cost, usage["audio_seconds"]) == ("upstream_failed", "counted", "0.001", 10)


def test_speech_is_charged_by_its_characters(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    pieces = (b"\xff\xfb\x90" + bytes(997), bytes(1_000), bytes(1_000))
    upstream.behaviours["characters-mp3"] = sends(*pieces, kind="audio/mpeg")
    with client.audio.speech.with_streaming_response.create(
        model="characters-mp3", voice="alloy", input="Hall\u00f6chen"
    ) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        assert b"".join(response.iter_bytes()) == b"".join(pieces)
    assert upstream.received[-1]["input"] == "Hall\u00f6chen"
    outcome, basis, cost, usage = charged(account)
    assert (outcome, basis, cost, usage["characters"]) == ("complete", "counted", "0.000135", 9)


def test_speech_in_events_is_charged_by_its_tokens(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    sound = base64.b64encode(bytes(4_800)).decode()
    events = [
        event({"type": "speech.audio.delta", "audio": sound}),
        event({"type": "speech.audio.done", "usage": usage}),
    ]
    upstream.behaviours["tokens-sse"] = streams(*events)
    said = client.audio.speech.create(model="tokens-sse", voice="alloy", input="Hello", stream_format="sse")
    assert said.read() == b"".join(events)
    reported = {"input_tokens": 14, "output_tokens": 101, "output_audio_tokens": 101}
    assert charged(account) == ("complete", "reported", "0.001024", reported)


def test_who_leaves_speech_pays_for_the_text(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """The upstream is stopped, and has been asked for all of it."""

    async def stalls(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        while True:
            await response.write(bytes(4_800))

    upstream.behaviours["characters-long"] = stalls
    with client.audio.speech.with_streaming_response.create(
        model="characters-long", voice="alloy", input="a" * 1_000, response_format="pcm"
    ) as response:
        next(response.iter_bytes())
    eventually(lambda: bool(account.requests()))
    outcome, basis, cost, usage = charged(account)
    assert (outcome, basis, cost, usage["characters"]) == ("client_left", "counted", "0.015", 1_000)


def test_sound_that_could_last_longer_than_what_can_be_paid_goes_nowhere(
    server: Server, upstream: ScriptedUpstream
) -> None:
    """A file that says it lasts a second, and holds seventeen minutes, is held for as that."""
    poor = server.account("0.1048")
    sent = len(upstream.received)
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=poor.secret, max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.audio.transcriptions.create(model="seconds-lie", file=("a.wav", lying_wav()[: 2**25]))
    assert isinstance(caught.value.body, dict)
    assert (caught.value.status_code, caught.value.body["code"]) == (402, "request_exceeds_balance")
    assert len(upstream.received) == sent


@pytest.mark.parametrize("model", ["characters-no", "seconds-no", "tokens-no"])
def test_a_model_without_a_price_for_what_is_asked_is_refused(
    client: openai.OpenAI, upstream: ScriptedUpstream, model: str
) -> None:
    """Who only listens has no price for speech, and who only speaks none for listening; tokens are both's."""
    upstream.behaviours[model] = answers({"text": "Hello"})
    listens, speaks = model != "characters-no", model != "seconds-no"
    if listens:
        client.audio.transcriptions.create(model=model, file=("a.wav", TEN))
    else:
        with pytest.raises(openai.PermissionDeniedError):
            client.audio.transcriptions.create(model=model, file=("a.wav", TEN))
    if speaks:
        client.audio.speech.create(model=model, voice="alloy", input="Hello").read()
    else:
        with pytest.raises(openai.PermissionDeniedError):
            client.audio.speech.create(model=model, voice="alloy", input="Hello")


async def test_the_async_client_listens(server: Server, account: Account, upstream: ScriptedUpstream) -> None:
    upstream.behaviours["seconds-async"] = answers({"text": "Hello", "duration": 2.5, "language": "en"})
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=account.secret) as client:
        said = await client.audio.transcriptions.create(
            model="seconds-async", file=("a.wav", TEN), response_format="verbose_json"
        )
    assert said.duration == 2.5
    assert account.last()["charged"] == "0.0003"


def test_speech_without_a_usage_is_charged_by_how_long_it_lasts(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """Three seconds are sixty tokens; the text is one."""
    upstream.behaviours["tokens-pcm"] = sends(*[bytes(48_000)] * 3, kind="audio/pcm")
    said = client.audio.speech.create(model="tokens-pcm", voice="alloy", input="Hello", response_format="pcm")
    assert len(said.read()) == 144_000
    outcome, basis, cost, usage = charged(account)
    assert (outcome, basis, cost) == ("complete", "counted", "0.000601")
    assert usage == {"input_tokens": 1, "output_tokens": 60, "output_audio_tokens": 60}


@pytest.mark.parametrize("kind", ["hears", "speaks"])
def test_an_error_within_a_stream_is_charged_for_what_came(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account, kind: str
) -> None:
    """The error passes as the upstream sent it."""
    failed = event({"type": "error", "error": {"message": "Overloaded", "code": "overloaded"}})
    sound = base64.b64encode(bytes(48_000)).decode()
    if kind == "hears":
        begun = event({"type": "transcript.text.delta", "delta": "Hello"})
        upstream.behaviours["tokens-hears"] = streams(begun, failed)
        with client.audio.transcriptions.with_streaming_response.create(
            model="tokens-hears", file=("a.wav", TEN), stream=True
        ) as response:
            assert b"".join(response.iter_bytes()) == begun + failed
    else:
        begun = event({"type": "speech.audio.delta", "audio": sound})
        upstream.behaviours["tokens-speaks"] = streams(begun, failed)
        said = client.audio.speech.create(
            model="tokens-speaks", voice="alloy", input="Hi", stream_format="sse", response_format="pcm"
        )
        assert said.read() == begun + failed
    outcome, basis, cost, _ = charged(account)
    assert (outcome, basis) == ("upstream_failed", "counted")
    assert cost == {"hears": "0.00041", "speaks": "0.000201"}[kind]


def test_an_answer_of_no_known_form_costs_nothing_and_does_not_pass(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    upstream.behaviours["seconds-odd"] = answers(b"<html>Welcome</html>")
    with pytest.raises(openai.InternalServerError):
        client.audio.transcriptions.create(model="seconds-odd", file=("a.wav", TEN))
    assert charged(account)[:3] == ("upstream_failed", "void", "0.00")


def test_a_refusal_of_the_upstream_costs_nothing(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    failed = {"error": {"message": "Audio file might be corrupted", "type": "invalid_request_error"}}
    upstream.behaviours["seconds-corrupt"] = answers(failed, status=400)
    with pytest.raises(openai.BadRequestError, match="corrupted"):
        client.audio.transcriptions.create(model="seconds-corrupt", file=("a.wav", TEN))
    assert charged(account)[:3] == ("upstream_refused", "void", "0.00")


def test_the_cost_of_a_transcript_is_in_it_for_who_wants_it(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["tokens-cost"] = answers({"text": "Hello", "usage": TOKENS})
    said = client.audio.transcriptions.create(
        model="tokens-cost", file=("a.wav", TEN), extra_headers={"x-farebox-include": "cost"}
    )
    assert said.usage is not None
    assert said.usage.to_dict()["cost"] == "0.000494"
