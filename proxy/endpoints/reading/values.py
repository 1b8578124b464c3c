"""Values of a JSON text whose long strings are marks, decoded so that other threads run in between."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from proxy.endpoints.reading.long_text import FOREIGN, decode
from proxy.endpoints.reading.steps import STEP_BYTES, each_member, first_byte, items

VALUES_MAX: Final = 262_144
"""How many values are decoded together at most, at all depths."""

_ANY: Final = msgspec.json.Decoder()
_LEVELS: Final = 8
"""How deep a large value is decoded item by item; what is large even below that is decoded at once."""


Shape = Mapping[str, Any]
"""Members of an object, or of each in an array, with their own shapes; None: any value. Others are any value
too, and what is `PASSED` does not matter."""

PASSED: Final = "passed"


def value_of(
    raw: bytes | memoryview | msgspec.Raw,
    texts: Sequence[str],
    levels: int = _LEVELS,
    shape: Shape | None = None,
) -> object:
    """The decoded value, with `texts` at their marks. Raises ValueError for what is no JSON.

    Large objects of a `shape` are without what does not matter.
    """
    view = memoryview(raw)
    if len(view) > STEP_BYTES and levels:
        match first_byte(view):
            case b"[":
                return [value_of(item, texts, levels - 1, shape) for item in items(view)]
            case b"{":
                inner = shape or {}
                return {
                    name: value_of(value, texts, levels - 1, inner.get(name))
                    for name, value in each_member(view)
                    if inner.get(name) != PASSED
                }
    short = bytes(view)
    if FOREIGN not in short:
        try:
            return _ANY.decode(short)
        except msgspec.DecodeError:
            pass  # A number out of range is decoded leniently, as a lone surrogate is.
    return decode(short, texts)
