"""The length of a sound in seconds, read from the first bytes of its file."""

from collections.abc import Callable
from fractions import Fraction
from typing import Final

TYPICAL_BYTES_A_SECOND: Final = 8_000
"""Compressed speech, where a file does not tell its own rate."""

_CHUNKS_MAX: Final = 64
_ENDLESS: Final = 0xFFFFFFFF
KILOBITS: Final = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of MP3 by the number that stands for each, of MPEG 1 and of those after it."""
HERTZ: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Samples a second of MP3, by the version of MPEG."""


def duration_seconds(head: bytes, size_bytes: int) -> Fraction:
    """How long a WAV, MP3 or FLAC file of this size lasts that begins with `head`; any other by its size."""
    for mark, read in _READERS:
        if head.startswith(mark):
            found = read(head, size_bytes)
            if found is not None:
                return found
    return Fraction(size_bytes, TYPICAL_BYTES_A_SECOND)


def _wav(head: bytes, size_bytes: int) -> Fraction | None:
    at, rate = 12, 0
    for _ in range(_CHUNKS_MAX):
        name, length = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"fmt ":
            rate = int.from_bytes(head[at + 16 : at + 20], "little")
        if name == b"data":
            there = max(0, size_bytes - at - 8)
            return Fraction(there if length in {0, _ENDLESS} else min(length, there), rate) if rate else None
        if len(name) < 4:
            break
        at += 8 + length + length % 2
    return None


def _mp3(head: bytes, size_bytes: int) -> Fraction | None:
    """By the first frame: the number of frames if it tells that, else as if all had its bit rate."""
    at = 0
    if head.startswith(b"ID3") and len(head) > 10:
        at = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    frame = head[at : at + 4]
    if len(frame) < 4:
        return Fraction(max(0, size_bytes - at), TYPICAL_BYTES_A_SECOND) if at else None
    version, layer, bits, hertz = frame[1] >> 3 & 3, frame[1] >> 1 & 3, frame[2] >> 4, frame[2] >> 2 & 3
    if frame[0] != 0xFF or frame[1] < 0xE0 or version == 1 or layer != 1 or bits in {0, 15} or hertz == 3:
        return None
    first = head[at : at + 64]
    for mark in (b"Xing", b"Info"):
        place = first.find(mark)
        if 0 <= place <= len(first) - 12 and first[place + 7] & 1:
            frames = int.from_bytes(first[place + 8 : place + 12], "big")
            return Fraction(frames * (1_152 if version == 3 else 576), HERTZ[version][hertz])
    rate = KILOBITS[1 if version == 3 else 2][bits - 1] * 125
    return Fraction(max(0, size_bytes - at), rate)


def _flac(head: bytes, _size_bytes: int) -> Fraction | None:
    packed = int.from_bytes(head[18:26], "big")
    hertz, samples = packed >> 44, packed & (1 << 36) - 1
    return Fraction(samples, hertz) if len(head) >= 26 and hertz and samples else None


_READERS: Final[tuple[tuple[bytes, Callable[[bytes, int], Fraction | None]], ...]] = (
    (b"RIFF", _wav),
    (b"ID3", _mp3),
    (b"\xff", _mp3),
    (b"fLaC", _flac),
)
