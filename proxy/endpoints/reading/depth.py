"""How deep a JSON text is nested, found from its bytes before a decoder uses its stack on it.

The bound is a number, so that the same text is read or refused on every interpreter.
"""

from collections.abc import Iterator
from itertools import accumulate
from operator import add
from typing import Final

from proxy.endpoints.reading.steps import STEP_BYTES, Text, slices

DEPTH_MAX: Final = 128
"""How deep arrays and objects may be nested. A tool's schema is the deepest of what is usually sent: ten
levels of it, the most that OpenAI takes in strict mode, are some forty of arrays and objects."""

_BLOCK: Final = 128
_BACKSLASH: Final = b"\\"
# What may follow a backslash stays beside it, so that what was further away does not become its neighbour.
_KEPT: Final = b'[]{}"\\/bfnrtu'
_NOT_KEPT: Final = bytes(byte for byte in range(256) if byte not in _KEPT)
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NOT_OPENING: Final = bytes(byte for byte in range(256) if byte not in b"[{")
_AS_DIGITS: Final = bytes.maketrans(b"[{]}", b"1100")


def is_too_deep(data: Text, depth_max: int = DEPTH_MAX) -> bool:
    """Whether some value in `data` is nested deeper than `depth_max`. Takes 1 ms per megabyte of text.

    Of a text that is no JSON, the part before its first fault is judged, and no decoder reads more of it.
    """
    # What opens has to close, so that a short text is not deep.
    if len(data) <= 2 * depth_max or not _opens_more(data, depth_max):
        return False
    depth = 0
    for digits in _brackets(data):
        opening = digits.count(b"1")
        if depth + opening > depth_max and _goes_deeper(digits, depth_max - depth):
            return True
        depth += 2 * opening - len(digits)
    return False


def _opens_more(data: Text, most: int) -> bool:
    """Whether more than so many brackets open, within strings or not."""
    opening = 0
    for step in slices(data, 0, len(data)):
        opening += len(step.translate(None, _NOT_OPENING))
        if opening > most:
            return True
    return False


def _brackets(data: Text) -> Iterator[bytes]:
    """All brackets outside of strings, in pieces: the digit 1 for each that opens, 0 for one that closes."""
    at, within = 0, 0
    while at < len(data):
        step = bytes(data[at : at + STEP_BYTES])
        at += len(step)
        if step.endswith(_BACKSLASH):
            # A backslash that escapes the first byte of the next step takes it along.
            at += (len(step) - len(step.rstrip(_BACKSLASH))) % 2
        kept = step.translate(None, _NOT_KEPT)
        if _BACKSLASH in kept:
            kept = kept.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = kept.split(b'"')
        yield b"".join(pieces[within::2]).translate(_AS_DIGITS, _NO_BRACKETS)
        within = (within + len(pieces) - 1) % 2


def _goes_deeper(digits: bytes, levels: int) -> bool:
    """Whether these brackets ever go deeper than so many levels below their beginning."""
    depth = 0
    for at in range(0, len(digits), _BLOCK):
        block = digits[at : at + _BLOCK]
        opening = block.count(b"1")
        if depth + opening > levels:
            # Many may open within this block and close again, so all of them are followed one by one.
            return _peak_of(digits) > levels
        depth += 2 * opening - len(block)
    return False


def _peak_of(digits: bytes) -> int:
    """How much deeper than at their beginning these brackets ever are."""
    # They are read eight at a time. Those that close, put at the end, change nothing.
    eights = -(-len(digits) // 8)
    packed = int(digits.ljust(8 * eights, b"0"), 2).to_bytes(eights, "big")
    before = accumulate(map(_CHANGES.__getitem__, packed), initial=0)
    peaks: Iterator[int] = map(add, before, map(_PEAKS.__getitem__, packed))
    return max(peaks)


def _steps(bits: int) -> Iterator[int]:
    return (1 if bits >> at & 1 else -1 for at in range(7, -1, -1))


_CHANGES: Final = tuple(sum(_steps(bits)) for bits in range(256))
"""How much deeper eight brackets end than they begin, by their bits."""

_PEAKS: Final = tuple(max(accumulate(_steps(bits))) for bits in range(256))
"""How much deeper than at their beginning eight brackets ever are, by their bits."""
