"""Events are cut out of a stream with their exact bytes, wherever its chunks end."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from proxy.endpoints.tallies import lines
from proxy.endpoints.tallies.lines import name_and_data, stray_text
from proxy.endpoints.tallies.sse import Splitter
from proxy.errors import Refusal
from tests.endpoints.events import cut

PLACES = st.lists(st.integers(min_value=0, max_value=10_000), max_size=12)
# Dense in line ends of every kind, so that each way to end an event occurs at each place.
LINE_NOISE = st.text("\r\n\n:ad ", max_size=60).map(str.encode)
FIELDS = st.sampled_from(
    [b"data: x", b"data:x", b"data:  x", b"data", b": note", b"event: error", b"id: 7", b"data: \xc3\xa9"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(FIELDS | st.just(b""), ENDS), max_size=30).map(
    lambda lines: b"".join(field + end for field, end in lines)
)


def split(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = Splitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events, splitter.finish()


@given(LINE_NOISE | STREAMS, PLACES)
def test_events_do_not_depend_on_where_chunks_end(stream: bytes, places: list[int]) -> None:
    assert split(cut(stream, places)) == split([stream])
    assert split([stream[at : at + 1] for at in range(len(stream))]) == split([stream])


@given(LINE_NOISE | STREAMS, PLACES)
def test_nothing_is_lost_or_added(stream: bytes, places: list[int]) -> None:
    events, rest = split(cut(stream, places))
    assert b"".join(events) + rest == stream


@given(LINE_NOISE | STREAMS)
def test_an_event_ends_with_its_first_empty_line(stream: bytes) -> None:
    events, rest = split([stream])
    for event in events:
        lines = re.split(rb"\r\n|\n|\r", event.lstrip(b"\r\n"))
        assert b"" not in lines[:-2]
    assert not re.search(rb"[^\r\n](\n|\r\n)(\n|\r\n)(?!\Z)", rest)


@given(STREAMS)
def test_data_is_what_the_official_sdk_reads(stream: bytes) -> None:
    """The SDK's decoder, fed with whole events, yields the same data in the same order."""
    events, _ = split([stream])
    ours = [data.decode() for event in events if (data := name_and_data(event)[1]) is not None]
    theirs = [found.data for event in events for found in SSEDecoder().iter_bytes(iter([event]))]
    # An event with no data at all is still one to the SDK if it has another field.
    assert [data for data in ours if data] == [data for data in theirs if data]


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (b"data: {}\n\n", b"", b"{}"),
        (b"data: {}\r\n\r\n", b"", b"{}"),
        (b"data: {}\r\r", b"", b"{}"),
        (b"data: {}\r\n\n", b"", b"{}"),
        (b"data:{}\n\n", b"", b"{}"),
        (b"data:  {}\n\n", b"", b" {}"),
        (b"data\n\n", b"", b""),
        (b": keep-alive\n\n", b"", None),
        (b"\n\n", b"", None),
        (b"data: {\ndata: }\n\n", b"", b"{\n}"),
        (b"data: {\r\ndata: }\r\n\r\n", b"", b"{\n}"),
        (b": note\nevent: error\nid: 1\ndata: {}\n\n", b"error", b"{}"),
        (b"data: {}\nevent:error\n\n", b"error", b"{}"),
        (b"event: ping\n\n", b"ping", None),
        (b"data: {}", b"", b"{}"),
        (b"\ndata: {}\n\n", b"", b"{}"),
        (b"database: {}\n\n", b"", None),
    ],
)
def test_fields_of_an_event(event: bytes, name: bytes, data: bytes | None) -> None:
    assert name_and_data(event) == (name, data)


def test_a_last_cr_waits_because_it_may_be_half_of_a_line_end() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: x\r\n\r") == []
    assert splitter.feed(b"\ndata") == [b"data: x\r\n\r\n"]
    assert splitter.pending_bytes == 4
    assert splitter.finish() == b"data"


def test_a_stream_of_cr_alone_is_cut_as_soon_as_that_is_certain() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: x\r\r") == []
    assert splitter.feed(b"data: y\r\r") == [b"data: x\r\r"]
    assert splitter.finish() == b"data: y\r\r"


def test_an_event_may_be_as_long_as_the_limit_and_no_longer() -> None:
    splitter = Splitter(limit_bytes=100)
    assert splitter.feed(b"x" * 60) == []
    assert splitter.feed(b"x" * 40) == []
    with pytest.raises(Refusal, match="more than 100 bytes") as refused:
        splitter.feed(b"x")
    assert refused.value.code == "upstream_invalid"


def test_an_event_of_twenty_megabytes_in_small_chunks() -> None:
    body = b"data: " + b"x" * 20_000_000 + b"\r\n\r\n"
    chunks = [body[at : at + 4_096] for at in range(0, len(body), 4_096)]
    assert split(chunks) == ([body], b"")


@given(LINE_NOISE | STREAMS)
def test_an_event_is_read_alike_however_long_it_is(event: bytes) -> None:
    """A long one by the offsets of its lines."""
    short = name_and_data(event)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "STEP_BYTES", -1)
        patch.setattr(lines, "cut", lambda text, start, stop: text[start:stop])
        assert name_and_data(event) == short


@given(LINE_NOISE | STREAMS)
def test_stray_text_is_what_is_neither_a_field_nor_a_comment(event: bytes) -> None:
    fields = (b"data", b"event", b"id", b"retry")
    stray = [line for line in re.split(rb"\r\n|\n|\r", event) if line and not line.startswith(b":")]
    assert (
        stray_text(event)
        == b"\n".join(line for line in stray if line.partition(b":")[0] not in fields).strip()
    )
