"""How long the sound in a file lasts, and the longest that it could last, whatever its headers say.

Libraries read the headers. They can lie, and who decodes the file need not believe them. So both bounds are
told from what decoders read: the samples of a WAV, the frames of MPEG audio, and for all else the bytes. A
header is believed within them. Nothing is decoded, and each reader takes a bounded number of steps.
"""

import re
from fractions import Fraction
from typing import Final

import msgspec

from proxy.metering.durations import LEAST_BYTES_A_SECOND, TYPICAL_BYTES_A_SECOND, told_sound
from proxy.metering.excerpts import FileBytes
from proxy.metering.frames import FRAME_BYTES_A_SECOND, framed_seconds, is_framed
from proxy.metering.matroska import MARK, matroska_seconds
from proxy.metering.programs import PACK, program_sound

_LEAST: Final = (
    (re.compile(rb"....ftyp", re.DOTALL), 1_000),
    (re.compile(rb"fLaC"), 2_000),
)
"""The fewest bytes a second of speech in formats whose codecs take more."""
_GREATEST: Final = (
    (re.compile(rb"....ftyp", re.DOTALL), 2_500_000),
    (re.compile(re.escape(MARK)), 2_500_000),
    (re.compile(re.escape(PACK)), 2_500_000),
    (re.compile(rb"OggS"), 200_000),
)
"""The most bytes a second that a file is believed to have, which may be a film."""
_GREATEST_BYTES_A_SECOND: Final = 200_000
"""The same of other formats, where a file does not tell what its samples take."""
_FRAME_SLACK: Final = Fraction(1)
"""How far a header may be from the frames: the first and the last one have some samples of nothing."""
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


def is_sound(head: bytes) -> bool:
    """Whether a file that begins so is of a format whose bytes bound its length."""
    return _FORMATS.match(head) is not None


def is_measured(data: bytes, start: int, stop: int) -> bool:
    """Whether the length of the file between two offsets is told by what decoders read, and by no header."""
    file = FileBytes(data, start, stop)
    return is_framed(file) or _wav(file) is not None


def longest_seconds(data: bytes, start: int, stop: int) -> int:
    """The longest that the file between two offsets could last, found from its head and its size."""
    file = FileBytes(data, start, stop)
    if (wav := _wav(file)) is not None:
        return _whole(wav[1])
    return _whole(Fraction(file.size, FRAME_BYTES_A_SECOND if is_framed(file) else _least_bytes(file)))


def sound_length(data: bytes, start: int, stop: int) -> SoundLength:
    """The length of the file between two offsets. An hour of MP3 takes 20 ms: call it off the loop."""
    file = FileBytes(data, start, stop)
    told = told_sound(data, start, stop)
    seconds = told.seconds
    if (wav := _wav(file)) is not None:
        least, most = wav
        otherwise = most
    elif is_framed(file):
        framed, lost = framed_seconds(file)
        least, most, otherwise = framed - _FRAME_SLACK, framed + Fraction(lost, LEAST_BYTES_A_SECOND), framed
    else:
        seconds = _told_whole(file) or seconds
        least = Fraction(file.size - _TAIL, _greatest_bytes(file, told.raw_bytes_a_second))
        most = Fraction(file.size, _least_bytes(file))
        otherwise = most if seconds > most else Fraction(file.size, TYPICAL_BYTES_A_SECOND)
    is_believed = seconds and least <= seconds <= most
    likely = seconds if is_believed else otherwise
    return SoundLength(min(_whole(likely), _whole(most)), _whole(most))


def _told_whole(file: FileBytes) -> Fraction:
    """The seconds of a file whose head alone does not tell them; 0 for any other."""
    head = file.at(0, 4)
    if head == MARK:
        return matroska_seconds(file.data, file.start, file.stop)
    if head == PACK:
        sound = program_sound(file)
        return framed_seconds(FileBytes(sound, 0, len(sound)))[0]
    return Fraction(0)


def _greatest_bytes(file: FileBytes, raw_bytes_a_second: int) -> int:
    head = file.at(0, 16)
    known = next((greatest for mark, greatest in _GREATEST if mark.match(head)), 0)
    return max(known, raw_bytes_a_second) or _GREATEST_BYTES_A_SECOND


def _least_bytes(file: FileBytes) -> int:
    head = file.at(0, 16)
    return next((least for mark, least in _LEAST if mark.match(head)), LEAST_BYTES_A_SECOND)


def _whole(seconds: Fraction) -> int:
    return -(-seconds.numerator // seconds.denominator)


def _wav(file: FileBytes) -> tuple[Fraction, Fraction] | None:
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


def _samples_rate(file: FileBytes, at: int) -> int:
    """The fewest bytes a second that a decoder could take; 0 for what is not plain, or nothing at all."""
    codec, channels, hertz = file.number(at, 2), file.number(at + 2, 2), file.number(at + 4, 4)
    told, each, bits = file.number(at + 8, 4), file.number(at + 12, 2), file.number(at + 14, 2)
    if codec == _EXTENSIBLE:
        codec = file.number(at + 24, 2)
    if codec not in _PLAIN or channels > _CHANNELS_MAX or hertz > _HERTZ_MAX or bits > _BITS_MAX:
        return 0
    return min(told, hertz * each, hertz * channels * bits // 8)


_FORMATS: Final = re.compile(
    rb"RIFF....WAVE|ID3|\xff[\xe0-\xff]|fLaC|OggS|....ftyp|\x1a\x45\xdf\xa3|FORM....AIF[FC]"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|#!AMR|caff|\x00\x00\x01\xba",
    re.DOTALL,
)
"""WAV, MP3 and other MPEG audio, AAC, FLAC, Ogg, MP4 and M4A, WebM and Matroska, AIFF, WMA, AMR, CAF and MPEG
program streams. What plays notes, or other files, lasts as long as it likes."""
