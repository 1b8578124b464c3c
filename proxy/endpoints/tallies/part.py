"""Reads a JSON object of a reply. A usual one takes a microsecond; an odd one is read leniently.

Of an odd one, what can be understood counts as what it is, and all else by its form: no output is overlooked
because nobody has seen its like before.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from proxy.endpoints.reading.body import LARGE_BYTES, Members, utf8_fault
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.long_text import LongText, decode, mask_lone_surrogates, shorten
from proxy.endpoints.tallies.members import (
    Audio,
    Choice,
    Custom,
    Function,
    Message,
    OddPart,
    Part,
    ToolCall,
)
from proxy.endpoints.tallies.payload import Payload, payload_of

SHORT_BYTES: Final = 512
"""A text up to this length is read however deep it is; most events are as short, and save the check."""

_PART: Final = msgspec.json.Decoder(Part)
_ANY: Final = msgspec.json.Decoder()
_OBJECT: Final = msgspec.json.Decoder(Members)

_Rest = list[tuple[str, object]]
"""Members that no field takes, by name."""


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
        pass  # A lone surrogate, NaN, a member of ours with another type, or one of another's.
    try:
        return _lenient(_value(data, short, texts))
    except ValueError:
        return None


def _value(data: bytes, short: bytes, texts: Sequence[LongText]) -> object:
    """The decoded JSON. Raises ValueError."""
    if texts:
        if utf8_fault(data) is None and _is_strict(short):
            return decode(short, texts)
    else:
        try:
            return _ANY.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # Python's own decoder takes more.
    return json.loads(data.decode("utf-8", "replace"))


def _is_strict(short: bytes) -> bool:
    """Whether it is strict JSON: long strings can be put back into nothing else."""
    try:
        _OBJECT.decode(mask_lone_surrogates(short) or short)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _lenient(value: object) -> OddPart | None:
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    items = choices if isinstance(choices, list) else ()
    found = [_choice(item) for item in items if isinstance(item, dict)]
    odd = [item for item in items if not isinstance(item, dict)] if isinstance(choices, list) else choices
    # What describes a whole reply is text; output beside its choices is only what is data.
    pieces = [
        *((choice.index, payload) for choice, payload in found),
        (0, payload_of((("choices", odd),))),
        (0, payload_of(_others(value, Part), texts=False)),
    ]
    return OddPart(
        choices=[choice for choice, _ in found] if isinstance(choices, list) else None,
        usage=value.get("usage"),
        error=value.get("error"),
        object=_text(value, "object"),
        type=_text(value, "type"),
        x_groq=value.get("x_groq"),
        payloads=tuple((index, payload) for index, payload in pieces if payload),
    )


def _choice(value: Mapping[str, Any]) -> tuple[Choice, Payload]:
    rest = _others(value, Choice)
    index, message = value.get("index"), value.get("delta")
    if message is None:
        message = value.get("message")
    added = _message(message, rest) if isinstance(message, dict) else None
    if added is None:
        rest.append(("message", message))
    choice = Choice(
        index=index if type(index) is int else 0,
        delta=added,
        text=_string(value, "text", rest),
        finish_reason=_text(value, "finish_reason"),
    )
    return choice, payload_of(rest)


def _message(value: Mapping[str, Any], rest: _Rest) -> Message:
    """What fields take of a message; what they do not take is added to the rest."""
    rest += _others(value, Message)
    message = Message(
        content=_string(value, "content", rest),
        reasoning_content=_string(value, "reasoning_content", rest),
        reasoning=_string(value, "reasoning", rest),
        refusal=_string(value, "refusal", rest),
        tool_calls=_tool_calls(value.get("tool_calls"), rest),
        function_call=_function("function_call", value.get("function_call"), rest),
        audio=_audio(value.get("audio"), rest),
    )
    # Where reasoning is text as well, its details repeat it.
    if not (message.reasoning_content or message.reasoning):
        rest.append(("reasoning_details", value.get("reasoning_details")))
    return message


def _tool_calls(value: object, rest: _Rest) -> list[ToolCall] | None:
    if not isinstance(value, list):
        rest.append(("tool_calls", value))
        return None
    calls = []
    for call in value:
        if isinstance(call, dict):
            rest += _others(call, ToolCall)
            function = _function("function", call.get("function"), rest)
            index = call.get("index")
            place = index if type(index) is int else None
            calls.append(ToolCall(function, _custom(call.get("custom"), rest), place))
        else:
            rest.append(("tool_calls", call))
    return calls


def _custom(value: object, rest: _Rest) -> Custom | None:
    if not isinstance(value, dict):
        rest.append(("custom", value))
        return None
    rest += _others(value, Custom)
    return Custom(_string(value, "name", rest), _string(value, "input", rest))


def _function(name: str, value: object, rest: _Rest) -> Function | None:
    if not isinstance(value, dict):
        rest.append((name, value))
        return None
    rest += _others(value, Function)
    arguments = value.get("arguments")
    # Some servers give the arguments as an object instead of its JSON.
    written = arguments if arguments is None or isinstance(arguments, str) else json.dumps(arguments)
    return Function(_string(value, "name", rest), written)


def _audio(value: object, rest: _Rest) -> Audio | None:
    if not isinstance(value, dict):
        rest.append(("audio", value))
        return None
    rest.append(("audio", dict(_others(value, Audio))))
    return Audio(_string(value, "transcript", rest))


def _others(value: Mapping[str, Any], struct: type[msgspec.Struct]) -> _Rest:
    """The members that a struct has no field for."""
    return [(name, member) for name, member in value.items() if name not in struct.__struct_fields__]


def _string(holder: Mapping[str, Any], name: str, rest: _Rest) -> str | None:
    """A member that should be a string; one that is anything else is added to the rest."""
    value = holder.get(name)
    if isinstance(value, str):
        return str(value) or None
    if value is not None:
        rest.append(("text", value))
    return None


def _text(holder: Mapping[str, object], name: str) -> str | None:
    value = holder.get(name)
    return str(value) if isinstance(value, str) else None
