"""What may not pass in a stream is refused, and what came before it is still delivered and counted."""

import contextlib
from collections.abc import Sequence

import pytest

from proxy.endpoints.reading.depth import DEPTH_MAX
from proxy.endpoints.tallies.part import SHORT_BYTES
from proxy.endpoints.tallies.stream import StreamTally
from proxy.errors import Refusal
from tests.endpoints.events import DONE, cut, delta, event, fed

HELLO = delta("Hello")


def test_what_follows_done_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.endpoints.tallies.stream.EVENT_BYTES_MAX", 100)
    tally = StreamTally()
    tally.feed(DONE)
    with pytest.raises(Refusal) as refused:
        fed(tally, [b"x" * 50, b"x" * 50])
    assert refused.value.code == "upstream_invalid"


def deep_event(levels: int, end: bytes = b"\n\n") -> bytes:
    """An event with a text of `SHORT_BYTES` and a member that is nested so deeply."""
    data = event({"choices": [{"index": 0, "delta": {"content": "x" * SHORT_BYTES}}], "x": None}, end)
    return data.replace(b"null", b"[" * (levels - 1) + b"]" * (levels - 1))


def feed_and_finish(tally: StreamTally, chunks: Sequence[bytes], passed: list[bytes]) -> None:
    passed.extend(map(tally.feed, chunks))
    tally.finish()


@pytest.mark.parametrize("end", [b"\n\n", b""])
def test_an_event_that_is_nested_too_deeply_does_not_pass(end: bytes) -> None:
    """A client may be able to read it, and its text would not be counted."""
    tally = StreamTally()
    fed(tally, [deep_event(DEPTH_MAX, end)])
    tally.finish()
    assert tally.produced_size == SHORT_BYTES
    deeper = deep_event(DEPTH_MAX + 1, end)
    tally = StreamTally()
    passed: list[bytes] = []
    with pytest.raises(Refusal, match="nested more than 128 deep") as refused:
        feed_and_finish(tally, [deeper[:40], deeper[40:]], passed)
    assert not any(passed)
    assert refused.value.code == "upstream_invalid"
    assert (tally.complete, tally.produced_size) == (False, 0)


@pytest.mark.parametrize("after", [b"", delta("lost"), delta(finish="stop") + DONE])
@pytest.mark.parametrize("places", [[], [5], [len(HELLO)], [5, len(HELLO) + 5]])
def test_what_came_before_an_event_that_may_not_pass_is_delivered(after: bytes, places: list[int]) -> None:
    """It is counted, and what is charged the client gets, however the stream is cut."""
    tally = StreamTally()
    passed: list[bytes] = []
    with pytest.raises(Refusal):
        feed_and_finish(tally, cut(HELLO + deep_event(DEPTH_MAX + 1) + after, places), passed)
    assert b"".join(passed) == HELLO
    for refused_again in (lambda: tally.feed(DONE), tally.finish):
        with pytest.raises(Refusal):
            refused_again()
    assert (tally.output_text(), tally.complete, tally.reported()) == ("Hello", False, None)


@pytest.mark.parametrize("deep", [b"[" * 50_000 + b"]" * 50_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000])
@pytest.mark.parametrize("frame", [b"%b\n\n", b": x\n\n%b\n\n", b"event: a\n%b\n\n", b"data: x\n\n%b\n\n"])
def test_no_line_is_so_deep_that_it_passes_for_nothing(frame: bytes, deep: bytes) -> None:
    """Outside of data as well: a stream that ends properly after it has counted all that passed."""
    tally, passed = StreamTally(), [b""]
    with contextlib.suppress(Refusal):
        feed_and_finish(tally, [frame % deep], passed)
    if deep in b"".join(passed):
        assert tally.produced_size >= len(deep)
    else:
        assert not tally.complete
