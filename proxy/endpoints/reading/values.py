"""Values of a JSON text whose long strings are marks, decoded so that other threads run in between."""

from collections.abc import Sequence
from typing import Final

import msgspec

from proxy.endpoints.reading.long_text import FOREIGN, decode
from proxy.endpoints.reading.steps import STEP_BYTES, each_member, first_byte, items

VALUES_MAX: Final = 262_144
"""How many values are decoded together at most, at all depths."""

_ANY: Final = msgspec.json.Decoder()
_LEVELS: Final = 8
"""How deep a large value is decoded item by item; what is large even below that is decoded at once."""


def value_of(raw: bytes | memoryview | msgspec.Raw, texts: Sequence[str], levels: int = _LEVELS) -> object:
    """The decoded value, with `texts` at their marks. Raises ValueError for what is no JSON."""
    view = memoryview(raw)
    if len(view) > STEP_BYTES and levels:
        match first_byte(view):
            case b"[":
                return [value_of(item, texts, levels - 1) for item in items(view)]
            case b"{":
                return {name: value_of(value, texts, levels - 1) for name, value in each_member(view)}
    short = bytes(view)
    if FOREIGN not in short:
        try:
            return _ANY.decode(short)
        except msgspec.DecodeError:
            pass  # A number out of range is decoded leniently, as a lone surrogate is.
    return decode(short, texts)
