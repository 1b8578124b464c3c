"""How long a Matroska file lasts, of which WebM is a kind: by its header, and by the times of its clusters.

A library reads the elements: what each is, how long, and its number. Which of them are looked at is decided
here, and they are read one after the other however they are nested, so that no file leads deep. Browsers
record without a length in the header, and without the size of what they have not ended yet.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import cache
from types import ModuleType
from typing import Final, cast

import msgspec

from proxy.metering.excerpts import Excerpt

MARK: Final = b"\x1a\x45\xdf\xa3"
"""What a file begins with."""
TAIL_MAX: Final = 4_194_304
"""How far from the end the last cluster is looked for."""
_TRIES_MAX: Final = 8
"""How many places there are looked at, since the mark of a cluster may stand in a sound, too."""

_SEGMENT, _INFO, _CLUSTER, _GROUP = 0x18538067, 0x1549A966, 0x1F43B675, 0xA0
_TICK, _DURATION, _TIME, _BLOCK, _SIMPLE_BLOCK = 0x2AD7B1, 0x4489, 0xE7, 0xA1, 0xA3
_ENTERED: Final = frozenset({_SEGMENT, _INFO, _CLUSTER, _GROUP})
_USUAL_TICK: Final = 1_000_000
"""Nanoseconds of a tick, where the header does not tell."""
_BLOCK_TICKS_MAX: Final = 32_767
"""A block cannot be later than that after its cluster."""
CLUSTER_READS_MAX: Final = 16_384
"""How often may be read of the last cluster: half a minute of the shortest blocks that are usual."""


class MatroskaHead(msgspec.Struct, frozen=True, gc=False):
    """What stands before the first block: the seconds that it tells or 0, when it begins or None, a tick."""

    seconds: Fraction
    begins: Fraction | None
    tick: Fraction


def matroska_head(data: bytes, start: int, stop: int) -> MatroskaHead:
    """What the head tells of the file between two offsets. All that follows may be missing."""
    readers = _readers()
    tick_ns, duration, begins = _USUAL_TICK, 0.0, None
    file = Excerpt(data, start, stop)
    with suppress(OSError, readers.ReadError, readers.SizeError):
        for name, size in _elements(file):
            if name == _TICK:
                tick_ns = readers.read_element_uinteger(file, size)
            elif name == _DURATION:
                duration = readers.read_element_float(file, size)
            elif name == _TIME:
                begins = readers.read_element_uinteger(file, size)
                break
    tick = Fraction(tick_ns, 10**9)
    seconds = Fraction(duration) * tick if math.isfinite(duration) and duration > 0 else Fraction(0)
    return MatroskaHead(seconds, begins if begins is None else begins * tick, tick)


def matroska_seconds(data: bytes, start: int, stop: int) -> Fraction:
    """How long the whole file between two offsets says that it lasts; 0 where it says nothing.

    The last block says when it is heard. Its header is believed where it tells no less, and not much more.
    """
    head = matroska_head(data, start, stop)
    ends = _last_block(data, start, stop)
    if head.begins is None or ends is None:
        return head.seconds
    lasts = max(Fraction(0), ends * head.tick - head.begins)
    return head.seconds if lasts <= head.seconds <= lasts + _BLOCK_TICKS_MAX * head.tick else lasts


def _last_block(data: bytes, start: int, stop: int) -> int | None:
    """When the last block of the file is heard, in ticks; None if no cluster is found."""
    mark, at = _CLUSTER.to_bytes(4, "big"), stop
    for _ in range(_TRIES_MAX):
        at = data.rfind(mark, max(start, stop - TAIL_MAX), at)
        if at < 0:
            return None
        if (ticks := _latest(Excerpt(data, at, stop, CLUSTER_READS_MAX))) is not None:
            return ticks
    return None


def _latest(cluster: Excerpt) -> int | None:
    """The time of the latest block from here, in ticks, as far as may be read; None for no cluster."""
    readers = _readers()
    time = latest = None
    with suppress(OSError, readers.ReadError, readers.SizeError):
        for name, size in _elements(cluster):
            if name == _TIME:
                time = readers.read_element_uinteger(cluster, size)
                latest = max(time, latest or 0)
            elif name in (_BLOCK, _SIMPLE_BLOCK) and time is not None and latest is not None:
                readers.read_element_size(cluster)  # The number of its track is written in the same way.
                latest = max(latest, time + readers.read_element_integer(cluster, 2))
    return latest


def _elements(file: Excerpt) -> Iterator[tuple[int, int]]:
    """Each element that is not entered, and its size. Whoever takes it may read what is in it."""
    readers = _readers()
    while True:
        name = readers.read_element_id(file)
        before = file.tell()
        size = readers.read_element_size(file)
        if name is None or size is None:
            return
        begin = file.tell()
        if name in _ENTERED:
            continue
        if size == (1 << 7 * (begin - before)) - 1:
            return  # Nobody knows where it ends.
        yield name, size
        file.seek(begin + size)


@cache
def _readers() -> ModuleType:
    from enzyme.parsers.ebml import readers  # noqa: PLC0415 - few calls need it, and importing it takes a while.

    return cast("ModuleType", readers)
