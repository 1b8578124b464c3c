"""Prompt tokens of a request for a response: it is read as the chat that says the same."""

from collections.abc import Mapping
from typing import Any, Final

from proxy.metering.estimates import chat_estimate
from proxy.metering.prompts import chat_tokens

Item = Mapping[str, Any]

_FRAME: Final = frozenset(
    {"type", "id", "call_id", "status", "caller", "created_by", "annotations", "logprobs"}
)
"""Members that tie an item to others, and that no model reads."""


def response_tokens(body: Mapping[str, object], model: str) -> int:
    """Prompt tokens by OpenAI's rules; media by their bounds. Raises VocabularyError."""
    return chat_tokens(as_chat(body), model)


def response_estimate(body: Mapping[str, object], model: str) -> int:
    """Prompt tokens as `model` most likely counts them. Raises VocabularyError.

    Takes long where the body holds much text or a PDF: call it off the loop then.
    """
    return chat_estimate(as_chat(body), model)


def parts_of(item: object) -> list[Any]:
    """The parts of an item's content, or of what a tool gave back; none where that is text."""
    if not isinstance(item, Mapping):
        return []
    content = item.get("content", item.get("output"))
    if isinstance(content, list):
        return content
    return [content] if isinstance(content, dict) else []


def as_chat(body: Mapping[str, object]) -> dict[str, object]:
    """The members of a chat request with the same texts, media and tools. Odd values stay what they are."""
    given = body.get("input")
    items = given if isinstance(given, list) else [{"role": "user", "content": given}] if given else []
    messages: list[object] = [_message(item) for item in items]
    if instructions := body.get("instructions"):
        messages.insert(0, {"role": "system", "content": instructions})
    chat: dict[str, object] = {"messages": messages}
    if (tools := body.get("tools")) is not None:
        chat["tools"] = [_tool(tool) for tool in tools] if isinstance(tools, list) else tools
    if (choice := body.get("tool_choice")) is not None:
        chat["tool_choice"] = choice
    text = body.get("text")
    wanted = text.get("format") if isinstance(text, dict) else None
    if isinstance(wanted, dict):
        chat["response_format"] = {"type": wanted.get("type"), "json_schema": wanted}
    return chat


def _message(item: object) -> object:
    if not isinstance(item, Mapping):
        return item
    kind = item.get("type", "message")
    if kind == "message":
        return {name: item[name] for name in ("role", "content") if name in item}
    if kind == "function_call":
        call = {name: item.get(name) for name in ("name", "arguments")}
        return {"role": "assistant", "tool_calls": [{"function": call}]}
    if parts := parts_of(item):
        return {"role": "tool", "content": parts}
    return {"role": "assistant", **{name: value for name, value in item.items() if name not in _FRAME}}


def _tool(tool: object) -> object:
    """A function as chats have it, within a wrapper; other tools as they are."""
    return {"function": tool} if isinstance(tool, dict) and tool.get("type") == "function" else tool
