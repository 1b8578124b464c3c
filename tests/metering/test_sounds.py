"""A sound lasts as long as what decoders read of its file, and its headers are believed no further."""

import io
import struct
import wave
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.durations import LEAST_BYTES_A_SECOND, TYPICAL_BYTES_A_SECOND
from proxy.metering.frames import FRAME_BYTES_A_SECOND, FRAMES_MAX
from proxy.metering.sounds import SoundLength, is_sound, longest_seconds, sound_length


def wav(seconds: int, hertz: int = 16_000) -> bytes:
    """A WAV that Python's own writer makes."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(hertz)
        writer.writeframes(bytes(2 * hertz * seconds))
    return file.getvalue()


FRAME = bytes((0xFF, 0xFB, 0x90, 0)).ljust(417, b"\0")
"""1,152 samples at 44,100 Hz and 128 kbit/s."""
SLOW = bytes((0xFF, 0xE3, 0x18, 0)).ljust(72, b"\0")
"""576 samples at 8,000 Hz and 8 kbit/s, the least there is."""


def mp3(frames: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + FRAME * frames + after


def page(body: bytes, position: int) -> bytes:
    return b"OggS\0\4" + struct.pack("<qIII", position, 1, 2, 3) + bytes((1, len(body))) + body


def opus(samples: int, skipped: int = 312) -> bytes:
    head = page(b"OpusHead\1\1" + struct.pack("<H", skipped) + bytes(7), 0)
    return head + page(bytes(200), 0) * 9 + page(bytes(200), samples + skipped)


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def m4a(length: int, scale: int, *, wide: bool = False) -> bytes:
    times = struct.pack(">QQIQ" if wide else ">IIII", 0, 0, scale, length)
    film = box(b"mvhd", bytes((wide, 0, 0, 0)) + times + bytes(80))
    return box(b"ftyp", b"M4A \0\0\0\0") + box(b"mdat", bytes(9_000)) + box(b"moov", film)


def whole(data: bytes) -> SoundLength:
    return sound_length(data, 0, len(data))


@pytest.mark.parametrize(
    ("data", "likely"),
    [
        (wav(10), 10),
        (wav(10) + b"LIST\4\0\0\0abcd", 10),
        (mp3(383), 11),
        (mp3(383, b"ID3\4\0\0\0\0\0\x14" + bytes(20), b"TAG".ljust(128)), 11),
        (mp3(40, (FRAME[:4] + bytes(32) + b"Xing\0\0\0\1\xff\xff\xff\xff").ljust(417, b"\0")), 2),
        (SLOW * 100, 8),
        (opus(48_000 * 3), 3),
        (page(b"\1vorbis\0\0\0\0\2" + struct.pack("<I", 8_000) + bytes(12), 0) + page(bytes(60), 8_000), 1),
        (m4a(5_500, 1_000), 6),
        (m4a(5_500, 1_000, wide=True), 6),
        (b"fLaC\x80\0\0\x22" + bytes(10) + ((16_000 << 44) + 160_000).to_bytes(8, "big") + bytes(40_000), 10),
        (b"\x1a\x45\xdf\xa3" + bytes(2 * TYPICAL_BYTES_A_SECOND), 3),
    ],
)
def test_a_sound_lasts_as_long_as_its_file_says(data: bytes, likely: int) -> None:
    """It is found wherever the file lies in a body."""
    length = whole(data)
    assert length.likely == likely <= length.most <= longest_seconds(data, 0, len(data)) + 1
    assert sound_length(b"ab" + data + b"cd", 2, 2 + len(data)) == length
    assert longest_seconds(b"ab" + data + b"cd", 2, 2 + len(data)) == longest_seconds(data, 0, len(data))
    assert is_sound(data[:64])


Made = Callable[[], bytes]
"""A file that is made for its test: it is too large to be kept from the collection of tests on."""


def lying_wav() -> bytes:
    """It says that it has a second, and has an hour."""
    size = 32_000 * 3_600
    return b"RIFF" + struct.pack("<I", 36 + size) + wav(0)[8:40] + struct.pack("<I", 32_000) + bytes(size)


FORMAT = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)


def odd_wav(*formats: bytes) -> bytes:
    """A minute of samples behind other formats than the usual."""
    return wav(60).replace(FORMAT, b"".join(formats))


def told(codec: int, channels: int, hertz: int, rate: int, each: int, bits: int) -> bytes:
    more = struct.pack("<HHIH", 22, bits, 0, 2).ljust(24, b"\0") if codec == 0xFFFE else b""
    return struct.pack("<4sIHHIIHH", b"fmt ", 16 + len(more), codec, channels, hertz, rate, each, bits) + more


def lying_rates() -> bytes:
    return wav(60).replace(struct.pack("<IIH", 16_000, 32_000, 2), struct.pack("<IIH", 1, 10**9, 0x7FFF))


@pytest.mark.parametrize(
    ("made", "really"),
    [
        (lying_wav, 3_600),
        (lying_rates, 32_000 * 60 // 2),
        (lambda: odd_wav(FORMAT, told(1, 1, 8_000, 32_000, 2, 16)), 120),
        (lambda: odd_wav(told(1, 1, 8_000, 32_000, 2, 16), FORMAT), 120),
        (lambda: odd_wav(told(1, 1, 16_000, 10**9, 0, 16)), 60 * 32_000 // LEAST_BYTES_A_SECOND),
        (lambda: odd_wav(told(1, 1, 16_000, 10**9, 60_000, 0)), 60 * 32_000 // LEAST_BYTES_A_SECOND),
        (lambda: odd_wav(told(1, 1, 10**9, 10**9, 60_000, 60_000)), 60 * 32_000 // LEAST_BYTES_A_SECOND),
        (lambda: odd_wav(told(0xFFFE, 1, 16_000, 32_000, 2, 16)), 60 * 32_000 // LEAST_BYTES_A_SECOND),
        (lambda: odd_wav(told(49, 1, 16_000, 32_000, 2, 16)), 60 * 32_000 // LEAST_BYTES_A_SECOND),
        (odd_wav, 60 * 32_000 // LEAST_BYTES_A_SECOND),
        (
            lambda: mp3(0, FRAME[:4] + bytes(32) + b"Xing\0\0\0\1\0\0\0\1").ljust(417, b"\0") + SLOW * 10_000,
            720,
        ),
        (lambda: mp3(1) + b"\0\xff" * 5_000 + SLOW * 10_000, 720),
    ],
)
def test_no_header_makes_a_long_sound_short(made: Made, really: int) -> None:
    """A WAV that says a second and holds an hour lasts an hour; so does an MP3 by its frames or its bytes."""
    data = made()
    assert whole(data).most >= really
    assert longest_seconds(data, 0, len(data)) >= really


@pytest.mark.parametrize("data", [opus(48_000), m4a(1, 1_000), b"\x1a\x45\xdf\xa3", b"#!AMR\n"])
def test_what_only_a_header_tells_is_bounded_by_the_bytes(data: bytes) -> None:
    data += bytes(3_600 * (1_000 if b"ftyp" in data else LEAST_BYTES_A_SECOND))
    assert whole(data).most >= 3_600 <= longest_seconds(data, 0, len(data))
    assert whole(data).likely <= whole(data).most


MANY_BYTES = 20_000_000
FLAC_OF_A_SAMPLE = b"fLaC\x80\0\0\x22" + bytes(10) + ((16_000 << 44) + (15 << 36) + 1).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("made", "likely"),
    [
        (lying_wav, 3_600),
        (lambda: wav(1) + bytes(MANY_BYTES), 626),
        (
            lambda: (
                mp3(1, (FRAME[:4] + bytes(32) + b"Xing\0\0\0\3\0\0\0\1\0\0\x08\0").ljust(417, b"\0"))
                + SLOW * 9_000
            ),
            649,
        ),
        (lambda: mp3(5) + SLOW * 9_000, 649),
        (lambda: m4a(1_000, 1_000) + bytes(MANY_BYTES), 2_502),
        (lambda: FLAC_OF_A_SAMPLE + bytes(MANY_BYTES), 2_501),
        (lambda: opus(48_000) + bytes(MANY_BYTES), 2_501),
        (lambda: opus(48_000, 0)[:-228] + page(bytes(200), 9) * 90_000, 2_566),
        (lambda: b"\x1a\x45\xdf\xa3" + bytes(MANY_BYTES), 2_501),
    ],
)
def test_a_header_that_tells_too_little_for_so_many_bytes_is_not_believed(made: Made, likely: int) -> None:
    """Then the samples are charged, or the frames, or what so many bytes typically come to."""
    data = made()
    assert whole(data).likely == likely


def test_a_film_and_what_loses_nothing_may_have_many_bytes_for_a_second() -> None:
    assert whole(m4a(10_000, 1_000) + bytes(MANY_BYTES)).likely == 10
    flac = (
        b"fLaC\x80\0\0\x22"
        + bytes(10)
        + ((48_000 << 44) + (1 << 41) + (23 << 36) + 48_000 * 70).to_bytes(8, "big")
    )
    assert whole(flac + bytes(MANY_BYTES)).likely == 70


def test_no_sound_is_longer_than_its_bytes_allow() -> None:
    """However long a header says that it is."""
    data = opus(48_000 * 10**6)
    seconds = -(-len(data) // LEAST_BYTES_A_SECOND)
    assert whole(data) == SoundLength(seconds, seconds)


@given(st.sampled_from([wav(1), mp3(9), opus(9), m4a(9, 1), SLOW * 5]), st.binary(max_size=90), st.data())
def test_any_bytes_have_a_length(data: bytes, noise: bytes, draw: st.DataObject) -> None:
    at, cut = draw.draw(st.integers(0, 120)), draw.draw(st.integers(0, 120))
    data = data[:at] + noise + data[at + cut :]
    length = whole(data)
    assert 0 <= length.likely <= length.most
    assert longest_seconds(data, 0, len(data)) >= 0


@pytest.mark.parametrize("junk", [b"\xff", b"\xff\xfb", b"\0", b"\xff\xfb\x00"])
def test_an_mp3_without_frames_takes_few_steps(junk: bytes) -> None:
    """What is in no frame is bounded by its bytes, and not looked through to its end."""
    data = FRAME + junk * (8_000_000 // len(junk))
    assert whole(data).most >= len(data) // LEAST_BYTES_A_SECOND - 10


def test_more_frames_than_are_looked_at_are_bounded_by_their_bytes() -> None:
    data = SLOW * (FRAMES_MAX + 1_000)
    looked_at = Fraction(FRAMES_MAX * 576, 8_000)
    assert whole(data).most == looked_at + Fraction(1_000 * 72, LEAST_BYTES_A_SECOND)
    assert longest_seconds(data, 0, len(data)) == -(-len(data) // FRAME_BYTES_A_SECOND)


@pytest.mark.parametrize(
    "head", [b"", b"MThd", b"#EXTM3U", b"ffconcat version 1.0", b"RIFFxxxxMIDI", b"\x1f\x8b", b"{"]
)
def test_what_lasts_as_long_as_it_likes_is_no_sound(head: bytes) -> None:
    """Lists of other files, notes that are played, and what is packed."""
    assert not is_sound(head)
