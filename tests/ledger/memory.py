"""A store that keeps its books in memory, for tests of what needs no disk. It runs the real rules."""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec.structs import asdict

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result
from proxy.ledger.needs import Needs, needs_of
from proxy.ledger.rows import Account, Hold, Key
from proxy.ledger.spending import Bucket
from proxy.ledger.store import Row


def buckets_in(books: Books) -> list[Bucket]:
    """Every bucket of some books, whether its window has ended or not."""
    owners: list[Account | Key] = [*books.accounts.values(), *books.keys.values()]
    latest = [bucket for owner in owners for bucket in owner.spending.buckets(owner.id)]
    return [*books.buckets.values(), *latest]


class MemoryStore:
    """A `Store` in memory.

    Each batch gets only the rows that `needs_of` names, as from an engine that loads no others, so that a
    rule that looks at a row its command does not name is found out.
    """

    def __init__(self, owner: str = "test") -> None:
        self.books = Books()
        self._owner = owner

    @property
    def owner(self) -> str:
        return self._owner

    async def open(self) -> None:
        """Nothing has to be connected."""

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        return self.commit(commands)

    def commit(self, commands: Sequence[Command]) -> list[Result]:
        """Carry out a batch on a loaded part of the books, then write back what has changed."""
        part = self._loaded(needs_of(commands))
        results = [rules.apply(part, command) for command in commands]
        part.add_up()
        self._written(part)
        return results

    async def probe(self) -> None:
        """Memory is always there."""

    async def loss(self) -> str:
        """Memory stays."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def orphans(self, now_us: int) -> list[Hold]:
        """Every process but this one is gone, and this one has begun just now."""
        return [
            hold
            for hold in self.books.holds.values()
            if hold.state == "open" and (hold.deadline_us is None or hold.deadline_us <= now_us)
        ]

    async def take_lease(self, name: str, seconds: float) -> bool:
        """No other process is there."""
        return True

    async def key_by_digest(self, digest: str) -> Key | None:
        return next((key for key in self.books.keys.values() if key.digest == digest), None)

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        if name != "account_by_id":
            raise KeyError(name, params)
        account = self.books.accounts.get(str(params["account_id"]))
        return [{**asdict(account), "available_nano": account.available_nano}] if account else []

    async def close(self) -> None:
        """Nothing has to be let go of."""

    def _loaded(self, needs: Needs) -> Books:
        mine, part = self.books, Books()
        part.accounts = {id_: mine.accounts[id_] for id_ in needs.accounts if id_ in mine.accounts}
        part.keys = {id_: mine.keys[id_] for _, id_ in needs.keys if id_ in mine.keys}
        due = {a.id for a in part.accounts.values() if a.next_expiry_us <= needs.latest_us}
        wanted = {id_ for _, id_ in needs.holds}
        part.holds = {
            hold.id: hold
            for hold in mine.holds.values()
            if hold.id in wanted or (hold.account_id in due and hold.state == "open")
        }
        part.buckets = {key: mine.buckets[key] for key in part.ended(needs) if key in mine.buckets}
        scopes = {scope_id for _, scope_id in needs.scopes}
        part.throttles = {key: row for key, row in mine.throttles.items() if key[0] in scopes}
        part.commands = {key: mine.commands[key] for key in needs.commands if key in mine.commands}
        part.entries = {
            (record.account_id, record.seq): mine.entries[record.account_id, record.seq]
            for record in part.commands.values()
        }
        part.objects = {key: mine.objects[key] for key in needs.objects if key in mine.objects}
        part.lots = {
            id_: {lot.id: lot for lot in mine.lots.get(id_, {}).values() if lot.remaining_nano}
            for id_ in needs.accounts
        }
        return part

    def _written(self, part: Books) -> None:
        mine = self.books
        mine.accounts |= {id_: part.accounts[id_] for id_ in part.changed_accounts}
        mine.keys |= {id_: part.keys[id_] for id_ in part.changed_keys}
        mine.holds |= {id_: part.holds[id_] for id_ in part.changed_holds}
        mine.buckets |= {key: part.buckets[key] for key in part.changed_buckets}
        mine.throttles |= {key: part.throttles[key] for key in part.changed_throttles}
        for account_id, lot_id in part.changed_lots:
            mine.lots.setdefault(account_id, {})[lot_id] = part.lots[account_id][lot_id]
        mine.commands |= {(record.account_id, record.command_id): record for record in part.new_commands}
        mine.entries |= part.entries
        mine.objects |= {key: part.objects[key] for key in part.changed_objects}
        mine.new_entries += part.new_entries
        mine.new_receipts += part.new_receipts

    def snapshot(self) -> tuple[object, ...]:
        """All rows as they are, to be compared with a later snapshot; rows themselves never change."""
        mine = self.books
        tables = (
            *(mine.accounts, mine.keys, mine.holds, mine.buckets),
            *(mine.throttles, mine.commands, mine.objects),
        )
        lots = {account_id: dict(lots) for account_id, lots in mine.lots.items()}
        return (*(dict(table) for table in tables), lots, tuple(mine.new_entries), tuple(mine.new_receipts))
