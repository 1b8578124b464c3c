"""Loads and writes what few batches touch on SQLite, by statements that are made of descriptions alone."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Any, Final

from proxy.ledger.books import Books
from proxy.ledger.kinds import KINDS, Kind, RowsOfKind
from proxy.storage.answers import ANSWERS, Answer
from proxy.storage.codecs import CODECS
from proxy.storage.columns import text
from proxy.storage.placeholders import filled
from proxy.storage.queries import Rows, SqlValue
from proxy.storage.tables import PARTS, Table


def load_rare(connection: sqlite3.Connection, books: Books, asked: Mapping[str, Collection[object]]) -> None:
    """Put what is asked, by question, in the books."""
    for name, values in asked.items():
        for answer, sql in _LOADS[name]:
            answer.put(books, connection.execute(sql, (text(values),)).fetchall())


def write_rare(connection: sqlite3.Connection, books: Books) -> None:
    """Write what has changed of the kinds that were looked at."""
    for rows in sorted(books.rare, key=lambda rows: rows.kind.place):
        if rows.changed or rows.once or rows.gone:
            _WRITES[rows.kind.name].run(connection, rows)


def insert_of(table: Table) -> str:
    """The statement that adds rows to a table."""
    name = table.name
    return filled(f"INSERT INTO {name} ({{{name}.columns}}) VALUES {{{name}.parameters}}")  # noqa: S608 - ours.


class _Writes:
    """The statements that write one kind."""

    def __init__(self, kind: Kind[Any, Any]) -> None:
        self._codec = CODECS[kind.name]
        table = self._codec.table
        add = insert_of(table)
        conflict = f"{add} ON CONFLICT ({{{table.name}.key}}) DO "
        upsert = filled(f"{conflict}UPDATE SET {{{table.name}.upsert}}")
        self._put = Rows(upsert if table.changing else add)
        self._add_once = Rows(filled(f"{conflict}NOTHING"))
        keys = [column.quoted for column in table.key]
        parts = [(part, [column.quoted for column in part.key[: len(keys)]]) for part in PARTS.get(table, ())]
        self._drop = [_delete(*each) for each in (*parts, (table, keys))]

    def run(self, connection: sqlite3.Connection, rows: RowsOfKind[Any, Any]) -> None:
        """Delete first: what is gone may be there again."""
        if rows.gone:
            keys = sorted(key if isinstance(key, tuple) else (key,) for key in rows.gone)
            for statement in self._drop:
                connection.execute(statement, (text(keys),))
        self._add_once.run(connection, self._flat(rows.once.values()))
        self._put.run(connection, self._flat(rows[key] for key in sorted(rows.changed)))

    def _flat(self, values: Iterable[Any]) -> list[SqlValue]:
        return list(chain.from_iterable(map(self._codec.row, values)))


def _delete(table: Table, names: list[str]) -> str:
    values = ", ".join(f"j.value ->> {place}" for place in range(len(names)))
    return f"DELETE FROM {table.name} WHERE ({', '.join(names)}) IN (SELECT {values} FROM json_each(?) AS j)"  # noqa: S608 - names of ours.


def _load(answer: Answer) -> str:
    width = answer.question.width
    asked = ["j.value"] if width == 1 else [f"j.value ->> {place}" for place in range(width)]
    name = answer.table.name
    columns = {column.name: column.quoted for column in answer.table.columns}
    match = " AND ".join(f"t.{columns[name]} = {value.format(*asked)}" for name, value in answer.match)
    index = f" INDEXED BY {answer.index}" if answer.index else ""
    return filled(
        f"SELECT {{{name}.columns:t}} FROM json_each(?) AS j CROSS JOIN {name} AS t{index} ON {match}"  # noqa: S608 - as above.
    )


_WRITES: Final = {kind.name: _Writes(kind) for kind in KINDS}
_LOADS: Final[dict[str, list[tuple[Answer, str]]]] = {}
for _each in ANSWERS:
    _LOADS.setdefault(_each.question.name, []).append((_each, _load(_each)))
