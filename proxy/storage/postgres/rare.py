"""The parts of the batch functions that are about what few batches touch, made of descriptions alone.

What is loaded is asked as a JSON object of what each question asks, and comes as a list of the number of an
answer and its rows. What is written comes as `columns` and `rows` by table, and under `once_` or `gone_` and
that name where rows are added unless they are there, or deleted by their keys.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from proxy.ledger.books import Books
from proxy.ledger.kinds import KINDS, RowsOfKind
from proxy.storage.answers import ANSWERS, Answer
from proxy.storage.codecs import CODECS
from proxy.storage.placeholders import filled
from proxy.storage.queries import SqlValue
from proxy.storage.tables import PARTS, Column, Table

Sent = dict[str, dict[str, list[Any]]]
"""Rows and the names of their columns, by the name under which they are sent."""


def change_of_rare(books: Books) -> Sent:
    """What has changed of the kinds that were looked at; empty for nothing."""
    return {name: rows for of_kind in books.rare for name, rows in _changed(of_kind)}


def put_rare(books: Books, answers: Iterable[tuple[int, list[tuple[Any, ...]] | None]]) -> None:
    """Put what was answered, by the number of the answer, in the books."""
    for number, rows in answers:
        ANSWERS[number].put(books, rows or [])


def with_rare(template: str) -> str:
    """A text of the batch functions with the parts about what few batches touch."""
    parts = {"{rare.locks}": _locks(), "{rare.loads}": _loads(), "{rare.writes}": _writes()}
    for name, sql in parts.items():
        template = template.replace(name, sql.replace("\n", "\n        "))
    return template


def _changed(rows: RowsOfKind[Any, Any]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    codec = CODECS[rows.kind.name]
    table = codec.table
    if rows.gone:
        keys = sorted(key if isinstance(key, tuple) else (key,) for key in rows.gone)
        yield f"gone_{table.name}", _sent(table.key, keys)
    if rows.once:
        yield f"once_{table.name}", _sent(table.columns, map(codec.row, rows.once.values()))
    if rows.changed:
        yield table.name, _sent(table.columns, (codec.row(rows[key]) for key in sorted(rows.changed)))


def _sent(columns: Iterable[Column], rows: Iterable[tuple[SqlValue, ...]]) -> dict[str, list[Any]]:
    return {"columns": [column.name for column in columns], "rows": list(rows)}


def _from(answer: Answer) -> str:
    """The rows of an answer as a table `t`."""
    width = answer.question.width
    asked = ["n #>> '{}'"] if width == 1 else [f"n ->> {place}" for place in range(width)]
    columns = {column.name: column for column in answer.table.columns}
    match = " AND ".join(
        f"t.{columns[name].quoted} = {_cast(columns[name], value.format(*asked))}"
        for name, value in answer.match
    )
    of = f"jsonb_array_elements(_rare -> '{answer.question.name}') AS n"
    return f"FROM {of} JOIN {answer.table.name} AS t ON {match}"


def _cast(column: Column, value: str) -> str:
    return f"({value})::BIGINT" if column.kind == "integer" else f"({value})"


def _locks() -> str:
    locked = [answer for answer in ANSWERS if answer.locks]
    return "\n".join(
        f"IF _rare ? '{answer.question.name}' THEN\n"
        f"    PERFORM {_from(answer)} ORDER BY {filled(f'{{{answer.table.name}.key:t}}')} FOR UPDATE OF t;\n"
        "END IF;"
        for answer in locked
    )


def _loads() -> str:
    return "\n".join(
        f"IF _rare ? '{answer.question.name}' THEN\n"
        f"    rare := rare || json_build_array({number}, (\n"
        f"        SELECT json_agg(json_build_array({{{answer.table.name}.columns:t}})) {_from(answer)}\n"
        "    ));\n"
        "END IF;"
        for number, answer in enumerate(ANSWERS)
    )


def _writes() -> str:
    return "\n".join(part for kind in KINDS for part in _writes_of(CODECS[kind.name].table))


def _writes_of(table: Table) -> Iterator[str]:
    name = table.name
    parts = [
        f"DELETE FROM {part.name} AS p USING {_rows(f'gone_{name}')} "  # noqa: S608 - names of ours.
        f"WHERE {' AND '.join(f'p.{column.quoted} = r ->> {place}' for place, column in enumerate(own))};"
        for part in PARTS.get(table, ())
        for own in [part.key[: len(table.key)]]
    ]
    match = " AND ".join(
        f"t.{column.quoted} = {_cast(column, f'r ->> {place}')}" for place, column in enumerate(table.key)
    )
    gone = f"DELETE FROM {name} AS t USING {_rows(f'gone_{name}')} WHERE {match};"  # noqa: S608 - as above.
    yield _when(f"gone_{name}", f"{{{name}.key_names}}", [*parts, gone])
    conflict = f"ON CONFLICT ({{{name}.key}}) DO"
    yield _when(f"once_{name}", f"{{{name}.names}}", [_insert(table, f"once_{name}", f" {conflict} NOTHING")])
    upsert = f" {conflict} UPDATE SET {{{name}.upsert}}" if table.changing else ""
    yield _when(name, f"{{{name}.names}}", [_insert(table, name, upsert)])


def _when(name: str, columns: str, statements: Iterable[str]) -> str:
    body = "\n    ".join(statements)
    return (
        f"IF _rare ? '{name}' THEN\n"
        f"    ASSERT _rare #> '{{{name},columns}}' = {columns}, '{name} come with other columns';\n"
        f"    {body}\nEND IF;"
    )


def _insert(table: Table, sent: str, conflict: str) -> str:
    return (
        f"INSERT INTO {table.name} ({{{table.name}.columns}}) "  # noqa: S608 - as above.
        f"SELECT {{{table.name}.from_json:r}} FROM {_rows(sent)}{conflict};"
    )


def _rows(sent: str) -> str:
    return f"jsonb_array_elements(_rare #> '{{{sent},rows}}') AS r"
