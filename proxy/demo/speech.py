"""What the demo upstream says to a request, token by token."""

import codecs
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from proxy.demo.asks import ChatRequest, Json
from proxy.demo.invention import prose, tool_asked_for, value_for
from proxy.metering.vocabulary import SHARED

ENCODING: Final = "o200k_base"
QUOTED_RESULT_CHARS: Final = 200


class Said(msgspec.Struct, frozen=True):
    """One choice: its text token by token, or the arguments of a call of `tool`."""

    pieces: tuple[str, ...]
    tokens: int
    finish: str
    tool: str | None = None

    @property
    def text(self) -> str:
        """All pieces together."""
        return "".join(self.pieces)


def spoken(text: str, max_tokens: int | None, stops: Sequence[str] = (), tool: str | None = None) -> Said:
    """`text` as tokens, cut at the first of `stops` or after `max_tokens`."""
    for stop in stops:
        text = text.partition(stop)[0]
    encoding = SHARED.encoding(ENCODING)
    ids = encoding.encode_ordinary(text)
    kept = ids[:max_tokens]
    # A token may end within a character, which then comes with the next one.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = [decoder.decode(part) for part in encoding.decode_tokens_bytes(kept)]
    pieces.append(decoder.decode(b"", final=True))
    ended = "stop" if tool is None else "tool_calls"
    return Said(
        tuple(piece for piece in pieces if piece),
        len(kept),
        ended if len(kept) == len(ids) else "length",
        tool,
    )


def chat_choice(ask: ChatRequest, index: int) -> Said:
    """What choice `index` of a chat says: a tool call if one is asked for, JSON if wanted, else prose."""
    max_tokens = ask.max_completion_tokens or ask.max_tokens
    prompt = _last_text(ask.messages, "user")
    result = _text_of(ask.messages[-1]) if ask.messages[-1].get("role") == "tool" else None
    if result is None and (tool := _tool_to_call(ask, prompt)) is not None:
        name, parameters = tool
        arguments = msgspec.json.encode(value_for(parameters, prompt)).decode()
        return spoken(arguments, max_tokens, tool=name)
    text = prose(prompt, index)
    if result is not None:
        text = f"The tool answered {result[:QUOTED_RESULT_CHARS]!r}. {text}"
    return spoken(_in_format(text, prompt, ask.response_format or {}), max_tokens, ask.stops)


def _in_format(text: str, prompt: str, wanted: Mapping[str, object]) -> str:
    match wanted:
        case {"type": "json_object"}:
            return msgspec.json.encode({"answer": text}).decode()
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return msgspec.json.encode(value_for(schema, prompt)).decode()
        case _:
            return text


def _tool_to_call(ask: ChatRequest, prompt: str) -> tuple[str, object] | None:
    """Name and parameters of the function to call. A call may be forced, forbidden, or left to the prompt."""
    functions = {}
    for tool in ask.tools or ():
        match tool:
            case {"function": {"name": str(name), **rest}}:
                functions[name] = rest.get("parameters", {"type": "object"})
    asked_for = tool_asked_for(prompt, list(functions))
    match ask.tool_choice:
        case "none":
            asked_for = None
        case "required":
            asked_for = asked_for or next(iter(functions), None)
        case {"function": {"name": str(forced)}}:
            asked_for = forced
    return (asked_for, functions[asked_for]) if asked_for in functions else None


def _last_text(messages: Sequence[Json], role: str) -> str:
    return next((_text_of(message) for message in reversed(messages) if message.get("role") == role), "")


def _text_of(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
