"""What is within messages: input that is not text, and what of it the body only refers to.

Text is bounded by its bytes. What is not text is bounded where its size can be told from the body; the rest
is hidden, and takes the rate card's allowance.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from proxy.endpoints.features import Feature, hidden_input
from proxy.endpoints.kept import KeptNames
from proxy.endpoints.members import refuse_other_cases
from proxy.endpoints.reading.body import JsonBody
from proxy.endpoints.reading.repeats import names_in_value, repeats_within
from proxy.endpoints.reading.steps import count_names, nests

Object = dict[str, Any]

LEVELS_MAX: Final = 4
"""How deep parts within parts are looked at; what is deeper cannot be told."""
_HEAD_CHARS: Final = 256


class PartRule(msgspec.Struct, frozen=True):
    """What a kind of content part may hold. With any other member its size cannot be told.

    `inner` has the members of objects within it. `hides` says whether this part only refers to its input.
    `parts` is the member that holds content of its own, if there is one.
    """

    members: frozenset[str]
    inner: Mapping[str, frozenset[str]] = {}
    hides: Callable[[Object], bool] | None = None
    parts: str | None = None


class ContentTable:
    """What messages may hold, and each kind of part in their content, by its `type`.

    A part without one is of the kind `untyped`, or of none.
    """

    def __init__(
        self, message: frozenset[str], parts: Mapping[str, PartRule], untyped: str | None = None
    ) -> None:
        self.message: Final = message
        self._parts = parts
        self._untyped = untyped
        self._names = frozenset(name for rule in parts.values() for name in rule.members)

    def hidden_in_message(self, message: object, where: str) -> Iterator[str]:
        """Where a message has input whose size cannot be told, once for each. Raises Refusal."""
        if not isinstance(message, dict):
            if isinstance(message, list):
                yield where
            return
        refuse_other_cases(message, self.message, where)
        for name, value in message.items():
            if name == "content":
                yield from self.hidden_in_content(value, f"{where}.content")
            elif isinstance(value, dict | list) and (name == "audio" or name not in self.message):
                yield f"{where}.audio" if name == "audio" else where

    def hidden_in_content(self, content: object, where: str) -> Iterator[str]:
        """The same of a content: text, or a list of parts. Raises Refusal."""
        yield from self._hidden_in(content, where, LEVELS_MAX)

    def _hidden_in(self, content: object, where: str, levels: int) -> Iterator[str]:
        if not isinstance(content, list):
            yield from self._hidden_in_part(content, where, levels)
            return
        within = f"{where}[]"
        for part in content:
            yield from self._hidden_in_part(part, within, levels)

    def _hidden_in_part(self, part: object, where: str, levels: int) -> Iterator[str]:
        """A string is text."""
        if not isinstance(part, dict):
            if isinstance(part, list):
                yield where
            return
        refuse_other_cases(part, self._names, where)
        kind = part.get("type", self._untyped)
        rule = self._parts.get(kind) if isinstance(kind, str) else None
        if rule is None or _hides(part, rule, where) or (rule.parts is not None and not levels):
            yield where
        elif rule.parts is not None:
            yield from self._hidden_in(part.get(rule.parts), f"{where}.{rule.parts}", levels - 1)


def _hides(part: Object, rule: PartRule, where: str) -> bool:
    if not part.keys() <= rule.members:
        return True
    for name, names in rule.inner.items():
        inner = part.get(name)
        if isinstance(inner, dict):
            refuse_other_cases(inner, names, f"{where}.{name}")
            if not inner.keys() <= names:
                return True
    return rule.hides is not None and rule.hides(part)


def is_flat(body: JsonBody, name: str) -> bool:
    """Whether messages hold neither objects nor lists, and so nothing but text."""
    return not nests(memoryview(body.members[name]))


class HiddenInMessages:
    """The inputs that messages only refer to, which are added one by one; flat ones have none.

    `owned` are the members that name objects of an account, each with their kind.
    """

    def __init__(self, table: ContentTable, name: str, owned: Mapping[str, str] | None = None) -> None:
        self._table = table
        self._name = name
        self._names = 0
        self._hidden: Counter[str] = Counter()
        self._kept = KeptNames(f"{name}[]", owned)

    def add(self, message: object) -> None:
        """Look into a decoded message. Raises Refusal `invalid_value` for what could be read in two ways."""
        self._names += names_in_value(message)
        self._kept.add(message)
        self._hidden.update(self._table.hidden_in_message(message, f"{self._name}[]"))

    def add_part(self, part: object) -> None:
        """Look into a decoded part of a content. Raises Refusal as `add` does."""
        self._names += names_in_value(part)
        self._kept.add(part)
        self._hidden.update(self._table.hidden_in_content([part], self._name))

    def features(self, raw: msgspec.Raw) -> Iterator[Feature]:
        """The inputs that are hidden in all messages of `raw`. Raises Refusal as `add` does."""
        if self._names != count_names(memoryview(raw)):
            raise repeats_within(self._name)
        for where, count in self._hidden.items():
            yield hidden_input(where, self._name, count)
        yield from self._kept.features()


def head_of(text: object) -> str:
    """The first characters of a string, in lower case; empty for any other value."""
    return text[:_HEAD_CHARS].lower() if isinstance(text, str) else ""


def is_address(text: object) -> bool:
    """Whether a string that should hold data, as base64 or a data URL, tells where the data is instead."""
    head = head_of(text)
    return ":" in head and not head.startswith("data:")
