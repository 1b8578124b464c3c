"""The rows that a batch must have loaded before its rules run: each command adds those its rule reads."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

import msgspec

from proxy.ledger import kinds
from proxy.ledger.end_user_rows import NEWCOMERS
from proxy.ledger.kinds import Question, RowKey
from proxy.ledger.rows import NEVER_US, Call, Object
from proxy.ledger.windows import DAY_US, starts_of_day
from proxy.pricing.charge import Charge
from proxy.pricing.counting import counter_keys

_K = TypeVar("_K")


class Needs(msgspec.Struct):
    """The rows that a batch must have loaded before its rules run.

    With `accounts` come their lots that have something left, and the open holds of each account whose
    `next_expiry_us` is not after `latest_us`, the latest instant at which the batch looks for due lots.
    `days` are those on which the spending of an account or key moves, see `Books.ended`, each with the
    account; with them come the throttles of that account or key. A hold is needed whatever its account is: a
    call's id belongs to one account only. `rare` has what is asked by each question that any command asks.

    Many calls of a batch share a key and a day. `calls` has account, key and day of each once, from which
    `needs_of` works out the rest at the end.
    """

    accounts: set[str] = msgspec.field(default_factory=set)
    keys: set[RowKey] = msgspec.field(default_factory=set)
    holds: set[RowKey] = msgspec.field(default_factory=set)
    days: set[tuple[str, str, int]] = msgspec.field(default_factory=set)
    latest_us: int = 0
    calls: set[tuple[str, str, int]] = msgspec.field(default_factory=set)
    first_lapse_us: int = NEVER_US
    rare: dict[str, set[Any]] = msgspec.field(default_factory=dict)

    @property
    def scopes(self) -> set[RowKey]:
        """The accounts and keys whose spending moves."""
        return {(account_id, scope_id) for account_id, scope_id, _ in self.days}

    def add(self, question: Question[_K], *asked: _K) -> None:
        """Ask for rows that few batches touch: by their keys, or by what the question says."""
        if asked:
            self.rare.setdefault(question.name, set()).update(asked)

    def add_call(self, call: Call, authorized_at_us: int, at_us: int) -> None:
        """Add a call's hold, account and key, their spending on the day it was authorized, and due lots."""
        self.holds.add((call.account_id, call.id))
        self.calls.add((call.account_id, call.key_id, authorized_at_us // DAY_US))
        if at_us > self.latest_us:
            self.latest_us = at_us
        if call.counts_user:
            of_account = call.account_id
            self.add(kinds.END_USER, (of_account, call.end_user), (of_account, NEWCOMERS))

    def add_hold(self, account_id: str, hold_id: str) -> None:
        """Add a hold alone, and its account."""
        self.accounts.add(account_id)
        self.holds.add((account_id, hold_id))

    def add_objects(self, objects: Iterable[Object]) -> None:
        """Add what is known already under the ids of objects."""
        self.add(kinds.OBJECT, *((each.account_id, each.id) for each in objects))

    def add_counters(self, account_id: str, charge: Charge, authorized_at_us: int) -> None:
        """Add what the tiers of a charge count in the windows of the day on which its call was authorized."""
        first_days = dict(starts_of_day(authorized_at_us // DAY_US))
        self.add(kinds.COUNTER, *((account_id, *key) for key in counter_keys(charge, first_days)))

    def add_lots(self, account_id: str, at_us: int) -> None:
        """Add an account and its due lots."""
        self.accounts.add(account_id)
        self.latest_us = max(self.latest_us, at_us)

    def add_grant(self, expires_at_us: int) -> None:
        """Add a lot that the batch itself makes, or puts something in that may have nothing left."""
        self.first_lapse_us = min(self.first_lapse_us, expires_at_us)


class Command(Protocol):
    """The part of a command that is needed here."""

    def add_needs(self, needs: Needs) -> None:
        """Add the rows that the command's rule reads."""
        ...


def needs_of(commands: Iterable[Command]) -> Needs:
    """What a batch needs."""
    needs = Needs()
    for command in commands:
        command.add_needs(needs)
    if needs.first_lapse_us <= needs.latest_us:
        # An account does not know before the batch of a lot that is granted and falls due within it.
        needs.latest_us = NEVER_US
    for account_id, key_id, day in needs.calls:
        needs.accounts.add(account_id)
        needs.keys.add((account_id, key_id))
        needs.days.update(((account_id, account_id, day), (account_id, key_id, day)))
    return needs
