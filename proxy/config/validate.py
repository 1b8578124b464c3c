"""Whether a tree has the shape of a configuration, and what would be right wherever it has not."""

import types
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from proxy.config.faults import Findings, Path, did_you_mean
from proxy.config.schema import ConfigSchema, Schema
from proxy.config.source import Tree

_KINDS: Final = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    types.NoneType: "empty",
}


def validate(tree: dict[str, Tree], findings: Findings) -> ConfigSchema:
    """The tree as the struct it has the shape of. Raises ConfigError with every place where it has not.

    Text that spells a number, as the environment gives it, is read as one where a number is wanted.
    """
    _validate(tree, ConfigSchema, (), findings)
    findings.conclude()
    return msgspec.convert(tree, ConfigSchema, strict=False)


def core_of(annotation: Any) -> Any:
    """What an annotation comes to: without its metadata, and without None where that is an alternative."""
    if get_origin(annotation) is Annotated:
        return core_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        others = [arm for arm in get_args(annotation) if arm is not types.NoneType]
        if len(others) == 1:
            return core_of(others[0])
    return annotation


def is_schema(core: Any) -> bool:
    """Whether a core is one of the structs that stand for a mapping with known keys."""
    return isinstance(core, type) and issubclass(core, Schema)


def wanted(annotation: Any) -> str:
    """What a value of this type is, in words: `a whole number from 0 to 65535`."""
    return _wanted(inspect.type_info(annotation))


def _validate(value: Tree, annotation: Any, path: Path, findings: Findings) -> None:
    core = core_of(annotation)
    if is_schema(core):
        _validate_schema(value, core, path, findings)
    elif get_origin(core) is dict:
        _validate_dict(value, annotation, path, findings)
    elif get_origin(core) is list:
        _validate_list(value, annotation, path, findings)
    else:
        _validate_leaf(value, annotation, path, findings)


def _validate_schema(value: Tree, schema: type[Schema], path: Path, findings: Findings) -> None:
    if not isinstance(value, dict):
        _misfit(value, "a mapping; {} takes every default", path, findings)
        return
    fields = {field.name: field for field in msgspec.structs.fields(schema)}
    for key, item in value.items():
        if key in fields:
            _validate(item, fields[key].type, (*path, key), findings)
        else:
            findings.fault((*path, key), f"is not a key of this mapping; {did_you_mean(key, fields)}")
    for name, field in fields.items():
        if field.required and name not in value:
            findings.fault((*path, name), "is missing")


def _validate_dict(value: Tree, annotation: Any, path: Path, findings: Findings) -> None:
    if not isinstance(value, dict):
        _misfit(value, "a mapping", path, findings)
        return
    key_type, item_type = get_args(core_of(annotation))
    for key, item in value.items():
        if not _converts(key, key_type):
            findings.fault((*path, key), f"is not {wanted(key_type)}")
        _validate(item, item_type, (*path, key), findings)
    if not value and not _converts(value, annotation):
        findings.fault(path, "is empty; it needs one entry at least")


def _validate_list(value: Tree, annotation: Any, path: Path, findings: Findings) -> None:
    if not isinstance(value, list):
        _misfit(value, "a list", path, findings)
        return
    (item_type,) = get_args(core_of(annotation))
    for index, item in enumerate(value):
        _validate(item, item_type, (*path, index), findings)
    if not value and not _converts(value, annotation):
        findings.fault(path, "is empty; it needs one item at least")


def _validate_leaf(value: Tree, annotation: Any, path: Path, findings: Findings) -> None:
    if isinstance(value, dict | list):
        _misfit(value, wanted(annotation), path, findings)
    elif not _converts(value, annotation):
        if value is None:
            findings.fault(path, f"is empty; it must be {wanted(annotation)}")
            return
        quotes = "" if isinstance(value, str) or not _converts("text", annotation) else "; write it in quotes"
        findings.fault(path, f"is not {wanted(annotation)}{quotes}", value)


def _misfit(value: Tree, right: str, path: Path, findings: Findings) -> None:
    """A fault of kind. The value is not shown: what stands at the wrong level may be a secret."""
    findings.fault(path, f"is {_KINDS.get(type(value), 'a number')}, not {right}")


def _converts(value: object, annotation: Any) -> bool:
    try:
        msgspec.convert(value, annotation, strict=False)
    except msgspec.ValidationError:
        return False
    return True


def _wanted(info: inspect.Type) -> str:
    words = "a mapping"
    match info:
        case inspect.Metadata(extra={"wanted": str(said)}):
            words = said
        case inspect.Metadata(type=inner):
            words = _wanted(inner)
        case inspect.UnionType(types=arms):
            words = " or ".join(_wanted(arm) for arm in arms if not isinstance(arm, inspect.NoneType))
        case inspect.LiteralType(values=values):
            words = " or ".join(map(repr, values))
        case inspect.IntType(ge=least, le=most):
            words = f"a whole number from {least} to {most}"
        case inspect.FloatType(gt=bound, le=most):
            words = f"a number above {bound} and up to {most}"
        case inspect.BoolType():
            words = "true or false"
        case inspect.StrType(min_length=least):
            words = "text that is not empty" if least else "text"
        case inspect.ListType(item_type=inner):
            words = f"a list, each {_wanted(inner)}"
        case inspect.DictType(value_type=inner):
            words = f"a mapping, each {_wanted(inner)}"
    return words
