"""Prompts and inputs, which come in four shapes: a string, strings, token ids, or lists of token ids."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, beginning
from proxy.endpoints.reading.long_text import STEP_BYTES
from proxy.metering.prompts import embedding_input_tokens

InputText = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "array", "items": {"type": "integer"}},
                {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            ]
        }
    ),
]
"""The four shapes, for the OpenAPI document."""

_IDS: Final = re.compile(rb"\s*\[\s*-?\d")


def input_count(body: JsonBody, name: str) -> int:
    """How many inputs there are: the items of a list; one for a list of token ids and for any other value."""
    raw = body.members.get(name)
    if raw is None or not beginning(raw).startswith(b"[") or _IDS.match(raw):
        return 1
    if _is_large_and_plain(raw):
        return max(1, _count(raw, b"[") - 1)
    value = body[name]
    return max(1, len(value)) if isinstance(value, list) else 1


def input_tokens(body: JsonBody, name: str, model: str) -> int:
    """The tokens of all inputs together; those of an absent or empty one are counted as well."""
    raw = body.members.get(name)
    if raw is not None and beginning(raw).startswith(b"[") and _is_large_and_plain(raw):
        # Millions of ids need not become Python's integers to be counted: commas stand between them.
        return _count(raw, b",") + 1
    return embedding_input_tokens(body.get(name), model)


def _is_large_and_plain(raw: msgspec.Raw) -> bool:
    """Whether a value is large and holds no strings, so that it can only be token ids."""
    return len(memoryview(raw)) > LARGE_BYTES and not any(b'"' in step for step in _steps(raw))


def _count(raw: msgspec.Raw, byte: bytes) -> int:
    return sum(step.count(byte) for step in _steps(raw))


def _steps(raw: msgspec.Raw) -> Iterator[bytes]:
    view = memoryview(raw)
    return (bytes(view[at : at + STEP_BYTES]) for at in range(0, len(view), STEP_BYTES))
