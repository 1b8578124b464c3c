"""Faults of a configuration: the place and message of each, without secrets."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from proxy.validation import Path, path_text, shortened

_SECRET_WORDS: Final = frozenset(
    {"credential", "headers", "key", "password", "secret", "token", "value", "when"}
)
_SECRET_ENDINGS: Final = ("_key", "_password", "_secret", "_token", "-key")
_USER_INFO: Final = re.compile(r"://[^/?#\s]*@")
_QUERY: Final = re.compile(r"\?.+", re.DOTALL)


class ConfigFault(msgspec.Struct, frozen=True):
    """One fault. `value` is the text of what was found there, or None; `message` continues from it.

    `line` counts from 1. A fault of the whole file has line 0 and an empty `path`.
    """

    file: str
    line: int
    path: str
    value: str | None
    message: str

    def __str__(self) -> str:
        said = self.message if self.value is None else f"{self.value} {self.message}"
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, said) if part)


class ConfigError(Exception):
    """A configuration that cannot be used. `faults` has at least one, in the order of the file."""

    def __init__(self, faults: Iterable[ConfigFault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.line))
        super().__init__("\n".join(map(str, self.faults)))


class Lines(msgspec.Struct, frozen=True):
    """The line of every value in a tree, by its path."""

    file: str
    by_path: Mapping[Path, int]

    def of(self, path: Path) -> int:
        """The line of `path`, or of the nearest value around it that the file has."""
        while path and path not in self.by_path:
            path = path[:-1]
        return self.by_path.get(path, 1)

    def has(self, path: Path) -> bool:
        """Whether the file has a value at `path`, so that it is not a default."""
        return path in self.by_path


class Findings:
    """Faults and warnings as they are found, so that all are reported at once."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.faults: list[ConfigFault] = []
        self.warnings: list[ConfigFault] = []

    def fault(self, path: Path, message: str, value: object = None) -> None:
        """Add a fault, once. `message` continues from `value`, or from the path if there is none to show."""
        found = self._found(path, message, value)
        if found not in self.faults:
            self.faults.append(found)

    def warn(self, path: Path, message: str, value: object = None) -> None:
        """Add a warning: the value can be used, but is hardly meant."""
        self.warnings.append(self._found(path, message, value))

    def conclude(self) -> None:
        """Raise ConfigError if there is a fault."""
        if self.faults:
            raise ConfigError(self.faults)

    def _found(self, path: Path, message: str, value: object) -> ConfigFault:
        return ConfigFault(self.lines.file, self.lines.of(path), path_text(path), shown(value, path), message)


def is_secret(path: Path) -> bool:
    """Whether a name on the path is one that secrets have."""
    names = [step.lower() for step in path if isinstance(step, str)]
    return any(name in _SECRET_WORDS or name.endswith(_SECRET_ENDINGS) for name in names)


def shown(value: object, path: Path) -> str | None:
    """A value as a fault may show it: None for secrets, mappings and lists; cut if it is long.

    Passwords in URLs, and everything after a question mark, are left out.
    """
    if is_secret(path) or not isinstance(value, str | int | float):
        return None
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return shortened(repr(_QUERY.sub("?...", _USER_INFO.sub("://...@", value))))
