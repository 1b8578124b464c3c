"""Of an MPEG program stream the packets of its first sound are put together, whose frames tell its length."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.excerpts import FileBytes
from proxy.metering.programs import program_sound
from proxy.metering.sounds import is_measured, is_sound, longest_seconds, sound_length

RECORDINGS = Path(__file__).with_name("recordings")
"""2.6 seconds of a tone at 8 kbit/s, as ffmpeg writes them: MPEG audio, and both kinds of program stream."""
FIRST = b"\0\0\1\xba\x21" + bytes(7)
SECOND = b"\0\0\1\xba\x44" + bytes(8) + b"\xfa\xff\xff"
VIDEO = b"\0\0\1\xe0\0\4abcd"


def packet(stream: int, body: bytes, head: bytes = b"\x0f") -> bytes:
    return b"\0\0\1" + bytes((stream,)) + (len(head) + len(body)).to_bytes(2, "big") + head + body


def sound(data: bytes) -> bytes:
    data = b"ab" + data + b"cd"
    return program_sound(FileBytes(data, 2, len(data) - 2))


@pytest.mark.parametrize("name", ["layer2.mpga", "first.mpeg", "second.mpeg"])
def test_what_an_encoder_writes_is_measured_by_its_frames(name: str) -> None:
    """By its size it would last less than a second."""
    data = (RECORDINGS / name).read_bytes()
    length = sound_length(data, 0, len(data))
    assert length.likely == 3 <= length.most <= longest_seconds(data, 0, len(data))
    assert is_sound(data[:64])
    assert is_measured(data, 0, len(data)) is name.endswith(".mpga")


@pytest.mark.parametrize(
    "head",
    [
        b"\x0f",
        b"\xff\xff\x0f",
        b"\x21\1\1\1\1",
        b"\x31" + bytes(9),
        b"\x40\x20\x0f",
        b"\xff\x40\x20\x21\1\1\1\1",
        b"\x80\0\0",
        b"\x81\x80\5" + bytes(5),
    ],
)
def test_the_sound_stands_behind_the_head_of_its_packet(head: bytes) -> None:
    """Of the first sound alone, whatever stands between."""
    packets = (
        packet(0xC1, b"one", head) + VIDEO + packet(0xC0, b"other") + b"\0noise" + packet(0xC1, b"two", head)
    )
    for pack in (FIRST, SECOND):
        assert sound(pack + packets) == b"onetwo"


@pytest.mark.parametrize("data", [b"", FIRST, SECOND, FIRST + VIDEO, FIRST + packet(0xBD, b"other")])
def test_a_stream_without_such_a_sound_lasts_as_its_size_says(data: bytes) -> None:
    assert sound(data) == b""
    data = FIRST + data + bytes(80_000)
    assert sound_length(data, 0, len(data)).likely == 11


PIECES = st.sampled_from(
    [FIRST, SECOND, VIDEO, packet(0xC0, b"\xff\xfb\x90\0" * 9), b"\0\0\1", b"\xc0", b"\xff" * 40]
)


@given(st.lists(PIECES | st.binary(max_size=20), max_size=12))
def test_any_packets_have_a_length(pieces: list[bytes]) -> None:
    data = FIRST + b"".join(pieces)
    assert len(sound(data)) <= len(data)
    length = sound_length(data, 0, len(data))
    assert 0 <= length.likely <= length.most


@pytest.mark.parametrize("piece", [FIRST, b"\0\0\1\xc0\0\0", b"\0\0\1", VIDEO, b"\0"])
def test_no_stream_takes_long(piece: bytes) -> None:
    """So many packets are looked at, and no more."""
    data, best = FIRST + piece * (20_000_000 // len(piece)), 1.0
    for _ in range(3):
        begun = time.thread_time()
        program_sound(FileBytes(data, 0, len(data)))
        best = min(best, time.thread_time() - begun)
    assert best < 0.3
