"""Values of the kinds that few batches touch to rows of columns and back, by what their tables say."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import FieldInfo, astuple, fields

from proxy.ledger.kinds import KINDS
from proxy.ledger.seals import newer_values, seal_of
from proxy.storage.queries import SqlValue
from proxy.storage.tables import BY_NAME, Table

_encode: Final = msgspec.json.Encoder().encode


class Codec:
    """How a value is a row of its table: its fields in order, those of JSON as text, and then its seal.

    A seal that never changes is of what never changes; any other is of all columns.
    """

    def __init__(self, table: Table, value: type[Any]) -> None:
        names = [column.name for column in table.columns]
        self.table = table
        self._value = value
        self._width = len(fields(value))
        self._json = [_Json(place, field) for place, field in _of_json(table, value)]
        self._flags = [table.place(column.name) for column in table.columns if column.kind == "boolean"]
        self._is_sealed = names[-1] == "seal"
        rest = names[self._width :]
        if names[: self._width] != list(value.__struct_fields__) or rest not in ([], ["seal"]):
            raise TypeError(f"the columns of {table.name} are not the fields of {value.__name__}")
        older = self._width - table.newer
        self._newer = range(older, self._width)
        self._sealed = [
            place
            for place, column in enumerate(table.columns[:older])
            if table.columns[-1].mutability == "changes" or column.mutability in ("key", "fixed")
        ]

    def row(self, value: Any) -> tuple[SqlValue, ...]:
        """The columns of a value."""
        row: list[Any] = list(astuple(value))
        for json in self._json:
            row[json.place] = json.text(row[json.place])
        for place in self._flags:
            row[place] = int(row[place])
        if self._is_sealed:
            newer = newer_values(*(row[place] for place in self._newer))
            row.append(seal_of(*(row[place] for place in self._sealed), *newer))
        return tuple(row)

    def value(self, row: tuple[Any, ...]) -> Any:
        """The value that a row is of."""
        values = list(row[: self._width])
        for json in self._json:
            values[json.place] = json.decode(values[json.place])
        for place in self._flags:
            values[place] = bool(values[place])
        return self._value(*values)


class _Json:
    """A field that is stored as JSON: one that has nothing in it as an empty object."""

    def __init__(self, place: int, field: FieldInfo) -> None:
        self.place = place
        self.decode: Callable[[str], Any] = msgspec.json.Decoder(field.type).decode
        self._empty = field.default if isinstance(field.default, msgspec.Struct) else None

    def text(self, value: object) -> str:
        return "{}" if self._empty is not None and value == self._empty else _encode(value).decode()


def _of_json(table: Table, value: type[Any]) -> list[tuple[int, FieldInfo]]:
    found = zip(table.columns, fields(value), strict=False)
    return [(place, field) for place, (column, field) in enumerate(found) if column.kind == "json"]


CODECS: Final = {kind.name: Codec(BY_NAME[kind.name], kind.value) for kind in KINDS}
"""Those of all kinds, by table."""
_BY_VALUE: Final = {kind.value: CODECS[kind.name] for kind in KINDS}


def row_of(value: object) -> tuple[SqlValue, ...]:
    """The columns of a value of any kind."""
    return _BY_VALUE[type(value)].row(value)
