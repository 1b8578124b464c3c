"""How long a sound lasts by what its file tells of itself, read by libraries that know the formats.

What a library is given is bounded, so that no file takes long: some thousand reads, and not much in them.
Whatever none can read tells nothing. What a file tells need not be so: see `sounds`.
"""

from fractions import Fraction
from typing import BinaryIO, Final, cast

import msgspec
from tinytag import TinyTag

from proxy.metering.excerpts import Excerpt
from proxy.metering.matroska import MARK, matroska_head

TYPICAL_BYTES_A_SECOND: Final = 8_000
"""Compressed speech, where a file does not tell its own rate."""
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


def told_sound(data: bytes, start: int, stop: int) -> ToldSound:
    """What the file between two offsets tells of its sound; nothing, where it cannot be read."""
    file = Excerpt(data, start, stop)
    if data.startswith(b"OggS", start):
        ends = _ogg_ends(data, start, stop)
        file = Excerpt(ends, 0, len(ends))
    try:
        if data.startswith(MARK, start):
            return ToldSound(_thousandths(matroska_head(data, start, stop).seconds))
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


def _thousandths(value: float | Fraction) -> Fraction:
    return max(Fraction(0), Fraction(round(value * 1_000), 1_000))


def _ogg_ends(data: bytes, start: int, stop: int) -> bytes:
    """The first pages of a file and the last ones, in which all stands that tells its length."""
    if stop - start <= _OGG_HEAD + _OGG_TAIL:
        return data[start:stop]
    head, tail = data.rfind(b"OggS", start, start + _OGG_HEAD), data.find(b"OggS", stop - _OGG_TAIL, stop)
    return data[start:head] + (data[tail:stop] if tail >= 0 else b"")
