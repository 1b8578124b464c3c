"""A large reply, of which only what matters is decoded: the rest is walked in short steps."""

import codecs
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from proxy.endpoints.reading.body import MEMBERS_MAX, Members
from proxy.endpoints.reading.body_faults import utf8_fault
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.long_text import BrokenText, LongName, LongText, mask_lone_surrogates, shorten
from proxy.endpoints.reading.steps import (
    STEP_BYTES,
    TooLong,
    checked,
    count_values,
    counts_more_items,
    each_member,
    first_byte,
    items,
    joined,
    opens_more,
    skeletons,
    slices,
)
from proxy.endpoints.reading.values import PASSED, VALUES_MAX, Shape, value_of

CONTAINERS_MAX: Final = 4_194_304
"""How many arrays and objects a reply may have: log probabilities take dozens for each token."""

_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_WORDS: Final = ((b"NaN", b"0.0"), (b"Infinity", b"0.000000"))


class Unreadable(Exception):  # noqa: N818 - named for what the reply is.
    """A reply is no JSON object, is nested too deeply, or holds more than is decoded."""


class Outline(msgspec.Struct, frozen=True):
    """The members at the top level of a large JSON object, and the long strings that are marks in them."""

    members: Members
    texts: Sequence[LongText]

    def small(self, name: str) -> object:
        """A member's value; None for none, True for one that is too large to be what it should be."""
        raw = self.members.get(name)
        if raw is None:
            return None
        return value_of(raw, self.texts) if len(memoryview(raw)) <= STEP_BYTES else True

    def items(self, name: str, shape: Shape) -> Iterator[memoryview]:
        """The items of an array. Raises Unreadable where what matters of the large ones is too much."""
        raw = self.members[name]
        values = 0
        _bound(memoryview(raw))
        for item in items(memoryview(raw)):
            if len(item) > STEP_BYTES:
                values += _count(item, shape)
                if values > VALUES_MAX:
                    raise Unreadable
            yield item

    def value(self, item: memoryview, shape: Shape) -> object:
        """The value of an item; a large one is without what does not matter."""
        return value_of(item, self.texts, shape=shape)


def outline_of(data: bytes) -> Outline:
    """Take a large reply apart. Raises Unreadable."""
    try:
        short, texts = shorten(data if utf8_fault(data) is None else _cleaned(data))
        if opens_more(short, CONTAINERS_MAX) or is_too_deep(short) or first_byte(short) != b"{":
            raise Unreadable
        sound = checked(short, _mended)
        members: Members = {}
        for count, (name, value) in enumerate(each_member(sound)):
            if count == MEMBERS_MAX:
                raise Unreadable
            members[name] = value
    except (LongName, BrokenText, TooLong, ValueError) as fault:
        raise Unreadable from fault
    return Outline(members, texts)


@cache
def shape_of(struct: Any) -> Shape:
    """The shape of what a struct is decoded from."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: _shape(field.type) for field in info.fields}


def _shape(info: inspect.Type) -> Any:
    match info:
        case inspect.RawType():
            return PASSED
        case inspect.StructType(cls=struct):
            return shape_of(struct)
        case inspect.ListType(item_type=inner):
            return _shape(inner)
        case inspect.UnionType(types=arms):
            return next(filter(None, map(_shape, arms)), None)
    return None


def _count(view: memoryview, shape: Shape | None) -> int:
    """About how many values there are that matter. Raises Unreadable where one holds too many."""
    if len(view) > STEP_BYTES:
        first = first_byte(view)
        _bound(view)
        if first == b"[":
            return sum(1 + _count(item, shape) for item in items(view))
        if first == b"{" and shape is not None:
            kept = ((name, raw) for name, raw in each_member(view) if shape.get(name) != PASSED)
            return sum(1 + _count(memoryview(raw), shape.get(name)) for name, raw in kept)
    return count_values(view)


def _bound(view: memoryview) -> None:
    if first_byte(view) in {b"[", b"{"} and counts_more_items(view, VALUES_MAX):
        raise Unreadable


def _mended(part: bytes, _at: int) -> bytes:
    """A part that is JSON, or would be without lone surrogates and NaN. Raises ValueError."""
    try:
        _RAW.decode(part)
    except msgspec.DecodeError:
        pass  # A lone surrogate or NaN makes no reply unreadable.
    else:
        return part
    mended = bytearray(mask_lone_surrogates(part) or part)
    for at, skeleton in skeletons(part):
        for word, number in _WORDS:
            found = skeleton.find(word)
            while found >= 0:
                mended[at + found : at + found + len(word)] = number
                found = skeleton.find(word, found + 1)
    _RAW.decode(mended)
    return bytes(mended)


def _cleaned(data: bytes) -> bytes:
    """The same text with a replacement character for all that is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = [decoder.decode(step).encode() for step in slices(data, 0, len(data))]
    pieces.append(decoder.decode(b"", final=True).encode())
    return joined(pieces)
