"""What a batch loads from PostgreSQL: the parameters of one call, and books made of its answer."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from proxy.ledger.books import Books
from proxy.ledger.needs import Needs
from proxy.ledger.rows import Lot
from proxy.storage import columns
from proxy.storage.postgres.rare import put_rare

_Row = tuple[Any, ...]


class Loaded(msgspec.Struct, array_like=True):
    """The answer: how many batches this process has committed, and rows as the tables have them.

    When the process was found `gone` there are no rows; `batches` is None when its name is forgotten too.
    """

    batches: int | None
    gone: bool
    accounts: list[_Row] | None = None
    keys: list[_Row] | None = None
    lots: list[_Row] | None = None
    buckets: list[_Row] | None = None
    throttles: list[_Row] | None = None
    holds: list[_Row] | None = None
    open_holds: list[_Row] | None = None
    rare: list[tuple[int, list[_Row] | None]] | None = None

    def books(self) -> Books:
        """Books with the rows."""
        books = Books()
        books.accounts = {row[0]: columns.account_of(row) for row in self.accounts or ()}
        books.keys = {row[0]: columns.key_of(row) for row in self.keys or ()}
        books.lots = {id_: {} for id_ in books.accounts}
        for row in self.lots or ():
            lot = Lot(*row)
            books.lots[lot.account_id][lot.id] = lot
        books.buckets = {row[1:4]: columns.bucket_of(row) for row in self.buckets or ()}
        books.throttles = {row[1:3]: columns.throttle_of(row) for row in self.throttles or ()}
        if self.rare is not None:
            put_rare(books, self.rare)
        for rows in (self.open_holds, self.holds):
            books.holds.update((row[0], columns.hold_of(row)) for row in rows or ())
        return books


loaded_of: Final = msgspec.json.Decoder(Loaded).decode
"""What `ledger_load` answers, from its text."""


def question(owner: str, needs: Needs) -> tuple[object, ...]:
    """The parameters of `ledger_load`, in the order of the arguments in `functions`."""
    return (
        owner,
        list(needs.accounts),
        *_turned(needs.keys, 2),
        [hold_id for _, hold_id in needs.holds],
        *_turned(needs.days, 3),
        needs.latest_us,
        columns.text(needs.rare) if needs.rare else None,
    )


def _turned(rows: Collection[tuple[object, ...]], width: int) -> list[list[object]]:
    """A list for each column of some rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
