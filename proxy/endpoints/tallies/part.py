"""What matters in a JSON object of a reply, which is one event of a stream or a whole body, read quickly.

Objects of odd forms are read leniently: what can be understood counts, and the rest does not.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from proxy.endpoints.reading.body import LARGE_BYTES, Members, utf8_fault
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.long_text import LongText, decode, mask_lone_surrogates, shorten
from proxy.endpoints.tallies.produced import text_of

SHORT_BYTES: Final = 512
"""A text up to this length is read however deep it is; most events are as short, and save the check."""


class Function(msgspec.Struct, frozen=True, gc=False):
    """A function that the model calls: its name, and its arguments as JSON text, in parts when streamed."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A tool that the model calls."""

    function: Function | None = None
    custom: "Custom | None" = None
    index: int | None = None

    @property
    def begins(self) -> bool:
        """Whether it is a call, and not only more of one: it has a name."""
        return bool((self.function and self.function.name) or (self.custom and self.custom.name))


class Custom(msgspec.Struct, frozen=True, gc=False):
    """A tool without a schema that the model calls, and the text it gets."""

    name: str | None = None
    input: str | None = None


class Audio(msgspec.Struct, frozen=True, gc=False):
    """Speech; its text is all that can be counted of it."""

    transcript: str | None = None


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message, or what an event adds to one."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: Audio | None = None

    def texts(self) -> list[str]:
        """All text in it that the model has produced; reasoning under both its names counts once."""
        content, reasoning = self.content, self.reasoning_content or self.reasoning
        if not (reasoning or self.refusal or self.tool_calls or self.function_call or self.audio):
            return [content] if content else []
        texts = [content, reasoning, self.refusal]
        for call in self.tool_calls or ():
            if call.function:
                texts += (call.function.name, call.function.arguments)
            if call.custom:
                texts += (call.custom.name, call.custom.input)
        if self.function_call:
            texts += (self.function_call.name, self.function_call.arguments)
        if self.audio:
            texts.append(self.audio.transcript)
        return [text for text in texts if text]


class Choice(msgspec.Struct, frozen=True, gc=False):
    """One answer, or what an event adds to it: a message in chats, text in completions."""

    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    text: str | None = None
    finish_reason: str | None = None

    def texts(self) -> list[str]:
        """All text in it that the model has produced."""
        message = self.delta or self.message
        if message is not None:
            return message.texts()
        return [self.text] if self.text else []

    def calls(self) -> list[int | None]:
        """The place of each call of a tool that begins here; None where the upstream does not number them."""
        message = self.delta or self.message
        if message is None:
            return []
        begun: list[int | None] = [call.index for call in message.tool_calls or () if call.begins]
        if message.function_call and message.function_call.name:
            begun.append(None)
        return begun


class Part(msgspec.Struct, frozen=True, gc=False):
    """An event's data or a whole body. Only members at its top level count: deeper ones may be a client's."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    object: str | None = None
    type: str | None = None
    x_groq: Any = None

    @property
    def failed(self) -> bool:
        """Whether it reports an error, in one of the ways that upstreams have."""
        if self.tells_error:
            return True
        return "error" in [choice.finish_reason for choice in self.choices or ()]

    @property
    def tells_error(self) -> bool:
        """Whether it reports an error outside of its choices."""
        if self.error or self.object == "error" or self.type == "error":
            return True
        return isinstance(self.x_groq, dict) and bool(self.x_groq.get("error"))

    @property
    def usages(self) -> tuple[Any, ...]:
        """The usage objects it holds, where upstreams put them: each may be None, or no object at all."""
        if isinstance(self.x_groq, dict):
            return self.usage, self.x_groq.get("usage")
        return (self.usage,)

    @property
    def has_usage(self) -> bool:
        """Whether it holds a usage object, wherever upstreams put them."""
        return any(isinstance(usage, dict) for usage in self.usages)

    @property
    def is_foreign(self) -> bool:
        """Whether it has nothing that a reply of OpenAI's form has: it can only be counted as text."""
        return self.choices is None and not self.has_usage and not self.tells_error

    @property
    def is_usage_only(self) -> bool:
        """Whether it is the extra event with a stream's usage. Azure begins with one that has none."""
        return self.choices == [] and isinstance(self.usage, dict)


_PART: Final = msgspec.json.Decoder(Part)
_OBJECT: Final = msgspec.json.Decoder(Members)


def read_part(data: bytes) -> Part | None:
    """Read a JSON object; None for anything else. Long images and sounds in it are not walked.

    What is nested too deeply is not read, unless it is so short that it cannot be nested very deeply.
    """
    short, texts = shorten(data) if len(data) > LARGE_BYTES else (data, ())
    if len(short) > SHORT_BYTES and is_too_deep(short):
        return None
    try:
        return _PART.decode(short)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # A lone surrogate, NaN, or content that is no string: none of these makes it unreadable.
    try:
        return _lenient(_value(data, short, texts))
    except ValueError:
        return None


def _value(data: bytes, short: bytes, texts: Sequence[LongText]) -> object:
    """The decoded JSON. Raises ValueError."""
    if texts and utf8_fault(data) is None and _is_strict(short):
        return decode(short, texts)
    return json.loads(data.decode("utf-8", "replace"))


def _is_strict(short: bytes) -> bool:
    """Whether it is strict JSON: long strings can be put back into nothing else."""
    try:
        _OBJECT.decode(mask_lone_surrogates(short) or short)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _lenient(value: object) -> Part | None:
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    return Part(
        choices=[_choice(item) for item in choices if isinstance(item, dict)]
        if isinstance(choices, list)
        else None,
        usage=value.get("usage"),
        error=value.get("error"),
        object=_text(value, "object"),
        type=_text(value, "type"),
        x_groq=value.get("x_groq"),
    )


def _choice(value: Mapping[str, object]) -> Choice:
    index = value.get("index")
    return Choice(
        index=index if type(index) is int else 0,
        delta=_message(value.get("delta")),
        message=_message(value.get("message")),
        text=_text(value, "text"),
        finish_reason=_text(value, "finish_reason"),
    )


def _message(value: object) -> Message | None:
    if not isinstance(value, dict):
        return None
    calls = value.get("tool_calls")
    return Message(
        content=_text(value, "content"),
        reasoning_content=_text(value, "reasoning_content"),
        reasoning=_text(value, "reasoning"),
        refusal=_text(value, "refusal"),
        tool_calls=[_call(item) for item in calls if isinstance(item, dict)]
        if isinstance(calls, list)
        else None,
        function_call=_function(value.get("function_call")),
        audio=Audio(_text(value["audio"], "transcript")) if isinstance(value.get("audio"), dict) else None,
    )


def _call(value: Mapping[str, object]) -> ToolCall:
    custom, index = value.get("custom"), value.get("index")
    return ToolCall(
        _function(value.get("function")),
        Custom(_text(custom, "name"), _text(custom, "input")) if isinstance(custom, dict) else None,
        index if type(index) is int else None,
    )


def _function(value: object) -> Function | None:
    if not isinstance(value, dict):
        return None
    arguments = value.get("arguments")
    # Some servers give the arguments as an object instead of its JSON.
    written = arguments if arguments is None or isinstance(arguments, str) else json.dumps(arguments)
    return Function(_text(value, "name"), written)


def _text(holder: Mapping[str, object], name: str) -> str | None:
    return text_of(holder.get(name)) or None
