"""What a table of the ledger is: its columns in the schema's order, what they hold, and how they change."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

Kind = Literal["text", "integer", "boolean", "json"]
"""What a column holds. A boolean is stored as 0 or 1, and JSON as text."""
Mutability = Literal["key", "fixed", "changes", "adds"]
"""Part of the primary key; the same from the row's first day; replaced; a sum that writing a row adds to."""


class Column(msgspec.Struct, frozen=True):
    """One column. No read of an API shows one that is `secret`."""

    name: str
    kind: Kind
    mutability: Mutability
    secret: bool = False

    @property
    def quoted(self) -> str:
        """Its name in SQL, where some names are words of the language."""
        return f'"{self.name}"' if self.name in _RESERVED else self.name


class Table(msgspec.Struct, frozen=True):
    """One table. Its columns come in the schema's order, which is that of the fields of a ledger's value.

    A seal comes behind them, and before columns that are newer: it is made when a row is written. The last
    `newer` columns before it are in it as far as they have anything.
    """

    name: str
    columns: tuple[Column, ...]
    newer: int = 0

    def place(self, column: str) -> int:
        """Where a column stands in a row."""
        return [each.name for each in self.columns].index(column)

    @property
    def key(self) -> tuple[Column, ...]:
        """The columns of the primary key."""
        return tuple(each for each in self.columns if each.mutability == "key")

    @property
    def changing(self) -> tuple[Column, ...]:
        """The columns that a later write replaces or adds to."""
        return tuple(each for each in self.columns if each.mutability in ("changes", "adds"))

    @property
    def adding(self) -> tuple[Column, ...]:
        """Those of them that are sums."""
        return tuple(each for each in self.columns if each.mutability == "adds")

    @property
    def changed(self) -> tuple[Column, ...]:
        """What tells a change of a row: its key and all that can change."""
        return (*self.key, *self.changing)


def columns_of(*groups: Iterable[Column]) -> tuple[Column, ...]:
    """The columns of several groups, in their order."""
    return tuple(column for group in groups for column in group)


def named(kind: Kind, mutability: Mutability, names: str, *, secret: bool = False) -> Iterator[Column]:
    """Columns of one kind, by the names in a text."""
    return (Column(name, kind, mutability, secret) for name in names.split())


_RESERVED: Final = frozenset({"group", "window"})
