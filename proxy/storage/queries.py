"""SQL as named, described text: how files of it are read, and how a statement takes many rows at once.

A query begins with `-- name: its_name`, then its description in comments, then one statement. It names lists
of columns as `placeholders` says.
"""

import asyncio
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from proxy.ledger.store import Row
from proxy.storage.placeholders import filled

FOLDER: Final = Path(__file__).parent
PORTABLE_READS: Final = (
    *("portable/accounts.sql", "portable/usage.sql", "portable/admin.sql"),
    "portable/objects.sql",
    "portable/events.sql",
    "portable/invoices.sql",
    "portable/levels.sql",
)
"""The named reads that are the same in every engine."""

ROWS_IN_A_STEP: Final = 200
SqlValue = str | int | None

_HEADING: Final = re.compile(r"-- name: *(?P<name>\S*) *\n(?P<about>(?:-- .*\n)*)(?P<sql>[^;]*);?\s*\Z")
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]+)")
_ROW: Final = re.compile(r"\(\?(?:, \?)*\)")
_SIZES: Final = (128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
_MOST: Final = _SIZES[0]
_FITTING: Final = tuple(next((size for size in _SIZES if size <= left), 0) for left in range(_MOST + 1))
"""The largest size for each number of rows that are left."""


class Query(msgspec.Struct, frozen=True):
    """One named statement. `params` are the names of its named parameters."""

    name: str
    description: str
    sql: str
    params: frozenset[str]


def load(*files: str) -> dict[str, Query]:
    """The queries of files, each by its path below this folder, by name.

    Raises ValueError for one without a valid name, description or statement, or with a name that is taken.
    """
    queries: dict[str, Query] = {}
    for file in files:
        for query in parse(filled((FOLDER / file).read_text("utf-8")), file):
            if query.name in queries:
                raise ValueError(f"{file}: there are two queries named {query.name}")
            queries[query.name] = query
    return queries


def parse(text: str, source: str) -> Iterator[Query]:
    """The queries in a text, in order; `source` is named in the message of a ValueError."""
    for part in re.split(r"(?=^-- name:)", text, flags=re.MULTILINE)[1:]:
        found = _HEADING.match(part)
        if not found or not found["name"].isidentifier():
            raise ValueError(f"{source}: not one named statement: {part.strip()[:60]!r}")
        about = " ".join(line.removeprefix("-- ") for line in found["about"].splitlines())
        sql = found["sql"].strip()
        if not about or not sql:
            raise ValueError(f"{source}: {found['name']} has no description or no statement")
        yield Query(found["name"], about, sql, frozenset(_PARAMETER.findall(sql)))


class Rows:
    """A statement with one `VALUES (?, ...)`, for any number of rows.

    For each row of an `executemany` the driver releases the interpreter lock and takes it back, which costs
    more than the row itself while the event loop is busy. One statement for up to 128 rows does so once. Few
    texts, each prepared once, serve every number of rows: at most four of them for up to 128 rows.

    The last `nulls` columns are NULL in every row and have no parameters: to bind one takes the driver as
    long as eight other values.
    """

    def __init__(self, sql: str, *, nulls: int = 0) -> None:
        found = _ROW.search(sql)
        if not found:
            raise ValueError(f"no row of parameters in {sql!r}")
        head, tail = sql[: found.start()], sql[found.end() :]
        self.width = found[0].count("?") - nulls
        row = f"({', '.join([*'?' * self.width, *['NULL'] * nulls])})"
        self._texts = {size: head + ", ".join([row] * size) + tail for size in _SIZES}

    def run(self, connection: sqlite3.Connection, values: Sequence[SqlValue]) -> None:
        """Execute for the rows whose values follow one another in `values`, which may be empty."""
        start, left = 0, len(values) // self.width
        while left:
            size = _FITTING[min(left, _MOST)]
            end = start + size * self.width
            connection.execute(self._texts[size], values[start:end])
            start, left = end, left - size


async def rows_of(found: list[Any]) -> list[Row]:
    """What a driver has found, as rows: of many some at a time, so that other work goes on in between.

    The list is empty afterwards: to let go of thousands of rows at once would be one long step.
    """
    rows: list[Row] = []
    found.reverse()
    while found:
        rows.append(dict(found.pop()))
        if len(rows) % ROWS_IN_A_STEP == 0:
            await asyncio.sleep(0)
    return rows
