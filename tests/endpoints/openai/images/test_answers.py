"""Answers with pictures: they pass untouched, their end waits, and each picture in them is found."""

import base64
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import Reading, Tally
from proxy.endpoints.openai.images.part import read_pictures
from proxy.endpoints.openai.images.tally import tally_of
from proxy.endpoints.openai.images.usage import ImageUsage
from proxy.endpoints.registry import ENDPOINTS
from proxy.endpoints.tallies.payload import REFERRED_BYTES
from proxy.endpoints.tallies.stream import StreamTally
from proxy.errors import Refusal
from tests.endpoints.events import DONE, cut, fed
from tests.endpoints.openai.images.answers import (
    PICTURE,
    STREAM,
    completed,
    event,
    partial,
    usage,
    whole,
)

COUNTED: Any = {"images": "counted"}
REPORTED = Reading(
    {"input_tokens": 50, "output_tokens": 1_256, "output_image_tokens": 1_256, "images": 1}, 0, COUNTED
)
UNFINISHED_TOKENS = 100


def tally(*, stream: bool = True, keep_usage: bool = False, n: int = 1) -> Tally:
    body = {"model": "m", "prompt": "A cat", "stream": stream, "n": n}
    ask = ENDPOINTS["/v1/images/generations"].read(json.dumps(body).encode())
    return ask.tally(keep_usage=keep_usage)


def read_whole(reply: object) -> Tally:
    read = tally(stream=False)
    data = json.dumps(reply).encode()
    assert fed(read, cut(data, [len(data) // 2])) == b""
    read.finish()
    assert read.tail() == data
    return read


def drawn(tokens: int, images: int) -> dict[str, int]:
    return {"output_tokens": tokens, "output_image_tokens": tokens, "images": images}


def test_unfinished_pictures_pass_at_once_and_the_last_finished_one_waits() -> None:
    read = tally()
    assert [read.feed(each) for each in STREAM] == [*STREAM[:-1], b""]
    assert (read.done, read.complete, read.failed, read.anomalies) == (True, True, False, 0)
    assert read.reported() == REPORTED
    assert read.tail() == STREAM[-1]


@given(st.lists(st.integers(0, len(b"".join(STREAM))), max_size=8), st.booleans())
def test_nothing_depends_on_where_chunks_end(places: list[int], keep: bool) -> None:
    read = tally(keep_usage=keep)
    passed = fed(read, cut(b"".join(STREAM), places))
    assert passed + read.tail() == b"".join(STREAM)
    assert (read.reported(), read.complete) == (REPORTED, True)
    assert read.produced(0, "m") == drawn(2 * UNFINISHED_TOKENS + 1, 1)


@pytest.mark.parametrize("what", ["image_generation", "image_edit"])
@pytest.mark.parametrize("end", [b"", DONE])
def test_a_stream_may_end_with_what_no_other_ends_with(what: str, end: bytes) -> None:
    """The specification has no `[DONE]`; what comes after the end is kept for it."""
    read = tally()
    events = [partial(0, what), completed(what, usage=usage())]
    assert fed(read, [*events, end]) == events[0]
    assert read.complete
    assert read.tail() == events[1] + end


@pytest.mark.parametrize("count", range(len(STREAM)))
def test_a_stream_cut_before_its_end_is_not_whole_and_its_picture_was_begun(count: int) -> None:
    read = tally()
    assert fed(read, STREAM[:count]) == b"".join(STREAM[:count])
    assert (read.complete, read.reported()) == (False, None)
    assert read.has_data
    expected = drawn(count * UNFINISHED_TOKENS, 1) if count else {"output_tokens": 0}
    assert read.produced(0, "m") == expected


def test_several_pictures_end_with_the_last_that_was_asked_for() -> None:
    """Each has the usage of all so far, of which the largest counts."""
    events = [
        *(partial(0), completed(usage=usage(drawn=1_000))),
        *(partial(0), completed(usage=usage(drawn=2_000))),
    ]
    read = tally(n=2)
    assert fed(read, events) == b"".join(events[:-1])
    assert read.reported() == Reading({"input_tokens": 50, **drawn(2_000, 2)}, 0, COUNTED)
    assert read.tail() == events[-1]
    for count, is_whole in ((2, True), (3, False)):
        short = tally(n=2)
        fed(short, events[:count])
        assert (short.done, short.choices_finished, short.complete) == (False, is_whole, is_whole)


def test_a_stream_whose_end_has_no_picture_ends_there() -> None:
    """Some servers send each picture in an event of another name, and the usage by itself."""
    events = [
        event(
            "image_generation.partial_succeeded", image_index=0, url="https://host/a.png", size="2048x2048"
        ),
        event(
            "image_generation.partial_succeeded", image_index=1, url="https://host/b.png", size="2048x2048"
        ),
        event("image_generation.completed", usage={"output_tokens": 32_768, "total_tokens": 32_768}),
    ]
    read = tally()
    assert fed(read, events) == b"".join(events[:2])
    assert read.complete
    assert read.tail() == events[2]
    reading = read.reported()
    assert reading is not None
    assert (reading.usage["images"], reading.usage["output_tokens"]) == (2, 32_768)


def test_an_event_without_a_type_is_told_by_what_it_has() -> None:
    """Its name says what it is, and some servers do not say it again."""
    events = [
        b'event: image_edit.partial_image\ndata: {"partial_image_b64":"QUJD","partial_image_index":0}\n\n',
        b'event: image_edit.completed\ndata: {"b64_json":"QUJD"}\n\n',
    ]
    read = tally()
    assert fed(read, events) == events[0]
    assert read.complete
    assert read.produced(0, "m") == drawn(UNFINISHED_TOKENS + 1, 1)


def test_a_whole_answer_in_place_of_events_is_read() -> None:
    """Some servers do not stream what they were asked to."""
    read = tally()
    data = json.dumps(whole({"b64_json": PICTURE}, usage=usage())).encode()
    assert fed(read, cut(data, [5])) == b""
    assert read.complete
    assert read.reported() == Reading({"input_tokens": 50, **drawn(1_056, 1)}, 0, COUNTED)
    assert read.tail() == data


def test_an_error_within_a_stream_passes_and_is_no_success() -> None:
    failed = event("error", error={"type": "image_generation_server_error", "message": "No."})
    read = tally()
    assert fed(read, [STREAM[0], failed]) == STREAM[0] + failed
    assert (read.failed, read.complete, read.reported()) == (True, False, None)


def test_a_sign_of_life_is_no_picture() -> None:
    read = tally()
    fed(read, [b": ping\n\n", event("image_generation.in_progress", message="Thinking of cats.")])
    assert read.produced(0, "m") == {"output_tokens": 0}


def test_the_cost_is_in_the_usage_of_the_last_event() -> None:
    read = tally(keep_usage=True)
    assert fed(read, STREAM) == b"".join(STREAM[:-1])
    last = read.tail("0.01")
    assert json.loads(last.split(b"data: ")[1])["usage"]["cost"] == "0.01"
    assert last.startswith(b"event: image_generation.completed\n")


def test_the_cost_is_in_the_usage_of_a_whole_answer() -> None:
    read = tally(stream=False, keep_usage=True)
    fed(read, [json.dumps(whole({"b64_json": PICTURE}, usage=usage())).encode()])
    assert json.loads(read.tail("0.01"))["usage"]["cost"] == "0.01"


PICTURES: list[tuple[Any, int]] = [
    ([{"b64_json": PICTURE}], 1),
    ([{"b64_json": PICTURE, "revised_prompt": "A fine cat, " * 90, "url": None}] * 3, 3),
    ([{"url": "https://host/a.png"}], 1),
    ([{"image": {"data": PICTURE}}], 1),
    ([PICTURE, "https://host/a.png"], 2),
    ([{"pixels": PICTURE}], 1),
    ([{"error": {"code": "moderation_blocked", "message": "No."}}, {"b64_json": PICTURE}], 1),
    ([{"revised_prompt": "A cat"}, {"b64_json": ""}, None, 7, {}], 0),
    ([], 0),
]


@pytest.mark.parametrize(("pictures", "count"), PICTURES)
def test_the_pictures_of_an_answer_without_usage_are_counted(pictures: Any, count: int) -> None:
    read = read_whole({"created": 1, "data": pictures})
    assert (read.complete, read.reported(), read.output_text()) == (True, None, "")
    assert read.produced(0, "m").get("images", 0) == count
    assert bool(read.produced_size) == bool(count)


def test_a_picture_that_is_somewhere_else_counts_as_a_large_one() -> None:
    read = read_whole(whole({"url": "https://host/a.png"}))
    assert read.produced(0, "m") == drawn(REFERRED_BYTES // 1_024, 1)


def test_usage_that_is_not_at_the_top_level_changes_nothing() -> None:
    planted = {"b64_json": PICTURE, "usage": usage(0, 0), "revised_prompt": '{"usage":{"output_tokens":0}}'}
    read = read_whole({"metadata": {"usage": usage(0, 0)}, **whole(planted)})
    assert read.reported() is None


@pytest.mark.parametrize("data", [b"", b"[]", b'{"data":[', b"<html>", b'{"data":[' + b"[" * 300 + b"]}"])
def test_what_is_no_answer_is_not_complete(data: bytes) -> None:
    read = tally(stream=False)
    fed(read, [data])
    assert not read.complete


def test_an_error_in_a_successful_answer_is_no_success() -> None:
    assert read_whole({"error": {"message": "overloaded"}}).failed


@pytest.mark.parametrize("size", [1_000, 300_000])
def test_a_large_answer_is_read_like_a_small_one(size: int) -> None:
    """Of its base64 only the length is read, also where its slashes are escaped."""
    for picture in ("QUJD" * (size // 4), "QU/D" * (size // 4)):
        data = json.dumps(whole(*[{"b64_json": picture}] * 2, usage=usage())).replace("/", "\\/").encode()
        part = read_pictures(data)
        assert part is not None
        assert (part.usages, part.failed) == ((usage(),), False)
        read = tally(stream=False)
        fed(read, [data])
        assert read.reported() == Reading({"input_tokens": 50, **drawn(1_056, 2)}, 0, COUNTED)
        streamed = tally()
        assert fed(streamed, [partial(0, picture=picture), completed(picture=picture)]) != b""
        assert streamed.produced(0, "m")["images"] == 1


LONG = "QU/D" * 50_000
LARGE: dict[str, bytes] = {
    "unfinished": partial(0, picture=LONG),
    "finished": completed(picture=LONG, usage=usage()),
    "escaped": partial(0, picture=LONG).replace(b"/", b"\\/"),
    "on several lines": partial(0, picture=LONG).replace(b', "b64', b'\ndata: , "b64'),
    "other line ends": partial(0, picture=LONG).replace(b"\n", b"\r\n"),
    "after a byte order mark": b"\xef\xbb\xbf" + partial(0, picture=LONG),
    "after a quote": b': say "\n' + partial(0, picture=LONG),
    "after much": b": " + b"x" * 100_000 + b"\n" + partial(0, picture=LONG),
    "with a mark that is none": partial(0, picture=LONG).replace(b"auto", b"\xff0\xff"),
    "with more than is short": event("x.completed", b64_json=LONG, more=["a b"] * 20_000, usage=usage()),
    "prose": event("image_generation.unheard_of", words="Of cats. " * 20_000),
    "no data": b": " + LONG.encode() + b"\n\n",
    "an error": event("error", error={"message": LONG}),
    "usage in its text": partial(0, picture=LONG, what='x","usage":{"output_tokens":9},"y":"'),
    "a string": b'data: "' + LONG.encode() + b'"\n\n',
    "not closed": b'data: {"b64_json":"' + LONG.encode() + b"\n\n",
    "a line's end within": b'data: {"b64_json":"' + LONG.encode() + b"\nQUJD" + b'"}\n\n',
    "a long name": b'data: {"' + LONG.encode() + b'":1}\n\n',
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_event_is_read_as_if_it_were_copied(name: str) -> None:
    """What stays where it is counts as what was taken out would: nothing is free, nothing counts twice."""
    found = []
    for read in (tally(), StreamTally(read=read_pictures, report=ImageUsage)):
        codes = []
        passed = b""
        for each in (partial(0), LARGE[name], b"data: [DONE]\n\n"):
            try:
                passed += read.feed(each)
            except Refusal as refusal:
                codes.append(refusal.code)
        reading = read.reported()
        usages = [dict(read.produced(0, "m")), dict(reading.usage) if reading else {}]
        for each_usage in usages:
            each_usage.pop("images", None)
        text = read.output_text()
        found.append((codes, passed + read.tail(), usages, text, read.failed, read.anomalies))
    assert found[0] == found[1]


def test_an_answer_that_holds_too_much_is_none() -> None:
    assert read_pictures(b'{"data": [' + b'{"url":"a"},' * 200_000 + b"1]}") is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cost", [None, "0.01"])
def test_a_large_picture_takes_three_times_its_size_at_most(stream: bool, cost: str | None) -> None:
    """With the cost put in behind it too: no form of it is kept once the next one is there."""
    large = base64.b64encode(bytes(6_000_000)).decode()
    answer = (
        event("image_generation.completed", b64_json=large, usage=usage())
        if stream
        else whole({"b64_json": large}, usage=usage())
    )
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    chunks = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
    tally = tally_of(1, stream=stream, keep_usage=cost is not None)
    tracemalloc.start()
    try:
        # Each chunk is made anew, as from a connection.
        sent = b"".join([tally.feed(bytes(bytearray(chunk))) for chunk in chunks])
        tally.finish()
        assert tally.reported() is not None
        sent += tally.tail(cost)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    added = b',"cost":"0.01"' if cost else b""
    assert len(sent) == len(data) + len(added)
    assert peak_bytes < 3.2 * len(data)
