"""Functions as a model reads them: OpenAI's API turns their schemas into type definitions.

The form is not published. This one gives the API's own count in most known cases; see the tests.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from proxy.metering.json_text import json_text

DEPTH_MAX: Final = 24
"""Schemas below this depth are written as JSON."""

_BEGIN: Final = "namespace functions {\n\n"
_END: Final = "} // namespace functions"
_NUMBERS: Final = frozenset({"integer", "number"})
_SHARED: Final = ("$defs", "definitions")


def signatures(functions: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """The text of all functions, piece by piece; each has a name that is a string."""
    yield _BEGIN
    for function in functions:
        yield _signature(function)
    yield _END


def _signature(function: Mapping[str, object]) -> str:
    head = f"{_comment(function)}type {function['name']} = "
    parameters = function.get("parameters")
    if not isinstance(parameters, dict) or not parameters.get("properties"):
        return f"{head}() => any;\n\n"
    shared = "".join(json_text(parameters[name]) for name in _SHARED if name in parameters)
    return f"{head}(_: {{\n{_members(parameters, 0)}\n}}) => any;\n\n{shared}"


def _members(schema: Mapping[str, object], depth: int) -> str:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict):
        return ""
    needed = {one for one in required if isinstance(one, str)} if isinstance(required, list) else set()
    lines = []
    for name, inner in properties.items():
        about = _comment(inner) if isinstance(inner, dict) else ""
        mark = "" if name in needed else "?"
        lines.append(f"{about}{name}{mark}: {_type(inner, depth + 1)},")
    return "\n".join(lines)


def _type(schema: object, depth: int) -> str:
    if not isinstance(schema, dict):
        return "any"
    if depth > DEPTH_MAX:
        return json_text(schema)
    render = next((render for member, render in _FORMS if member in schema), _kinds)
    return render(schema, depth)


def _kinds(schema: Mapping[str, object], depth: int) -> str:
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, depth)
    if kind == "array":
        return f"{_type(schema.get('items'), depth + 1)}[]"
    return " | ".join(_name(one) for one in (kind if isinstance(kind, list) else [kind]))


def _object(schema: Mapping[str, object], depth: int) -> str:
    return f"{{\n{_members(schema, depth)}\n}}"


def _either(schemas: object, depth: int) -> str:
    return " | ".join(_type(one, depth + 1) for one in (schemas if isinstance(schemas, list) else [schemas]))


def _values(values: object) -> str:
    return " | ".join(map(json_text, values if isinstance(values, list) else [values]))


# The first member that a schema has says what it is.
_FORMS: Final[tuple[tuple[str, Callable[[Mapping[str, object], int], str]], ...]] = (
    ("enum", lambda schema, _: _values(schema["enum"])),
    ("const", lambda schema, _: _values(schema["const"])),
    ("anyOf", lambda schema, depth: _either(schema["anyOf"], depth)),
    ("oneOf", lambda schema, depth: _either(schema["oneOf"], depth)),
    ("$ref", lambda schema, _: json_text(schema["$ref"]).rpartition("/")[2]),
    ("properties", _object),
)


def _name(kind: object) -> str:
    if not isinstance(kind, str):
        return "any"
    return "number" if kind in _NUMBERS else kind


def _comment(holder: Mapping[str, object]) -> str:
    text = holder.get("description")
    return f"// {text}\n" if isinstance(text, str) and text else ""
