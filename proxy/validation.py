"""What keeps plain data from being a struct, and what would be right, in words: for files and requests alike.

msgspec stops at the first fault and names types of Python; people want every fault, and words.
"""

import re
import types
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from msgspec import inspect

Path = tuple[str | int, ...]
"""Where a value is in the data: keys of mappings and indexes of lists, from the top."""

MAX_SHOWN_CHARS: Final = 60
MAX_NAMES: Final = 16

_VISIBLE_ASCII: Final = re.compile(r"[!-~]+")
_ABSENT: Final = (types.NoneType, msgspec.UnsetType)


class Fault(msgspec.Struct, frozen=True):
    """One fault: the value at `path` is not what `annotation` takes, which is `wanted` in words.

    `unknown`: a struct has no field of this name, but those in `known`. `missing`: a field has to be there.
    `key`: a mapping may have no such key. `kind`: a mapping or a list where there is to be none, or the other
    way round. `value`: anything else.
    """

    kind: Literal["unknown", "missing", "key", "kind", "value"]
    path: Path
    value: object
    annotation: Any
    wanted: str
    known: tuple[str, ...] = ()


def wants(words: str, **bounds: Any) -> msgspec.Meta:
    """The bounds of a type with the words for them, which a JSON Schema shows as well."""
    return msgspec.Meta(description=words, extra={"wanted": words}, **bounds)


def faults_of(value: object, annotation: Any, *, strict: bool) -> Iterator[Fault]:
    """Every fault of plain data, in its order; none if `msgspec.convert` takes it.

    A mapping or list that is null is a fault, though it may be left out: null would read as an empty one.
    """
    return _faults(value, annotation, (), strict=strict)


def core_of(annotation: Any) -> Any:
    """An annotation without its metadata, and without None and UNSET where only one alternative is left."""
    if get_origin(annotation) is Annotated:
        return core_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        others = [arm for arm in get_args(annotation) if arm not in _ABSENT]
        if len(others) == 1:
            return core_of(others[0])
    return annotation


def is_struct(core: Any) -> bool:
    """Whether a core is a mapping with known keys."""
    return isinstance(core, type) and issubclass(core, msgspec.Struct)


def converts(value: object, annotation: Any, *, strict: bool) -> bool:
    """Whether a value can be read as this type."""
    try:
        msgspec.convert(value, annotation, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def wanted(annotation: Any) -> str:
    """What a value of this type is, in words: `a whole number from 0 to 65535`."""
    return _wanted(inspect.type_info(annotation))


def is_visible_ascii(text: str) -> bool:
    """Whether a text has at least one character, and each can be seen and sent in a header."""
    return _VISIBLE_ASCII.fullmatch(text) is not None


def path_text(path: Path) -> str:
    """A path as it is written in text: `routes[0].targets[1].model`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if step.isprintable() and len(step) <= MAX_SHOWN_CHARS else shortened(repr(step))
            text += f".{key}" if text else key
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What could have been meant by `word`: the nearest of `known`, else the first few of them."""
    names = list(known)
    near = get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    listed = [*map(repr, names[:MAX_NAMES]), *(["..."] if len(names) > MAX_NAMES else [])]
    return f"there is {', '.join(listed)}" if names else "there is none"


def shortened(text: str) -> str:
    """A text that is short enough to be shown."""
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."


def _faults(value: object, annotation: Any, path: Path, *, strict: bool) -> Iterator[Fault]:
    core = core_of(annotation)
    if is_struct(core):
        parts = _struct_faults(value, core, path, strict=strict) if isinstance(value, dict) else None
    elif get_origin(core) is dict:
        parts = _dict_faults(value, core, path, strict=strict) if isinstance(value, dict) else None
    elif get_origin(core) is list:
        parts = _list_faults(value, core, path, strict=strict) if isinstance(value, list) else None
    else:
        if not converts(value, annotation, strict=strict):
            kind: Literal["kind", "value"] = "kind" if isinstance(value, dict | list) else "value"
            yield Fault(kind, path, value, annotation, wanted(annotation))
        return
    if parts is None:
        yield Fault("kind", path, value, annotation, _container(annotation))
        return
    found = list(parts)
    yield from found
    if not found and not converts(value, annotation, strict=strict):
        yield Fault("value", path, value, annotation, _container(annotation))


def _struct_faults(value: dict[str, object], core: Any, path: Path, *, strict: bool) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(core)}
    for key, item in value.items():
        if key in fields:
            yield from _faults(item, fields[key].type, (*path, key), strict=strict)
        else:
            yield Fault("unknown", (*path, key), item, core, "", tuple(fields))
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault("missing", (*path, name), None, field.type, wanted(field.type))


def _dict_faults(value: dict[str, object], core: Any, path: Path, *, strict: bool) -> Iterator[Fault]:
    key_type, item_type = get_args(core)
    for key, item in value.items():
        if not converts(key, key_type, strict=strict):
            yield Fault("key", (*path, key), item, key_type, wanted(key_type))
        yield from _faults(item, item_type, (*path, key), strict=strict)


def _list_faults(value: list[object], core: Any, path: Path, *, strict: bool) -> Iterator[Fault]:
    (item_type,) = get_args(core)
    for index, item in enumerate(value):
        yield from _faults(item, item_type, (*path, index), strict=strict)


def _container(annotation: Any) -> str:
    """What a mapping or list is, in words, without what is in it."""
    info = inspect.type_info(annotation)
    while isinstance(info, inspect.Metadata):
        if info.extra and "wanted" in info.extra:
            return str(info.extra["wanted"])
        info = info.type
    return "a list" if get_origin(core_of(annotation)) is list else "a mapping"


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
            words = "a whole number" if least is None else f"a whole number from {least} to {most}"
        case inspect.FloatType(gt=bound, le=most):
            words = "a number" if bound is None else f"a number above {bound} and up to {most}"
        case inspect.BoolType():
            words = "true or false"
        case inspect.StrType(min_length=least):
            words = "text that is not empty" if least else "text"
        case inspect.ListType(item_type=inner):
            words = f"a list, each {_wanted(inner)}"
        case inspect.DictType(value_type=inner):
            words = f"a mapping, each {_wanted(inner)}"
    return words
