"""What commands to the ledger come to."""

import msgspec

from proxy.ledger.end_user_rows import EndUser
from proxy.ledger.events import Receiver
from proxy.ledger.invoice_rows import CreditNote, Invoice
from proxy.ledger.rows import Account, Claim, Entry, Key, Membership, ThrottleKind, Voucher
from proxy.ledger.top_up_rows import AutoTopUp, TopUp
from proxy.pricing.charge import Charge


class Done(msgspec.Struct, frozen=True):
    """A command was carried out; `replayed` when an earlier one with its id had done it already.

    `account` and `key` are the rows after it, where the command is about one. `entry` is the one that
    a command with an id of its caller's made, a replayed one included. `voucher` and `claim` are
    those of a command about a voucher, `membership` is that of one about a group, `top_up` that of one about
    a top-up. `invoice` is the one of its account, period and part, `credit_note` that of its refund.
    `receiver` is the one that a command about it has left, or deleted, `end_user` that of one about it.
    """

    account: Account | None = None
    key: Key | None = None
    replayed: bool = False
    entry: Entry | None = None
    voucher: Voucher | None = None
    claim: Claim | None = None
    membership: Membership | None = None
    top_up: TopUp | None = None
    auto_top_up: AutoTopUp | None = None
    invoice: Invoice | None = None
    credit_note: CreditNote | None = None
    receiver: Receiver | None = None
    end_user: EndUser | None = None


class RateStatus(msgspec.Struct, frozen=True):
    """What is left of one rate limit after this call. In `reset_us` it is whole again."""

    kind: ThrottleKind
    limit: int
    remaining: int
    reset_us: int


class Granted(msgspec.Struct, frozen=True):
    """A hold was made, and leaves `available_nano`. `rate_statuses` has the tightest of each kind."""

    hold_nano: int
    available_nano: int
    rate_statuses: tuple[RateStatus, ...] = ()


class Regrouped(msgspec.Struct, frozen=True):
    """No hold was made: the account is in this `group` now, and a call of it has other prices and limits.

    Where it `counts_user`, the limits are of end users, and the call has to count to those of its own.
    """

    group: str
    counts_user: bool = False


class Settled(msgspec.Struct, frozen=True):
    """A hold was closed. `charged_nano + shortfall_nano` is the charge's total.

    Of what was charged, `owed_nano` is debt now: hold and funds did not cover it. `charge` is what the one
    of the command came to where that depends on what was used before; None for any other.
    """

    charged_nano: int
    shortfall_nano: int
    balance_nano: int
    available_nano: int
    replayed: bool = False
    owed_nano: int = 0
    charge: Charge | None = None


class Recorded(msgspec.Struct, frozen=True):
    """Usage was recorded, now or when it was told of first: `call_id` is that of its receipt."""

    call_id: str
    settled: Settled


class Refused(msgspec.Struct, frozen=True):
    """A command changed nothing. `code` is one of `errors.CODES`; the figures decided it.

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


Result = Done | Granted | Regrouped | Settled | Recorded | Refused
