"""Long strings of a JSON text stay where they are: a request is read without walking its images.

`shorten` puts a mark in the place of each such string; what is left is small and quick to decode. A mark is a
JSON string that holds the byte FF, which valid UTF-8 never does: no client can write one. No single call here
takes more than a few milliseconds whatever the size, so other threads get their turn in between.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final, Self, SupportsIndex

import msgspec

from proxy.endpoints.reading.steps import STEP_BYTES, Text, first_byte, joined, masked_step, slices
from proxy.metering.tokens import PiecewiseText

LONG_BYTES: Final = 32_768
"""Strings above a step's length are always found; of shorter ones, those above this length may be."""

FOREIGN: Final = b"\xff"
"""A byte that UTF-8 does not have: it begins marks, and stands for the backslash of a lone surrogate."""

MARK: Final = re.compile(rb'"\xff(\d+)\xff"')
_MARK_BYTES_MAX: Final = 24

_HEAD_BYTES: Final = 1_024
_PREFIX: Final = re.compile(rb"(?:data:[A-Za-z0-9.+/;=_-]{0,200},)?")
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
_BACKSLASH: Final = ord("\\")
_ESCAPE_BYTES: Final = 6
_HIGH_HALF: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_STRING: Final = msgspec.json.Decoder(str)


class LongName(Exception):  # noqa: N818 - named for what is wrong with the text.
    """A member's name is too long to be one; `at` is where it begins."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


class LongText(PiecewiseText):
    """A long string that is still in the JSON text; one that `is_plain` is ASCII without escapes.

    `pieces`, slices, truth, `str()` and `encode()` are those of the whole text. Its length is that in the
    JSON, which is no less than its characters. The other methods of `str` see its beginning only.
    """

    __slots__ = ("_source", "_start", "_stop", "is_plain")

    _source: bytes
    _start: int
    _stop: int
    is_plain: bool

    def __new__(cls, source: bytes, start: int, stop: int, *, is_plain: bool = True) -> Self:
        """The text between two offsets of `source`, which are within its quotes."""
        # The first kilobyte is enough to be told from an empty text and from every known word.
        head = source[start : min(stop, start + _HEAD_BYTES)].decode("utf-8", "replace")
        made = super().__new__(cls, head)
        made._source, made._start, made._stop, made.is_plain = source, start, stop, is_plain
        return made

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, key: SupportsIndex | slice, /) -> str:
        if not self.is_plain:
            if isinstance(key, slice) and key.stop is None and key.step is None and (key.start or 0) < 0:
                return self._ending(key.start)
            return self._beginning(key)[key]
        if not isinstance(key, slice):
            return chr(memoryview(self._source)[self._start : self._stop][key])
        first, last, step = key.indices(len(self))
        if step != 1:
            return self[:][key]
        return self._source[self._start + first : self._start + last].decode("ascii") if first < last else ""

    def __str__(self) -> str:
        return self[:]

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole text as bytes."""
        return b"".join(piece.encode(encoding, errors) for piece in self.pieces())

    def pieces(self) -> Iterator[str]:
        """The text in pieces, none longer than a step. Raises BrokenText for what is no JSON string."""
        at = self._start
        while at < self._stop:
            cut = self._cut(at)
            piece = self._source[at:cut]
            yield piece.decode("ascii") if self.is_plain else _decoded(piece, at)
            at = cut

    def steps(self) -> Iterator[bytes]:
        """The text's bytes in the JSON, in steps."""
        return slices(self._source, self._start, self._stop)

    def _ending(self, start: int) -> str:
        """The last characters of the text, as many as `start` is below zero."""
        found = ""
        for piece in self.pieces():
            found = (found + piece)[start:]
        return found

    def _beginning(self, key: SupportsIndex | slice) -> str:
        """As much of the text from its beginning as a slice or an index needs."""
        last = key.stop if isinstance(key, slice) else None
        if last is None or last < 0 or (isinstance(key, slice) and (key.start or 0) < 0):
            return "".join(self.pieces())
        found = ""
        for piece in self.pieces():
            if len(found) >= last:
                break
            found += piece
        return found

    def _cut(self, at: int) -> int:
        """Where the piece that begins at `at` ends: neither within a character nor within an escape."""
        source, cut = self._source, min(self._stop, at + STEP_BYTES)
        if cut == self._stop or self.is_plain:
            return cut
        while source[cut] & 0xC0 == 0x80:
            cut -= 1
        if b"\\" not in source[cut - 2 * _ESCAPE_BYTES : cut]:
            return cut
        step = masked_step(source[at:cut], 0)
        escape = step.rfind(b"\\", -_ESCAPE_BYTES)
        if escape >= 0 and len(step) - escape < (
            _ESCAPE_BYTES if step[escape + 1 : escape + 2] == b"u" else 2
        ):
            step = step[:escape]
        if _HIGH_HALF.search(step, len(step) - _ESCAPE_BYTES):
            # The other half stays with it.
            step = step[:-_ESCAPE_BYTES]
        return at + len(step)


class BrokenText(ValueError):  # noqa: N818 - named for what is wrong, as `LongName` is.
    """A long string is no JSON: what is wrong, and where."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.what = what
        self.at = at


def _decoded(piece: bytes, at: int) -> str:
    """A piece of a JSON string that begins at `at`. Raises BrokenText."""
    quoted = b'"%b"' % piece
    try:
        return _STRING.decode(quoted)
    except msgspec.DecodeError:
        pass  # A lone surrogate makes no text unreadable.
    try:
        text: str = json.loads(quoted)
    except json.JSONDecodeError as fault:
        raise BrokenText(fault.msg.lower(), at + len(quoted.decode()[: fault.pos].encode()) - 1) from None
    return text


def shorten(data: bytes) -> tuple[bytes, tuple[LongText, ...]]:
    """`data` with marks for its long strings, and those strings in order.

    `data` must be valid UTF-8. Unless it raises LongName, or BrokenText for a string that is no JSON, the
    result is valid JSON exactly if `data` is.
    """
    texts: list[LongText] = []
    kept: list[bytes] = []
    done = at = 0
    while len(data) - at > LONG_BYTES:
        # No step begins within a string.
        step = masked_step(data, at)
        if step.count(b'"') % 2 == 0:
            at += len(step)
            continue
        opening = at + step.rfind(b'"')
        closing = _closing(data, opening + 1)
        if closing < 0:
            break
        at = closing + 1
        if closing - opening > LONG_BYTES:
            if _is_name(data, at):
                raise LongName(opening)
            kept += (*slices(data, done, opening), b'"\xff%d\xff"' % len(texts))
            texts.append(_long_text(data, opening + 1, closing))
            done = at
    if not texts:
        return data, ()
    kept += slices(data, done, len(data))
    return joined(kept), tuple(texts)


def _closing(data: bytes, at: int) -> int:
    """Where the string ends that goes on at `at`; -1 if it does not."""
    while at < len(data):
        step = masked_step(data, at)
        found = step.find(b'"')
        if found >= 0:
            return at + found
        at += len(step)
    return -1


def _is_name(data: bytes, at: int) -> bool:
    """Whether a colon follows."""
    return first_byte(data, at) == b":"


def _long_text(data: bytes, start: int, stop: int) -> LongText:
    """The string between two quotes. Raises BrokenText when it is none."""
    prefix = _PREFIX.match(data, start, stop)
    after = prefix.end() if prefix else start
    text = LongText(
        data,
        start,
        stop,
        is_plain=not any(step.translate(None, _BASE64) for step in slices(data, after, stop)),
    )
    if not text.is_plain:
        for _ in text.pieces():
            pass
    return text


def marks(short: Text) -> Iterator[tuple[int, int, int]]:
    """The marks in a shortened text: where each begins and ends, and the number of its string."""
    for at in range(0, len(short), STEP_BYTES):
        for mark in MARK.finditer(bytes(short[at : at + STEP_BYTES + _MARK_BYTES_MAX])):
            if mark.start() < STEP_BYTES:
                yield at + mark.start(), at + mark.end(), int(mark[1])


def restore(short: bytes, texts: Sequence[LongText]) -> bytes:
    """The JSON text that `short` stands for: strings for their marks, backslashes for foreign bytes."""
    if FOREIGN[0] not in short:
        return short
    # A join of bytes lets other threads run while it copies much; a buffer that grows would not.
    pieces: list[bytes] = []
    done = 0
    for start, end, number in marks(short):
        pieces += (step.replace(FOREIGN, b"\\") for step in slices(short, done, start + 1))
        pieces += texts[number].steps()
        done = end - 1
    pieces += (step.replace(FOREIGN, b"\\") for step in slices(short, done, len(short)))
    return joined(pieces)


def restored_bytes(short: Text, texts: Sequence[LongText]) -> int:
    """How long the text is that `short` stands for."""
    found = marks(short) if texts else ()
    return len(short) + sum(len(texts[number]) + 2 - (end - start) for start, end, number in found)


def decode(short: bytes, texts: Sequence[str]) -> object:
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
