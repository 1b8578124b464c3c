"""A client that asks for its cost gets it in the last usage object of the reply."""

import json

import pytest

from proxy.endpoints.tallies.lines import name_and_data
from proxy.endpoints.tallies.sse import Splitter
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from tests.endpoints.events import DONE, cut, delta, event, fed, usage, usage_event

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


def running(count: int, finish: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": finish}
    return {"choices": [choice], "usage": usage(7, count)}


GROQ = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": usage(7, 3)}}
STREAMS = {
    "no finish reason": [event(running(1)), event(running(2)), DONE],
    "a finish reason": [event(running(1)), event(running(2, "stop")), DONE],
    "Groq's place only": [delta("x"), event(GROQ), DONE],
    "an event of its own": [delta("x"), FINISH, usage_event(7, 3), DONE],
    "OpenRouter's": [delta("x"), FINISH, event(running(3) | {"usage": usage(7, 3, cost=0.0007)}), DONE],
    "Perplexity's": [event(running(3, "stop") | {"usage": usage(7, 3, cost={"total_cost": 0.1})}), DONE],
    "after the end": [delta("x"), FINISH, DONE, usage_event(7, 3)],
    "without [DONE]": [delta("x"), FINISH, usage_event(7, 3)],
    "without its end": [delta("x"), FINISH, usage_event(7, 3)[:-2]],
    "at the beginning only": [
        event({"choices": [], "usage": usage(7, 0)}),
        delta("x"),
        FINISH,
        usage_event(),
    ],
    "on several lines": [
        FINISH,
        b'event: x\ndata: {"choices": [],\ndata: "usage": {"prompt_tokens": 7}}\n\n',
        DONE,
    ],
    "with CR LF": [delta("x"), event({"choices": [], "usage": usage(7, 3)}, b"\r\n\r\n"), DONE],
}


def costs(stream: bytes) -> list[object]:
    """The cost in each usage object of a stream, in order."""
    found: list[object] = []
    splitter = Splitter()
    for each in [*splitter.feed(stream), splitter.finish()]:
        data = name_and_data(each)[1]
        if data and data.startswith(b"{"):
            reply = json.loads(data)
            told = reply.get("usage") or (reply.get("x_groq") or {}).get("usage")
            found += [told.get("cost")] if told else []
    return found


@pytest.mark.parametrize("size", [5, 10_000])
@pytest.mark.parametrize("name", STREAMS)
def test_the_last_usage_object_of_every_stream_has_the_cost(name: str, size: int) -> None:
    """Wherever it stands, and whatever came with it; nothing else is changed, lost or moved."""
    stream = b"".join(STREAMS[name])
    tally = keeper()
    passed = fed(tally, cut(stream, range(0, len(stream), size)))
    told = passed + tally.tail("0.000055")
    assert costs(told)[-1] == "0.000055"
    assert "0.000055" not in costs(told)[:-1]
    plain = keeper()
    assert fed(plain, [stream]) + plain.tail() == stream
