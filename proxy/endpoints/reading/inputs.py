"""Prompts and inputs, which come in four shapes: a string, strings, token ids, or lists of token ids."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, beginning
from proxy.endpoints.reading.body_faults import too_many
from proxy.endpoints.reading.steps import items, slices
from proxy.metering.prompts import prompt_tokens

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

INPUTS_MAX: Final = 65_536

_IDS: Final = re.compile(rb"\s*\[\s*-?\d")


def bound_inputs(body: JsonBody, name: str) -> None:
    """See that there are not too many inputs. Raises Refusal `invalid_value`, naming the member."""
    raw = body.members.get(name)
    if raw is None or len(memoryview(raw)) <= LARGE_BYTES or not beginning(raw).startswith(b"["):
        return
    if not _is_large_and_plain(raw):
        body.bound_items(name, INPUTS_MAX)
        body.bound_values(name)
    elif input_count(body, name) > INPUTS_MAX:
        raise too_many(name, "items", INPUTS_MAX)


def input_count(body: JsonBody, name: str) -> int:
    """How many inputs there are: the items of a list; one for a list of token ids and for any other value."""
    raw = body.members.get(name)
    if raw is None or not beginning(raw).startswith(b"["):
        return 1
    view = memoryview(raw)
    if _IDS.match(bytes(view[:LARGE_BYTES])):
        return 1
    if _is_large_and_plain(raw):
        return max(1, _count(raw, b"[") - 1)
    return max(1, sum(1 for _ in items(view)))


def count_objects(body: JsonBody, name: str) -> int:
    """How many objects there are among the inputs, which are pictures and other things that are no text."""
    raw = body.members[name]
    if not beginning(raw).startswith(b"[") or not any(b"{" in step for step in _steps(raw)):
        return 0
    count = 0
    for rest in ([item] for item in body.items_of(name)):
        while rest:
            value = rest.pop()
            count += isinstance(value, dict)
            if isinstance(value, list):
                rest.extend(value)
    return count


def input_texts(body: JsonBody, name: str) -> Iterator[str | None]:
    """The inputs, one after the other: None for one that is no text. Large lists of ids give none."""
    raw = body.members.get(name)
    if raw is None or not beginning(raw).startswith(b"["):
        value = body.get(name)
        yield value if isinstance(value, str) else None
    elif not _is_large_and_plain(raw):
        for item in body.items_of(name):
            yield item if isinstance(item, str) else None


def input_tokens(body: JsonBody, name: str, model: str) -> int:
    """The tokens of all inputs together; those of an absent or empty one are counted as well."""
    raw = body.members.get(name)
    if raw is not None and beginning(raw).startswith(b"[") and _is_large_and_plain(raw):
        # Millions of ids need not become Python's integers to be counted: commas stand between them.
        return _count(raw, b",") + 1
    return prompt_tokens(body.get(name), model)


def _is_large_and_plain(raw: msgspec.Raw) -> bool:
    """Whether a value is large and holds neither strings nor objects, so that it can only be token ids."""
    if len(memoryview(raw)) <= LARGE_BYTES:
        return False
    return not any(b'"' in step or b"{" in step for step in _steps(raw))


def _count(raw: msgspec.Raw, byte: bytes) -> int:
    return sum(step.count(byte) for step in _steps(raw))


def _steps(raw: msgspec.Raw) -> Iterator[bytes]:
    view = memoryview(raw)
    return slices(view, 0, len(view))
