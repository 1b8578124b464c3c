"""Requests for responses that tests write and read."""

import json
from typing import Any

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.openai.responses.responses import ResponseAsk
from proxy.endpoints.registry import ENDPOINTS

ENDPOINT = ENDPOINTS["/v1/responses"]
AS_IS = ForwardPlan("there")
FUNCTION = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": True}


def written(**members: Any) -> bytes:
    """A body; a member that is `...` is left out."""
    body = {"model": "there", "input": "Say hello"} | members
    kept = {name: value for name, value in body.items() if value is not ...}
    return json.dumps(kept, separators=(",", ":")).encode()


def read(**members: Any) -> ResponseAsk:
    ask = ENDPOINT.read(written(**members))
    assert isinstance(ask, ResponseAsk)
    return ask


def sent(ask: ResponseAsk, plan: ForwardPlan = AS_IS) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(ask.forward_body(plan))
    return body


def said(*parts: object) -> list[dict[str, Any]]:
    """An input of one message with these parts."""
    return [{"role": "user", "content": list(parts)}]


def needs(ask: ResponseAsk) -> set[str]:
    return {key for feature in ask.features for key in feature.needs}


def is_refused(ask: ResponseAsk) -> bool:
    """Whether it turns something on that no rate card can price."""
    return any(not feature.needs and not feature.optional for feature in ask.features)
