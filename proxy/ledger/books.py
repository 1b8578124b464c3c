"""The books: the rows a batch of commands works on, and what it changes in them."""

from collections.abc import Iterable

import msgspec

from proxy.ledger.model import (
    NEVER_US,
    WINDOWS,
    Account,
    Adjust,
    Authorize,
    Bucket,
    ChangeKey,
    Command,
    CreateKey,
    Entry,
    Extend,
    Grant,
    Hold,
    Key,
    Lot,
    Observe,
    Recover,
    Settle,
    Throttle,
    ThrottleKind,
    UsageRow,
    Void,
    Window,
)
from proxy.ledger.windows import DAY_US, starts_of_day

BucketKey = tuple[str, Window, int]
ThrottleKey = tuple[str, ThrottleKind]
CommandKey = tuple[str, str]


class CommandRecord(msgspec.Struct, frozen=True):
    """That a command with an id of its caller's was carried out, and the digest of what it said."""

    account_id: str
    command_id: str
    digest: str
    at_us: int


class Needs(msgspec.Struct):
    """The rows that a batch must have loaded before the rules run.

    `latest_us` is the latest instant at which it looks for lots that are due.
    """

    accounts: set[str] = msgspec.field(default_factory=set)
    keys: set[str] = msgspec.field(default_factory=set)
    holds: set[str] = msgspec.field(default_factory=set)
    buckets: set[BucketKey] = msgspec.field(default_factory=set)
    throttles: set[str] = msgspec.field(default_factory=set)
    commands: set[CommandKey] = msgspec.field(default_factory=set)
    latest_us: int = 0


def needs_of(commands: Iterable[Command]) -> Needs:
    """What a batch needs: every lot with something left of its accounts comes with them.

    For each account whose `next_expiry_us` is not after `latest_us`, its open holds are needed as well.
    """
    needs = Needs()
    # Many calls of a batch share a key and a day: what these need is worked out once for all of them.
    spending: set[tuple[str, str, int]] = set()
    first_lapse_us = NEVER_US
    for command in commands:
        match command:
            case (
                Authorize(call=call, at_us=at_us)
                | Settle(call=call, authorized_at_us=at_us)
                | Void(call=call, authorized_at_us=at_us)
                | Extend(call=call, authorized_at_us=at_us)
                | Recover(call=call, authorized_at_us=at_us)
            ):
                needs.holds.add(call.id)
                spending.add((call.account_id, call.key_id, at_us // DAY_US))
            case Observe(hold_id=hold_id, account_id=account_id):
                needs.accounts.add(account_id)
                needs.holds.add(hold_id)
            case (
                CreateKey(account_id=account_id, key_id=key_id)
                | ChangeKey(account_id=account_id, key_id=key_id)
            ):
                needs.accounts.add(account_id)
                needs.keys.add(key_id)
            case (
                Grant(account_id=account_id, command_id=command_id)
                | Adjust(account_id=account_id, command_id=command_id)
            ):
                needs.accounts.add(account_id)
                needs.commands.add((account_id, command_id))
                if isinstance(command, Grant):
                    first_lapse_us = min(first_lapse_us, command.expires_at_us)
            case _:
                needs.accounts.add(command.account_id)
        if not isinstance(command, Observe) and command.at_us > needs.latest_us:
            needs.latest_us = command.at_us
    if first_lapse_us <= needs.latest_us:
        # A lot that is granted and falls due in one batch is not among those that an account knows of before.
        needs.latest_us = NEVER_US
    for account_id, key_id, day in spending:
        needs.accounts.add(account_id)
        needs.keys.add(key_id)
        needs.throttles.update((account_id, key_id))
        first_days = starts_of_day(day)
        needs.buckets.update(
            (scope, *first_day) for scope in (account_id, key_id) for first_day in first_days
        )
    return needs


class Books:
    """Rows by id as loaded, replaced by the rules as they go; `put` also notes that a row changed.

    A store fills the dictionaries, runs the rules, and writes what the `changed_*` members hold. A row the
    store has not found is absent; a new one is simply put. `buckets` has what moved within the batch once
    `changed_buckets` was asked for; rules look at a `bucket`, which has it at once.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.holds: dict[str, Hold] = {}
        self.buckets: dict[BucketKey, Bucket] = {}
        self.throttles: dict[ThrottleKey, Throttle] = {}
        self.lots: dict[str, dict[str, Lot]] = {}
        self.commands: dict[CommandKey, CommandRecord] = {}
        self.changed_accounts: set[str] = set()
        self.changed_keys: set[str] = set()
        self.changed_holds: set[str] = set()
        self.changed_throttles: set[ThrottleKey] = set()
        self.changed_lots: set[tuple[str, str]] = set()
        self.new_commands: list[CommandRecord] = []
        self.new_entries: list[Entry] = []
        self.new_usage: list[UsageRow] = []
        # A batch moves the same few buckets over and over, so that it is summed by day and scope first.
        self._moves: dict[int, dict[str, tuple[int, int]]] = {}
        self._changed_buckets: set[BucketKey] = set()

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
        self.lots.setdefault(lot.account_id, {})[lot.id] = lot
        self.changed_lots.add((lot.account_id, lot.id))

    @property
    def changed_buckets(self) -> set[BucketKey]:
        """The buckets that are not as loaded, once all that moved has been added to them."""
        for day, moves in self._moves.items():
            for window, start_day in starts_of_day(day):
                for scope_id, (spent_nano, held_nano) in moves.items():
                    key = (scope_id, window, start_day)
                    old = self.buckets.get(key) or Bucket(*key)
                    self.buckets[key] = Bucket(*key, old.spent_nano + spent_nano, old.held_nano + held_nano)
                    self._changed_buckets.add(key)
        self._moves.clear()
        return self._changed_buckets

    def bucket(self, scope_id: str, window: Window, start_day: int) -> Bucket:
        """A bucket with all that moved, empty when there is none yet."""
        bucket = self.buckets.get((scope_id, window, start_day)) or Bucket(scope_id, window, start_day)
        spent_nano, held_nano = bucket.spent_nano, bucket.held_nano
        for day, moves in self._moves.items():
            if scope_id in moves and (window, start_day) in starts_of_day(day):
                spent, held = moves[scope_id]
                spent_nano, held_nano = spent_nano + spent, held_nano + held
        return Bucket(scope_id, window, start_day, spent_nano, held_nano)

    def move(self, scope_ids: Iterable[str], at_us: int, *, spent_nano: int = 0, held_nano: int = 0) -> None:
        """Add to what is spent and held in each window of `at_us`, in the buckets of each of the scopes."""
        if not spent_nano and not held_nano:
            return
        moves = self._moves.setdefault(at_us // DAY_US, {})
        for scope_id in scope_ids:
            spent, held = moves.get(scope_id, (0, 0))
            moves[scope_id] = (spent + spent_nano, held + held_nano)

    def throttle(self, scope_id: str, kind: ThrottleKind, at_us: int) -> Throttle:
        """A throttle, empty when there is none yet."""
        return self.throttles.get((scope_id, kind)) or Throttle(scope_id, kind, 0, at_us)

    def put_throttle(self, throttle: Throttle) -> None:
        """Replace or add a throttle."""
        key = (throttle.scope_id, throttle.kind)
        self.throttles[key] = throttle
        self.changed_throttles.add(key)

    def put_command(self, record: CommandRecord) -> None:
        """Note that a command was carried out."""
        self.commands[record.account_id, record.command_id] = record
        self.new_commands.append(record)

    def open_holds(self, account_id: str) -> list[Hold]:
        """The open holds of an account among the rows loaded."""
        return [
            hold for hold in self.holds.values() if hold.account_id == account_id and hold.state == "open"
        ]


__all__ = ["WINDOWS", "Books", "BucketKey", "CommandRecord", "Needs", "needs_of"]
