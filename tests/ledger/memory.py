"""A store that keeps its books in memory, for tests of what needs no disk. It runs the real rules."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import asdict, astuple

from proxy.ledger import kinds, rules
from proxy.ledger.alerts import SILENT, Alerts
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result
from proxy.ledger.needs import Needs, needs_of
from proxy.ledger.rows import Account, Caller, Hold, Key, Object
from proxy.ledger.spending import Bucket, EndedBucket
from proxy.ledger.store import Row
from proxy.storage.columns import account_id_of

_NO_JOB: Row = dict.fromkeys(("amount_nano", "held_at_us", "call", "observed", "deadline_us"))


def _runs(hold: Hold) -> bool:
    """Whether a hold is that of a job which has not ended."""
    return hold.state == "open" and hold.deadline_us is not None


def _job_columns(hold: Hold) -> Row:
    return {
        "amount_nano": hold.amount_nano,
        "held_at_us": hold.created_at_us,
        "call": msgspec.json.encode(astuple(hold.call)[3:]).decode(),
        "observed": None if hold.observed is None else msgspec.json.encode(hold.observed).decode(),
        "deadline_us": hold.deadline_us,
    }


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
        self.alerts: Alerts = SILENT
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

    async def caller_by_digest(self, digest: str) -> Caller | None:
        key = next((key for key in self.books.keys.values() if key.digest == digest), None)
        return Caller(key, self.books.accounts[key.account_id].group) if key else None

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        if name == "object_by_id":
            made = self.books.objects.get((str(params["account_id"]), str(params["id"])))
            is_there = made is not None and made.expires_at_us > int(str(params["now_us"]))
            return [self._object_row(made)] if made is not None and is_there else []
        if name == "objects_due":
            expired_us, made_us = int(str(params["expired_us"])), int(str(params["made_us"]))
            due = [
                made
                for made in self.books.objects.values()
                if made.expires_at_us <= expired_us or made.created_at_us < made_us
            ]
            kept = [made for made in due if not self._is_open(made.call_id)]
            return [asdict(made) for made in kept[: int(str(params["limit"]))]]
        if name == "running_jobs":
            calls = {made.call_id: made for made in self.books.objects.values()}
            running = [hold for _, hold in sorted(self.books.holds.items()) if _runs(hold)]
            after, limit = str(params["after"]), int(str(params["limit"]))
            return [self._job_row(hold, calls.get(hold.id)) for hold in running if hold.id > after][:limit]
        if name == "memberships_due":
            now_us, skipped = int(str(params["now_us"])), int(str(params["skipped"]))
            members = [each for each in self.books.memberships.values() if each.due_us <= now_us]
            members.sort(key=lambda each: (each.due_us, each.account_id))
            page = members[skipped : skipped + int(str(params["limit"]))]
            return [{"account_id": each.account_id, "group": each.group} for each in page]
        if name != "account_by_id":
            raise KeyError(name, params)
        account = self.books.accounts.get(str(params["account_id"]))
        return [{**asdict(account), "available_nano": account.available_nano}] if account else []

    async def close(self) -> None:
        """Nothing has to be let go of."""

    def _is_open(self, call_id: str) -> bool:
        hold = self.books.holds.get(call_id)
        return hold is not None and hold.state == "open"

    def _object_row(self, made: Object) -> Row:
        hold = self.books.holds.get(made.call_id)
        return {**asdict(made), **(_job_columns(hold) if hold is not None and _runs(hold) else _NO_JOB)}

    def _job_row(self, hold: Hold, made: Object | None) -> Row:
        object_ = asdict(made) if made is not None else dict.fromkeys(Object.__struct_fields__)
        ids: Row = {"call_id": hold.id, "account_id": hold.account_id, "key_id": hold.key_id}
        return {**object_, **ids, **_job_columns(hold)}

    def _loaded(self, needs: Needs) -> Books:
        mine, part = self.books, Books()
        part.alerts = self.alerts
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
        named = needs.rare.get(kinds.NAMED_LOT.name, ())
        part.lots = {
            id_: {
                lot.id: lot
                for lot in mine.lots.get(id_, {}).values()
                if lot.remaining_nano or (id_, lot.id) in named
            }
            for id_ in needs.accounts
        }
        self._load_rare(needs, part)
        return part

    def _load_rare(self, needs: Needs, part: Books) -> None:
        mine, asked = self.books, needs.rare
        for key in asked.get(kinds.ENDED_BUCKET.name, ()):
            bucket = mine.buckets.get(key[1:])
            if bucket is not None and account_id_of(mine, bucket.scope_id) == key[0]:
                part.ended_buckets[key] = EndedBucket(key[0], *astuple(bucket))
        for kind in kinds.KINDS:
            found: dict[Any, Any] = getattr(mine, kind.member)
            getattr(part, kind.member).update(
                {key: found[key] for key in asked.get(kind.name, ()) if key in found}
            )
        records = [(record.account_id, record.seq) for record in part.commands.values()]
        wanted = {*records, *asked.get(kinds.ENTRY.name, ())}
        calls = asked.get(kinds.REFUND.name, ())
        if wanted or calls:
            for entry in mine.new_entries:
                key = (entry.account_id, entry.seq)
                if key in wanted or (entry.kind == "refund" and (entry.account_id, entry.ref) in calls):
                    part.entries[key] = entry
        accounts = asked.get(kinds.PENDING_TOP_UP.name, ())
        pending = (each for id_ in accounts for each in mine.pending(id_))
        part.top_ups.update({(each.account_id, each.id): each for each in pending})
        for account_id in asked.get(kinds.NEWEST_INVOICE.name, ()):
            issued = [each for each in mine.invoices.values() if each.account_id == account_id]
            for each in sorted(issued, key=lambda each: each.last_seq)[-1:]:
                part.invoices[each.account_id, each.period, each.part] = each
        owners = asked.get(kinds.RECEIVERS_OF.name, ())
        of_owners = {key: each for key, each in mine.receivers.items() if key[0] in owners}
        part.receivers.update(of_owners)
        newest = asked.get(kinds.NEWEST_CREDIT_NOTE.name, ())
        since = asked.get(kinds.CREDIT_NOTES_FROM.name, ())
        for note in mine.credit_notes.values():
            from_there = any(note.account_id == id_ and note.seq >= seq for id_, seq in since)
            # All of them are loaded where the newest is asked for: that has the highest serial.
            if from_there or note.account_id in newest:
                part.credit_notes[note.account_id, note.seq] = note

    def _written(self, part: Books) -> None:
        mine = self.books
        mine.accounts |= {id_: part.accounts[id_] for id_ in part.changed_accounts}
        mine.keys |= {id_: part.keys[id_] for id_ in part.changed_keys}
        mine.holds |= {id_: part.holds[id_] for id_ in part.changed_holds}
        mine.buckets |= {key: part.buckets[key] for key in part.changed_buckets}
        mine.throttles |= {key: part.throttles[key] for key in part.changed_throttles}
        for account_id, lot_id in part.changed_lots:
            mine.lots.setdefault(account_id, {})[lot_id] = part.lots[account_id][lot_id]
        for of_event in part.events.gone:
            for each in [each for each in mine.deliveries if each[:2] == of_event]:
                del mine.deliveries[each]
        for gone in part.ended_buckets.gone:
            mine.buckets.pop(gone[1:], None)
        for rows in part.rare:
            kept: dict[Any, Any] = getattr(mine, rows.kind.member)
            for key in rows.gone:
                kept.pop(key, None)
            for key, row in rows.once.items():
                kept.setdefault(key, row)
            kept.update({key: rows[key] for key in rows.changed})
        mine.new_entries += part.new_entries
        mine.new_receipts += part.new_receipts

    def snapshot(self) -> tuple[object, ...]:
        """All rows as they are, to be compared with a later snapshot; rows themselves never change."""
        mine = self.books
        rare = (getattr(mine, kind.member) for kind in kinds.KINDS if kind is not kinds.ENTRY)
        tables = (mine.accounts, mine.keys, mine.holds, mine.buckets, mine.throttles, *rare)
        lots = {account_id: dict(lots) for account_id, lots in mine.lots.items()}
        return (*(dict(table) for table in tables), lots, tuple(mine.new_entries), tuple(mine.new_receipts))
