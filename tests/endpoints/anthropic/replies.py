"""Answers as Anthropic's API gives them, built from Python values."""

import json
from typing import Any


def event(kind: str, **members: object) -> bytes:
    """One event, under its name."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def usage(given: int = 25, output: int = 1, **more: object) -> dict[str, object]:
    return {"input_tokens": given, "output_tokens": output, **more}


def message(*content: object, **members: object) -> dict[str, Any]:
    """A message, with the blocks of its content."""
    reply: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-there",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage(25, 12),
    }
    return reply | members


def started(**members: object) -> bytes:
    """The event that a stream begins with."""
    return event("message_start", message=message(stop_reason=None, usage=usage(), **members))


def begun(index: int, **block: object) -> bytes:
    """A block begins."""
    return event("content_block_start", index=index, content_block=block)


def added(index: int, kind: str, **delta: object) -> bytes:
    """More of a block."""
    return event("content_block_delta", index=index, delta={"type": kind, **delta})


def stopped(index: int) -> bytes:
    """A block has ended."""
    return event("content_block_stop", index=index)


def ended(output: int = 50, reason: str = "end_turn", **more: object) -> bytes:
    """Nothing more comes but the end."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    return event("message_delta", delta=delta, usage={"output_tokens": output, **more})


STOP = event("message_stop")
PING = event("ping")

THOUGHTFUL = [
    started(),
    begun(0, type="thinking", thinking="", signature=""),
    PING,
    added(0, "thinking_delta", thinking="Let me see. "),
    added(0, "signature_delta", signature="c2lnbmVk"),
    stopped(0),
    begun(1, type="text", text=""),
    added(1, "text_delta", text="Hel"),
    added(1, "text_delta", text="lo"),
    stopped(1),
    begun(2, type="tool_use", id="toolu_1", name="look_up", input={}),
    added(2, "input_json_delta", partial_json='{"place": '),
    added(2, "input_json_delta", partial_json='"Rome"}'),
    stopped(2),
    ended(50, "tool_use"),
    STOP,
]
"""A stream with thoughts, text and the call of a tool."""
THOUGHTFUL_TEXT = 'Let me see. Hellolook_up{"place": "Rome"}'
