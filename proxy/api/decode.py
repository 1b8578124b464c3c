"""Bodies and query strings become frozen structs; a fault names the field, its value, and what is right."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeVar

import msgspec
from msgspec import inspect

from proxy.errors import Refusal

_Kind = TypeVar("_Kind")

_PLACED: Final = re.compile(r"(?P<fault>.*?)(?: - at `(?P<where>key in )?\$?(?P<path>.*)`)?\Z", re.DOTALL)
_STEP: Final = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`\Z", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>.*)`\Z", re.DOTALL)
_SHOWN_LENGTH: Final = 80


def from_json(body: bytes, kind: type[_Kind]) -> _Kind:
    """A JSON body as a struct; no body at all is an empty object.

    Raises Refusal `invalid_json` for what is not a JSON object, `invalid_value` for a field that is wrong.
    """
    try:
        raw = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        raise Refusal("invalid_json", f"The body is not JSON: {fault}.") from None
    if not isinstance(raw, dict):
        raise Refusal("invalid_json", f"The body has to be a JSON object, and is {_shown(raw)}.")
    return _convert(raw, kind, strict=True)


def from_query(pairs: Iterable[tuple[str, str]], kind: type[_Kind]) -> _Kind:
    """A query string's fields as a struct. Raises Refusal `invalid_value`, also for a field given twice."""
    raw: dict[str, str] = {}
    for name, value in pairs:
        if name in raw:
            raise invalid(name, value, "give it once")
        if "\0" in value:
            # Nothing that is stored has one, and some engines do not even take it for a text.
            raise invalid(name, value, "send text")
        raw[name] = value
    return _convert(raw, kind, strict=False)


def invalid(param: str, value: object, right: str) -> Refusal:
    """The refusal of one field: what it is called, what was sent, and what would be right."""
    return Refusal("invalid_value", f"`{param}` is {_shown(value)}: {right}.", param=param)


def _convert(raw: dict[str, object] | dict[str, str], kind: type[_Kind], *, strict: bool) -> _Kind:
    try:
        return msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as fault:
        raise _refusal(str(fault), raw, kind) from None


def _refusal(text: str, raw: object, kind: object) -> Refusal:
    """The words of msgspec for a fault, made into a refusal that also says what would be right."""
    placed = _PLACED.match(text)
    fault, path = (placed["fault"], placed["path"] or "") if placed else (text, "")
    param, value, info = _follow(path, raw, _info(kind))
    if unknown := _UNKNOWN.match(fault):
        name = unknown["name"]
        inner = value[name] if isinstance(value, dict) and name in value else None
        return invalid(_joined(param, name), inner, f"there is no such field; known are {_fields_of(info)}")
    if missing := _MISSING.match(fault):
        name = _joined(param, missing["name"])
        field = _field(info, missing["name"])
        right = _right(field) if field else ""
        return Refusal("invalid_value", f"`{name}` is missing{f': {right}' if right else ''}.", param=name)
    return invalid(param or "body", value, _right(info) or _lowered(fault))


def _follow(path: str, raw: object, info: inspect.Type) -> tuple[str, object, inspect.Type]:
    """Where a fault's path leads: the field's name as its caller writes it, the value there, and its type."""
    param = ""
    value = raw
    for step in _STEP.finditer(path):
        if name := step["name"]:
            param = _joined(param, name)
            value = value.get(name) if isinstance(value, dict) else None
            info = _field(info, name) or inspect.AnyType()
        else:
            position = int(step["index"])
            param = f"{param}[{position}]"
            value = value[position] if isinstance(value, list) and position < len(value) else None
            info = _item(info)
    return param, value, info


@lru_cache(maxsize=64)
def _info(kind: object) -> inspect.Type:
    return inspect.type_info(kind)


def _choices(info: inspect.Type) -> tuple[inspect.Type, ...]:
    """The alternatives of a type."""
    bare = info.type if isinstance(info, inspect.Metadata) else info
    return bare.types if isinstance(bare, inspect.UnionType) else (info,)


def _fields(info: inspect.Type) -> dict[str, inspect.Type]:
    return {
        field.encode_name: field.type
        for choice in _choices(info)
        if isinstance(choice, inspect.StructType)
        for field in choice.fields
    }


def _field(info: inspect.Type, name: str) -> inspect.Type | None:
    return _fields(info).get(name)


def _item(info: inspect.Type) -> inspect.Type:
    for choice in _choices(info):
        bare = choice.type if isinstance(choice, inspect.Metadata) else choice
        if isinstance(bare, inspect.ListType | inspect.VarTupleType):
            return bare.item_type
    return inspect.AnyType()


def _fields_of(info: inspect.Type) -> str:
    return ", ".join(f"`{name}`" for name in _fields(info)) or "none"


def _right(info: inspect.Type) -> str:
    """What is right for a type, by its descriptions and the words it may be; empty when it says nothing."""
    choices = " or ".join(filter(None, map(_right_choice, _choices(info))))
    return choices and f"it has to be {choices}"


def _right_choice(choice: inspect.Type) -> str:
    match choice:
        case inspect.Metadata(extra_json_schema={"description": str(description)}):
            return description
        case inspect.LiteralType(values=values):
            return " or ".join(f'"{value}"' for value in values)
        case inspect.BoolType():
            return "true or false"
    return ""


def _joined(param: str, name: str) -> str:
    return f"{param}.{name}" if param else name


def _lowered(fault: str) -> str:
    return fault[:1].lower() + fault[1:]


def _shown(value: object) -> str:
    """A value as JSON, cut where it gets long."""
    if isinstance(value, str):
        # Headers and queries may hold bytes that are no text.
        value = value.encode("utf-8", "backslashreplace").decode()
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
