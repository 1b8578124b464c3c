"""A database in memory: the real rules on the books of `MemoryStore`, committed as rows of tables."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, Literal

from msgspec.structs import astuple

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result
from proxy.ledger.needs import Needs, needs_of
from proxy.ledger.rows import Hold
from proxy.ledger.store import LedgerUnavailable, Store
from proxy.storage import columns
from proxy.storage.codecs import row_of
from proxy.storage.tables import BY_NAME
from tests.ledger.memory import MemoryStore
from tests.simulation.events import ALERTS
from tests.simulation.steps import Fault
from tests.storage.engines import Dump

Rule = Callable[[Books, Command], Result]
Row = tuple[Any, ...]
Defect = Literal[
    "keeps what broke off", "forgets who is gone", "forgets deadlines", "loses what was committed"
]
"""What a store may do wrong on purpose, to see whether it is found."""

PLACES: Final[dict[str, dict[str, int]]] = {
    "accounts": {"id": 0},
    "keys": {"account_id": 1},
    "key_digests": {"account_id": 1},
    "lots": {"account_id": 1},
    "buckets": {"account_id": 0},
    "throttles": {"account_id": 0},
    "holds": {"id": 0},
    "entries": {"account_id": 0, "seq": 1},
    "commands": {"account_id": 0, "command_id": 1},
    "receipts": {"id": 0, "account_id": 1},
    "objects": {"account_id": 0, "id": 1},
    "usage_days": {"account_id": 0, "day": 1},
    "counters": {"account_id": 0},
    "vouchers": {"digest": 0},
    "invoices": {"account_id": 0, "period": 1},
    "credit_notes": {"account_id": 0, "seq": 1},
    "receivers": {"account_id": 0, "id": 1},
    "voucher_claims": {"digest": 0, "account_id": 1},
    "memberships": {"account_id": 0},
    "events": {"account_id": 0, "at_us": 3},
    "top_ups": {"account_id": 0, "id": 1},
    "top_up_references": {"account_id": 2},
    "deliveries": {"account_id": 0},
    "levels": {"account_id": 0},
    "auto_top_ups": {"account_id": 0},
    "end_users": {"account_id": 0, "id": 1},
}
"""The columns that rows are looked up by, and where they stand. Rows are kept together by the first."""

_KEYS: Final = {name: len(table.key) for name, table in BY_NAME.items()} | {
    # Their ids are unique, and come first.
    **dict.fromkeys(("keys", "lots", "holds", "receipts"), 1)
}
"""How many columns lead a row as its key."""


class Tables:
    """Rows by table, by the column they are kept together by, and by key."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[object, dict[Row, Row]]] = {table: {} for table in PLACES}

    def put(self, table: str, rows: Iterable[Row]) -> None:
        home, length = next(iter(PLACES[table].values())), _KEYS[table]
        for row in rows:
            self._rows[table].setdefault(row[home], {})[row[:length]] = row

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Put the rows of which there is none with that key."""
        home, length = next(iter(PLACES[table].values())), _KEYS[table]
        for row in rows:
            self._rows[table].setdefault(row[home], {}).setdefault(row[:length], row)

    def drop(self, table: str, keys: Iterable[Row]) -> None:
        home = next(iter(PLACES[table].values()))
        for key in keys:
            self._rows[table][key[home]].pop(key, None)

    def at(self, table: str, home: object) -> Mapping[Row, Row]:
        return self._rows[table].get(home, {})

    def select(self, table: str, where: Mapping[str, Collection[object]]) -> list[Row]:
        (home, _), *others = PLACES[table].items()
        rows = [row for value in where[home] for row in self.at(table, value).values()]
        for column, place in others:
            if column in where:
                rows = [row for row in rows if row[place] in where[column]]
        return rows

    def dump(self) -> Dump:
        return {
            table: sorted((row for rows in homes.values() for row in rows.values()), key=repr)
            for table, homes in self._rows.items()
        }


class MemoryStage:
    """The books and tables that processes share. `carry_out` is the rules, `defect` a fault of the store."""

    def __init__(self, carry_out: Rule = rules.apply, defect: Defect | None = None) -> None:
        self.carry_out = carry_out
        self.defect = defect
        self.books = Books()
        self.closed: dict[str, Hold] = {}
        self.tables = Tables()
        self.alive: set[str] = set()
        self.fault: Fault | None = None

    def store(self) -> Store:
        return MemoryProcess(self)

    async def rows(self, table: str, where: Mapping[str, Collection[object]]) -> list[Row]:
        return self.tables.select(table, where)

    def dump(self) -> Dump:
        return self.tables.dump()

    def totals(self) -> list[Row] | None:
        return None

    def can_break(self, fault: Fault) -> bool:
        return fault != "in_rules"

    @contextmanager
    def broken(self, store: Store, fault: Fault) -> Iterator[None]:
        self.fault = fault
        try:
            yield
        finally:
            self.fault = None

    async def close(self) -> None:
        """Nothing has to be let go of."""

    def file(self, part: Books) -> None:
        """Keep what a batch has changed as rows."""
        put = self.tables.put
        put("accounts", (columns.account_row(part.accounts[id_]) for id_ in part.changed_accounts))
        put("keys", (columns.key_row(part.keys[id_]) for id_ in part.changed_keys))
        put("lots", (astuple(part.lots[account_id][id_]) for account_id, id_ in part.changed_lots))
        put("key_digests", (columns.key_digest_row(part, part.keys[id_]) for id_ in part.changed_keys))
        put("buckets", (columns.bucket_row(part, key) for key in part.changed_buckets))
        put("throttles", (columns.throttle_row(part, key) for key in part.changed_throttles))
        put("holds", (columns.hold_row(part.holds[id_]) for id_ in part.changed_holds))
        put("entries", map(columns.entry_row, part.new_entries))
        receipts = [(row, part.holds[row.call.id]) for row in part.new_receipts]
        put("receipts", (columns.receipt_row(row, hold) for row, hold in receipts))
        for account_id, event_id in part.events.gone:
            gone = [key for key in self.tables.at("deliveries", account_id) if key[1] == event_id]
            self.tables.drop("deliveries", gone)
        for rows in part.rare:
            name = rows.kind.name
            self.tables.drop(name, (key if isinstance(key, tuple) else (key,) for key in rows.gone))
            self.tables.add(name, map(row_of, rows.once.values()))
            put(name, (row_of(rows[key]) for key in rows.changed))
        put("usage_days", map(self._added, columns.usage_day_rows(receipts)))

    def _added(self, row: Row) -> Row:
        before = self.tables.at("usage_days", row[0]).get(row[:4], (0,) * 9)
        return (*row[:4], *(old + new for old, new in zip(before[4:], row[4:], strict=True)))


class MemoryProcess(MemoryStore):
    """One process's store on the shared books. Its owner name is the first that no living process has."""

    def __init__(self, stage: MemoryStage) -> None:
        super().__init__("")
        self._stage = stage
        self.books = stage.books
        self.alerts = ALERTS
        self._inherited: frozenset[str] = frozenset()

    async def open(self) -> None:
        names = (f"owner-{number}" for number in count())
        self._owner = next(name for name in names if name not in self._stage.alive)
        self._stage.alive.add(self._owner)
        mine = (hold for hold in self.books.holds.values() if hold.owner == self._owner)
        self._inherited = frozenset(hold.id for hold in mine if hold.state == "open")

    async def close(self) -> None:
        self._stage.alive.discard(self._owner)

    async def orphans(self, now_us: int) -> list[Hold]:
        alive, defect = self._stage.alive, self._stage.defect
        inherited = () if defect == "forgets who is gone" else self._inherited
        found = await super().orphans(2**62 if defect == "forgets deadlines" else now_us)
        return [
            hold
            for hold in found
            if hold.deadline_us is not None or hold.owner not in alive or hold.id in inherited
        ]

    def commit(self, commands: Sequence[Command]) -> list[Result]:
        stage = self._stage
        part = self._loaded(needs_of(commands))
        try:
            results = [stage.carry_out(part, command) for command in commands]
            part.add_up()
            if stage.fault == "at_commit":
                raise LedgerUnavailable("the commit fails")
        except BaseException:
            if stage.defect == "keeps what broke off":
                self._written(part)
            raise
        if stage.fault != "after_commit" or stage.defect != "loses what was committed":
            self._written(part)
        if stage.fault == "after_commit":
            raise LedgerUnavailable("the answer is lost")
        return results

    def _loaded(self, needs: Needs) -> Books:
        # Closed holds are set apart, so that a batch does not go through every call there ever was.
        closed = self._stage.closed
        self.books.holds |= {id_: closed[id_] for _, id_ in needs.holds if id_ in closed}
        return super()._loaded(needs)

    def _written(self, part: Books) -> None:
        super()._written(part)
        self._stage.file(part)
        over = [id_ for id_ in part.holds if self.books.holds[id_].state != "open"]
        self._stage.closed |= {id_: self.books.holds.pop(id_) for id_ in over}
