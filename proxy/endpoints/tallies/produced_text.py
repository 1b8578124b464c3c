"""The text that a reply has produced, read out of its buffers piece by piece: it may be tens of megabytes."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, Self, SupportsIndex

import msgspec

from proxy.endpoints.reading.steps import STEP_BYTES
from proxy.metering.tokens import PiecewiseText

# Halves of characters beyond the basic plane, as they are when each is encoded by itself.
_HIGH_HALF: Final = re.compile(rb"\xed[\xa0-\xaf]", re.DOTALL)
_HALVES: Final = re.compile(rb"\xed[\xa0-\xaf].\xed[\xb0-\xbf].", re.DOTALL)
_LONE_HALF: Final = re.compile(rb"\xed[\xa0-\xbf].", re.DOTALL)


class LazyText(PiecewiseText):
    """A long text that a function writes in pieces, each time anew. Methods of `str` see nothing of it."""

    __slots__ = ("_write",)

    _write: Callable[[], Iterator[str]]

    def __new__(cls, write: Callable[[], Iterator[str]]) -> Self:
        """What `write` gives, which is not empty."""
        made = super().__new__(cls, "…")
        made._write = write
        return made

    def __str__(self) -> str:
        return "".join(self.pieces())

    def pieces(self) -> Iterator[str]:
        """The text in the pieces in which it is written."""
        return self._write()


def written(write: Callable[[], Iterator[str]]) -> str:
    """The text that `write` gives in pieces; a long one is not made as a whole."""
    size = 0
    kept: list[str] = []
    for piece in write():
        size += len(piece)
        if size > STEP_BYTES:
            return LazyText(write)
        kept.append(piece)
    return "".join(kept)


class StoredText(msgspec.Struct, frozen=True, gc=False):
    """The text of a choice as it is now: its buffers, where in the text each begins, and how long it is.

    The last buffer may grow meanwhile; what it has then is no part of this.
    """

    buffers: tuple[bytearray, ...]
    starts: tuple[int, ...]
    size_bytes: int

    def read(self, start: int, stop: int) -> bytes:
        """The bytes between two offsets."""
        at = bisect_right(self.starts, start) - 1
        piece = b""
        while start + len(piece) < stop:
            begin = self.starts[at]
            piece += self.buffers[at][start + len(piece) - begin : stop - begin]
            at += 1
        return piece


def stored_text(buffers: Sequence[bytearray]) -> StoredText:
    """What these buffers hold together."""
    held = tuple(buffers)
    starts = tuple(accumulate(map(len, held), initial=0))
    return StoredText(held, starts[:-1], starts[-1])


_Place = tuple[StoredText, int, int]
"""A piece of a text: what it is a part of, and where it begins and ends there."""


class ProducedText(PiecewiseText):
    """A long text of some choices, one after the other. Its pieces are made when they are asked for.

    `pieces`, `len()`, truth, `str()` and slices to its end are those of the whole text. The other methods of
    `str` see its beginning only.
    """

    __slots__ = ("_ends", "_places", "_skipped")

    _places: Sequence[_Place]
    _ends: Sequence[int]
    _skipped: int

    def __new__(cls, places: Sequence[_Place], ends: Sequence[int], skipped: int = 0) -> Self:
        """The text of these places without its first characters; `ends` are the characters up to each."""
        made = super().__new__(cls, _text_at(places[0]))
        made._places, made._ends, made._skipped = places, ends, skipped
        return made

    def __len__(self) -> int:
        return self._ends[-1] - self._skipped

    def __getitem__(self, key: SupportsIndex | slice, /) -> str:
        if isinstance(key, slice) and key.stop is None and key.step is None and (key.start or 0) >= 0:
            skipped = self._skipped + (key.start or 0)
            return ProducedText(self._places, self._ends, skipped) if skipped < self._ends[-1] else ""
        return str(self)[key]

    def __str__(self) -> str:
        return "".join(self.pieces())

    def pieces(self) -> Iterator[str]:
        """The text in pieces, none longer than a step."""
        first = bisect_right(self._ends, self._skipped)
        before = self._ends[first - 1] if first else 0
        for at in range(first, len(self._places)):
            text = _text_at(self._places[at])
            yield text[self._skipped - before :] if at == first else text


def text_of(stored: Iterable[tuple[StoredText, int]]) -> str:
    """The texts of choices, each from an offset on. Takes 1 ms per megabyte."""
    places = [place for text, start in stored for place in _places(text, start)]
    if sum(stop - start for _, start, stop in places) <= STEP_BYTES:
        return "".join(map(_text_at, places))
    return ProducedText(places, list(accumulate(len(_text_at(place)) for place in places)))


def _places(text: StoredText, start: int) -> Iterator[_Place]:
    """The text from `start` on, in pieces that take no time that others would notice."""
    while start < text.size_bytes:
        stop = min(text.size_bytes, start + STEP_BYTES)
        if stop < text.size_bytes:
            stop = start + _cut(text.read(start, stop))
        yield text, start, stop
        start = stop


def _text_at(place: _Place) -> str:
    text, start, stop = place
    return _decoded(text.read(start, stop))


def _cut(piece: bytes) -> int:
    """Where the last character begins, or the half before it: no piece ends within either."""
    at = len(piece) - 1
    while piece[at] & 0xC0 == 0x80:
        at -= 1
    return at - 3 if _HIGH_HALF.match(piece, at - 3) else at


def _decoded(piece: bytes) -> str:
    try:
        return str(piece, "utf-8")
    except UnicodeDecodeError:
        # Halves of a character that came in two events are put together, and lone ones replaced.
        return str(_LONE_HALF.sub("\ufffd".encode(), _HALVES.sub(_together, piece)), "utf-8")


def _together(halves: re.Match[bytes]) -> bytes:
    text = str(halves[0], "utf-8", "surrogatepass")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le").encode()
