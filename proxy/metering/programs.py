"""The sound in an MPEG program stream, which `.mpeg` files are: its packets, put together.

No library that may be used reads these files, and little of them has to be read: a packet has four bytes that
say what it is, and two that say how long. What is in the packets of the first sound are frames of MPEG audio,
which tell how long it lasts. Times that the packets tell are not asked for.
"""

from collections.abc import Iterator
from typing import Final

from proxy.metering.excerpts import FileBytes

PACKETS_MAX: Final = 100_000
"""How many packets are looked at. Most have two kilobytes."""
PACK: Final = b"\x00\x00\x01\xba"
"""What a program stream begins with."""
_START: Final = b"\x00\x00\x01"
_STEP: Final = 65_536
_SOUNDS: Final = range(0xC0, 0xE0)
"""The streams of MPEG audio."""
_STUFFING_MAX: Final = 16


def program_sound(file: FileBytes) -> bytes:
    """What is in the packets of the first sound of the file; nothing, if it has none.

    It is a copy: call it off the loop.
    """
    first = 0
    pieces: list[bytes] = []
    for stream, at, stop in _packets(file):
        first = first or stream
        if stream == first:
            pieces.append(file.at(at, stop - at))
    return b"".join(pieces)


def _packets(file: FileBytes) -> Iterator[tuple[int, int, int]]:
    """For each packet of sound: its stream, and the offsets in the file between which its sound stands."""
    at = 0
    for _ in range(PACKETS_MAX):
        if at >= file.size:
            return
        head = file.at(at, 32).ljust(32, b"\0")
        if head[:3] != _START:
            found = file.data.find(_START, file.start + at, min(file.stop, file.start + at + _STEP))
            at = found - file.start if found >= 0 else at + _STEP
            continue
        if head[3] == PACK[3]:
            at += 14 + (head[13] & 7) if head[4] & 0xC0 == 0x40 else 12
            continue
        end = at + 6 + int.from_bytes(head[4:6], "big")
        if head[3] in _SOUNDS:
            yield head[3], min(at + _sound_at(head), end), end
        at = end


def _sound_at(head: bytes) -> int:
    """Where the sound begins in a packet of MPEG 2, or of MPEG 1."""
    if head[6] & 0xC0 == 0x80:
        return 9 + head[8]
    at = 6
    while head[at] == 0xFF and at < 6 + _STUFFING_MAX:
        at += 1
    if head[at] & 0xC0 == 0x40:
        at += 2
    times = head[at] >> 4
    return at + {2: 5, 3: 10}.get(times, 1)
