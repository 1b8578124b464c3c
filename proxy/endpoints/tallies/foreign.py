"""The text in JSON that is of no form that is known: all that can be counted of it."""

from collections.abc import Iterator
from typing import Final

import msgspec

from proxy.endpoints.reading.depth import is_too_deep

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

    A frame around nothing has no text: such events are signs of life. What is nested too deeply counts as it
    stands.
    """
    if is_too_deep(data):
        return data.decode("utf-8", "replace")
    try:
        value = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return data.decode("utf-8", "replace")
    if isinstance(value, dict) and not any(value[name] for name in value.keys() - _FRAME):
        return ""
    return "".join(_strings(value)) or data.decode("utf-8", "replace")


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
