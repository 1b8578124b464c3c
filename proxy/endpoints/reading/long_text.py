"""Long base64 strings of a JSON text stay where they are: a request is read without walking its images.

`shorten` puts a mark in the place of each such string; what is left is small and quick to decode. A mark is a
JSON string that holds the byte FF, which valid UTF-8 never does: no client can write one. No single call here
takes more than a few milliseconds whatever the size, so other threads get their turn in between.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final, Self, SupportsIndex

WINDOW_BYTES: Final = 32_768
"""Strings of twice this length are always found; shorter ones may be."""

STEP_BYTES: Final = 262_144
"""How much is read or copied at a time."""

FOREIGN: Final = b"\xff"
"""A byte that UTF-8 does not have: it begins marks, and stands for the backslash of a lone surrogate."""

MARK: Final = re.compile(rb'"\xff(\d+)\xff"')

_HEAD_BYTES: Final = 1_024
_PREFIX: Final = re.compile(rb"(?:data:[A-Za-z0-9.+/;=_-]{0,200},)?")
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
_BACKSLASH: Final = ord("\\")


class LongText(str):
    """A long string that is still in the JSON text; it must be plain ASCII without escapes.

    Length, slices, truth, `str()` and `encode()` are those of the whole text. The other methods of `str` see
    its first kilobyte only.
    """

    __slots__ = ("_source", "_start", "_stop")

    _source: bytes
    _start: int
    _stop: int

    def __new__(cls, source: bytes, start: int, stop: int) -> Self:
        """The text between two offsets of `source`."""
        made = super().__new__(cls, source[start : min(stop, start + _HEAD_BYTES)].decode("ascii"))
        made._source, made._start, made._stop = source, start, stop
        return made

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, key: SupportsIndex | slice, /) -> str:
        if not isinstance(key, slice):
            return chr(memoryview(self._source)[self._start : self._stop][key])
        first, last, step = key.indices(len(self))
        if step != 1:
            return self[:][key]
        return self._source[self._start + first : self._start + last].decode("ascii") if first < last else ""

    def __str__(self) -> str:
        return self[:]

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole text as bytes, which are the same in every encoding that extends ASCII."""
        return self[:].encode(encoding, errors)

    def steps(self) -> Iterator[bytes]:
        """The text's bytes in pieces of at most `STEP_BYTES`."""
        for start in range(self._start, self._stop, STEP_BYTES):
            yield self._source[start : min(self._stop, start + STEP_BYTES)]


def shorten(data: bytes) -> tuple[bytes, tuple[LongText, ...]]:
    """`data` with marks for its long base64 strings, data URLs included, and those strings in order.

    `data` must be valid UTF-8. The result is valid JSON exactly if `data` is: what is taken out holds neither
    quotes nor escapes, and begins with a character that can follow a quote only inside a string.
    """
    texts: list[LongText] = []
    kept: list[bytes] = []
    done = at = 0
    while at + WINDOW_BYTES <= len(data):
        if data.find(b'"', at, at + WINDOW_BYTES) >= 0:
            at += WINDOW_BYTES
            continue
        opening = data.rfind(b'"', done, at)
        closing = data.find(b'"', at + WINDOW_BYTES)
        if closing < 0:
            break
        if opening >= 0 and _is_base64_string(data, opening, closing):
            kept += (data[done:opening], b'"\xff%d\xff"' % len(texts))
            texts.append(LongText(data, opening + 1, closing))
            done = closing + 1
        at = closing + 1
    return (b"".join((*kept, data[done:])), tuple(texts)) if texts else (data, ())


def _is_base64_string(data: bytes, opening: int, closing: int) -> bool:
    """Whether what stands between two neighbouring quotes is a whole string of base64 or such a data URL."""
    if opening > 0 and data[opening - 1] == _BACKSLASH:
        return False
    prefix = _PREFIX.match(data, opening + 1, closing)
    start = prefix.end() if prefix else opening + 1
    return not any(
        data[at : min(closing, at + STEP_BYTES)].translate(None, _BASE64)
        for at in range(start, closing, STEP_BYTES)
    )


def restore(short: bytes, texts: Sequence[LongText]) -> bytes:
    """The JSON text that `short` stands for: strings for their marks, backslashes for foreign bytes."""
    if FOREIGN[0] not in short:
        return short
    # A join of bytes lets other threads run while it copies much; a buffer that grows would not.
    pieces = []
    done = 0
    for mark in MARK.finditer(short):
        pieces.append(short[done : mark.start() + 1].replace(FOREIGN, b"\\"))
        pieces += texts[int(mark[1])].steps()
        done = mark.end() - 1
    return b"".join((*pieces, short[done:].replace(FOREIGN, b"\\")))


def restored_bytes(short: bytes | memoryview, texts: Sequence[LongText]) -> int:
    """How long the text is that `short` stands for."""
    marks = MARK.finditer(short) if texts else ()
    return len(short) + sum(len(texts[int(mark[1])]) + 2 - (mark.end() - mark.start()) for mark in marks)


def decode(short: bytes, texts: Sequence[LongText]) -> object:
    """The value that `short` stands for, with `texts` at their places.

    Lone surrogates are kept and numbers out of range are floats. Raises ValueError for what is no JSON or
    has a mark for a member's name.
    """
    found = iter([texts[int(number)] for number in MARK.findall(short)])
    # JSON knows no NaN, and `json` asks what to make of each in their order: so it stands for a mark.
    plain = MARK.sub(b"NaN", short).replace(FOREIGN, b"\\").decode()
    return json.loads(plain, parse_constant=lambda _: next(found), parse_int=_number)


def _number(digits: str) -> int | float:
    """An integer, or a float where Python would refuse to read so many digits."""
    return int(digits) if len(digits) <= 64 else float(digits)


_LONE: Final = re.compile(rb"\\u[dD](?:([89abAB])|[c-fC-F])[0-9a-fA-F]{2}")
_ESCAPE_BYTES: Final = 6


def mask_lone_surrogates(data: bytes) -> bytes | None:
    """`data` with a foreign byte for the backslash of each escaped surrogate without its other half.

    They are legal in JSON, yet not every decoder takes them. None when `data` holds no such escape.
    """
    masked: bytearray | None = None
    paired = -1
    for half in _LONE.finditer(data):
        at = half.start()
        if at == paired or _is_escaped(data, at):
            continue
        other = _LONE.match(data, at + _ESCAPE_BYTES) if half[1] else None
        if other and other[1] is None:
            paired = other.start()
            continue
        if masked is None:
            masked = bytearray(data)
        masked[at] = FOREIGN[0]
    return bytes(masked) if masked is not None else None


def _is_escaped(data: bytes, at: int) -> bool:
    before = at
    while before > 0 and data[before - 1] == _BACKSLASH:
        before -= 1
    return (at - before) % 2 == 1
