"""Answers to requests for responses as OpenAI's API gives them, built from Python values."""

import json
from typing import Any


def event(kind: str, **members: object) -> bytes:
    """One event, under its name."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def usage(given: Any = 36, output: Any = 87, **more: object) -> dict[str, object]:
    """A usage object."""
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 123,
        **more,
    }


def text(said: str) -> dict[str, Any]:
    """A message that says something."""
    part = {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
    return {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def response(*output: object, **members: object) -> dict[str, Any]:
    """A response, with the items of its output."""
    reply: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_741_476_542,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "there",
        "output": list(output),
        "parallel_tool_calls": True,
        "store": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage(),
        "metadata": {},
    }
    return reply | members


CALL: dict[str, Any] = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "look_up",
    "arguments": '{"q":1}',
    "status": "completed",
}
REASONING: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Let me see. "}],
    "encrypted_content": "QUJD",
}
PART = {"type": "summary_text", "text": ""}
TEXT = "Let me see. Hello there.look_up" + '{"q":1}'

SUMMARY: dict[str, Any] = {"output_index": 0, "item_id": "rs_1", "summary_index": 0}
CONTENT: dict[str, Any] = {"output_index": 1, "item_id": "msg_1", "content_index": 0}
ARGUMENTS: dict[str, Any] = {"output_index": 2, "item_id": "fc_1"}
STREAM: tuple[bytes, ...] = (
    event("response.created", response=response(status="in_progress", usage=None), sequence_number=0),
    event("response.in_progress", response=response(status="in_progress", usage=None), sequence_number=1),
    event("response.output_item.added", output_index=0, item=REASONING | {"summary": []}),
    event("response.reasoning_summary_part.added", **SUMMARY, part=PART),
    event("response.reasoning_summary_text.delta", **SUMMARY, delta="Let me see. "),
    event("response.reasoning_summary_text.done", **SUMMARY, text="Let me see. "),
    event("response.output_item.done", output_index=0, item=REASONING),
    event("response.output_item.added", output_index=1, item=text("") | {"content": []}),
    event("response.content_part.added", **CONTENT, part=text("")["content"][0]),
    event("response.output_text.delta", **CONTENT, logprobs=[], delta="Hello "),
    event("response.output_text.delta", **CONTENT, logprobs=[], delta="there."),
    event("response.output_text.done", **CONTENT, logprobs=[], text="Hello there."),
    event("response.content_part.done", **CONTENT, part=text("Hello there.")["content"][0]),
    event("response.output_item.done", output_index=1, item=text("Hello there.")),
    event("response.output_item.added", output_index=2, item=CALL | {"arguments": ""}),
    event("response.function_call_arguments.delta", **ARGUMENTS, delta='{"q":1}'),
    event("response.function_call_arguments.done", **ARGUMENTS, arguments='{"q":1}'),
    event("response.output_item.done", output_index=2, item=CALL),
    event("response.completed", response=response(REASONING, text("Hello there."), CALL)),
)
"""A stream with reasoning, text and a call of a function."""
