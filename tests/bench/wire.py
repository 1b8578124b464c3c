"""The bytes of the bench: one small request, and canned answers to it."""

import json
import re

PATH = "/v1/chat/completions"
MODEL, PAINTER, TOOL_PATH = "bench-model", "bench-painter", "/v1/tool"
"""A model that has a price for its tokens, one for its pictures, and a tool that has one for each call."""
INPUT_NANO, OUTPUT_NANO, PICTURE_NANO, TOOL_NANO = 150, 600, 20_000_000, 1_000_000
"""The price of one token of each kind, of a picture and of a tool's call, in nano-USD."""
INPUT_TOKENS = 38
WHOLE_OUTPUT_TOKENS = 24
_PROMPT = "Tell me in a few sentences how a fare box works, and why it sits where people get on."
_TEXT = "A fare box sits by the door and takes the fare before the ride begins, so nobody has to ask later."
MAX_TOKENS = 1024
"""More than any answer has: most end by themselves."""
# The upstream is told how many events to send in a field that means nothing to anybody else here.
_EVENTS = re.compile(rb'"seed": ?(\d+)')
_STREAM = re.compile(rb'"stream": ?true')
_HEAD = {"id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012", "created": 1_700_000_000, "model": MODEL}


def price_nano(output_tokens: int, input_tokens: int = INPUT_TOKENS) -> int:
    """What so many tokens cost: one chat, if nothing else is said."""
    return input_tokens * INPUT_NANO + output_tokens * OUTPUT_NANO


def request_bytes(port: int, key: str, *, events: int | None) -> bytes:
    """A whole HTTP request as an SDK sends it; `events` asks for a stream of so many."""
    ask: dict[str, object] = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": _PROMPT},
        ],
        "max_tokens": MAX_TOKENS,
    }
    if events is not None:
        ask |= {"stream": True, "seed": events}
    body = json.dumps(ask).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {key}\r\n"
        "Accept: application/json\r\n"
        "Content-Type: application/json\r\n"
        "User-Agent: OpenAI/Python 2.0.0\r\n"
        "X-Stainless-Lang: python\r\n"
        "X-Stainless-Retry-Count: 0\r\n"
        f"Content-Length: {len(body)}\r\n"
        "\r\n"
    )
    return head.encode() + body


def events_wanted(body: bytes) -> int | None:
    """How many events a request's body asks for; None if it asks for no stream."""
    events = _EVENTS.search(body)
    return int(events[1]) if events and _STREAM.search(body) else None


def whole_answer() -> bytes:
    """A whole HTTP response with a small chat completion and its usage."""
    message = {"role": "assistant", "content": _TEXT, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps(
        {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _usage(WHOLE_OUTPUT_TOKENS)}
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def stream_head() -> bytes:
    """The head of a streamed response."""
    return (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: text/event-stream; charset=utf-8\r\n"
        b"Transfer-Encoding: chunked\r\n"
        b"\r\n"
    )


def stream_event() -> bytes:
    """One event with a token of text, as one HTTP chunk."""
    return _event({"index": 0, "delta": {"content": " before"}, "logprobs": None, "finish_reason": None})


def stream_end(events: int) -> bytes:
    """What follows the events: the finish, the usage, the end mark and the last HTTP chunk."""
    finish = _event({"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"})
    return finish + _event(None, _usage(events)) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _usage(output_tokens: int) -> dict[str, object]:
    return {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": output_tokens,
        "total_tokens": INPUT_TOKENS + output_tokens,
    }


def _event(choice: dict[str, object] | None, usage: dict[str, object] | None = None) -> bytes:
    choices = [] if choice is None else [choice]
    event = {**_HEAD, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return _chunk(b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
