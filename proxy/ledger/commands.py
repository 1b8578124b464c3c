"""Commands to the ledger, and their results."""

from typing import Literal

import msgspec

from proxy.ledger.rows import (
    NEVER_US,
    UNLIMITED,
    Account,
    Call,
    Key,
    Limits,
    Observed,
    Outcome,
    ThrottleKind,
)
from proxy.pricing.charge import NO_CHARGE, Charge


class OpenAccount(msgspec.Struct, frozen=True, tag=True):
    """Open an account. Repeating it with the same id is a conflict."""

    account_id: str
    name: str
    at_us: int
    credit_limit_nano: int = 0
    limits: Limits = UNLIMITED


class ChangeAccount(msgspec.Struct, frozen=True, tag=True):
    """Change an account's name, status, credit limit or limits; None leaves a field alone."""

    account_id: str
    at_us: int
    name: str | None = None
    status: Literal["active", "suspended"] | None = None
    credit_limit_nano: int | None = None
    limits: Limits | None = None


class CreateKey(msgspec.Struct, frozen=True, tag=True):
    """Create a key from its digest; the secret itself never comes here."""

    account_id: str
    key_id: str
    name: str
    digest: str
    hint: str
    at_us: int
    expires_at_us: int = NEVER_US
    models: tuple[str, ...] = ()
    limits: Limits = UNLIMITED


class ChangeKey(msgspec.Struct, frozen=True, tag=True):
    """Change a key's name, status, expiry, models or limits; None leaves a field alone."""

    account_id: str
    key_id: str
    at_us: int
    name: str | None = None
    status: Literal["active", "disabled"] | None = None
    expires_at_us: int | None = None
    models: tuple[str, ...] | None = None
    limits: Limits | None = None


class Grant(msgspec.Struct, frozen=True, tag=True):
    """Put credit in: debt is repaid first, a lot holds the rest. `command_id` makes a repeat harmless."""

    account_id: str
    command_id: str
    lot_id: str
    amount_nano: int
    at_us: int
    kind: str = "grant"
    priority: int = 50
    expires_at_us: int = NEVER_US
    note: str = ""


class Adjust(msgspec.Struct, frozen=True, tag=True):
    """An operator's correction: a positive amount is a lot, a negative one draws, never below the floor."""

    account_id: str
    command_id: str
    lot_id: str
    amount_nano: int
    reason: str
    at_us: int


class Authorize(msgspec.Struct, frozen=True, tag=True):
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


class Observe(msgspec.Struct, frozen=True, tag=True):
    """Note what a call in flight has used so far."""

    hold_id: str
    account_id: str
    observed: Observed


class Extend(msgspec.Struct, frozen=True, tag=True):
    """Hold `amount_nano` more for a call in flight, all or nothing, from funds and the hold's own windows."""

    call: Call
    authorized_at_us: int
    at_us: int
    amount_nano: int
    defaults: Limits = UNLIMITED


class Settle(msgspec.Struct, frozen=True, tag=True):
    """Close a hold with a charge. `authorized_at_us` is when the hold was made: it names the buckets."""

    call: Call
    authorized_at_us: int
    at_us: int
    outcome: Outcome
    charge: Charge = NO_CHARGE


class Void(msgspec.Struct, frozen=True, tag=True):
    """Close a hold without a charge; the usage row says why."""

    call: Call
    authorized_at_us: int
    at_us: int
    outcome: Outcome


class Recover(msgspec.Struct, frozen=True, tag=True):
    """Close a hold whose process is gone: what was observed is charged."""

    call: Call
    authorized_at_us: int
    at_us: int


class Sweep(msgspec.Struct, frozen=True, tag=True):
    """Expire an account's due lots now rather than at its next call."""

    account_id: str
    at_us: int


Command = (
    OpenAccount
    | ChangeAccount
    | CreateKey
    | ChangeKey
    | Grant
    | Adjust
    | Authorize
    | Observe
    | Extend
    | Settle
    | Void
    | Recover
    | Sweep
)


class Done(msgspec.Struct, frozen=True):
    """A command was carried out; `replayed` when an earlier one with its id had done it already.

    `account` and `key` are the rows after it where the command is about one.
    """

    account: Account | None = None
    key: Key | None = None
    replayed: bool = False


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
