"""Values of a JSON text whose long strings are marks, decoded so that other threads run in between."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from proxy.endpoints.reading.long_text import FOREIGN, decode
from proxy.endpoints.reading.steps import (
    STEP_BYTES,
    after_blanks,
    each_member,
    first_byte,
    items,
    member_name,
    structure,
)

VALUES_MAX: Final = 262_144
"""How many values are decoded together at most, at all depths."""

_ANY: Final = msgspec.json.Decoder()
_BRACKET: Final = ord("[")
_LEVELS: Final = 8
"""How deep a large value is walked level by level; what is large even below that is walked in one pass."""


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
    if len(view) > STEP_BYTES and not levels and first_byte(view) in {b"[", b"{"}:
        return _deep_value(view, texts)
    if len(view) > STEP_BYTES:
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


class _Open:
    """An array or object that has begun: its items so far, those that are large decoded already."""

    __slots__ = ("at", "done", "items", "large")

    def __init__(self, at: int) -> None:
        self.at = at
        self.done = at + 1
        self.items: list[tuple[int, int]] = []
        self.large: dict[int, object] = {}

    def end_item(self, at: int) -> None:
        self.items.append((self.done, at))
        self.done = at + 1


def _deep_value(view: memoryview, texts: Sequence[str]) -> object:
    """The value of a large array or object, whatever is within what: each comma is looked at once."""
    around: list[_Open] = []
    for byte, at in structure(view):
        if byte in b"[{":
            around.append(_Open(at))
            continue
        inner = around[-1]
        inner.end_item(at)
        if byte == b",":
            continue
        around.pop()
        if not around:
            return _built(view, inner, texts)
        if at - inner.at > STEP_BYTES:
            around[-1].large[len(around[-1].items)] = _built(view, inner, texts)
    raise ValueError("it ends too early")


def _built(view: memoryview, ended: _Open, texts: Sequence[str]) -> object:
    """The value of an array or object that has ended: what is small in it is decoded now."""
    spans = [(start, stop) for start, stop in ended.items if first_byte(view[start:stop])]
    if view[ended.at] == _BRACKET:
        return [
            ended.large[index] if index in ended.large else value_of(view[start:stop], texts)
            for index, (start, stop) in enumerate(spans)
        ]
    members: dict[str, object] = {}
    for index, (start, stop) in enumerate(spans):
        member = view[after_blanks(view, start) : stop]
        name, value_at = member_name(member)
        members[name] = ended.large[index] if index in ended.large else value_of(member[value_at:], texts)
    return members
