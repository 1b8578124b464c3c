"""JSON pointers (RFC 6901): the way to one value of a JSON text, walked without decoding the rest."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec

from proxy.endpoints.reading.body import JsonBody
from proxy.endpoints.reading.steps import Text, TooLong, each_member, first_byte, items

Pointer = tuple[str, ...]
"""The names and indexes on the way to a value, from the outermost on."""

NAME_CHARS_MAX: Final = 64
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,5}")
_ESCAPES: Final = re.compile(r"~(?![01])")


class OddName(Exception):  # noqa: N818 - named for what is wrong with the text.
    """A name on the way to a value is there twice, or again in another case; `name` is the pointer's.

    Readers differ in which they take.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def pointer_of(text: str) -> Pointer:
    """A pointer from its text, such as `/usage/credits` or `/items/0`. Raises ValueError."""
    if not text.startswith("/"):
        raise ValueError("must be a JSON pointer that begins with '/', such as /usage/credits")
    if _ESCAPES.search(text):
        raise ValueError("has a '~' that is neither ~0 nor ~1")
    steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))
    if any(len(step) > NAME_CHARS_MAX for step in steps):
        raise ValueError(f"has a name longer than {NAME_CHARS_MAX} characters")
    return steps


def value_in(body: JsonBody, pointer: Pointer) -> Text | None:
    """The bytes of the value at `pointer`; None where there is none.

    Raises OddName, and Refusal `invalid_value` for a member that holds too many values to be walked.
    """
    first, *rest = pointer
    _refuse_other_cases(body.members, first)
    raw = body.members.get(first)
    if raw is None:
        return None
    body.bound_values(first)
    return _value_at(memoryview(raw), rest)


def _value_at(text: Text, steps: Iterable[str]) -> Text | None:
    value: Text | None = text
    for step in steps:
        if value is None:
            return None
        match first_byte(value):
            case b"{":
                value = _member_of(value, step)
            case b"[" if _INDEX.fullmatch(step):
                value = next(islice(items(value), int(step), None), None)
            case _:
                return None
    return value


def _member_of(text: Text, name: str) -> Text | None:
    """The member of an object by this name. Raises OddName."""
    found: list[msgspec.Raw] = []
    names: list[str] = []
    try:
        for each, value in each_member(text):
            names.append(each)
            if each == name:
                found.append(value)
    except (UnicodeDecodeError, msgspec.DecodeError, TooLong) as fault:
        raise OddName(name) from fault
    _refuse_other_cases(names, name)
    if len(found) > 1:
        raise OddName(name)
    return memoryview(found[0]) if found else None


def _refuse_other_cases(names: Iterable[str], name: str) -> None:
    folded = name.casefold()
    if any(each != name and each.casefold() == folded for each in names):
        raise OddName(name)
