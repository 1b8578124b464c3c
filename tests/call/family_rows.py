"""One row for each family of the registry: what is asked, and what an upstream may answer to it."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.endpoints.registry import ENDPOINTS
from tests.endpoints.forms import HEADERS, form_of
from tests.endpoints.least import FORMS, LEAST
from tests.endpoints.openai.images.answers import png
from tests.metering.test_sounds import wav

FIGURE: Final = b"$"
"""Stands in an answer where its usage has a figure."""
QUANTITY: Final = 9
"""What that figure is in an ordinary answer: no count of ours comes to it by chance."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked beyond the least, an answer in one piece, and one in events where there is such a one.

    `usage` is what both tell. `untold` has the members that tell it; without any, nothing is ever told. What
    is `free` is charged nothing, and what `begins` a job is charged at its end.
    """

    asks: Mapping[str, Any] = {}
    streams: Mapping[str, Any] = {}
    whole: bytes
    events: tuple[bytes, ...] = ()
    usage: Mapping[str, int] = {}
    untold: tuple[str, ...] = ("usage",)
    is_json: bool = True
    is_free: bool = False
    begins: bool = False

    def answer(self, *, stream: bool) -> list[bytes]:
        """The pieces of an answer, with a mark where a figure is told."""
        return list(self.events) if stream else [self.whole]

    def tells(self, *, stream: bool) -> bool:
        """Whether an answer tells its usage at all."""
        return any(FIGURE in piece for piece in self.answer(stream=stream))


def _event(kind: str, rest: bytes = b"") -> bytes:
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (kind.encode(), kind.encode(), rest and b"," + rest)


def _data(rest: bytes) -> bytes:
    return b"data: {%b}\n\n" % rest


DONE: Final = b"data: [DONE]\n\n"
_CHAT_USAGE: Final = (
    b'"usage":{"prompt_tokens":$,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}'
)
_CHAT: Final = Row(
    streams={"stream": True, "stream_options": {"include_usage": True}},
    whole=b'{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},'
    b'"finish_reason":"stop"}],%b}' % _CHAT_USAGE,
    events=(
        _data(b'"choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}],"usage":null'),
        b": a comment\n\n",
        _data(b'"choices":[{"index":0,"delta":{"content":"lo"}}]'),
        _data(b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]'),
        _data(b'"choices":[],%b' % _CHAT_USAGE),
        DONE,
    ),
    usage={"input_tokens": QUANTITY, "cached_input_tokens": 2, "output_tokens": 4},
)
_COMPLETION: Final = Row(
    streams={"stream": True, "stream_options": {"include_usage": True}},
    whole=b'{"object":"text_completion","choices":[{"index":0,"text":"Hello","finish_reason":"stop"}],%b}'
    % _CHAT_USAGE,
    events=(
        _data(b'"choices":[{"index":0,"text":"Hel"}]'),
        _data(b'"choices":[{"index":0,"text":"lo","finish_reason":"stop"}]'),
        _data(b'"choices":[],%b' % _CHAT_USAGE),
        DONE,
    ),
    usage=_CHAT.usage,
)
_RESPONSE_USAGE: Final = (
    b'"usage":{"input_tokens":$,"input_tokens_details":{"cached_tokens":2},"output_tokens":4,'
    b'"output_tokens_details":{"reasoning_tokens":1}}'
)
_SAID: Final = (
    b'{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":'
    b'[{"type":"output_text","text":"Hello","annotations":[]}]}'
)
_SEARCHED: Final = b'{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search"}}'
_RESPONSE: Final = b'{"id":"resp_1","object":"response","status":"completed","output":[%b,%b],%b}' % (
    _SEARCHED,
    _SAID,
    _RESPONSE_USAGE,
)
_RESPONSES: Final = Row(
    asks={"tools": [{"type": "web_search"}], "max_output_tokens": 50},
    streams={"stream": True},
    whole=_RESPONSE,
    events=(
        _event("response.created", b'"response":{"id":"resp_1","status":"in_progress","usage":null}'),
        _event("response.output_item.done", b'"output_index":0,"item":' + _SEARCHED),
        _event("response.output_text.delta", b'"output_index":1,"item_id":"msg_1","delta":"Hel"'),
        _event("response.output_text.delta", b'"output_index":1,"item_id":"msg_1","delta":"lo"'),
        _event("response.output_item.done", b'"output_index":1,"item":' + _SAID),
        _event("response.completed", b'"response":' + _RESPONSE),
    ),
    usage={
        "input_tokens": QUANTITY,
        "cached_input_tokens": 2,
        "output_tokens": 4,
        "reasoning_tokens": 1,
        "web_searches": 1,
    },
)
_MESSAGE_USAGE: Final = b'"usage":{"input_tokens":$,"cache_read_input_tokens":2,"output_tokens":4}'
_MESSAGES: Final = Row(
    asks={"max_tokens": 50},
    streams={"stream": True},
    whole=b'{"type":"message","role":"assistant","content":[{"type":"text","text":"Hello"}],'
    b'"stop_reason":"end_turn",%b}' % _MESSAGE_USAGE,
    events=(
        _event(
            "message_start",
            b'"message":{"type":"message","content":[],"stop_reason":null,%b}' % _MESSAGE_USAGE,
        ),
        _event("content_block_start", b'"index":0,"content_block":{"type":"text","text":""}'),
        _event("ping"),
        _event("content_block_delta", b'"index":0,"delta":{"type":"text_delta","text":"Hel"}'),
        _event("content_block_delta", b'"index":0,"delta":{"type":"text_delta","text":"lo"}'),
        _event("content_block_stop", b'"index":0'),
        _event("message_delta", b'"delta":{"stop_reason":"end_turn"},%b' % _MESSAGE_USAGE),
        _event("message_stop"),
    ),
    usage={"input_tokens": QUANTITY + 2, "cached_input_tokens": 2, "output_tokens": 4},
)
_IMAGE_USAGE: Final = b'"usage":{"input_tokens":$,"output_tokens":4}'
_PICTURES: Final = Row(
    asks={"n": 1},
    streams={"stream": True, "partial_images": 1},
    whole=b'{"created":1,"data":[{"b64_json":"QUJD"}],%b}' % _IMAGE_USAGE,
    events=(
        _event("image_generation.partial_image", b'"partial_image_index":0,"b64_json":"QUJD"'),
        _event("image_generation.completed", b'"b64_json":"QUJD",%b' % _IMAGE_USAGE),
    ),
    usage={"input_tokens": QUANTITY, "output_tokens": 4, "output_image_tokens": 4, "images": 1},
)
_HEARD: Final = b'"usage":{"type":"tokens","input_tokens":$,"output_tokens":4}'
_TRANSCRIPTS: Final = Row(
    asks={"file": wav(3)},
    streams={"stream": True},
    whole=b'{"text":"Hello",%b}' % _HEARD,
    events=(
        _event("transcript.text.delta", b'"delta":"Hel"'),
        _event("transcript.text.delta", b'"delta":"lo"'),
        _event("transcript.text.done", b'"text":"Hello",%b' % _HEARD),
    ),
    usage={"input_tokens": QUANTITY, "output_tokens": 4},
)
_RANKING: Final = Row(
    whole=b'{"results":[{"index":0,"relevance_score":0.5}],"usage":{"total_tokens":$}}',
    usage={"input_tokens": QUANTITY},
)

ROWS: Final[Mapping[str, Row]] = {
    "chat.completions": _CHAT,
    "completions": _COMPLETION,
    "embeddings": Row(
        asks={"input": "Hello there, all of you"},
        whole=b'{"object":"list","data":[{"embedding":[0.5,-0.25],"index":0}],"usage":{"prompt_tokens":$}}',
        usage={"input_tokens": QUANTITY},
    ),
    "responses": _RESPONSES,
    "responses.compact": Row(
        whole=b'{"object":"response.compaction","id":"resp_1","output":[{"type":"compaction","id":"cmp_1",'
        b'"encrypted_content":"QUJD"}],%b}' % _RESPONSE_USAGE,
        usage={name: n for name, n in _RESPONSES.usage.items() if name != "web_searches"},
    ),
    "responses.input_tokens": Row(whole=b'{"object":"response.input_tokens","input_tokens":7}', is_free=True),
    "audio.speech": Row(
        streams={"stream_format": "sse"},
        whole=b"ID3" + bytes(64),
        is_json=False,
        events=(
            _event("speech.audio.delta", b'"audio":"QUJDREVG"'),
            _event("speech.audio.delta", b'"audio":"QUJDREVG"'),
            _event("speech.audio.done", _HEARD),
        ),
        usage={"input_tokens": QUANTITY, "output_tokens": 4, "output_audio_tokens": 4},
    ),
    "audio.transcriptions": _TRANSCRIPTS,
    "audio.translations": msgspec.structs.replace(_TRANSCRIPTS, events=(), streams={}),
    "messages": _MESSAGES,
    "messages.count_tokens": Row(whole=b'{"input_tokens":7}', is_free=True),
    "images.generations": _PICTURES,
    "images.edits": _PICTURES,
    "images.variations": msgspec.structs.replace(
        _PICTURES, asks={"image": png(256, 256)}, events=(), streams={}
    ),
    "videos": Row(whole=b'{"id":"video_1","object":"video","status":"queued","seconds":"4"}', begins=True),
    "moderations": Row(whole=b'{"id":"modr_1","results":[{"flagged":false}]}'),
    "rerank": _RANKING,
    "rerank.v2": msgspec.structs.replace(
        _RANKING,
        whole=b'{"results":[{"index":0,"relevance_score":0.5}],"meta":{"billed_units":{"search_units":$}}}',
        usage={"search_units": QUANTITY},
        untold=("meta",),
    ),
}
"""What is asked and answered, by the name of the endpoint."""

PATHS: Final = {endpoint.name: path for path, endpoint in ENDPOINTS.items()}


def asked(name: str, *, stream: bool = False, **members: Any) -> tuple[bytes, list[tuple[str, str]]]:
    """The body and the headers of a request."""
    row = ROWS[name]
    least = LEAST.get(name, {"model": "m", "messages": [], "input": "Hi"} if row.is_free else {"model": "m"})
    request = {**least, **row.asks, **(row.streams if stream else {}), **members}
    if name == "messages.count_tokens":
        del request["input"]
    if name in FORMS:
        return form_of(request), HEADERS
    return json.dumps(request).encode(), []


def told(pieces: list[bytes], figure: bytes = b"%d" % QUANTITY) -> list[bytes]:
    """The pieces of an answer with a figure in its place."""
    return [piece.replace(FIGURE, figure) for piece in pieces]


def without(pieces: list[bytes], names: tuple[str, ...]) -> list[bytes]:
    """The same pieces without the members of these names, wherever an upstream tells of its usage."""
    return [_changed(piece, lambda value: _left(value, names)) for piece in pieces]


def planted(pieces: list[bytes], members: Mapping[str, Any]) -> list[bytes]:
    """The same pieces with more members at each place where a maker echoes what a caller has sent."""
    return [_changed(piece, lambda value: _more(value, members)) for piece in pieces]


def _left(value: Any, names: tuple[str, ...]) -> Any:
    kept = {name: member for name, member in value.items() if name not in names}
    inner = {
        name: _left(kept[name], names) for name in ("response", "message") if isinstance(kept.get(name), dict)
    }
    return {**kept, **inner}


def _more(value: Any, members: Mapping[str, Any]) -> Any:
    inner = {
        name: {**value[name], **members}
        for name in ("response", "message")
        if isinstance(value.get(name), dict)
    }
    return {**members, **value, **inner}


def _changed(piece: bytes, change: Any) -> bytes:
    """A piece with the JSON in it changed, if there is such: as a whole, or as the data of an event."""
    head, mark, data = piece.rpartition(b"data: ")
    try:
        value = json.loads(data)
    except ValueError:
        return piece
    if not isinstance(value, dict):
        return piece
    return head + mark + json.dumps(change(value)).encode() + (b"\n\n" if mark else b"")
