"""A request of each API family and the canned answer to it, as the makers' SDKs and APIs write them."""

import base64
import io
import json
import re
import wave
from typing import Final

import msgspec

from tests.bench import wire
from tests.bench.wire import MODEL, PAINTER, PICTURE_NANO, TOOL_NANO, TOOL_PATH, price_nano
from tests.endpoints.anthropic.replies import STOP, added, begun, ended, message, started, stopped
from tests.endpoints.forms import HEADERS, field, file, form
from tests.endpoints.openai.responses.replies import event, response, text

MEGABYTE: Final = 1_048_576
DELTAS: Final = 40
"""Pieces of text, or of sound, in each stream."""
_STREAMED = re.compile(rb'"stream": ?true')
_ASKED = "Tell me in a few sentences how a fare box works, and why it sits where people get on."
_SAID = "A fare box sits by the door and takes the fare before the ride begins."
_LARGE: Final = 16
"""Callers at once whose calls have a megabyte."""


class Family(msgspec.Struct, frozen=True):
    """A call of a family: what is asked, the pieces in which it is answered, and what it costs.

    Without pieces it is a chat, which `wire` answers.
    """

    name: str
    path: str
    body: bytes
    answer: tuple[bytes, ...]
    price_nano: int
    asked_as: str = "application/json"
    connections: int = 64

    @property
    def is_streamed(self) -> bool:
        """Whether the answer comes event by event."""
        return len(self.answer) > 1

    def request_bytes(self, port: int, key: str) -> bytes:
        """A whole HTTP request."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
            f"Accept: application/json\r\nContent-Type: {self.asked_as}\r\n"
            f"User-Agent: OpenAI/Python 2.0.0\r\nanthropic-version: 2023-06-01\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body

    def answer_bytes(self) -> list[bytes]:
        """The pieces of a whole HTTP response: the head, and what comes after each pause."""
        if not self.is_streamed:
            (body,) = self.answer
            return [
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            ]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        return [head, *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in self.answer), b"0\r\n\r\n"]


def _sound() -> bytes:
    """A WAV of a megabyte, of 16,000 Hz."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(bytes(MEGABYTE))
    return sound.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _chat(events: int | None) -> bytes:
    return wire.request_bytes(0, "", events=events).partition(b"\r\n\r\n")[2]


def _message_pieces() -> tuple[bytes, ...]:
    deltas = [added(0, "text_delta", text=" before")] * DELTAS
    return (started(), begun(0, type="text", text=""), *deltas, stopped(0), ended(DELTAS), STOP)


def _response_pieces() -> tuple[bytes, ...]:
    first = response(status="in_progress", usage=None)
    delta = event(
        "response.output_text.delta", output_index=0, item_id="msg_1", content_index=0, delta=" before"
    )
    item = event("response.output_item.done", output_index=0, item=text(_SAID))
    last = event("response.completed", response=response(text(_SAID)))
    return (event("response.created", response=first), *[delta] * DELTAS, item, last)


def _speech_pieces() -> tuple[bytes, ...]:
    sound = base64.b64encode(bytes(4_800)).decode()
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    done = b"data: " + _json({"type": "speech.audio.done", "usage": usage}) + b"\n\n"
    return (*[b"data: " + _json({"type": "speech.audio.delta", "audio": sound}) + b"\n\n"] * DELTAS, done)


_ASK = {"model": MODEL, "max_tokens": wire.MAX_TOKENS, "messages": [{"role": "user", "content": _ASKED}]}
_RESPONSE = {"model": MODEL, "max_output_tokens": wire.MAX_TOKENS, "input": _ASKED}
_VECTORS = [{"object": "embedding", "index": 0, "embedding": [0.0123456789] * 1_536}]
_USED = {"prompt_tokens": 20, "total_tokens": 20}
_PICTURE = base64.b64encode(bytes(MEGABYTE * 3 // 4)).decode()
_RANKING = [{"index": number, "relevance_score": 0.5} for number in range(20)]
_VERDICT = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.1}}
_HEARD = {"type": "tokens", "input_tokens": 300, "output_tokens": 20, "total_tokens": 320}
_RESPONSE_NANO = price_nano(87, 36)
FAMILIES: Final = (
    Family("chat", wire.PATH, _chat(None), (), price_nano(wire.WHOLE_OUTPUT_TOKENS)),
    Family("chat, streamed", wire.PATH, _chat(DELTAS), (), price_nano(DELTAS)),
    Family("response", "/v1/responses", _json(_RESPONSE), (_json(response(text(_SAID))),), _RESPONSE_NANO),
    Family(
        "response, streamed",
        "/v1/responses",
        _json(_RESPONSE | {"stream": True}),
        _response_pieces(),
        _RESPONSE_NANO,
    ),
    Family(
        "message",
        "/v1/messages",
        _json(_ASK),
        (_json(message({"type": "text", "text": _SAID})),),
        price_nano(12, 25),
    ),
    Family(
        "message, streamed",
        "/v1/messages",
        _json(_ASK | {"stream": True}),
        _message_pieces(),
        price_nano(DELTAS, 25),
    ),
    Family(
        "embedding",
        "/v1/embeddings",
        _json({"model": MODEL, "input": _ASKED}),
        (_json({"object": "list", "data": _VECTORS, "model": MODEL, "usage": _USED}),),
        price_nano(0, 20),
    ),
    Family(
        "picture of 1 MB",
        "/v1/images/generations",
        _json({"model": PAINTER, "prompt": _ASKED}),
        (_json({"created": 1_700_000_000, "data": [{"b64_json": _PICTURE}]}),),
        PICTURE_NANO,
        connections=_LARGE,
    ),
    Family(
        "transcription of 1 MB",
        "/v1/audio/transcriptions",
        form(field("model", MODEL), file("file", _sound())),
        (_json({"text": _SAID, "usage": _HEARD}),),
        price_nano(20, 300),
        asked_as=HEADERS[0][1],
        connections=_LARGE,
    ),
    Family(
        "speech, streamed",
        "/v1/audio/speech",
        _json({"model": MODEL, "voice": "alloy", "input": _ASKED, "stream_format": "sse"}),
        _speech_pieces(),
        price_nano(101, 14),
    ),
    Family(
        "ranking of 20",
        "/v1/rerank",
        _json({"model": MODEL, "query": _ASKED, "documents": [_SAID] * 20}),
        (_json({"results": _RANKING, "usage": {"total_tokens": 600}}),),
        price_nano(0, 600),
    ),
    Family(
        "moderation",
        "/v1/moderations",
        _json({"model": MODEL, "input": _ASKED}),
        (_json({"id": "modr-1", "model": MODEL, "results": [_VERDICT], "usage": _USED}),),
        price_nano(0, 20),
    ),
    Family("tool", TOOL_PATH, _json({"query": _ASKED}), (_json({"results": [_SAID] * 10}),), TOOL_NANO),
)


def family_at(path: str, body: bytes) -> Family | None:
    """The family of a request that has an answer of its own here; None for a chat."""
    streamed = _STREAMED.search(body, 0, 4_096) is not None
    here = [family for family in FAMILIES if family.path == path and family.answer]
    return next((family for family in here if len(here) == 1 or family.is_streamed == streamed), None)
