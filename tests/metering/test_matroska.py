"""A WebM or Matroska file lasts as long as its header and its clusters say, whatever else is in it."""

import math
import struct
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.durations import TYPICAL_BYTES_A_SECOND, told_sound
from proxy.metering.matroska import CLUSTER_READS_MAX, TAIL_MAX, matroska_seconds
from proxy.metering.sounds import longest_seconds, sound_length

RECORDINGS = Path(__file__).with_name("recordings")
"""2.6 seconds of a tone at the lowest rate, as ffmpeg writes them: `live` to a pipe, without a length."""
UNKNOWN = b"\x01" + b"\xff" * 7
HEAD = b"\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01"


def element(name: str, body: bytes, size: bytes | None = None) -> bytes:
    """One with a size of eight bytes, as those have that are written while they grow."""
    told = struct.pack(">Q", 1 << 56 | len(body)) if size is None else size
    return bytes.fromhex(name) + told + body


def info(seconds: float | None, tick_ns: int = 1_000_000) -> bytes:
    duration = b"" if seconds is None else element("4489", struct.pack(">d", seconds * 10**9 / tick_ns))
    return element("1549a966", element("2ad7b1", tick_ns.to_bytes(4, "big")) + duration)


def block(ticks: int, *, grouped: bool = False) -> bytes:
    body = b"\x81" + struct.pack(">hB", ticks, 0x80) + b"sound"
    return element("a0", element("a1", body)) if grouped else element("a3", body)


def cluster(begins: int, *blocks: bytes, size: bytes | None = None) -> bytes:
    return element("1f43b675", element("e7", begins.to_bytes(4, "big")) + b"".join(blocks), size)


def webm(*parts: bytes, size: bytes | None = UNKNOWN) -> bytes:
    return HEAD + element("18538067", b"".join(parts), size)


def seconds(data: bytes) -> Fraction:
    return matroska_seconds(b"ab" + data + b"cd", 2, 2 + len(data))


@pytest.mark.parametrize("name", ["known.webm", "live.webm"])
def test_what_a_browser_or_an_encoder_writes_is_measured(name: str) -> None:
    """With a length in its header or without; by its size it would last less than a second."""
    data = (RECORDINGS / name).read_bytes()
    assert len(data) < TYPICAL_BYTES_A_SECOND
    assert sound_length(data, 0, len(data)).likely == 3 <= longest_seconds(data, 0, len(data))


@pytest.mark.parametrize(
    ("data", "lasts"),
    [
        (webm(info(12.5), cluster(0, block(12_480)), size=None), Fraction("12.5")),
        (webm(info(None), cluster(0, block(0)), cluster(60_000, block(20), block(4_000))), 64),
        (webm(info(None), cluster(0, size=UNKNOWN), cluster(5_000, block(1_000), size=UNKNOWN)), 6),
        (webm(info(None), cluster(0), cluster(5_000, block(1_000, grouped=True))), 6),
        (webm(info(None), cluster(7_000, block(0)), cluster(9_000, block(0))), 2),
        (webm(info(None, 20_833), cluster(0), cluster(480_000, block(0))), Fraction("9.99984")),
        (webm(cluster(0), cluster(3_000, block(500))), Fraction("3.5")),
        (webm(info(None), cluster(0), cluster(3_000, block(500)), element("1c53bb6b", bytes(400))), 3.5),
        (webm(info(3_600), cluster(0), cluster(3_000, block(0))), 3),
        (webm(info(1), cluster(0), cluster(3_599_000, block(1_000))), 3_600),
        (webm(info(20)), 20),
        (webm(info(None)), 0),
        (HEAD, 0),
    ],
)
def test_the_last_block_tells_what_the_header_does_not(data: bytes, lasts: float) -> None:
    """A header is believed where it tells no less than the blocks, and not much more."""
    assert seconds(data) == lasts


def test_a_head_alone_tells_only_what_its_header_says() -> None:
    """Its last block is not that of the file."""
    head = webm(info(None), cluster(0, block(20)))
    assert told_sound(head, 0, len(head)).lasts(80_000) == 10
    head = webm(info(12.5), cluster(0, block(20)))
    assert told_sound(head, 0, len(head)).lasts(80_000) == Fraction("12.5")


def test_the_mark_of_a_cluster_within_a_sound_is_passed_over() -> None:
    noise = element("a3", b"\x81\0\0\0" + b"\x1f\x43\xb6\x75" * 3)
    assert seconds(webm(info(None), cluster(0), cluster(3_000, block(500), noise))) == Fraction("3.5")


@pytest.mark.parametrize("told", [math.nan, math.inf, -1.0, 0.0, 1e300])
def test_a_length_that_is_none_is_not_believed(told: float) -> None:
    """Nor one that no bytes could hold."""
    duration = element("4489", struct.pack(">d", told))
    data = webm(element("1549a966", duration), bytes(80_000))
    length = sound_length(data, 0, len(data))
    assert length.likely in (11, length.most)


SIZES = st.sampled_from([UNKNOWN, b"\x7f", b"\xff", b"\x80", b"\x01" + b"\xff" * 6 + b"\xfe", b"\x88", b"\0"])
NAMES = st.sampled_from(["18538067", "1549a966", "1f43b675", "a0", "a1", "a3", "2ad7b1", "4489", "e7", "ec"])
ELEMENTS = st.builds(element, NAMES, st.binary(max_size=12), st.none() | SIZES)


@given(st.lists(ELEMENTS | st.binary(max_size=9), max_size=12), st.integers(0, 40))
def test_any_elements_have_a_length(parts: list[bytes], cut: int) -> None:
    """However large they say they are, and wherever they end."""
    data = webm(info(None), *parts)
    data = data[: len(data) - cut]
    length = sound_length(data, 0, len(data))
    assert 0 <= length.likely <= length.most
    assert seconds(data) >= 0


NESTED = bytes.fromhex("18538067") + UNKNOWN
HOSTILE: dict[str, Callable[[], bytes]] = {
    "endless nesting": lambda: HEAD + NESTED * 2_000_000,
    "elements of nothing": lambda: HEAD + b"\xec\x80" * 12_000_000,
    "clusters of nothing": lambda: HEAD + element("1f43b675", b"", UNKNOWN) * 2_000_000,
    "blocks of nothing": lambda: webm(info(None), cluster(0), cluster(9, b"\xa3\x84\x81\0\0\0" * 600_000)),
    "an element of all": lambda: (
        HEAD + element("ec", b"", b"\x01" + b"\xff" * 6 + b"\xfe") + bytes(20_000_000)
    ),
    "marks without a cluster": lambda: HEAD + b"\x1f\x43\xb6" * (TAIL_MAX // 3) + b"\x1f\x43\xb6\x75" * 9,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_file_takes_long(name: str) -> None:
    """However it is made: its elements are read one by one, so many of them and no more."""
    data, best = HOSTILE[name](), 1.0
    assert len(data) > CLUSTER_READS_MAX
    for _ in range(5):
        begun = time.thread_time()
        matroska_seconds(data, 0, len(data))
        best = min(best, time.thread_time() - begun)
    assert best < 0.1
