"""The size of an image in pixels, read from the first bytes of its file."""

from collections.abc import Callable
from typing import Final

Size = tuple[int, int]
"""Width and height in pixels, both above zero."""

# Start-of-frame markers: C4, C8 and CC share the range but mean tables and extensions.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_STEPS_MAX: Final = 512


def image_size(head: bytes) -> Size | None:
    """Width and height of a PNG, GIF, JPEG or WEBP file that begins with `head`.

    None when it is none of these, when `head` ends too early, or when the header gives no positive size.
    """
    for signature, read in _READERS:
        if head.startswith(signature):
            size = read(head)
            return size if size is not None and min(size) > 0 else None
    return None


def _png(head: bytes) -> Size | None:
    if len(head) < 24 or head[12:16] != b"IHDR":
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _gif(head: bytes) -> Size | None:
    if len(head) < 10 or head[3:6] not in {b"87a", b"89a"}:
        return None
    return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")


def _jpeg(head: bytes) -> Size | None:
    """Walk the segments up to the frame header; None when it lies beyond `head` or too many steps away."""
    at = 2
    for _ in range(_JPEG_STEPS_MAX):
        if at + 9 > len(head) or head[at] != 0xFF:
            break
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _webp(head: bytes) -> Size | None:
    if len(head) < 30 or head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None


_READERS: Final[tuple[tuple[bytes, Callable[[bytes], Size | None]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"GIF", _gif),
    (b"\xff\xd8", _jpeg),
    (b"RIFF", _webp),
)
