"""A JSON body: only what is needed is decoded, and it is rebuilt from the client's own bytes.

Where a member occurs twice the last one counts, and only that one is ever sent on: so no upstream can read
another value than the one that was checked and priced.
"""

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from proxy.endpoints.reading.depth import DEPTH_MAX, is_too_deep
from proxy.endpoints.reading.long_text import (
    FOREIGN,
    MARK,
    STEP_BYTES,
    LongText,
    decode,
    mask_lone_surrogates,
    restore,
    restored_bytes,
    shorten,
)
from proxy.errors import Refusal

LARGE_BYTES: Final = 262_144
"""Above this, a JSON text is read in a way that lets other threads run; do that off the event loop."""

RESCUE_BYTES: Final = 4_194_304
"""Up to this length, long base64 strings not counted, lone surrogates are looked for."""

Members = dict[str, msgspec.Raw]
"""The members of a JSON object, each value still the bytes it came in."""

_OBJECT: Final = msgspec.json.Decoder(Members)
_ANY: Final = msgspec.json.Decoder()
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_FAULT: Final = re.compile(r"(?:JSON is malformed: )?(.*?)(?: \(byte (\d+)\))?\Z", re.DOTALL)

# What is in these is only measured and sliced, which a `LongText` allows. Strings of other members may be
# joined with more text, and are whole.
_SLICED: Final = frozenset({"messages", "input", "prompt"})

_NO_NAME: Final = "a member's name is no proper text"
BYTE_ORDER_MARK: Final = codecs.BOM_UTF8
"""Some servers begin their answers with it; no request may."""

# What people write that is no JSON, by the byte at which decoding stops.
_HINTS: Final[Mapping[bytes, str]] = {
    b"N": "NaN and None are not JSON, write null",
    b"I": "infinities are not JSON",
    b"'": "strings take double quotes",
    b"T": "write true in lower case",
    b"F": "write false in lower case",
    b"/": "comments are not JSON",
}


class JsonBody(Mapping[str, object]):
    """A JSON object as it came: a mapping whose values are decoded each time they are asked for.

    `members` holds the values' bytes; long base64 strings may be marks in them, and `LongText` in messages,
    inputs and prompts. `size_bytes` is the length of the whole text, `short_bytes` what is not long base64.
    """

    __slots__ = ("_foreign", "_texts", "members", "short_bytes", "size_bytes")

    def __init__(self, size_bytes: int, short: bytes, members: Members, texts: Sequence[LongText]) -> None:
        self.members = members
        self.size_bytes = size_bytes
        self.short_bytes = len(short)
        self._texts = texts
        self._foreign = FOREIGN[0] in short

    def __getitem__(self, name: str) -> object:
        """The decoded value. Raises KeyError."""
        return self._value(self.members[name], self._texts if name in _SLICED else ())

    def __contains__(self, name: object) -> bool:
        return name in self.members

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def bytes_of(self, name: str) -> int:
        """How many bytes of the client's the value takes; 0 when there is no such member."""
        raw = self.members.get(name)
        return restored_bytes(memoryview(raw), self._texts) if raw is not None else 0

    def put(self, name: str, value: bytes) -> None:
        """Put the JSON of what was read in the place of what came, so that nothing else can be read of it.

        The marks that stand in `members` may stand in it too.
        """
        self.members[name] = msgspec.Raw(value)

    def patched(self, changes: Mapping[str, bytes | None]) -> bytes:
        """The body with other values for some members; see `patched`. Takes 0.5 ms per megabyte."""
        return restore(patched(self.members, changes), self._texts)

    def _value(self, raw: msgspec.Raw, texts: Sequence[LongText]) -> object:
        size = len(memoryview(raw))
        if size > LARGE_BYTES and beginning(raw).startswith(b"["):
            return [self._value(item, texts) for item in _ITEMS.decode(raw)]
        if self._foreign and FOREIGN in (short := bytes(raw)):
            return self._odd_value(short, texts)
        try:
            return _ANY.decode(raw)
        except msgspec.DecodeError:
            return decode(bytes(raw), ())

    def _odd_value(self, short: bytes, texts: Sequence[LongText]) -> object:
        if texts:
            # Only a long string that is a member's name cannot stay where it is.
            with suppress(ValueError):
                return decode(short, texts)
        return decode(restore(short, self._texts), ())


def beginning(raw: msgspec.Raw) -> bytes:
    """The first eight bytes of a value: all of null, true and false, and enough to know every other kind."""
    return bytes(memoryview(raw)[:8])


def members_of(raw: msgspec.Raw) -> Members | None:
    """The members of an object within a body; None for any other value. Of two by one name the last counts.

    Raises Refusal `invalid_json` for a name that is no proper text.
    """
    try:
        return _OBJECT.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise _refusal(_NO_NAME) from fault


def items_of(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    """The items of a list within a body; None for any other value."""
    return _ITEMS.decode(raw) if beginning(raw).startswith(b"[") else None


def patched(members: Mapping[str, msgspec.Raw], changes: Mapping[str, bytes | None]) -> bytes:
    """A JSON object of `members` with the values of `changes` in place of theirs; None leaves a member out.

    Every value is the bytes it was; members keep their order, new ones come last.
    """
    values = dict(members)
    for name, value in changes.items():
        if value is None:
            values.pop(name, None)
        else:
            values[name] = msgspec.Raw(value)
    return msgspec.json.encode(values)


def read_body(data: bytes) -> JsonBody:
    """Read a JSON object. Raises Refusal `invalid_json`, saying what is wrong and where.

    Values are checked for their syntax and their depth but not decoded. Takes 0.3 ms per megabyte of base64
    and 2 ms of anything else.
    """
    if not data:
        raise _refusal("it is empty")
    if data.startswith(BYTE_ORDER_MARK):
        raise _refusal("it begins with a byte order mark")
    odd_at = utf8_fault(data)
    if odd_at is not None:
        raise _refusal(f"it is not UTF-8 at byte {odd_at}")
    short, texts = shorten(data) if len(data) > LARGE_BYTES else (data, ())
    if is_too_deep(short):
        raise _refusal(f"it is nested more than {DEPTH_MAX} deep")
    try:
        members = _OBJECT.decode(short)
    except msgspec.ValidationError as fault:
        raise _refusal(f"it is {_kind(short)}") from fault
    except msgspec.DecodeError as fault:
        short = _rescued(short, texts, fault)
        members = _OBJECT.decode(short)
    except UnicodeDecodeError as fault:
        raise _refusal(_NO_NAME) from fault
    return JsonBody(len(data), short, members, texts)


def _rescued(short: bytes, texts: Sequence[LongText], fault: msgspec.DecodeError) -> bytes:
    """The same text, made readable, if lone surrogates were its only fault. Raises Refusal if not."""
    masked = mask_lone_surrogates(short) if len(short) <= RESCUE_BYTES else None
    if masked is None:
        raise _syntax_refusal(short, texts, fault) from fault
    try:
        _OBJECT.decode(masked)
    except msgspec.DecodeError as other:
        raise _syntax_refusal(masked, texts, other) from other
    except UnicodeDecodeError as other:
        raise _refusal(_NO_NAME) from other
    return masked


def utf8_fault(data: bytes) -> int | None:
    """Where `data` stops to be UTF-8; None if all of it is."""
    if data.isascii():
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(data), STEP_BYTES):
        step = data[at : at + STEP_BYTES]
        try:
            decoder.decode(step, final=at + STEP_BYTES >= len(data))
        except UnicodeDecodeError as fault:
            # The decoder reads the bytes of a character again that the step before has cut.
            return at + fault.start - (len(fault.object) - len(step))
    return None


def _syntax_refusal(short: bytes, texts: Sequence[LongText], fault: msgspec.DecodeError) -> Refusal:
    found = _FAULT.match(str(fault))
    what, where = (found[1], found[2]) if found else (str(fault), None)
    if where is None:
        # The decoder gives no place for a text that ends within an escape either.
        return _refusal("it ends too early")
    at = int(where)
    hint = _HINTS.get(short[at : at + 1])
    return _refusal(f"{what} at byte {_offset(short, texts, at)}{f' ({hint})' if hint else ''}")


def _offset(short: bytes, texts: Sequence[LongText], at: int) -> int:
    """Where the byte at `at` of the shortened text is in the whole one."""
    before = MARK.finditer(short, 0, at) if texts else ()
    return at + sum(len(texts[int(mark[1])]) + 2 - (mark.end() - mark.start()) for mark in before)


def _kind(short: bytes) -> str:
    first = short.lstrip()[:1]
    return {b"[": "an array", b'"': "a string", b"n": "null", b"t": "true", b"f": "false"}.get(
        first, "a number"
    )


def _refusal(what: str) -> Refusal:
    return Refusal("invalid_json", f"The body is not a JSON object: {what}.")
