"""How long a sound lasts by what its file tells of itself, read by a library that knows the formats.

What the library is given is bounded, so that no file takes long: some thousand reads, and not much in them.
Whatever it cannot read tells nothing. What a file tells need not be so: see `sounds`.
"""

import io
from fractions import Fraction
from typing import BinaryIO, Final, cast

import msgspec
from tinytag import TinyTag

TYPICAL_BYTES_A_SECOND: Final = 8_000
"""Compressed speech, where a file does not tell its own rate."""
READS_MAX: Final = 4_096
"""How often the library may read of a file or seek in it: so often takes some milliseconds."""
READ_BYTES_MAX: Final = 262_144
"""How much of it the library may read in all."""

_WAV_HEAD: Final = 1_024
_OGG_HEAD: Final = 16_384
_OGG_TAIL: Final = 65_536
LEAST_BYTES_A_SECOND: Final = 500
"""No codec that carries speech takes fewer."""
_PACED: Final = ("audio/wav", "audio/mpeg")
"""What the library tells the rate of by the first samples or frames."""


class ToldSound(msgspec.Struct, frozen=True, gc=False):
    """What a file tells of its sound, each 0 where it does not. Its seconds are to the millisecond.

    `bytes_a_second` are those that a second takes in the file, behind so many of its head. With
    `raw_bytes_a_second` it takes these as samples, which no codec exceeds that loses nothing.
    """

    seconds: Fraction = Fraction(0)
    bytes_a_second: Fraction = Fraction(0)
    head_bytes: int = 0
    raw_bytes_a_second: int = 0

    def lasts(self, size_bytes: int) -> Fraction:
        """How long a file of this size lasts that begins so: by its rate, its seconds, or else its size."""
        if self.bytes_a_second:
            return max(0, size_bytes - self.head_bytes) / self.bytes_a_second
        if 0 < self.seconds <= Fraction(size_bytes, LEAST_BYTES_A_SECOND):
            return self.seconds
        return Fraction(size_bytes, TYPICAL_BYTES_A_SECOND)


class Excerpt:
    """A file within other bytes, which are not copied, as a library reads it: so often, and so much."""

    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self._data = data
        self._start = start
        self._stop = stop
        self._at = start
        self._reads_left = READS_MAX
        self._bytes_left = READ_BYTES_MAX

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises OSError where that is more than may be read in all."""
        there = max(0, self._stop - self._at)
        count = there if size < 0 else min(size, there)
        self._spend(count)
        begin, self._at = self._at, self._at + count
        return self._data[begin : self._at]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which may be behind the end. Raises OSError for one before the file."""
        self._spend(0)
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._at, io.SEEK_END: self._stop}[whence]
        if base + offset < self._start:
            raise OSError("nothing lies before a file")
        self._at = base + offset
        return self.tell()

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at - self._start

    def _spend(self, count: int) -> None:
        self._reads_left -= 1
        self._bytes_left -= count
        if min(self._reads_left, self._bytes_left) < 0:
            raise OSError("more of a sound would be read than may be")


def told_sound(data: bytes, start: int, stop: int) -> ToldSound:
    """What the file between two offsets tells of its sound; nothing, where it cannot be read."""
    file = Excerpt(data, start, stop)
    if data.startswith(b"OggS", start):
        ends = _ogg_ends(data, start, stop)
        file = Excerpt(ends, 0, len(ends))
    try:
        return _read(TinyTag.get(file_obj=cast("BinaryIO", file), tags=False), _samples_at(data, start))
    except Exception:  # noqa: BLE001 - whatever is wrong with a file, its size is left.
        return ToldSound()


def _samples_at(data: bytes, start: int) -> int:
    """Where the samples of a WAV begin, if that is near; 0 otherwise."""
    found = data.find(b"data", start, start + _WAV_HEAD) if data.startswith(b"RIFF", start) else -1
    return found + 8 - start if found >= 0 else 0


def _read(tag: TinyTag, head_bytes: int) -> ToldSound:
    kind = tag.mime_type or ""
    samples = (tag.samplerate or 0) * (tag.channels or 0) * (tag.bitdepth or 0) // 8
    rate = _thousandths(tag.bitrate or 0) * 125 if kind.startswith(_PACED) else Fraction(0)
    return ToldSound(
        seconds=_thousandths(tag.duration or 0),
        bytes_a_second=rate if rate >= LEAST_BYTES_A_SECOND else Fraction(0),
        head_bytes=head_bytes,
        raw_bytes_a_second=samples if tag.is_lossless else 0,
    )


def _thousandths(value: float) -> Fraction:
    return max(Fraction(0), Fraction(round(value * 1_000), 1_000))


def _ogg_ends(data: bytes, start: int, stop: int) -> bytes:
    """The first pages of a file and the last ones, in which all stands that tells its length."""
    if stop - start <= _OGG_HEAD + _OGG_TAIL:
        return data[start:stop]
    head, tail = data.rfind(b"OggS", start, start + _OGG_HEAD), data.find(b"OggS", stop - _OGG_TAIL, stop)
    return data[start:head] + (data[tail:stop] if tail >= 0 else b"")
