"""What a batch must have loaded before its rules run: each command adds what its own rule reads."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from proxy.ledger.rows import NEVER_US, Call
from proxy.ledger.windows import DAY_US

CommandKey = tuple[str, str]
"""An account, and the id that its caller gave a command."""


class Needs(msgspec.Struct):
    """The rows that a batch must have loaded before the rules run.

    Every lot with something left of `accounts` comes with them, and for each account whose `next_expiry_us`
    is not after `latest_us` its open holds. `days` are those on which the spending of an account or key
    moves, see `Books.ended`; their throttles come with them. `latest_us` is the latest instant at which the
    batch looks for lots that are due.

    Many calls of a batch share a key and a day: `calls` has account, key and day of each once, and what these
    need is worked out at the end.
    """

    accounts: set[str] = msgspec.field(default_factory=set)
    keys: set[str] = msgspec.field(default_factory=set)
    holds: set[str] = msgspec.field(default_factory=set)
    days: set[tuple[str, int]] = msgspec.field(default_factory=set)
    commands: set[CommandKey] = msgspec.field(default_factory=set)
    latest_us: int = 0
    calls: set[tuple[str, str, int]] = msgspec.field(default_factory=set)
    first_lapse_us: int = NEVER_US

    @property
    def scopes(self) -> set[str]:
        """The accounts and keys that anything moves for."""
        return {scope_id for scope_id, _ in self.days}

    def add_call(self, call: Call, authorized_at_us: int, at_us: int) -> None:
        """A call's hold, account and key, what they spend on the day of its authorization, and due lots."""
        self.holds.add(call.id)
        self.calls.add((call.account_id, call.key_id, authorized_at_us // DAY_US))
        if at_us > self.latest_us:  # noqa: PLR1730 - every call passes here, and `max` takes half as long as all.
            self.latest_us = at_us

    def add_hold(self, account_id: str, hold_id: str) -> None:
        """A hold alone, and the account that it is of."""
        self.accounts.add(account_id)
        self.holds.add(hold_id)

    def add_lots(self, account_id: str, at_us: int) -> None:
        """An account, of which lots may be due."""
        self.accounts.add(account_id)
        self.latest_us = max(self.latest_us, at_us)

    def add_grant(self, expires_at_us: int) -> None:
        """A lot that the batch itself makes."""
        self.first_lapse_us = min(self.first_lapse_us, expires_at_us)


class Command(Protocol):
    """What there is to know of a command here."""

    def add_needs(self, needs: Needs) -> None:
        """Add the rows that the command's rule reads."""
        ...


def needs_of(commands: Iterable[Command]) -> Needs:
    """What a batch needs."""
    needs = Needs()
    for command in commands:
        command.add_needs(needs)
    if needs.first_lapse_us <= needs.latest_us:
        # A lot that is granted and falls due in one batch is not among those that an account knows of before.
        needs.latest_us = NEVER_US
    for account_id, key_id, day in needs.calls:
        needs.accounts.add(account_id)
        needs.keys.add(key_id)
        needs.days.update(((account_id, day), (key_id, day)))
    return needs
