"""Commands to the ledger, and their results.

A command says here what it needs loaded; a function of `rules` says that it carries the command out. Nothing
else lists commands.
"""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from proxy.ledger.needs import Needs
from proxy.ledger.rows import (
    NEVER_US,
    UNLIMITED,
    Account,
    Call,
    Entry,
    Key,
    Limits,
    Observed,
    Outcome,
    ThrottleKind,
)
from proxy.pricing.charge import NO_CHARGE, Charge


class Command(msgspec.Struct, frozen=True, tag=True):
    """What every command is. Commands are the classes below that nothing is derived from, see `COMMANDS`."""

    def add_needs(self, needs: Needs) -> None:
        """Add the rows that its rule reads."""
        raise NotImplementedError


class OfAccount(Command, frozen=True):
    """A command of the administration. Its result shows the whole account."""

    account_id: str

    def add_needs(self, needs: Needs) -> None:
        """Add the account."""
        needs.accounts.add(self.account_id)


class OpenAccount(OfAccount, frozen=True):
    """Open an account. Repeating it with the same id is a conflict."""

    name: str
    at_us: int
    credit_limit_nano: int = 0
    limits: Limits = UNLIMITED


class ChangeAccount(OfAccount, frozen=True):
    """Change an account's name, status, credit limit or limits; None leaves a field alone."""

    at_us: int
    name: str | None = None
    status: Literal["active", "suspended"] | None = None
    credit_limit_nano: int | None = None
    limits: Limits | None = None

    def add_needs(self, needs: Needs) -> None:
        """Add the account, and its due lots, which no credit limit counts on."""
        needs.add_lots(self.account_id, self.at_us)


class CreateKey(OfAccount, frozen=True):
    """Create a key from its digest; the secret itself never comes here."""

    key_id: str
    name: str
    digest: str
    hint: str
    at_us: int
    expires_at_us: int = NEVER_US
    models: tuple[str, ...] = ()
    limits: Limits = UNLIMITED

    def add_needs(self, needs: Needs) -> None:
        """Add the account, and the key there may be."""
        needs.accounts.add(self.account_id)
        needs.keys.add(self.key_id)


class ChangeKey(OfAccount, frozen=True):
    """Change a key's name, status, expiry, models or limits; None leaves a field alone."""

    key_id: str
    at_us: int
    name: str | None = None
    status: Literal["active", "disabled"] | None = None
    expires_at_us: int | None = None
    models: tuple[str, ...] | None = None
    limits: Limits | None = None

    def add_needs(self, needs: Needs) -> None:
        """Add the account and the key."""
        needs.accounts.add(self.account_id)
        needs.keys.add(self.key_id)


class Grant(OfAccount, frozen=True):
    """Put credit in: debt is repaid first, a lot holds the rest. `command_id` makes a repeat harmless."""

    command_id: str
    lot_id: str
    amount_nano: int
    at_us: int
    kind: str = "grant"
    priority: int = 50
    expires_at_us: int = NEVER_US
    note: str = ""

    def add_needs(self, needs: Needs) -> None:
        """Add the account, what was done under the command's id, and the lot that it makes."""
        needs.add_lots(self.account_id, self.at_us)
        needs.commands.add((self.account_id, self.command_id))
        needs.add_grant(self.expires_at_us)


class Adjust(OfAccount, frozen=True):
    """An operator's correction: a positive amount is a lot, a negative one draws, never below the floor."""

    command_id: str
    lot_id: str
    amount_nano: int
    reason: str
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account, its due lots, and what was done under the command's id."""
        needs.add_lots(self.account_id, self.at_us)
        needs.commands.add((self.account_id, self.command_id))


class Sweep(OfAccount, frozen=True):
    """Expire an account's due lots now rather than at its next call."""

    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account and its due lots."""
        needs.add_lots(self.account_id, self.at_us)


class Authorize(Command, frozen=True):
    """Hold up to `ceiling_nano` for a call, at least `floor_nano`, or refuse.

    With `floor_nano == ceiling_nano` it is all or nothing. `tokens` is the ceiling in tokens, for the
    token rate limits. `defaults` are the limits of accounts that set none of their own.
    """

    call: Call
    ceiling_nano: int
    floor_nano: int
    tokens: int
    at_us: int
    owner: str
    defaults: Limits = UNLIMITED

    def add_needs(self, needs: Needs) -> None:
        """Add all that decides about a call of now."""
        needs.add_call(self.call, self.at_us, self.at_us)


class Observe(Command, frozen=True):
    """Note what a call in flight has used so far."""

    hold_id: str
    account_id: str
    observed: Observed

    def add_needs(self, needs: Needs) -> None:
        """Add the hold."""
        needs.add_hold(self.account_id, self.hold_id)


class Reroute(Command, frozen=True):
    """Note that a call goes to another upstream: the same call, but for `upstream` and `upstream_model`."""

    call: Call

    def add_needs(self, needs: Needs) -> None:
        """Add the hold."""
        needs.add_hold(self.call.account_id, self.call.id)


class OfHold(Command, frozen=True):
    """A command about a hold. `authorized_at_us` is when the hold was made: it names the buckets."""

    call: Call
    authorized_at_us: int
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add all that a call moves that was authorized then."""
        needs.add_call(self.call, self.authorized_at_us, self.at_us)


class Extend(OfHold, frozen=True):
    """Hold `amount_nano` more for a call in flight, all or nothing, from funds and the hold's own windows."""

    amount_nano: int
    defaults: Limits = UNLIMITED


class Detach(OfHold, frozen=True):
    """Let a hold outlive its process: until `deadline_us` nobody recovers it, and from then on anybody does.

    To detach it again is to move the deadline.
    """

    deadline_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the hold."""
        needs.add_hold(self.call.account_id, self.call.id)


class Close(OfHold, frozen=True):
    """A command that closes a hold, and so must not get lost."""


class Settle(Close, frozen=True):
    """Close a hold with a charge."""

    outcome: Outcome
    charge: Charge = NO_CHARGE


class Void(Close, frozen=True):
    """Close a hold without a charge; the receipt says why."""

    outcome: Outcome


class Recover(Close, frozen=True):
    """Close a hold whose process is gone, or whose deadline has passed: what was observed is charged."""


def _leaves(kind: type[Command]) -> Iterator[type[Command]]:
    for derived in kind.__subclasses__():
        yield from _leaves(derived) if derived.__subclasses__() else (derived,)


COMMANDS: Final[tuple[type[Command], ...]] = tuple(_leaves(Command))
"""Every command, in the order of this module."""


class Done(msgspec.Struct, frozen=True):
    """A command was carried out; `replayed` when an earlier one with its id had done it already.

    `account` and `key` are the rows after it where the command is about one; `entry` is the one that a grant
    or an adjustment made just now.
    """

    account: Account | None = None
    key: Key | None = None
    replayed: bool = False
    entry: Entry | None = None


class RateStatus(msgspec.Struct, frozen=True):
    """Where a caller stands with one rate limit, after this call. `reset_us` is until it is whole again."""

    kind: ThrottleKind
    limit: int
    remaining: int
    reset_us: int


class Granted(msgspec.Struct, frozen=True):
    """A hold was made; `available_nano` is left beside it. `rate_statuses` are the tightest of each kind."""

    hold_nano: int
    available_nano: int
    rate_statuses: tuple[RateStatus, ...] = ()


class Settled(msgspec.Struct, frozen=True):
    """A hold was closed. `charged_nano + shortfall_nano` is the charge's total."""

    charged_nano: int
    shortfall_nano: int
    balance_nano: int
    available_nano: int
    replayed: bool = False


class Refused(msgspec.Struct, frozen=True):
    """A command changed nothing. `code` is one of `errors.CODES`; the figures are those that decided it.

    `limit_source` is `balance`, or scope and window such as `account_day`, `key_total`, `key_rpm`.
    """

    code: str
    message: str
    limit_source: str | None = None
    limit_nano: int | None = None
    spent_nano: int | None = None
    held_nano: int | None = None
    required_nano: int | None = None
    available_nano: int | None = None
    resets_at_us: int | None = None
    retry_after_us: int | None = None
    rate_statuses: tuple[RateStatus, ...] = ()


Result = Done | Granted | Settled | Refused
