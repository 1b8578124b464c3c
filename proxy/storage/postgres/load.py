"""What a batch needs from PostgreSQL: one question, and the books made of its answer."""

from typing import Any, Final

import msgspec

from proxy.ledger.books import Books, CommandRecord
from proxy.ledger.needs import Needs
from proxy.ledger.rows import Lot, Throttle
from proxy.ledger.spending import Bucket
from proxy.storage import columns

_Row = tuple[Any, ...]


class Loaded(msgspec.Struct, array_like=True):
    """The answer: how many batches this process has committed, and rows as they are in the tables.

    When the process was found `gone` there are no rows, and `batches` is None when its name is forgotten,
    too.
    """

    batches: int | None
    gone: bool
    accounts: list[_Row] | None = None
    keys: list[_Row] | None = None
    lots: list[_Row] | None = None
    buckets: list[_Row] | None = None
    throttles: list[_Row] | None = None
    commands: list[_Row] | None = None
    holds: list[_Row] | None = None
    open_holds: list[_Row] | None = None

    def books(self) -> Books:
        """Books with the rows."""
        books = Books()
        books.accounts = {row[0]: columns.account_of(row) for row in self.accounts or ()}
        books.keys = {row[0]: columns.key_of(row) for row in self.keys or ()}
        books.lots = {id_: {} for id_ in books.accounts}
        for row in self.lots or ():
            lot = Lot(*row)
            books.lots[lot.account_id][lot.id] = lot
        books.buckets = {(row[0], row[1], row[2]): Bucket(*row) for row in self.buckets or ()}
        books.throttles = {(row[0], row[1]): Throttle(*row) for row in self.throttles or ()}
        books.commands = {(row[0], row[1]): CommandRecord(*row) for row in self.commands or ()}
        for rows in (self.open_holds, self.holds):
            books.holds.update((row[0], columns.hold_of(row)) for row in rows or ())
        return books


loaded_of: Final = msgspec.json.Decoder(Loaded).decode
"""What `ledger_load` answers, from its text."""


def question(owner: str, needs: Needs) -> tuple[object, ...]:
    """The parameters of `ledger_load`, in the order of `functions`."""
    days, commands = list(needs.days), list(needs.commands)
    return (
        owner,
        list(needs.accounts),
        list(needs.keys),
        list(needs.holds),
        [scope_id for scope_id, _ in days],
        [day for _, day in days],
        [account_id for account_id, _ in commands],
        [command_id for _, command_id in commands],
        needs.latest_us,
    )
