"""The tally of a tool: which bytes wait for the charge, and which figure counts, however the reply comes."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.endpoints.reading.body import LARGE_BYTES
from proxy.endpoints.reading.pointer import pointer_of
from proxy.endpoints.sources import Place, Source
from proxy.endpoints.tallies.tool import CHUNK_BYTES, EVENTS, KEPT_BYTES, LINES, READ_BYTES_MAX, ToolTally
from proxy.endpoints.tool_plan import Failure, Measure
from tests.endpoints.events import cut, event, fed

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
FLOWING = ("audio/mpeg", "video/mp4", "application/octet-stream")
STREAMS = (EVENTS, *sorted(LINES))
ASSUMED = {"credits": 7_000_000}


def measure(name: str = "/data/creditsUsed", place: Place = "answer", meter: str = "credits") -> Measure:
    return Measure(meter, Source(place, name, pointer_of(name) if place == "answer" else ()), most=9_000_000)


def tally_of(kind: str | None, *measures: Measure, **headers: str) -> ToolTally:
    """A tally that was told the head of a reply."""
    tally = ToolTally(measures, dict.fromkeys((one.meter for one in measures), 7_000_000))
    tally.read_head([*headers.items(), *([("Content-Type", kind)] if kind else [])])
    return tally


def document(used: object = 2, **more: object) -> bytes:
    return json.dumps({"success": True, **more, "data": {"creditsUsed": used}}).encode()


CHUNKS = st.lists(st.binary(max_size=5))


@pytest.mark.parametrize("kind", [None, JSON, "text/html", "image/png", "text/plain"])
@given(chunks=CHUNKS)
def test_a_small_reply_waits_whole(kind: str | None, chunks: list[bytes]) -> None:
    tally = tally_of(kind)
    assert fed(tally, chunks) == b""
    tally.finish()
    assert tally.tail("0.01") == b"".join(chunks)


@pytest.mark.parametrize("kind", FLOWING)
@given(chunks=CHUNKS)
def test_of_what_flows_only_the_last_byte_waits(kind: str, chunks: list[bytes]) -> None:
    tally = tally_of(kind)
    whole = b"".join(chunks)
    assert fed(tally, chunks) == whole[:-1]
    assert tally.tail() == whole[-1:]


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=8))
def test_of_a_large_reply_only_the_last_byte_waits(sizes: list[int]) -> None:
    """However it is cut: nothing before the bound passes, and from then on all but one byte does."""
    tally, whole = tally_of(JSON), b""
    passed = b""
    for size in sizes:
        whole += (piece := bytes(range(256)) * (size // 256) + b"x" * (size % 256))
        passed += tally.feed(piece)
        assert passed == (whole[:-1] if len(whole) > KEPT_BYTES else b"")
    assert passed + tally.tail() == whole


@pytest.mark.parametrize("kind", STREAMS)
@given(chunks=CHUNKS)
def test_events_and_lines_pass_as_they_come(kind: str, chunks: list[bytes]) -> None:
    """Their readers wait for each of them; so what they cost is written down before the first."""
    tally = ToolTally()
    assert tally.read_head([("content-type", f"{kind.upper()}; charset=utf-8")])
    assert [tally.feed(chunk) for chunk in chunks] == chunks
    assert (tally.tail(), tally.produced_size) == (b"", sum(map(len, chunks)))


def test_only_streams_are_worth_something_before_their_end() -> None:
    for kind in (JSON, *FLOWING):
        tally = ToolTally()
        assert not tally.read_head([("Content-Type", kind)])
        tally.feed(b"12345")
        assert tally.produced_size == 0


def test_a_reply_is_complete_when_its_bytes_have_ended() -> None:
    tally = tally_of(JSON)
    before = tally.complete
    tally.finish()
    assert (before, tally.complete) == (False, True)
    assert not tally.failed
    reading = tally.reported()
    assert (reading.usage, reading.anomalies, reading.inferred) == ({"requests": 1}, 0, {})
    assert (tally.output_text(), tally.anomalies, tally.pending_bytes, tally.has_data) == ("", 0, 0, False)


PADDED = document(2, markdown="x" * 300_000, echo={"data": {"creditsUsed": 99}}, text='"creditsUsed": 99')
REPLIES: list[tuple[str, bytes]] = [
    (JSON, document(2)),
    (JSON, b"\xef\xbb\xbf\n\n" + document("2.0")),
    (JSON, PADDED),
    ("text/plain", document(2)),
    (EVENTS, event({"n": 1}) + event({"data": {"creditsUsed": 2}}) + b"data: [DONE]\n\n"),
    (EVENTS, event({"data": {"creditsUsed": 1}}) + event({"data": {"creditsUsed": 2}}, b"\r\n\r\n")),
    (EVENTS, event({"data": {"creditsUsed": 2}}) + event({"data": {"creditsUsed": 1}}) + b": end\n\n"),
    (EVENTS, b"event: done\ndata: " + document(2)),
    (NDJSON, b"\xef\xbb\xbf" + document(2) + b"\n" + document(1)),
    (NDJSON, document(1) + b"\n" + document(2) + b"\n\n" + document(1)),
    (NDJSON, PADDED.replace(b"\n", b" ") + b"\n" + document(1)),
    ("application/json-seq", b"\x1e" + document(2) + b"\n"),
]


@pytest.mark.parametrize(("kind", "reply"), REPLIES)
@given(places=st.lists(st.integers(0, 400_000), max_size=8))
def test_the_same_reply_tells_the_same_however_it_is_cut(kind: str, reply: bytes, places: list[int]) -> None:
    """Of several figures the largest counts, and what a text or another member repeats is none."""
    tally = tally_of(kind, measure())
    passed = fed(tally, cut(reply, places))
    tally.finish()
    reading = tally.reported()
    assert passed + tally.tail() == reply
    assert (reading.usage, reading.anomalies) == ({"requests": 1, "credits": 2_000_000}, 0)
    assert reading.inferred == {}
    assert tally.has_data


@pytest.mark.parametrize(("kind", "reply"), REPLIES)
def test_byte_by_byte_it_tells_the_same(kind: str, reply: bytes) -> None:
    reply = reply[:2_000] if len(reply) <= 2_000 else reply[-2_000:]
    one, many = tally_of(kind, measure()), tally_of(kind, measure())
    fed(one, [reply])
    fed(many, [reply[at : at + 1] for at in range(len(reply))])
    one.finish()
    many.finish()
    assert one.reported() == many.reported()


UNTOLD: list[tuple[str, Sequence[bytes]]] = [
    (JSON, []),
    (JSON, [b"not json: creditsUsed"]),
    (JSON, [b'[{"creditsUsed": 1}]']),
    (JSON, [b'{"data": {"creditsUsed": ']),
    (JSON, [document(None)]),
    (JSON, [document(-1)]),
    (JSON, [document("free")]),
    (JSON, [document(True)]),
    (JSON, [document(10**9)]),
    (JSON, [b'{"data": {"creditsUsed": 1e999}}']),
    (JSON, [b'{"data": {"creditsUsed": 1, "creditsUsed": 3}}']),
    (JSON, [b'{"data": {"creditsUsed": 1}, "Data": {}}']),
    (JSON, [b'{"data": ' + b"[" * 500 + b"creditsUsed"]),
    (JSON, [document(1, markdown="x" * 1_000_000)] + [b" " * 1_000_000] * 8),
    (EVENTS, [event({"data": {"used": 1}})]),
    (EVENTS, [b'data: {"data": {"creditsUsed": 1, "text": "', *[b"x" * 1_000_000] * 9, b'"}}\n\n']),
    (NDJSON, [b'{"data": {"creditsUsed": 1, "text": "', *[b"x" * 1_000_000] * 9, b'"}}\n']),
    ("audio/mpeg", [bytes(range(256))]),
]


@pytest.mark.parametrize(("kind", "chunks"), UNTOLD)
def test_what_is_not_told_is_assumed_and_an_anomaly(kind: str, chunks: list[bytes]) -> None:
    """Missing, insane, twice, unreadable or too large: what the configuration says is charged."""
    tally = tally_of(kind, measure())
    passed = fed(tally, chunks)
    assert tally.pending_bytes <= READ_BYTES_MAX
    tally.finish()
    reading = tally.reported()
    assert passed + tally.tail() == b"".join(chunks)
    assert (reading.usage, reading.inferred) == ({"requests": 1, **ASSUMED}, {"credits": "assumed"})
    assert reading.anomalies == tally.anomalies == 1


@pytest.mark.parametrize(
    ("told", "charged", "anomalies"),
    [
        ({"x-credits": "2.5"}, 2_500_000, 0),
        ({"X-Credits": "0"}, 0, 0),
        ({}, 7_000_000, 1),
        ({"x-credits": "-"}, 7_000_000, 1),
    ],
)
def test_a_header_of_the_answer_tells_a_figure(told: dict[str, str], charged: int, anomalies: int) -> None:
    tally = tally_of(JSON, measure("x-credits", "answer_header"), **told)
    fed(tally, [document(5)])
    tally.finish()
    assert tally.reported().usage == {"requests": 1, "credits": charged}
    assert (tally.anomalies, tally.pending_bytes, tally.has_data) == (anomalies, 0, False)


def test_a_reported_nothing_is_nothing() -> None:
    """Some answers are free, and say so: an answer from a cache costs no credits."""
    tally = tally_of(JSON, measure())
    fed(tally, [document(0)])
    tally.finish()
    assert (tally.reported().usage, tally.anomalies) == ({"requests": 1, "credits": 0}, 0)


def test_several_measures_are_told_apart_and_an_array_counts_its_items() -> None:
    tally = tally_of(
        JSON, measure(), measure("/results", meter="results"), measure("/results/0/n", meter="pages")
    )
    fed(tally, [document(1.5, results=[{"n": 4}, {"n": 9}])])
    tally.finish()
    assert tally.reported().usage == {"requests": 1, "credits": 1_500_000, "results": 2, "pages": 4}


@pytest.mark.parametrize(("told", "charged"), [(True, 1_000_000), (False, 0), (0.5, 500_000)])
def test_a_flag_counts_one_or_none_where_a_call_uses_one_at_most(told: object, charged: int) -> None:
    tally = tally_of(JSON, replace(measure(), most=1_000_000))
    fed(tally, [document(told)])
    tally.finish()
    assert (tally.reported().usage["credits"], tally.anomalies) == (charged, 0)


def test_what_broke_off_amounts_to_what_was_told_or_assumed_by_then() -> None:
    tally = tally_of(EVENTS, measure())
    assert tally.produced(0, "m") == ASSUMED
    tally.feed(event({"data": {"creditsUsed": 3}}) + b"data: {")
    assert tally.produced(0, "m") == {"credits": 3_000_000}
    assert not tally.complete
    assert tally.anomalies == 0


ERROR = Failure(Source("answer", "/error", ("error",)))
SAID: list[object] = ["x", {"code": 1}, ["x"], 1, True, "x" * 70_000]
UNSAID: list[object] = [None, False, "", [], {}, 0]
NO_SUCCESS = Failure(Source("answer", "/success", ("success",)), "false")


@pytest.mark.parametrize(
    ("failure", "answer", "failed"),
    [
        *((ERROR, {"error": said}, True) for said in SAID),
        *((ERROR, {"error": said}, False) for said in UNSAID),
        (ERROR, {"result": {"error": "x"}, "text": "error"}, False),
        (NO_SUCCESS, {"success": False}, True),
        (NO_SUCCESS, {"success": "FALSE"}, True),
        (NO_SUCCESS, {"success": True}, False),
        (NO_SUCCESS, {"success": None}, False),
        (NO_SUCCESS, {}, False),
    ],
)
@pytest.mark.parametrize("kind", [JSON, EVENTS, NDJSON])
def test_a_reply_tells_an_error_by_what_is_at_a_pointer(
    kind: str, failure: Failure, answer: dict[str, object], failed: bool
) -> None:
    """Any value that says something, or the one that is configured, in whatever case."""
    tally = ToolTally((measure(),), ASSUMED, failure)
    tally.read_head([("Content-Type", kind)])
    text = json.dumps(answer).encode()
    fed(tally, cut({JSON: text, EVENTS: b"data: " + text + b"\n\n", NDJSON: text + b"\n"}[kind], [3, 9, 20]))
    tally.finish()
    assert tally.failed == failed


@pytest.mark.parametrize("kind", STREAMS)
def test_a_chunk_that_may_hold_thousands_of_events_is_no_small_one(kind: str) -> None:
    """What is pending has the call read it in a thread; without measures nothing is read."""
    tally = tally_of(kind, measure())
    assert tally.pending_bytes + CHUNK_BYTES == LARGE_BYTES
    tally.feed(b"{}\n")
    assert tally.pending_bytes + CHUNK_BYTES == LARGE_BYTES
    assert tally_of(kind).pending_bytes == 0


SCRAPS = (
    *(b'{"data":', b'{"creditsUsed":', b"1", b"-", b"1e9", b'"2"', b"}", b"}}", b"[", b"]", b",", b"null"),
    *(b"data: ", b"event: x\n", b"\n", b"\r\n", b"\n\n", b"\xff", b"\\", b'"', b"\x1e", b"\xef\xbb\xbf"),
)
ODD = st.lists(st.sampled_from(SCRAPS), max_size=30)


@given(kind=st.sampled_from([JSON, EVENTS, NDJSON, "audio/mpeg"]), pieces=ODD)
def test_whatever_comes_passes_whole_and_has_a_sane_reading(kind: str, pieces: list[bytes]) -> None:
    """No reply breaks a call, and what is charged is a figure that it told or what is assumed."""
    one, many = tally_of(kind, measure()), tally_of(kind, measure())
    whole = b"".join(pieces)
    passed = fed(many, pieces)
    fed(one, [whole])
    one.finish()
    many.finish()
    assert passed + many.tail() == whole
    assert one.reported() == many.reported()
    assert 0 <= many.reported().usage["credits"] <= 10**14
