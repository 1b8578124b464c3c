"""Pictures that a model of pictures works from: their heads tell their size, which bounds their tokens."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.images import HEAD_BYTES
from proxy.metering.pictures import file_size, given_tokens, given_tokens_max

SIDES = st.integers(1, 65_535)


def png(width: int, height: int, rest: bytes = b"") -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + rest


def jpeg(width: int, height: int, before_bytes: int) -> bytes:
    """One with so many bytes of description before its frame."""
    described = b""
    while before_bytes > 0:
        length = min(before_bytes, 65_000)
        described += b"\xff\xe1" + struct.pack(">H", length + 2) + bytes(length)
        before_bytes -= length
    return b"\xff\xd8" + described + b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + bytes(10)


@pytest.mark.parametrize(
    ("file", "size"),
    [
        (png(640, 480), (640, 480)),
        (png(640, 480, bytes(10**6)), (640, 480)),
        (jpeg(640, 480, 0), (640, 480)),
        (jpeg(640, 480, 5_000), (640, 480)),
        (jpeg(640, 480, 40_000), (640, 480)),
        (jpeg(640, 480, 2 * HEAD_BYTES), None),
        (png(0, 480), None),
        (b"%PDF-1.7", None),
        (b"", None),
        (bytes(10**6), None),
    ],
)
def test_the_head_of_a_file_tells_its_size_or_nothing_does(file: bytes, size: tuple[int, int] | None) -> None:
    assert file_size(memoryview(file)) == size


@pytest.mark.parametrize(
    ("size", "plain", "kept"),
    [
        ((1_024, 1_024), 194, 4_354),
        ((64, 64), 194, 4_354),
        ((1_536, 1_024), 323, 6_563),
        ((512, 2_048), 581, 6_821),
    ],
)
def test_a_picture_takes_what_openai_says(size: tuple[int, int], plain: int, kept: int) -> None:
    """One that is in none of three sizes is made of more tiles; keeping its features takes more."""
    assert given_tokens(size, keeps_features=False) == plain
    assert given_tokens(size, keeps_features=True) == kept


@given(st.tuples(SIDES, SIDES), st.booleans())
def test_no_picture_takes_more_than_its_bound(size: tuple[int, int], keeps_features: bool) -> None:
    assert 0 < given_tokens(size, keeps_features=keeps_features) <= given_tokens_max(size)
