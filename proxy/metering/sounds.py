"""How long the sound in a file lasts, and the longest that it could last, whatever its headers say.

A library reads the headers. They can lie, and who decodes the file need not believe them. So both bounds are
told from what decoders read: the samples of a WAV, the frames of an MP3, and for all else the bytes. A header
is believed within them. Nothing is decoded, and each reader takes a bounded number of steps.
"""

import re
from collections import Counter
from fractions import Fraction
from typing import Final

import msgspec

from proxy.metering.durations import LEAST_BYTES_A_SECOND, TYPICAL_BYTES_A_SECOND, told_sound

_LEAST: Final = (
    (re.compile(rb"....ftyp", re.DOTALL), 1_000),
    (re.compile(rb"fLaC"), 2_000),
)
"""The fewest bytes a second of speech in formats whose codecs take more."""
_GREATEST: Final = (
    (re.compile(rb"....ftyp", re.DOTALL), 2_500_000),
    (re.compile(rb"OggS"), 200_000),
)
"""The most bytes a second that a file is believed to have, which may be a film."""
_GREATEST_BYTES_A_SECOND: Final = 200_000
"""The same of other formats, where a file does not tell what its samples take."""
_FRAME_SLACK: Final = Fraction(1)
"""How far a header may be from the frames: the first and the last one have some samples of nothing."""
MP3_BYTES_A_SECOND: Final = 1_000
"""The lowest bit rate that MPEG has names for is 8 kbit/s."""
FRAMES_MAX: Final = 500_000
"""How many frames of an MP3 are looked at: some hours. What follows is bounded by its bytes."""
_LOST_MAX: Final = 4_096
"""How often a reader of frames looks for the next one after something else."""

_STEP: Final = 65_536
_TAIL: Final = 65_536
_CHUNKS_MAX: Final = 256
_EXTENSIBLE: Final = 0xFFFE
_CHANNELS_MAX: Final = 64
_HERTZ_MAX: Final = 768_000
_BITS_MAX: Final = 64
"""No decoder takes more than these."""
_PLAIN: Final = frozenset({1, 3, 6, 7})
"""The codecs of a WAV in which each sample takes the same bytes."""


class SoundLength(msgspec.Struct, frozen=True, gc=False):
    """Whole seconds, rounded up: how long a sound lasts most likely, and the longest it could."""

    likely: int
    most: int


class _File(msgspec.Struct, frozen=True, gc=False):
    """A file within other bytes, which are not copied."""

    data: bytes
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def at(self, offset: int, count: int) -> bytes:
        begin = self.start + offset
        return self.data[begin : min(begin + count, self.stop)]

    def number(self, offset: int, count: int) -> int:
        return int.from_bytes(self.at(offset, count), "little")


def is_sound(head: bytes) -> bool:
    """Whether a file that begins so is of a format whose bytes bound its length."""
    return _FORMATS.match(head) is not None


def is_measured(data: bytes, start: int, stop: int) -> bool:
    """Whether the length of the file between two offsets is told by what decoders read, and by no header."""
    file = _File(data, start, stop)
    return _is_mp3(file) or _wav(file) is not None


def longest_seconds(data: bytes, start: int, stop: int) -> int:
    """The longest that the file between two offsets could last, found from its head and its size."""
    file = _File(data, start, stop)
    if (wav := _wav(file)) is not None:
        return _whole(wav[1])
    return _whole(Fraction(file.size, MP3_BYTES_A_SECOND if _is_mp3(file) else _least_bytes(file)))


def sound_length(data: bytes, start: int, stop: int) -> SoundLength:
    """The length of the file between two offsets. An MP3 takes 20 ms for an hour: call it off the loop."""
    file = _File(data, start, stop)
    told = told_sound(data, start, stop)
    if (wav := _wav(file)) is not None:
        least, most = wav
        otherwise = most
    elif _is_mp3(file):
        framed, lost = _mp3(file)
        least, most, otherwise = framed - _FRAME_SLACK, framed + Fraction(lost, LEAST_BYTES_A_SECOND), framed
    else:
        least = Fraction(file.size - _TAIL, _greatest_bytes(file, told.raw_bytes_a_second))
        most = Fraction(file.size, _least_bytes(file))
        otherwise = most if told.seconds > most else Fraction(file.size, TYPICAL_BYTES_A_SECOND)
    is_believed = told.seconds and least <= told.seconds <= most
    likely = told.seconds if is_believed else otherwise
    return SoundLength(min(_whole(likely), _whole(most)), _whole(most))


def _greatest_bytes(file: _File, raw_bytes_a_second: int) -> int:
    head = file.at(0, 16)
    known = next((greatest for mark, greatest in _GREATEST if mark.match(head)), 0)
    return max(known, raw_bytes_a_second) or _GREATEST_BYTES_A_SECOND


def _least_bytes(file: _File) -> int:
    head = file.at(0, 16)
    return next((least for mark, least in _LEAST if mark.match(head)), LEAST_BYTES_A_SECOND)


def _whole(seconds: Fraction) -> int:
    return -(-seconds.numerator // seconds.denominator)


def _wav(file: _File) -> tuple[Fraction, Fraction] | None:
    """The fewest and the most seconds of what follows the head, as samples; None for no plain WAV."""
    if file.at(0, 4) != b"RIFF" or file.at(8, 4) != b"WAVE":
        return None
    at = 12
    rates: list[int] = []
    for _ in range(_CHUNKS_MAX):
        name, length = file.at(at, 4), file.number(at + 4, 4)
        if name == b"fmt ":
            rates.append(_samples_rate(file, at + 8))
        if name == b"data" or len(name) < 4:
            break
        at += 8 + length + length % 2
    there = file.size - at - 8
    # Of several formats some decoders take the first, and some the last.
    rate = min(rates, default=0)
    if not rate or name != b"data":
        return None
    # Something else may stand behind the samples.
    return Fraction(max(0, there - _TAIL), rate), Fraction(there, rate)


def _samples_rate(file: _File, at: int) -> int:
    """The fewest bytes a second that a decoder could take; 0 for what is not plain, or nothing at all."""
    codec, channels, hertz = file.number(at, 2), file.number(at + 2, 2), file.number(at + 4, 4)
    told, each, bits = file.number(at + 8, 4), file.number(at + 12, 2), file.number(at + 14, 2)
    if codec == _EXTENSIBLE:
        codec = file.number(at + 24, 2)
    if codec not in _PLAIN or channels > _CHANNELS_MAX or hertz > _HERTZ_MAX or bits > _BITS_MAX:
        return 0
    return min(told, hertz * each, hertz * channels * bits // 8)


_SYNC: Final = 0xFF
_KILOBITS: Final = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of MP3 by the number that stands for each, of MPEG 1 and of those after it."""
_HERTZ: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Samples a second of MP3, by the version of MPEG."""


def _frame_sizes() -> dict[int, tuple[int, tuple[int, int]]]:
    """By the second and third byte of a frame of MP3: its size, and how many samples it has of how many."""
    sizes = {}
    for version, rates in _HERTZ.items():
        samples = 1_152 if version == 3 else 576
        for bits, kilobits in enumerate(_KILOBITS[1 if version == 3 else 2], 1):
            for place, hertz in enumerate(rates):
                for other in range(8):
                    # The lowest bit of each byte, and the second of the third, say nothing of the length.
                    padding, private, protected = other & 1, other >> 1 & 1, other >> 2
                    second = 0xE0 | version << 3 | 1 << 1 | protected
                    third = bits << 4 | place << 2 | padding << 1 | private
                    size = samples // 8 * kilobits * 1_000 // hertz + padding
                    sizes[second << 8 | third] = (size, (samples, hertz))
    return sizes


_FRAMES: Final = _frame_sizes()


def _after_id3(file: _File) -> int:
    """Where the sound begins, after tags of a song."""
    head = file.at(0, 10)
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def _is_mp3(file: _File) -> bool:
    frame = file.at(_after_id3(file), 3)
    return len(frame) == 3 and frame[0] == _SYNC and (frame[1] << 8 | frame[2]) in _FRAMES


def _mp3(file: _File) -> tuple[Fraction, int]:
    """How long all frames last together, and how many bytes are in none."""
    data, stop = file.data, file.stop
    at = first = min(stop, file.start + _after_id3(file))
    kinds: Counter[tuple[int, int]] = Counter()
    framed = frames = lost = 0
    while at + 4 <= stop and frames < FRAMES_MAX and lost < _LOST_MAX:
        frame = _FRAMES.get(data[at + 1] << 8 | data[at + 2]) if data[at] == _SYNC else None
        if frame is None:
            lost += 1
            found = data.find(b"\xff", at + 1, min(stop, at + _STEP))
            at = found if found >= 0 else at + _STEP
            continue
        size, kind = frame
        kinds[kind] += 1
        frames += 1
        framed += size
        at += size
    begins = data[first : first + 64]
    if frames > 1 and (b"Xing" in begins or b"Info" in begins):
        # The first frame has no sound in it, and says how many follow.
        kinds[_FRAMES[begins[1] << 8 | begins[2]][1]] -= 1
    seconds = sum(
        (Fraction(samples * count, hertz) for (samples, hertz), count in kinds.items()), Fraction(0)
    )
    return seconds, max(0, stop - first - framed)


_FORMATS: Final = re.compile(
    rb"RIFF....WAVE|ID3|\xff[\xe0-\xff]|fLaC|OggS|....ftyp|\x1a\x45\xdf\xa3|FORM....AIF[FC]"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|#!AMR|caff|\x00\x00\x01\xba",
    re.DOTALL,
)
"""WAV, MP3 and AAC, FLAC, Ogg, MP4 and M4A, WebM and Matroska, AIFF, WMA, AMR, CAF and MPEG. What plays
notes, or other files, lasts as long as it likes."""
