"""What a sound file tells of itself is read by a library, which is given so much of it and no more."""

import struct
import time
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.metering.durations import TYPICAL_BYTES_A_SECOND, ToldSound, told_sound
from proxy.metering.excerpts import READ_BYTES_MAX, READS_MAX, Excerpt


def wav(rate: int, length: int, *before: bytes) -> bytes:
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate, 1, 8)
    return b"".join((b"RIFF\0\0\0\0WAVE", *before, fmt, struct.pack("<4sI", b"data", length)))


def told(data: bytes) -> ToldSound:
    return told_sound(data, 0, len(data))


MP3 = bytes((0xFF, 0xFB, 0x90, 0))
"""MPEG 1, layer 3, 128 kbit/s, 44,100 Hz."""
ID3 = b"ID3\4\0\0\0\0\0\x14" + b"\0" * 20
XING = MP3 + b"\0" * 32 + b"Xing" + struct.pack(">III", 3, 383, 160_000)
FLAC = (
    b"fLaC\x80\0\0\x22" + b"\0" * 10 + ((16_000 << 44) + (15 << 36) + 160_000).to_bytes(8, "big") + bytes(16)
)


@pytest.mark.parametrize(
    ("head", "size_bytes", "seconds"),
    [
        (wav(8_000, 80_000), 80_044, 10),
        (wav(8_000, 80_000, b"LIST\4\0\0\0abcd"), 80_056, 10),
        (wav(8_000, 0xFFFFFFFF), 80_044, 10),
        (wav(8_000, 0), 80_044, 10),
        (wav(8_000, 8), 80_044, 10),
        (MP3.ljust(417, b"\0") * 3, 160_000, 10),
        (MP3 + b"\0" * 9, 160_000, 10),
        (ID3 + MP3.ljust(417, b"\0") * 9, 160_000, 10),
        (FLAC, 9_000, 10),
        (b"OggS", 80_000, 10),
        (b"\x1a\x45\xdf\xa3", 80_000, 10),
        (wav(0, 80_000), 80_000, 10),
        (wav(8, 80_000), 80_000, 10),
        (b"", 0, 0),
    ],
)
def test_a_sound_lasts_as_long_as_its_head_says(head: bytes, size_bytes: int, seconds: object) -> None:
    """By the rate that it tells, by its seconds, or else by its size alone."""
    assert told(head).lasts(size_bytes) == seconds


def test_a_head_that_counts_the_frames_tells_the_seconds_of_a_file() -> None:
    assert told(XING).seconds == Fraction(round(383 * 1_152 / 44.1), 1_000)
    assert 9 < told(XING).lasts(160_000) < 11


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"OggS" + bytes(99), b"\0\0\0\x08ftyp", b"#!AMR\n", FLAC[:20]]
)
def test_what_the_library_cannot_read_tells_nothing(data: bytes) -> None:
    assert told(data) == ToldSound()
    assert ToldSound().lasts(2 * TYPICAL_BYTES_A_SECOND) == 2


def test_a_file_lies_where_it_lies_within_other_bytes() -> None:
    """The library sees nothing before it and nothing behind it."""
    file = Excerpt(b"abcdefgh", 2, 6)
    assert (file.read(2), file.tell(), file.read(), file.read()) == (b"cd", 2, b"ef", b"")
    assert (file.seek(-1, 2), file.read(9), file.seek(0), file.read(1)) == (3, b"f", 0, b"c")
    assert (file.seek(9, 1), file.read(1)) == (10, b"")
    with pytest.raises(OSError, match="before"):
        file.seek(-1)


def test_a_file_is_not_read_without_end() -> None:
    """Neither in many pieces nor in one that would be a copy of it."""
    with pytest.raises(OSError, match="more"):
        Excerpt(bytes(READ_BYTES_MAX + 1), 0, READ_BYTES_MAX + 1).read()
    file = Excerpt(bytes(9), 0, 9)
    for _ in range(READS_MAX):
        file.seek(0)
    with pytest.raises(OSError, match="more"):
        file.read(1)


PIECES = st.sampled_from(
    [
        *(wav(8_000, 9), MP3, ID3, XING, FLAC, b"RIFF", b"\xff\xfb", b"ID3", b"OggS", b"\0\0\0\x08ftyp"),
        *(b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead\1\1" + bytes(9), b"\x01vorbis", b"\0\0\0\x08moov"),
        *(b"\0\0\0\x6cmvhd", b"\0\0\0\x01moov" + b"\xff" * 8, b"fmt ", b"fact", b"LIST", b"FORM\0\0\0\0AIFF"),
        *(
            b"COMM\0\0\0\x12\0\1\0\0\0\1\0\x10\x7f\xff",
            b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62",
        ),
        *(b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65", b"\xff" * 8, bytes(8)),
    ]
)


@settings(max_examples=500)
@given(PIECES, st.lists(PIECES | st.binary(max_size=40), max_size=6), st.integers(1, 3_000))
@example(XING, [], 1)
def test_any_bytes_have_a_length(head: bytes, more: list[bytes], times: int) -> None:
    """Whatever they say, nothing is raised and nothing is below nothing."""
    found = told(head + b"".join(more) * times)
    assert found.seconds >= 0 <= found.raw_bytes_a_second
    assert found.lasts(10**8) > 0
    assert found.bytes_a_second == 0 or found.bytes_a_second >= 500


HOSTILE: dict[str, Callable[[], bytes]] = {
    "no frames": lambda: MP3 + b"\xff" * 30_000_000,
    "no sync": lambda: b"\xff\xe0" + bytes(30_000_000),
    "chunks of nothing": lambda: b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 4_000_000,
    "boxes of nothing": lambda: b"\0\0\0\x08ftyp" * 4_000_000,
    "a box of all": lambda: b"\0\0\0\x08ftyp\0\0\0\0moov\1\xff\xff\xffmvhd" + bytes(30_000_000),
    "pages of nothing": lambda: (b"OggS" + bytes(23)) * 1_000_000,
    "a page of bytes": lambda: (b"OggS" + bytes(22) + b"\xff" + b"\1" * 255 + bytes(255)) * 50_000,
    "blocks of nothing": lambda: b"fLaC" + b"\1\0\0\0" * 8_000_000,
    "comments of nothing": lambda: b"fLaC\4\0\0\0\0\0\0\0\xff\xff\xff\xff" + bytes(30_000_000),
    "a huge rate": lambda: b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12\0\1\0\0\0\1\0\x10\xff\xff" + b"\xff" * 30_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_file_takes_long(name: str) -> None:
    """However it is made: a hundredth of a second of the processor, where others take seconds."""
    data, best = HOSTILE[name](), 1.0
    for _ in range(5):
        begun = time.thread_time()
        told(data)
        best = min(best, time.thread_time() - begun)
    assert best < 0.015
