"""Streams as upstreams send them, built from Python values."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

from proxy.endpoints.base import Tally

DONE = b"data: [DONE]\n\n"


def event(value: object, end: bytes = b"\n\n") -> bytes:
    """One event with the JSON of `value`."""
    return b"data: " + json.dumps(value).encode() + end


def delta(text: str | None = None, *, index: int = 0, finish: str | None = None, **more: object) -> bytes:
    """One event of a chat: `text` and other members of the delta."""
    added = {**({} if text is None else {"content": text}), **more}
    return event({"choices": [{"index": index, "delta": added, "finish_reason": finish}], "usage": None})


def usage_event(prompt: int = 7, completion: int = 3, **more: object) -> bytes:
    """The event that holds only the usage."""
    return event({"choices": [], "usage": usage(prompt, completion, **more)})


def usage(prompt: int = 7, completion: int = 3, **more: object) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **more,
    }


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """`stream` in chunks that end at `places`."""
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


def fed(tally: Tally, chunks: Sequence[bytes]) -> bytes:
    """Feed all chunks; what passed at once."""
    return b"".join([tally.feed(chunk) for chunk in chunks])
