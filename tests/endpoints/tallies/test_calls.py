"""Calls of tools take more than their names and arguments, and are counted once each, however they come."""

import json

import pytest

from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from proxy.metering.tools import call_tokens
from tests.endpoints.events import DONE, event, fed

MODEL = "gpt-4o"


def deltas(*calls: dict[str, object], index: int = 0) -> list[bytes]:
    return [event({"choices": [{"index": index, "delta": {"tool_calls": [call]}}]}) for call in calls]


def named(name: str, **more: object) -> dict[str, object]:
    return {"function": {"name": name, "arguments": ""}, **more}


def rest(arguments: str, **more: object) -> dict[str, object]:
    return {"function": {"arguments": arguments}, **more}


STREAMS = [
    ([], 0),
    (deltas(named("a", index=0), rest("{}", index=0)), call_tokens(1, MODEL)),
    (deltas(named("a", index=0), rest("{", index=0), named("a", index=0)), call_tokens(1, MODEL)),
    (deltas(named("a", index=0), named("a", index=1), rest("{}", index=1)), call_tokens(2, MODEL)),
    (deltas(named("a"), named("b"), rest("{}")), call_tokens(2, MODEL)),
    (deltas(named("a"), index=0) + deltas(named("a"), index=1), 2 * call_tokens(1, MODEL)),
    (deltas({"custom": {"name": "a", "input": "x"}, "index": 0}), call_tokens(1, MODEL)),
    ([event({"choices": [{"delta": {"function_call": {"name": "a"}}}]})], call_tokens(1, MODEL)),
]


@pytest.mark.parametrize(("events", "beside"), STREAMS)
def test_each_call_of_a_stream_counts_once(events: list[bytes], beside: int) -> None:
    """By its place where it has one: some upstreams repeat the name with every part of the arguments."""
    tally = StreamTally()
    fed(tally, [*events, DONE])
    assert tally.produced(5, MODEL) == {"output_tokens": 5 + beside}


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("stream", [True, False])
def test_each_call_of_a_whole_body_counts_once(count: int, stream: bool) -> None:
    """A body that comes in place of a stream is counted as any other."""
    tally = StreamTally() if stream else WholeTally()
    message = {"content": None, "tool_calls": [named("a")] * count}
    fed(tally, [json.dumps({"choices": [{"index": 0, "message": message}]}).encode()])
    assert tally.complete
    assert tally.produced(5, MODEL) == {"output_tokens": 5 + call_tokens(count, MODEL)}


def test_several_calls_cost_more_than_one_after_the_other_and_old_models_less() -> None:
    assert call_tokens(0, MODEL) == 0
    assert call_tokens(2, MODEL) > 2 * call_tokens(1, MODEL) > 2 * call_tokens(1, "gpt-4-0613")
