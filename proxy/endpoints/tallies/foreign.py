"""The text in JSON that is of no form that is known: all that can be counted of it."""

import codecs
from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.steps import STEP_BYTES, count_values, slices
from proxy.endpoints.reading.values import VALUES_MAX, value_of
from proxy.endpoints.tallies.outline import Unreadable, outline_of
from proxy.endpoints.tallies.produced_text import written
from proxy.metering.tokens import PiecewiseText

_DECODER: Final = msgspec.json.Decoder()

# Members that say what an object is, and not what it holds.
_FRAME: Final = frozenset(
    {
        *("obfuscation", "provider", "service_tier", "system_fingerprint"),
        *("created", "event", "event_id", "finish_reason", "id", "index", "item_id", "model", "object"),
        *("output_index", "response_id", "role", "sequence_number", "status", "stop_reason", "type"),
    }
)


def foreign_text(data: bytes) -> str:
    """All strings in JSON of an unknown form, frames left out; `data` itself where it has none or is no JSON.

    A frame around nothing has no text: such events are signs of life. What is nested too deeply, or holds too
    much to be decoded, counts as it stands.
    """
    if len(data) > STEP_BYTES:
        return _large_text(data)
    if is_too_deep(data):
        return data.decode("utf-8", "replace")
    try:
        value = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return data.decode("utf-8", "replace")
    if _is_empty(value):
        return ""
    return "".join(_strings(value)) or data.decode("utf-8", "replace")


def _large_text(data: bytes) -> str:
    """The same of a large text, which is neither decoded nor joined as a whole."""
    try:
        outline = outline_of(data)
        if sum(count_values(memoryview(raw)) for raw in outline.members.values()) > VALUES_MAX:
            raise Unreadable
        value = {name: value_of(raw, outline.texts) for name, raw in outline.members.items()}
    except (Unreadable, ValueError):
        return written(partial(_decoded, data))
    if _is_empty(value):
        return ""
    return written(partial(_pieces, value)) or written(partial(_decoded, data))


def _is_empty(value: object) -> bool:
    return isinstance(value, dict) and not any(value[name] for name in value.keys() - _FRAME)


def _decoded(data: bytes) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    yield from map(decoder.decode, slices(data, 0, len(data)))
    yield decoder.decode(b"", final=True)


def _pieces(value: object) -> Iterator[str]:
    for text in _strings(value):
        if isinstance(text, PiecewiseText):
            yield from text.pieces()
        else:
            yield text


def _strings(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += reversed([member for name, member in item.items() if name not in _FRAME])
        elif isinstance(item, list):
            waiting += reversed(item)
