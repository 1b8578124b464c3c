"""Reads what Anthropic's API answers: the events of a stream, and whole messages.

Text, thoughts and the arguments of tools are output. What a tool found that Anthropic carried out is not: it
is read as input. What is of no known form counts by its form.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from proxy.endpoints.tallies.members import Choice, Function, Message, OddPart, Part, ToolCall
from proxy.endpoints.tallies.part import json_of, object_of
from proxy.endpoints.tallies.payload import Payload, payload_of

Object = Mapping[str, Any]

_TEXTS: Final[Mapping[str, str]] = {"text": "text", "thinking": "thinking", "compaction": "content"}
"""Blocks that are text, with the member that has it."""
_DELTAS: Final[Mapping[str, str]] = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
    "compaction_delta": "content",
    "signature_delta": "",
    "citations_delta": "",
}
"""What is added to a block, with the member that has the text; empty for what is no output."""
_NO_OUTPUT: Final = frozenset({"mcp_tool_listing", "container_upload", "fallback"})
"""Blocks that say what happened, beside the results of tools, which are read as input."""
_BILLED: Final[Mapping[str, str]] = {"web_search_tool_result": "web_searches"}
"""Results of what Anthropic bills by its uses."""


class MessagePart(OddPart, frozen=True, gc=False, kw_only=True):
    """An event of a stream, or a whole message. `is_last` for the event that ends a stream."""

    is_last: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing that a client would wait for, as a `ping`."""
        return not (self.choices or self.payloads or self.has_usage or self.tells_error)

    @property
    def ends(self) -> bool:
        """Whether it is the end itself."""
        return self.is_last


class _Found(msgspec.Struct):
    """What blocks have in them."""

    texts: list[Message]
    payloads: list[Payload]
    uses: list[str]


def read_message_part(data: bytes) -> Part | None:
    """Read a JSON object; None for anything else, and for what is nested too deeply or holds too much."""
    value = object_of(data)
    if value is None:
        return None
    kind = value.get("type")
    read = _KINDS.get(kind) if isinstance(kind, str) else None
    # An error may come in another's form, from a server in between.
    return read(value) if read is not None else OddPart(error=value.get("error"), type="unknown")


def _start(event: Object) -> MessagePart:
    message = event.get("message")
    if not isinstance(message, dict):
        return MessagePart(choices=[])
    usage = message.get("usage")
    if isinstance(usage, dict):
        # The output of a message that has only begun stands for nothing.
        message = {**message, "usage": {name: n for name, n in usage.items() if name != "output_tokens"}}
    return _message(message)


def _message(message: Object) -> MessagePart:
    return _part(_blocks(message.get("content")), message.get("usage"), message.get("stop_reason"))


def _block_start(event: Object) -> MessagePart:
    return _part(_blocks([event.get("content_block")]))


def _block_delta(event: Object) -> MessagePart:
    delta = event.get("delta")
    kind = delta.get("type") if isinstance(delta, dict) else None
    field = _DELTAS.get(kind) if isinstance(kind, str) else None
    if not isinstance(delta, dict) or field is None:
        return _part(_Found([], [payload_of((("delta", delta),))], []))
    if field == "":
        return MessagePart(choices=[])
    text = delta.get(field)
    if not isinstance(text, str):
        return _part(_Found([], [payload_of(((field, text),))], []))
    return MessagePart(choices=[Choice(delta=Message(content=text))])


def _message_delta(event: Object) -> MessagePart:
    delta = event.get("delta")
    reason = delta.get("stop_reason") if isinstance(delta, dict) else None
    return _part(_Found([], [], []), event.get("usage"), reason)


def _stop(_event: Object) -> MessagePart:
    return MessagePart(choices=[], is_last=True)


def _sign(_event: Object) -> MessagePart:
    return MessagePart(choices=[])


def _error(event: Object) -> MessagePart:
    return MessagePart(error=event.get("error") or True)


def _part(found: _Found, usage: object = None, reason: object = None) -> MessagePart:
    choices = [Choice(delta=text) for text in found.texts]
    if isinstance(reason, str):
        choices.append(Choice(finish_reason=reason))
    return MessagePart(
        choices=choices,
        usage=usage,
        payloads=tuple((0, payload) for payload in found.payloads if payload),
        uses=tuple(found.uses),
    )


def _blocks(blocks: object) -> _Found:
    found = _Found([], [], [])
    if isinstance(blocks, str):
        found.texts.append(Message(content=blocks))
        return found
    for block in blocks if isinstance(blocks, list) else ():
        _add_block(block, found)
    return found


def _add_block(block: object, found: _Found) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(block, dict) or not isinstance(kind, str):
        found.payloads.append(payload_of((("content", block),)))
    elif kind.endswith("_tool_result") or kind in _NO_OUTPUT:
        # A search that failed is none, and has an error in place of what it found.
        if kind in _BILLED and isinstance(block.get("content"), list):
            found.uses.append(_BILLED[kind])
    elif (field := _TEXTS.get(kind)) is not None and isinstance(text := block.get(field), str):
        found.texts.append(Message(content=text))
    elif kind.endswith("tool_use") and isinstance(name := block.get("name"), str):
        given = block.get("input")
        written = json_of(given) if given else None
        found.texts.append(Message(tool_calls=[ToolCall(Function(name, written))]))
    else:
        found.payloads.append(payload_of(block.items()))


_KINDS: Final[Mapping[str, Callable[[Object], Part]]] = {
    "message": _message,
    "message_start": _start,
    "content_block_start": _block_start,
    "content_block_delta": _block_delta,
    "content_block_stop": _sign,
    "ping": _sign,
    "message_delta": _message_delta,
    "message_stop": _stop,
    "error": _error,
}
"""What each kind of event is read by, and a whole message, by its `type`."""
