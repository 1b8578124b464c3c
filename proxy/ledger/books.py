"""The books: the rows that a batch of commands works on, and what it changes in them."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from proxy.ledger import kinds
from proxy.ledger.alerts import SILENT, Alerts
from proxy.ledger.command_record import CommandRecord
from proxy.ledger.events import EVENT_TYPES, Event, event_id
from proxy.ledger.kinds import RowsOfKind
from proxy.ledger.needs import Needs
from proxy.ledger.rows import (
    Account,
    Entry,
    Hold,
    Key,
    Lot,
    Receipt,
    Throttle,
    ThrottleKind,
)
from proxy.ledger.spending import NOTHING_SPENT, Bucket, Spending
from proxy.ledger.top_up_rows import TopUp
from proxy.ledger.windows import DAY_US, Window, starts_of_day

BucketKey = tuple[str, Window, int]
ThrottleKey = tuple[str, ThrottleKind]
_encode: Final = msgspec.json.Encoder().encode


class Books:
    """Rows by id as loaded, which the rules replace. `put_*` also remembers that a row changed.

    A store fills the dictionaries, runs the rules, adds up what moved and writes the rows that the
    `changed_*` members name, and those of `rare` that have changed. A row that the store has not found is
    absent; a new one is put. `buckets` are of windows that have ended. `alerts` tell which events are put.
    `rare` has the rows of each kind that was looked at, of those that few batches touch.
    """

    ended_buckets = kinds.ENDED_BUCKET
    commands = kinds.COMMAND
    entries = kinds.ENTRY
    objects = kinds.OBJECT
    memberships = kinds.MEMBERSHIP
    vouchers = kinds.VOUCHER
    claims = kinds.CLAIM
    counters = kinds.COUNTER
    events = kinds.EVENT
    deliveries = kinds.DELIVERY
    receivers = kinds.RECEIVER
    top_ups = kinds.TOP_UP
    references = kinds.REFERENCE
    auto_top_ups = kinds.AUTO_TOP_UP
    invoices = kinds.INVOICE
    credit_notes = kinds.CREDIT_NOTE
    levels = kinds.LEVEL
    end_users = kinds.END_USER

    def __init__(self) -> None:
        self.alerts: Alerts = SILENT
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.holds: dict[str, Hold] = {}
        self.buckets: dict[BucketKey, Bucket] = {}
        self.throttles: dict[ThrottleKey, Throttle] = {}
        self.lots: dict[str, dict[str, Lot]] = {}
        self.changed_accounts: set[str] = set()
        self.changed_keys: set[str] = set()
        self.changed_holds: set[str] = set()
        self.changed_buckets: set[BucketKey] = set()
        self.changed_throttles: set[ThrottleKey] = set()
        self.changed_lots: set[tuple[str, str]] = set()
        self.new_entries: list[Entry] = []
        self.new_receipts: list[Receipt] = []
        self.rare: list[RowsOfKind[Any, Any]] = []
        self._place = 0
        # A batch moves the same few windows many times, so that moves are summed by day and scope first.
        self._moves: dict[int, dict[str, tuple[int, int]]] = {}

    def put_account(self, account: Account) -> None:
        """Replace or add an account."""
        self.accounts[account.id] = account
        self.changed_accounts.add(account.id)

    def put_key(self, key: Key) -> None:
        """Replace or add a key."""
        self.keys[key.id] = key
        self.changed_keys.add(key.id)

    def put_hold(self, hold: Hold) -> None:
        """Replace or add a hold."""
        self.holds[hold.id] = hold
        self.changed_holds.add(hold.id)

    def put_lot(self, lot: Lot) -> None:
        """Replace or add a lot."""
        assert 0 <= lot.remaining_nano <= lot.amount_nano, lot
        account_id = lot.account_id
        if account_id not in self.lots:
            self.lots[account_id] = {}
        self.lots[account_id][lot.id] = lot
        self.changed_lots.add((account_id, lot.id))

    def begin(self) -> None:
        """Begin with another command."""
        self._place = 0

    def put_event(self, account_id: str, type_: str, cause: str, at_us: int, **data: object) -> None:
        """Add an event, unless there was one of this type and cause before, or none are recorded.

        `data` has the members of the type, see `EVENT_TYPES`, but for the account's id. `cause` is the
        same whenever the event would be the same, and no other event of the account and type has it.
        """
        if not self.alerts.records:
            return
        assert data.keys() == EVENT_TYPES[type_].members.keys(), (type_, data)
        id_ = event_id(account_id, type_, cause)
        text = _encode({"account_id": account_id, **data}).decode()
        self._place += 1
        event = Event(account_id, id_, type_, at_us, self._place, text)
        self.events.add(event)

    def drop_event(self, event: Event) -> None:
        """Delete an event that is there. Its deliveries go with it, also those that were not loaded."""
        self.events.drop(event)
        for each in [each for each in self.deliveries if each[:2] == (event.account_id, event.id)]:
            del self.deliveries[each]
            self.deliveries.changed.discard(each)

    def pending(self, account_id: str) -> list[TopUp]:
        """The pending top-ups of an account among the rows loaded."""
        return [
            each
            for each in self.top_ups.values()
            if each.account_id == account_id and each.state == "pending"
        ]

    def ended(self, needs: Needs) -> list[BucketKey]:
        """The buckets that a batch needs: of windows before those that its accounts and keys have loaded."""
        keys: list[BucketKey] = []
        for _, scope_id, day in needs.days:
            spending = self._spending(scope_id)
            if day < spending.day:
                keys += ((scope_id, *window) for window in spending.others_of(day))
        return keys

    def bucket(self, scope_id: str, window: Window, start_day: int) -> Bucket:
        """What an account or key has spent and holds in a window, with what the batch has moved."""
        sums = self._spending(scope_id).sums_of(window, start_day)
        if sums is None:
            ended = self.buckets.get((scope_id, window, start_day))
            sums = (ended.spent_nano, ended.held_nano) if ended else (0, 0)
        spent_nano, held_nano = sums
        for day, moves in self._moves.items():
            if scope_id in moves and (window, start_day) in starts_of_day(day):
                spent, held = moves[scope_id]
                spent_nano, held_nano = spent_nano + spent, held_nano + held
        return Bucket(scope_id, window, start_day, spent_nano, held_nano)

    def move(self, scope_ids: Iterable[str], at_us: int, *, spent_nano: int = 0, held_nano: int = 0) -> None:
        """Add to what each of the accounts and keys has spent and holds in the windows of `at_us`."""
        if not spent_nano and not held_nano:
            return
        day = at_us // DAY_US
        if day not in self._moves:
            self._moves[day] = {}
        moves = self._moves[day]
        for scope_id in scope_ids:
            spent, held = moves.get(scope_id, (0, 0))
            moves[scope_id] = (spent + spent_nano, held + held_nano)

    def add_up(self) -> None:
        """Add what moved to its account or key, or to buckets that have ended.

        Commands leave the same rows in one batch as in several: a window in which anything moved stays, also
        with nothing left in it.
        """
        for day, moves in sorted(self._moves.items()):
            for scope_id, (spent_nano, held_nano) in moves.items():
                self._add(scope_id, day, spent_nano, held_nano)
        self._moves.clear()

    def throttle(self, scope_id: str, kind: ThrottleKind, at_us: int) -> Throttle:
        """A throttle, empty when there is none yet."""
        return self.throttles.get((scope_id, kind)) or Throttle(scope_id, kind, 0, at_us)

    def put_throttle(self, throttle: Throttle) -> None:
        """Replace or add a throttle."""
        key = (throttle.scope_id, throttle.kind)
        self.throttles[key] = throttle
        self.changed_throttles.add(key)

    def put_command(self, record: CommandRecord, entry: Entry) -> None:
        """Add a command that was carried out, and its entry."""
        self.commands.put(record)
        self.entries[entry.account_id, entry.seq] = entry

    def entry(self, account_id: str, seq: int) -> Entry | None:
        """An entry that a command of the batch asks for, or that the batch has made."""
        entry = self.entries.get((account_id, seq))
        if entry is None:
            made = (each for each in self.new_entries if (each.account_id, each.seq) == (account_id, seq))
            entry = next(made, None)
        return entry

    def refunded_nano(self, account_id: str, call_id: str) -> int:
        """What a call was refunded so far."""
        about = (account_id, "refund", call_id)
        found = (each for each in self.entries.values() if (each.account_id, each.kind, each.ref) == about)
        return sum(each.amount_nano for each in found)

    def forget_rare(self) -> None:
        """Forget the rows of every kind that few batches touch, and what has changed of them."""
        for rows in self.rare:
            delattr(self, rows.kind.member)
        self.rare.clear()

    def open_holds(self, account_id: str) -> list[Hold]:
        """The open holds of an account among the rows loaded."""
        return [
            hold for hold in self.holds.values() if hold.account_id == account_id and hold.state == "open"
        ]

    def _spending(self, scope_id: str) -> Spending:
        owner = self.accounts.get(scope_id) or self.keys.get(scope_id)
        return owner.spending if owner else NOTHING_SPENT

    def _add(self, scope_id: str, day: int, spent_nano: int, held_nano: int) -> None:
        spending = self._spending(scope_id)
        if day > spending.day:
            for bucket in spending.ended_by(scope_id, day):
                self._put_bucket(bucket)
            spending = spending.moved_to(day)
        elif day < spending.day:
            for window in spending.others_of(day):
                old = self.buckets.get((scope_id, *window)) or Bucket(scope_id, *window)
                spent, held = old.spent_nano + spent_nano, old.held_nano + held_nano
                self._put_bucket(Bucket(scope_id, *window, spent, held))
        spending = spending.plus(day, spent_nano, held_nano)
        if account := self.accounts.get(scope_id):
            self.put_account(replace(account, spending=spending))
        else:
            self.put_key(replace(self.keys[scope_id], spending=spending))

    def _put_bucket(self, bucket: Bucket) -> None:
        key = (bucket.scope_id, bucket.window, bucket.start_day)
        self.buckets[key] = bucket
        self.changed_buckets.add(key)
