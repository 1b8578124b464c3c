"""A request for a stream that is answered with one JSON object: that is read, and kept back, as a whole."""

import json

import pytest

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.stream import StreamTally
from tests.endpoints.events import cut, delta, fed, usage, usage_event


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_a_whole_body_instead_of_a_stream_is_read_and_waits(end: bytes) -> None:
    reply = {
        "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": usage(),
    }
    body = b"\n" + json.dumps(reply).encode() + end
    tally = StreamTally(swallow_usage=True)
    assert fed(tally, cut(body, [5, 30])) == b""
    assert tally.complete
    assert tally.output_text() == "Hi"
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})
    assert tally.tail() == body


@pytest.mark.parametrize("blank", [b"", b"\n\n", b"\r\n \r\n"])
def test_blank_lines_within_a_whole_body_are_part_of_it(blank: bytes) -> None:
    """An upstream that answers a request for a stream with one JSON object may write it as it likes."""
    reply = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": usage(7, 3)}
    body = blank + json.dumps(reply, indent=1).replace("\n", "\n\n").encode() + b"\n\n"
    tally = StreamTally(swallow_usage=True)
    passed = b"".join(tally.feed(body[at : at + 1]) for at in range(len(body)))
    assert tally.pending_bytes >= len(body.strip())
    assert tally.complete
    assert tally.pending_bytes == 0
    assert (tally.output_text(), tally.anomalies) == ("Hi", 0)
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})
    assert passed.strip() == b""
    assert passed + tally.tail() == body


def test_a_whole_body_that_broke_off_is_not_complete() -> None:
    tally = StreamTally()
    assert fed(tally, [b'{"choices": [\n\n', b'{"message"']) == b""
    assert not tally.complete
    assert not tally.failed
    assert tally.tail() == b'{"choices": [\n\n{"message"'


def test_an_object_after_events_ends_no_stream() -> None:
    """Some upstreams report an error without `data:` when a stream has begun already."""
    tally = StreamTally()
    assert fed(tally, [delta("Hi"), b'{"error": {"message": "overloaded"}}\n\n']) == delta("Hi")
    assert tally.failed
    assert tally.output_text() == "Hi"


def test_an_error_instead_of_a_stream_is_a_failure() -> None:
    tally = StreamTally()
    assert fed(tally, [b'{"error":\n\n', b'{"message": "overloaded"}}']) == b""
    assert tally.failed
    assert not tally.complete


def test_blank_lines_alone_begin_neither() -> None:
    """They pass at once, as a sign of life, and a stream may follow them as well as a body."""
    tally = StreamTally()
    assert fed(tally, [b"\n\n", b"\n", b"\n", delta("Hi"), usage_event(7, 3)]).strip() != b""
    assert tally.output_text() == "Hi"
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})


PING = b": keep-alive\n\n"


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_a_body_after_comments_is_kept_back_with_all_its_blank_lines(size: int, end: bytes) -> None:
    """Comments tell that an upstream works on it; what comes then may be one JSON object as well."""
    reply = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": usage(7, 3)}
    body = json.dumps(reply, indent=1).replace("\n", "\n\n").encode() + end
    tally = StreamTally(swallow_usage=True)
    stream = PING + PING + body
    assert fed(tally, cut(stream, range(0, len(stream), size))) == PING + PING
    assert tally.complete
    assert (tally.output_text(), tally.anomalies) == ("Hi", 0)
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})
    assert tally.tail() == body


def test_an_object_with_answers_after_events_ends_no_stream_either() -> None:
    tally = StreamTally()
    late = b'{"choices": [{"message": {"content": "Hi"}}]}\n\n'
    assert fed(tally, [delta("Hi"), late]) == delta("Hi")
    assert not tally.complete
    assert tally.tail() == late


def test_a_body_without_answers_is_not_complete() -> None:
    tally = StreamTally()
    assert fed(tally, [b'{"object": "list", "data": []}']) == b""
    assert not tally.complete
    assert not tally.failed
