"""Answers to requests for responses, read as the upstream's bytes come."""

import json

from proxy.endpoints.base import Reading, Tally
from proxy.endpoints.registry import ENDPOINTS
from tests.endpoints.events import fed

REPORTED = Reading({"input_tokens": 36, "output_tokens": 87})
"""What the usage of `replies.response` comes to."""


def tally(*, stream: bool = True, keep_usage: bool = False) -> Tally:
    body = {"model": "m", "input": "Hi", "stream": stream}
    return ENDPOINTS["/v1/responses"].read(json.dumps(body).encode()).tally(keep_usage=keep_usage)


def read_whole(reply: object) -> Tally:
    whole = tally(stream=False)
    data = json.dumps(reply).encode()
    assert fed(whole, [data]) == b""
    whole.finish()
    assert whole.tail() == data
    return whole


def streamed(*events: bytes) -> Tally:
    stream = tally()
    assert fed(stream, events) + stream.tail() == b"".join(events)
    return stream
