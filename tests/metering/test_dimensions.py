import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.dimensions import image_size

PNG = b"\x89PNG\r\n\x1a\n"


def png(width: int, height: int) -> bytes:
    return PNG + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\0\0\0"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height)


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def jpeg(width: int, height: int, *before: bytes, frame: int = 0xC0) -> bytes:
    return (
        b"\xff\xd8" + b"".join(before) + segment(frame, struct.pack(">BHHB", 8, height, width, 3) + b"\0" * 9)
    )


def webp(kind: bytes, content: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 22) + b"WEBP" + kind + struct.pack("<I", len(content)) + content


def vp8(width: int, height: int) -> bytes:
    return webp(b"VP8 ", b"\x10\x20\x30\x9d\x01\x2a" + struct.pack("<HH", width | 0x4000, height))


def vp8l(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 8)


def vp8x(width: int, height: int) -> bytes:
    return webp(
        b"VP8X", b"\x10\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )


@pytest.mark.parametrize("write", [png, gif, jpeg, vp8, vp8l, vp8x])
@pytest.mark.parametrize("size", [(1, 1), (640, 480), (4_096, 2_160), (16_383, 16_383)])
def test_the_size_is_read_from_the_header(write: object, size: tuple[int, int]) -> None:
    assert callable(write)
    assert image_size(write(*size) + b"the picture itself" * 9) == size


def test_a_jpeg_is_read_past_its_other_segments() -> None:
    exif = segment(0xE1, b"\xff\xc0" + b"x" * 9_000)
    tables = segment(0xC4, b"\0\x11\x08\x01\x00\x02\x00" + b"h" * 40)
    assert image_size(jpeg(640, 480, exif, tables, b"\xff\x01", b"\xff\xff", frame=0xC2)) == (640, 480)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"<svg width='10' height='10'/>",
        b"BM" + b"\0" * 60,
        png(640, 480)[:23],
        PNG + b"\0" * 30,
        png(0, 480),
        gif(0, 0),
        b"GIF99a" + b"\1" * 10,
        jpeg(640, 480)[:8],
        b"\xff\xd8" + segment(0xE1, b"x" * 9)[:-1] + b"\0",
        b"\xff\xd8" + b"\xff" * 49_000,
        webp(b"VP8 ", b"\0" * 20),
        webp(b"VP8L", b"\0" * 20),
        webp(b"ALPH", b"\0" * 20),
        b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 30,
    ],
)
def test_what_cannot_be_read_has_no_size(head: bytes) -> None:
    assert image_size(head) is None


@given(
    st.sampled_from([b"", PNG, b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8"]), st.binary(max_size=80)
)
def test_no_bytes_make_reading_fail(start: bytes, rest: bytes) -> None:
    size = image_size(start + rest)
    assert size is None or min(size) > 0
