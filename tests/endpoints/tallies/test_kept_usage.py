"""A client that asks for its cost gets it in the last usage object of the reply."""

import json

import pytest

from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from tests.endpoints.events import DONE, delta, event, fed, usage, usage_event

FINISH = delta(finish="stop")


def with_cost(chunk: bytes) -> bytes:
    return chunk.replace(b'"total_tokens": 10', b'"total_tokens": 10,"cost":"0.000055"')


def keeper() -> StreamTally:
    return StreamTally(swallow_usage=True, keep_usage=True)


def test_the_usage_event_waits_for_the_cost_and_is_not_swallowed() -> None:
    tally = keeper()
    assert fed(tally, [delta("x"), FINISH, usage_event(7, 3), DONE]) == delta("x") + FINISH
    assert tally.tail("0.000055") == with_cost(usage_event(7, 3)) + DONE


def test_without_a_cost_the_usage_event_is_as_it_came() -> None:
    tally = keeper()
    fed(tally, [usage_event(7, 3), DONE])
    assert tally.tail() == usage_event(7, 3) + DONE


def test_usage_in_the_last_event_of_the_answer_gets_the_cost() -> None:
    last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage(7, 3)})
    tally = keeper()
    assert fed(tally, [delta("x"), last, DONE]) == delta("x")
    assert tally.tail("0.000055") == with_cost(last) + DONE


def test_only_the_last_of_several_usage_objects_gets_the_cost() -> None:
    growing = [
        event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": usage(7, count)})
        for count in (1, 2)
    ]
    last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage(7, 3)})
    tally = keeper()
    assert fed(tally, [*growing, last, usage_event(7, 3), DONE]) == b"".join(growing) + last
    assert tally.tail("0.000055") == with_cost(usage_event(7, 3)) + DONE


def test_a_comment_after_the_usage_keeps_its_place() -> None:
    tally = keeper()
    note = b": keep-alive\n\n"
    assert fed(tally, [usage_event(7, 3), note, DONE]) == b""
    assert tally.tail("0.000055") == with_cost(usage_event(7, 3)) + note + DONE


def test_usage_that_was_not_the_last_event_is_let_go() -> None:
    """An upstream that begins with its usage does not stop the stream."""
    tally = keeper()
    note = b": keep-alive\n\n"
    assert fed(tally, [usage_event(7, 3), note]) == b""
    assert fed(tally, [delta("x"), DONE]) == usage_event(7, 3) + note + delta("x")
    assert tally.tail("0.000055") == DONE


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_stream_without_done_gets_the_cost_too(missing: int) -> None:
    tally = keeper()
    last = usage_event(7, 3)[: -missing or None]
    assert fed(tally, [FINISH, last]) == FINISH
    assert tally.tail("0.000055") == with_cost(last)


def test_a_stream_without_usage_stays_as_it_is() -> None:
    tally = keeper()
    assert fed(tally, [delta("x"), FINISH, DONE]) == delta("x") + FINISH
    assert tally.tail("0.000055") == DONE


def test_the_cost_is_not_for_clients_that_did_not_ask() -> None:
    tally = StreamTally()
    assert fed(tally, [usage_event(7, 3), DONE]) == usage_event(7, 3)
    assert tally.tail("0.000055") == DONE
    body = json.dumps({"usage": usage(7, 3)}).encode()
    whole = WholeTally()
    fed(whole, [body])
    assert whole.tail("0.000055") == body


def test_a_whole_body_gets_the_cost_in_its_usage() -> None:
    body = json.dumps({"usage": usage(7, 3), "choices": []}, indent=1).encode()
    whole = WholeTally(keep_usage=True)
    fed(whole, [body[:9], body[9:]])
    assert whole.tail("0.000055") == with_cost(body)


def test_a_whole_body_instead_of_a_stream_gets_it_too() -> None:
    body = json.dumps({"usage": usage(7, 3), "choices": [{"text": "Hi"}]}, indent=1).encode()
    tally = StreamTally(keep_usage=True)
    fed(tally, [body[:9], body[9:]])
    assert tally.tail("0.000055") == with_cost(body)
