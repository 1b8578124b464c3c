"""The lists of columns in SQL: a text is written by hand and names its lists in braces.

`{receipts.columns}` is every column of the table, and `{receipts.columns:u}` has an alias before each. Lists
are put in once, when a text is loaded. Migrations have none: they are frozen.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from proxy.ledger.rows import Call
from proxy.storage.tables import BY_NAME, IDS_OF_A_CALL, Column, Table

_PLACEHOLDER: Final = re.compile(r"\{(?P<table>\w+)\.(?P<list>\w+)(?::(?P<alias>[\w.]+))?\}")
_CASTS: Final = {"text": "{}", "json": "{}", "integer": "({})::BIGINT", "boolean": "({})::BOOLEAN::INT"}


def _names(columns: Iterable[Column], alias: str) -> str:
    return ", ".join(f"{alias}.{column.quoted}" if alias else column.quoted for column in columns)


def _of_call(table: Table) -> list[Column]:
    """The columns of a call but for its three ids, in the order in which a hold has them as JSON.

    What is of a call in flight alone comes behind them, and is in no column.
    """
    by_name = {column.name: column for column in table.columns}
    return [by_name[name] for name in Call.__struct_fields__[IDS_OF_A_CALL:] if name in by_name]


def _upsert(table: Table, _: str) -> str:
    """What `ON CONFLICT ... DO UPDATE SET` does to the columns that can change, in either engine."""
    before = {column.name: f"{table.name}.{column.quoted} + " for column in table.adding}
    return ", ".join(
        f"{column.quoted} = {before.get(column.name, '')}excluded.{column.quoted}"
        for column in table.changing
    )


def _text_in(columns: Iterable[Column]) -> str:
    """The columns' names as a JSON array."""
    return "[" + ", ".join(f'"{column.name}"' for column in columns) + "]"


def _from_json(columns: Iterable[Column], row: str) -> dict[str, str]:
    """PostgreSQL's expression for each column, where JSON arrays `row` have the columns in this order."""
    values = ((column, f"{row} ->> {place}") for place, column in enumerate(columns))
    return {column.quoted: _CASTS[column.kind].format(value) for column, value in values}


def _set_from_json(table: Table, row: str) -> str:
    """An update of what can change, from PostgreSQL's JSON arrays of `table.changed`."""
    values = _from_json(table.changed, row)
    return ", ".join(f"{column.quoted} = {values[column.quoted]}" for column in table.changing)


def _set_from_row(table: Table, row: str) -> str:
    """An update of what can change, from SQLite's JSON arrays of whole rows."""
    return ", ".join(f"{c.quoted} = {row} ->> {table.place(c.name)}" for c in table.changing)


def _match(table: Table, row: str) -> str:
    """That a row of the table is the one that a JSON array of `table.changed` is about."""
    return " AND ".join(f"{table.name}.{c.quoted} = {row} ->> {n}" for n, c in enumerate(table.key))


_LISTS: Final[Mapping[str, Callable[[Table, str], str]]] = {
    "columns": lambda table, alias: _names(table.columns, alias),
    "shown": lambda table, alias: _names((c for c in table.columns if not c.secret), alias),
    "without_id": lambda table, alias: _names((c for c in table.columns if c.name != "id"), alias),
    "call": lambda table, alias: _names(_of_call(table), alias),
    "key": lambda table, alias: _names(table.key, alias),
    "parameters": lambda table, _: f"({', '.join('?' * len(table.columns))})",
    "upsert": _upsert,
    "names": lambda table, _: f"'{_text_in(table.columns)}'::JSONB",
    "key_names": lambda table, _: f"'{_text_in(table.key)}'::JSONB",
    "changed_names": lambda table, _: f"'{_text_in(table.changed)}'::JSONB",
    "from_json": lambda table, row: ", ".join(_from_json(table.columns, row).values()),
    "set_from_json": _set_from_json,
    "set_from_row": _set_from_row,
    "match": _match,
}


def filled(sql: str, tables: Mapping[str, Table] = BY_NAME) -> str:
    """SQL with every list that it names put in. Raises ValueError for one that there is none of."""

    def listed(found: re.Match[str]) -> str:
        table, form = tables.get(found["table"]), _LISTS.get(found["list"])
        if table is None or form is None:
            raise ValueError(f"there is no list {found[0]}")
        return form(table, found["alias"] or "")

    return _PLACEHOLDER.sub(listed, sql)
