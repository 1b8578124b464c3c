"""Requests for messages that tests write and read."""

import json
from typing import Any

from proxy.endpoints.anthropic.messages import MessageAsk
from proxy.endpoints.base import ForwardPlan, Headers
from proxy.endpoints.registry import ENDPOINTS

ENDPOINT = ENDPOINTS["/v1/messages"]
COUNT = ENDPOINTS["/v1/messages/count_tokens"]
HELLO = [{"role": "user", "content": "Say hello"}]
FETCHED = {"type": "document", "source": {"type": "url", "url": "https://host/long.pdf"}}
AS_IS = ForwardPlan("claude-there")
FUNCTION = {"name": "look_up", "description": "Looks up", "input_schema": {"type": "object"}}


def written(**members: Any) -> bytes:
    body = {"model": "claude-there", "max_tokens": 100, "messages": HELLO} | members
    kept = {name: value for name, value in body.items() if value is not ...}
    return json.dumps(kept, separators=(",", ":")).encode()


def read(headers: Headers = (), **members: Any) -> MessageAsk:
    ask = ENDPOINT.read(written(**members), headers)
    assert isinstance(ask, MessageAsk)
    return ask


def said(*blocks: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


def needs(ask: MessageAsk) -> set[str]:
    return {key for feature in ask.features for key in feature.needs}
