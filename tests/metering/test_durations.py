"""The length of a sound is read from its first bytes, and guessed from its size where they do not tell."""

import struct
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.metering.durations import TYPICAL_BYTES_A_SECOND, duration_seconds


def wav(rate: int, length: int, *before: bytes) -> bytes:
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate, 1, 8)
    return b"".join((b"RIFF\0\0\0\0WAVE", *before, fmt, struct.pack("<4sI", b"data", length)))


MP3 = bytes((0xFF, 0xFB, 0x90, 0))
"""MPEG 1, layer 3, 128 kbit/s, 44,100 Hz."""
ID3 = b"ID3\4\0\0\0\0\0\x14" + b"\0" * 20
XING = MP3 + b"\0" * 32 + b"Xing" + (1).to_bytes(4, "big") + (383).to_bytes(4, "big")
FLAC = b"fLaC\0\0\0\x22" + b"\0" * 10 + ((16_000 << 44) + 160_000).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("head", "size_bytes", "seconds"),
    [
        (wav(8_000, 80_000), 80_044, 10),
        (wav(8_000, 80_000, b"LIST\3\0\0\0abc\0"), 80_056, 10),
        (wav(8_000, 0xFFFFFFFF), 80_044, 10),
        (wav(8_000, 0), 80_044, 10),
        (wav(8_000, 800_000), 80_044, 10),
        (MP3, 160_000, 10),
        (ID3 + MP3, 160_030, 10),
        (XING, 50_000, Fraction(383 * 1_152, 44_100)),
        (FLAC, 9_000, 10),
        (b"OggS", 80_000, 10),
        (wav(0, 80_000), 80_000, 10),
        (b"", 0, 0),
    ],
)
def test_a_sound_lasts_as_long_as_its_head_says(head: bytes, size_bytes: int, seconds: object) -> None:
    assert duration_seconds(head, size_bytes) == seconds


HEADS = st.sampled_from([wav(8_000, 9), MP3, ID3, XING, FLAC, b"RIFF", b"\xff", b"ID3"])


@given(HEADS, st.binary(max_size=80), st.integers(0, 80), st.integers(0, 10**8))
@example(XING, b"", 40, 0)
def test_any_bytes_have_a_length(head: bytes, more: bytes, cut: int, size_bytes: int) -> None:
    """It is never below nothing, whatever the bytes say."""
    assert duration_seconds(head[:cut] + more, size_bytes) >= 0
    assert TYPICAL_BYTES_A_SECOND > 0
