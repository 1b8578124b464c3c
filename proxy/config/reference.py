"""The reference of the configuration: a JSON Schema for editors, and every key with its meaning."""

import inspect
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from proxy.config.schema import ConfigSchema
from proxy.config.values import Schema
from proxy.validation import core_of, is_struct, wanted

JsonSchema = dict[str, Any]

REQUIRED: Final = "required"
UNSET: Final = "not set"

_VARIABLE: Final = "FromEnvironment"
# Any value may come from the environment, and an editor does not know what it will be.
_FROM_ENVIRONMENT: Final[JsonSchema] = {
    "title": "From the environment",
    "description": "Text with `${NAME}` or `${NAME:-default}` in it, filled in when the file is loaded.",
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
}
_ANNOTATIONS: Final = ("title", "description", "default", "examples")


class KeyDoc(msgspec.Struct, frozen=True):
    """One key. `path` has `*` for a name and `[]` for an item: `upstreams.*.base_url`, `routes[].models`.

    `type` and `text` are words. `default` is as in YAML, `required` for a key that must be set, `not set` for
    one that has no value unless it is set.
    """

    path: str
    type: str
    default: str
    text: str


def json_schema() -> JsonSchema:
    """A JSON Schema (2020-12) of the whole file. `${...}` is valid for any value except a mapping or a list.

    It has no rules that span several keys, such as that an upstream exists: `farebox check` checks those.
    """
    _, components = msgspec.json.schema_components([ConfigSchema], ref_template="#/$defs/{name}")
    definitions = {name: _finished(definition) for name, definition in components.items()}
    root = definitions.pop(ConfigSchema.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": "Farebox configuration",
        "$defs": {**definitions, _VARIABLE: dict(_FROM_ENVIRONMENT)},
    }


def describe_keys() -> list[KeyDoc]:
    """Every key, in the order of the schema; a mapping or list comes before its parts.

    The parts of a shape that several keys share are described where it comes first, and so are those that
    several shapes have of one base.
    """
    return list(_described(ConfigSchema, "", set()))


def _finished(definition: JsonSchema) -> JsonSchema:
    """A struct's schema, its words cleaned, with variables allowed."""
    properties = {name: _or_variable(schema) for name, schema in definition["properties"].items()}
    return {
        **definition,
        "title": definition["title"].removesuffix("Schema"),
        "description": inspect.cleandoc(definition["description"]),
        "properties": properties,
    }


def _or_variable(schema: JsonSchema) -> JsonSchema:
    """`schema`, or text with a variable in it if `schema` would refuse such text."""
    if "$ref" in schema:
        return schema
    if schema.get("type") == "array":
        return {**schema, "items": _or_variable(schema["items"])}
    if schema.get("type") == "object":
        return {**schema, "additionalProperties": _or_variable(schema["additionalProperties"])}
    said: JsonSchema = {key: schema[key] for key in _ANNOTATIONS if key in schema}
    asked: JsonSchema = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
    arms: list[JsonSchema] = asked.get("anyOf", [asked])
    container = next((arm for arm in arms if "$ref" in arm or arm.get("type") == "array"), None)
    if container is not None:
        # A mapping or list may be left out, but not written as null, which would read as an empty one.
        return {**{key: text for key, text in said.items() if text is not None}, **_or_variable(container)}
    if any(_takes_any_text(arm) for arm in arms):
        return schema
    return {**said, "anyOf": [*arms, {"$ref": f"#/$defs/{_VARIABLE}"}]}


def _takes_any_text(arm: JsonSchema) -> bool:
    return arm.get("type") == "string" and "pattern" not in arm


def _described(schema: type[Schema], prefix: str, seen: set[type[Schema]]) -> list[KeyDoc]:
    docs = []
    shared = {name for base in schema.__mro__[1:] if base in seen for name in base.__struct_fields__}
    seen.update(each for each in schema.__mro__ if issubclass(each, Schema) and each is not Schema)
    for field in msgspec.structs.fields(schema):
        if field.name in shared:
            continue
        path = f"{prefix}{field.encode_name}"
        core = core_of(field.type)
        below = [core] if is_struct(core) else [core_of(arm) for arm in get_args(core)]
        text = _description(field.type) or inspect.cleandoc(core.__doc__ or "").partition("\n\n")[0]
        docs.append(KeyDoc(path, wanted(field.type), _default_text(field), " ".join(text.split())))
        step = {dict: ".*.", list: "[]."}.get(get_origin(core), ".")
        fresh = [inner for inner in below if is_struct(inner) and inner not in seen]
        docs += [doc for inner in fresh for doc in _described(inner, f"{path}{step}", seen)]
    return docs


def _description(annotation: Any) -> str:
    metas = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((meta.description for meta in reversed(metas) if meta.description), "")


def _default_text(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return REQUIRED
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if default is None:
        return UNSET
    return msgspec.json.encode(default).decode() if not isinstance(default, Schema) else "{}"
