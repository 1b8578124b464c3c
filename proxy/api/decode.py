"""Bodies and query strings as frozen structs. A fault names the field, its value, and what would be right."""

from collections.abc import Iterable
from typing import Final, TypeVar, cast, get_origin

import msgspec

from proxy.endpoints.reading.depth import DEPTH_MAX, is_too_deep
from proxy.errors import Refusal
from proxy.validation import Fault, core_of, faults_of, is_struct, path_text

_Kind = TypeVar("_Kind")

_SHOWN_LENGTH: Final = 80


def from_json(body: bytes, kind: type[_Kind]) -> _Kind:
    """A JSON body as a struct; an empty body is an empty object.

    Raises Refusal `invalid_json` unless it is a JSON object that is nested at most `DEPTH_MAX` deep,
    `invalid_value` for a field that is wrong.
    """
    if is_too_deep(body):
        raise Refusal("invalid_json", f"The body is nested more than {DEPTH_MAX} deep.")
    try:
        raw = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Refusal("invalid_json", f"The body is not JSON: {fault}.") from None
    if not isinstance(raw, dict):
        raise Refusal("invalid_json", f"The body has to be a JSON object, and is {_shown(raw)}.")
    return _convert(raw, kind, strict=True)


def from_query(pairs: Iterable[tuple[str, str]], kind: type[_Kind]) -> _Kind:
    """A query string's fields as a struct. Raises Refusal `invalid_value`, also for a field given twice.

    Only one that is a list may be, under its name or that with `[]`, as clients have it.
    """
    lists = _lists(kind)
    raw: dict[str, object] = {}
    for name, value in pairs:
        if "\0" in value:
            # No stored text has this character, and some engines do not take it for text.
            raise invalid(name, value, "send text")
        if (several := name.removesuffix("[]")) in lists:
            raw[several] = [*cast("list[str]", raw.get(several, [])), value]
        elif name in raw:
            raise invalid(name, value, "give it once")
        else:
            raw[name] = value
    return _convert(raw, kind, strict=False)


def _lists(kind: type) -> frozenset[str]:
    """The fields of a struct that are lists."""
    fields = msgspec.structs.fields(kind) if is_struct(kind) else ()
    return frozenset(field.name for field in fields if get_origin(core_of(field.type)) is list)


def invalid(param: str, value: object, right: str) -> Refusal:
    """The refusal of one field: its name, its value, and what would be right."""
    return Refusal("invalid_value", f"`{param}` is {_shown(value)}: {right}.", param=param)


def _convert(raw: dict[str, object], kind: type[_Kind], *, strict: bool) -> _Kind:
    try:
        return msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        fault = next(faults_of(raw, kind, strict=strict), None)
        raise (_refusal(fault) if fault else invalid("body", raw, str(error))) from None


def _refusal(fault: Fault) -> Refusal:
    param = path_text(fault.path)
    wanted = "an object" if is_struct(core_of(fault.annotation)) else fault.wanted
    if fault.kind == "missing":
        return Refusal("invalid_value", f"`{param}` is missing: it has to be {wanted}.", param=param)
    if fault.kind == "unknown":
        known = ", ".join(f"`{name}`" for name in fault.known) or "none"
        return invalid(param, fault.value, f"there is no such field; known are {known}")
    return invalid(param, fault.value, f"it has to be {wanted}")


def _shown(value: object) -> str:
    """A value as JSON, cut where it gets long."""
    if isinstance(value, str):
        # Headers and queries may hold bytes that are not text.
        value = value.encode("utf-8", "backslashreplace").decode()
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
