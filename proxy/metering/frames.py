"""The frames of MPEG audio, of which MP3 is a layer: how long each lasts and how many bytes it takes.

What decoders read is read here, too: four bytes at the head of each frame. Nothing is decoded.
"""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from proxy.metering.excerpts import FileBytes

FRAME_BYTES_A_SECOND: Final = 1_000
"""The lowest bit rate that MPEG has names for is 8 kbit/s."""
FRAMES_MAX: Final = 500_000
"""How many frames are looked at: some hours. What follows is bounded by its bytes."""
_LOST_MAX: Final = 4_096
"""How often a reader of frames looks for the next one after something else."""
_STEP: Final = 65_536

_SYNC: Final = 0xFF
_LATER: Final = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_FIRST: Final = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
"""Kilobits a second by layer and by the number that stands for each: after MPEG 1, and of MPEG 1."""
_HERTZ: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Samples a second, by the number that stands for the version of MPEG; the first is MPEG 1."""


def _kinds() -> Iterator[tuple[int, int, int, int, int]]:
    """Version, layer, the number of a bit rate and its kilobits a second, and the number of a sample rate."""
    for version in _HERTZ:
        for layer, rates in (_FIRST if version == 3 else _LATER).items():
            for number, kilobits in enumerate(rates, 1):
                for place in range(3):
                    yield version, layer, number, kilobits, place


def _frame_sizes() -> dict[int, tuple[int, tuple[int, int]]]:
    """By the second and third byte of a frame: its size, and how many samples it has of how many."""
    sizes = {}
    for version, layer, number, kilobits, place in _kinds():
        hertz = _HERTZ[version][place]
        samples = {1: 384, 2: 1_152, 3: 1_152 if version == 3 else 576}[layer]
        slot = 4 if layer == 1 else 1
        for other in range(8):
            # The lowest bit of each byte, and the second of the third, say nothing of the length.
            padding, private, protected = other & 1, other >> 1 & 1, other >> 2
            second = 0xE0 | version << 3 | 4 - layer << 1 | protected
            third = number << 4 | place << 2 | padding << 1 | private
            size = (samples // 8 // slot * kilobits * 1_000 // hertz + padding) * slot
            sizes[second << 8 | third] = (size, (samples, hertz))
    return sizes


_FRAMES: Final = _frame_sizes()


def is_framed(file: FileBytes) -> bool:
    """Whether the file begins with a frame, maybe after tags of a song."""
    frame = file.at(_after_id3(file), 3)
    return len(frame) == 3 and frame[0] == _SYNC and (frame[1] << 8 | frame[2]) in _FRAMES


def framed_seconds(file: FileBytes) -> tuple[Fraction, int]:
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


def _after_id3(file: FileBytes) -> int:
    """Where the sound begins, after tags of a song."""
    head = file.at(0, 10)
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
