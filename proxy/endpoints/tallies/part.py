"""Reads a JSON object of a reply. A usual one takes a microsecond; an odd one is read leniently.

Of an odd one, what can be understood counts as what it is, and all else by its form: no output is overlooked
because nobody has seen its like before.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from proxy.endpoints.reading.body import LARGE_BYTES, beginning
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.steps import count_values
from proxy.endpoints.reading.values import VALUES_MAX, value_of
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
from proxy.endpoints.tallies.outline import Outline, Unreadable, outline_of, shape_of
from proxy.endpoints.tallies.payload import Payload, payload_of
from proxy.endpoints.tallies.produced_text import written
from proxy.metering.tokens import PiecewiseText

_PASSED: Final = frozenset(Part.__struct_fields__) - {
    *("choices", "usage", "error", "object", "type", "x_groq", "timings")
}
"""The members at the top level that describe a reply."""
_NOTHING: Final = Payload()
SHORT_BYTES: Final = 512
"""A text up to this length is read however deep it is; most events are as short, and save the check."""

_PART: Final = msgspec.json.Decoder(Part)
_CHOICE: Final = msgspec.json.Decoder(Choice)
_ANY: Final = msgspec.json.Decoder()

_Rest = list[tuple[str, object]]
"""Members that no field takes, by name."""

_Found = tuple[Choice | None, Payload]
"""A choice, if it is one, and what it has beside its text."""


def read_part(data: bytes) -> Part | None:
    """Read a JSON object; None for anything else. Of a large one only what matters is decoded.

    What is nested too deeply is not read, unless it is so short that it cannot be nested very deeply.
    """
    if len(data) > LARGE_BYTES:
        return _read_large(data)
    if len(data) > SHORT_BYTES and is_too_deep(data):
        return None
    try:
        return _PART.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # A lone surrogate, NaN, a member of ours with another type, or one of another's.
    try:
        return _lenient(any_json(data))
    except ValueError:
        return None


def any_json(data: bytes) -> object:
    """The decoded JSON, also with what only a lenient decoder takes. Raises ValueError."""
    try:
        return _ANY.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(data.decode("utf-8", "replace"))  # Python's own decoder takes more.


def object_of(data: bytes) -> dict[str, Any] | None:
    """The whole of a JSON object; None for any other text, and for what is too deep or holds too much.

    Long strings of a large one are decoded piece by piece, when they are asked for.
    """
    try:
        if len(data) > LARGE_BYTES:
            return _large_object(data)
        if len(data) > SHORT_BYTES and is_too_deep(data):
            return None
        value = any_json(data)
    except (Unreadable, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _large_object(data: bytes) -> dict[str, Any]:
    outline = outline_of(data)
    if sum(count_values(memoryview(raw)) for raw in outline.members.values()) > VALUES_MAX:
        raise Unreadable
    return {name: value_of(raw, outline.texts) for name, raw in outline.members.items()}


def _read_large(data: bytes) -> Part | None:
    """The same of a large object. Long strings are marks in it, and what describes others is not decoded."""
    try:
        outline = outline_of(data)
        choices = outline.members.get("choices")
        is_list = choices is not None and beginning(choices).startswith(b"[")
        read = outline.members.keys() - (_PASSED | {"choices"} if is_list else _PASSED)
        part = _lenient({name: outline.small(name) for name in read})
        assert part is not None
        if not is_list:
            return part
        shape = shape_of(Choice)
        found = _bounded(_read_choice(item, outline) for item in outline.items("choices", shape))
    except (Unreadable, ValueError):
        return None
    payloads = [(choice.index if choice else 0, payload) for choice, payload in found if payload]
    choices_found = [choice for choice, _ in found if choice]
    return replace(part, choices=choices_found, payloads=(*payloads, *part.payloads))


def _bounded(read: Iterator[_Found]) -> list[_Found]:
    """All choices. Raises Unreadable when they hold too much together."""
    kept: list[_Found] = []
    calls = 0
    for choice, payload in read:
        kept.append((choice, payload))
        message = (choice.delta or choice.message) if choice else None
        calls += len(message.tool_calls or ()) if message is not None else 0
        if calls > VALUES_MAX:
            raise Unreadable
    return kept


def _read_choice(item: memoryview, outline: Outline) -> _Found:
    if len(item) <= LARGE_BYTES:
        try:
            return _CHOICE.decode(item), _NOTHING
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # It has a long string, a lone surrogate, or a member that no field takes.
    value = outline.value(item, shape_of(Choice))
    if isinstance(value, dict):
        return _choice(value)
    return None, payload_of((("choices", value),))


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
        timings=value.get("timings"),
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
    is_text = arguments is None or isinstance(arguments, str)
    text = arguments if is_text else json_of(arguments)
    return Function(_string(value, "name", rest), text)


def json_of(value: object) -> str:
    """A decoded value as JSON; long strings in it are written when they are asked for."""
    return written(partial(_json, value))


def _json(value: object) -> Iterator[str]:
    """JSON of a value, as `json.dumps` writes it, in pieces: a long string is never written as a whole."""
    if isinstance(value, dict):
        yield "{"
        for count, (name, member) in enumerate(value.items()):
            yield f"{', ' if count else ''}{json.dumps(name)}: "
            yield from _json(member)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for count, item in enumerate(value):
            yield ", " if count else ""
            yield from _json(item)
        yield "]"
    elif isinstance(value, PiecewiseText):
        yield '"'
        yield from (json.dumps(piece)[1:-1] for piece in value.pieces())
        yield '"'
    else:
        yield json.dumps(value)


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
        return value or None
    if value is not None:
        rest.append(("text", value))
    return None


def _text(holder: Mapping[str, object], name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) else None
