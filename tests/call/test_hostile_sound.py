"""No recording, no form and no answer about sound holds the event loop, as with all other calls."""

import gc
from collections.abc import Callable, Iterator, Mapping

import pytest

from proxy.metering.vocabulary import SHARED
from tests.call.hostile import MEGABYTE, VALUES, chunks, worker_switches
from tests.call.test_hostile import MOST, assert_light, size_of
from tests.endpoints.forms import HEADERS, field, file, form
from tests.metering.test_sounds import FRAME, SLOW

LISTENS, SPEAKS = "/v1/audio/transcriptions", "/v1/audio/speech"
HEARD = [b'{"text":"Hi","usage":{"type":"duration","seconds":3}}']
POOR_NANO = 10**8
"""So little that a sound is measured, and so much that it could help."""
MODEL = field("model", "m")


@pytest.fixture(autouse=True, scope="module")
def worker() -> Iterator[None]:
    """What a worker has done before its first call."""
    SHARED.preload(["o200k_base"])
    gc.collect()
    gc.freeze()
    with worker_switches():
        yield


def recording(piece: bytes, before: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: form(MODEL, file("file", before + piece * ((size - 1_000) // len(piece))))


FORMS: Mapping[str, Callable[[int], bytes]] = {
    "a film": recording(b"\x1a\x45\xdf\xa3" + bytes(96)),
    "frames": recording(FRAME),
    "the least frames": recording(SLOW),
    "no frames": recording(b"\xff", FRAME),
    "chunks of a WAV": recording(b"LIST\0\0\0\0", b"RIFF\0\0\0\0WAVE"),
    "boxes of an MP4": recording(b"\0\0\0\x08free", b"\0\0\0\x08ftyp"),
    "nested boxes": recording(b"\0\0\0\0moov", b"\0\0\0\x08ftyp"),
    "dashes": recording(b"-", b"OggS"),
    "beginnings of boundaries": recording(b"\r\n--b-", b"OggS"),
    "boundaries": recording(b"\r\n--b-7\r\n", b"OggS"),
    "line ends": recording(b"\r\n", b"OggS"),
    "fields": lambda size: form(MODEL, file("file", b"OggS"), *[field("a", "b")] * (size // 70)),
    "a field": lambda size: form(MODEL, file("file", b"OggS"), field("prompt", "word " * (size // 5))),
    "blanks in heads": lambda _: form(
        MODEL, *[field("a", "b", "Content-Type: " + " " * 3_900 + "\x01")] * 200, file("file", b"OggS")
    ),
    "marks in names of files": lambda _: form(MODEL, *[file("file", b"OggS", ";" * 3_900)] * 200),
    "blanks in parameters": lambda _: form(
        MODEL, *[field('a"' + " " * 3_900 + "x", "b")] * 200, file("file", b"OggS")
    ),
    "as much text as is read": lambda _: form(
        MODEL, file("file", b"OggS" + bytes(9_000)), field("prompt", "word " * 200_000)
    ),
    "as many words as are read": lambda _: form(
        MODEL, file("file", b"OggS"), *[field("keywords[]", "word " * 900)] * 200
    ),
}


@pytest.mark.parametrize("name", FORMS)
async def test_no_form_of_the_most_that_is_taken_holds_the_loop(name: str) -> None:
    """Also where the funds are short, so that all that can be is measured and counted."""
    await assert_light(LISTENS, FORMS[name](MOST), HEARD, POOR_NANO, HEADERS)
    await assert_light(LISTENS, FORMS[name](MEGABYTE), HEARD, headers=HEADERS)


ANSWERS: Mapping[str, bytes] = {
    "text": b'{"text":$}',
    "segments": b'{"text":"Hi","segments":$,"duration":3}',
    "words": b'{"text":"Hi","words":$,"logprobs":$}',
    "usage": b'{"text":"Hi","usage":$}',
    "duration": b'{"text":"Hi","duration":$}',
    "extra": b'{"x":$}',
    "all of it": b"$",
}
EVENTS: Mapping[str, bytes] = {
    "delta": b'{"type":"transcript.text.delta","delta":$}',
    "logprobs": b'{"type":"transcript.text.delta","delta":"Hi","logprobs":$}',
    "done": b'{"type":"transcript.text.done","text":$,"usage":{"input_tokens":3,"output_tokens":2}}',
    "usage": b'{"type":"transcript.text.done","text":"Hi","usage":$}',
    "all of it": b"$",
}
SOUNDS: Mapping[str, bytes] = {
    "audio": b'{"type":"speech.audio.delta","audio":$}',
    "extra": b'{"type":"speech.audio.delta","audio":"AAAA","x":$}',
    "usage": b'{"type":"speech.audio.done","usage":$}',
    "all of it": b"$",
}
END = b'\n\ndata: {"type":"transcript.text.done","text":"Hi"}\n\n'


@pytest.mark.parametrize("name", VALUES)
async def test_no_transcript_holds_the_loop(name: str) -> None:
    """Each value at a third of the places of a whole answer, and of an event."""
    value = VALUES[name](size_of(name))
    at = list(VALUES).index(name)
    for template in list(ANSWERS.values())[at % 3 :: 3]:
        ask = form(MODEL, file("file", b"OggS"))
        await assert_light(LISTENS, ask, chunks(template.replace(b"$", value)), headers=HEADERS)
    for template in list(EVENTS.values())[at % 3 :: 3]:
        ask = form(MODEL, file("file", b"OggS"), field("stream", "true"))
        reply = b"data: " + template.replace(b"$", value) + END
        await assert_light(LISTENS, ask, chunks(reply), headers=HEADERS)


@pytest.mark.parametrize("name", VALUES)
async def test_no_speech_holds_the_loop(name: str) -> None:
    """Each value at a third of the places of an event, and as the sound itself."""
    value = VALUES[name](size_of(name))
    at = list(VALUES).index(name)
    for template in list(SOUNDS.values())[at % 3 :: 3]:
        reply = b"data: " + template.replace(b"$", value) + END
        await assert_light(SPEAKS, b'{"model":"m","input":"Hi","stream_format":"sse"}', chunks(reply))
    await assert_light(SPEAKS, b'{"model":"m","input":"Hi"}', chunks(value))


@pytest.mark.parametrize("response_format", ["text", "srt", "json"])
@pytest.mark.parametrize("name", ["prose", "letters of three bytes"])
async def test_no_transcript_of_the_most_that_is_taken_holds_the_loop(
    name: str, response_format: str
) -> None:
    """All of it is counted, where nothing is reported."""
    value = VALUES[name](8 * MEGABYTE)
    ask = form(MODEL, file("file", b"OggS"), field("response_format", response_format))
    reply = b'{"text":%b}' % value if response_format == "json" else value
    await assert_light(LISTENS, ask, chunks(reply), headers=HEADERS)


@pytest.mark.parametrize("name", ["base64", "escapes"])
async def test_no_event_of_speech_of_the_most_that_is_taken_holds_the_loop(name: str) -> None:
    reply = b"data: " + SOUNDS["audio"].replace(b"$", VALUES[name](MOST)) + END
    await assert_light(SPEAKS, b'{"model":"m","input":"Hi","stream_format":"sse"}', chunks(reply))


@pytest.mark.parametrize("name", ["prose", "escapes", "lone surrogates", "pairs", "letters of three bytes"])
async def test_no_text_to_be_spoken_holds_the_loop(name: str) -> None:
    """The longest that is taken is counted exactly where the funds are short."""
    for size in (MEGABYTE - 100, 4 * MEGABYTE):
        body = b'{"model":"m","input":%b,"instructions":"Soft"}' % VALUES[name](size)
        await assert_light(SPEAKS, body, [b"\xff\xfb\x90\0"], POOR_NANO)
