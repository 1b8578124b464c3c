"""The rows of the ledger, and their parts. All are frozen; a changed row is a new value."""

from fnmatch import fnmatchcase
from typing import Final, Literal

import msgspec

from proxy.ledger.end_user_rows import EndUserTerms
from proxy.ledger.membership import Membership as Membership  # noqa: PLC0414 - with all other rows.
from proxy.ledger.spending import NOTHING_SPENT, Spending
from proxy.ledger.windows import Window
from proxy.metering.usage import Basis, Inference
from proxy.money import MAX_NANO
from proxy.pricing.charge import Charge
from proxy.pricing.rates import Term
from proxy.pricing.tiers import NO_VOLUME, Volume

NEVER_US: Final = 2**62
"""An expiry that never comes."""
NO_LIMIT: Final = MAX_NANO
"""Explicitly no limit. A limit that is not set leaves the default in force instead."""

NO_THRESHOLD: Final = MAX_NANO
"""Explicitly no threshold. One that is not set leaves the default in force instead."""

HoldState = Literal["open", "settled", "voided", "expired"]
ThrottleKind = Literal["requests", "tokens"]
KeyBilling = Literal["", "manage", "read"]
"""What a key may do about its account's money; empty is what follows from its limits."""
OnShortfall = Literal["forgive", "owe"]
"""What becomes of a charge that neither the hold nor the funds cover: it is let go, or it is debt."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits of an account or a key. None: not set, the default applies. NO_LIMIT: none at all.

    The spending limits are nano-USD for each window, `rpm` and `tpm` are requests and tokens a minute,
    `concurrency` is calls at once. `own_day_nano` is a spending limit for a day that an account has set for
    itself: whichever of the two is lower holds. `end_users` are the terms of each of its end users.
    """

    day_nano: int | None = None
    week_nano: int | None = None
    month_nano: int | None = None
    total_nano: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    own_day_nano: int | None = None
    end_users: EndUserTerms | None = None

    def window_nano(self, window: Window) -> int | None:
        """The spending limit for one window."""
        value: int | None = getattr(self, f"{window}_nano")
        if window == "day" and self.own_day_nano is not None:
            return self.own_day_nano if value is None else min(value, self.own_day_nano)
        return value

    def over(self, defaults: "Limits") -> "Limits":
        """These limits, with `defaults` where one is not set."""
        names = Limits.__struct_fields__
        mine = {name: getattr(self, name) for name in names}
        if self.end_users is not None:
            mine["end_users"] = self.end_users.over(defaults.end_users)
        return Limits(**{n: getattr(defaults, n) if value is None else value for n, value in mine.items()})


UNLIMITED: Final = Limits()


class AlertRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an account wants to be told of. None: not set, the default applies.

    `balance_low_nano` is what funds fall to, NO_THRESHOLD for no such alert. `limit_percents` are the parts
    of spending limits that are told when they are spent: they ascend, and may be none.
    """

    balance_low_nano: int | None = None
    limit_percents: tuple[int, ...] | None = None


NO_RULES: Final = AlertRules()


class Account(msgspec.Struct, frozen=True):
    """Who is billed. `uncommitted = balance - held - debt + credit_limit` never falls below zero.

    `entries` counts the account's entries, `open_holds` its calls in flight; `next_expiry_us` is the
    earliest expiry of a lot with something left. `debt_nano` is what was drawn of the credit limit, and
    `owed_nano` what calls cost beyond all funds, where that is not forgiven. `group` is empty for none.
    """

    id: str
    name: str
    created_at_us: int
    status: Literal["active", "suspended"] = "active"
    balance_nano: int = 0
    held_nano: int = 0
    debt_nano: int = 0
    credit_limit_nano: int = 0
    open_holds: int = 0
    entries: int = 0
    next_expiry_us: int = NEVER_US
    limits: Limits = UNLIMITED
    spending: Spending = NOTHING_SPENT
    owed_nano: int = 0
    group: str = ""
    alerts: AlertRules = NO_RULES

    @property
    def uncommitted_nano(self) -> int:
        """The funds that no call in flight was promised."""
        return self.balance_nano - self.held_nano - self.debt_nano + self.credit_limit_nano

    @property
    def available_nano(self) -> int:
        """What new calls may hold: what is owed is kept from them. It is below zero where more is owed."""
        # This is `uncommitted_nano` without what is owed. Every call reads it several times.
        return self.balance_nano - self.held_nano - self.debt_nano + self.credit_limit_nano - self.owed_nano

    @property
    def whole_debt_nano(self) -> int:
        """All that the next grants repay."""
        return self.debt_nano + self.owed_nano


class Key(msgspec.Struct, frozen=True):
    """A bearer credential: `digest` is the SHA-256 of the secret in hex, `hint` its last characters.

    `models` are globs of allowed public models; empty allows all. `billing` says whether it may decide about
    its account's money.
    """

    id: str
    account_id: str
    name: str
    digest: str
    hint: str
    created_at_us: int
    status: Literal["active", "disabled"] = "active"
    expires_at_us: int = NEVER_US
    models: tuple[str, ...] = ()
    limits: Limits = UNLIMITED
    open_holds: int = 0
    spending: Spending = NOTHING_SPENT
    billing: KeyBilling = ""

    @property
    def manages_billing(self) -> bool:
        """Whether it may decide about its account's money.

        Unless that is said, one may that is not limited itself: others were given to somebody.
        """
        return self.billing == "manage" or (not self.billing and self.limits == UNLIMITED and not self.models)

    def may_use(self, model: str) -> bool:
        """Whether the key may call a model; what is of no model, it may."""
        return not self.models or not model or any(fnmatchcase(model, glob) for glob in self.models)


class Caller(msgspec.Struct, frozen=True):
    """A key, and the group of its account as it was read with it.

    It `counts_users` where the ledger has said that limits of end users are in force for it.
    """

    key: Key
    group: str = ""
    counts_users: bool = False


class Lot(msgspec.Struct, frozen=True):
    """What a grant leaves to draw. Draw order: priority, earliest expiry, oldest, id.

    `kind` says where it comes from: `purchase`, `bonus`, `grant`, `voucher`, `renewal`, `plan`, `adjust`,
    `refund`, or a word of the operator's own.
    """

    id: str
    account_id: str
    kind: str
    amount_nano: int
    remaining_nano: int
    priority: int
    granted_at_us: int
    expires_at_us: int = NEVER_US


class Voucher(msgspec.Struct, frozen=True):
    """A code that puts credit in: `digest` is the SHA-256 of the code in hex. It is no account's.

    It can be redeemed for so many `uses`, once by an account, until it expires. What it puts in is of `kind`,
    and lasts `days` from then on; 0 is for ever.
    """

    digest: str
    id: str
    label: str
    kind: str
    amount_nano: int
    uses: int
    days: int
    created_at_us: int
    expires_at_us: int = NEVER_US
    used: int = 0


class Claim(msgspec.Struct, frozen=True):
    """That an account may have what a voucher puts in. The grant that follows is a command of its own."""

    digest: str
    account_id: str
    at_us: int


class Throttle(msgspec.Struct, frozen=True):
    """A leaky bucket for one rate limit of an account or key: full at the limit, empty a minute later.

    `level` is in units times 60,000,000, so that a limit of N a minute drains exactly N for each microsecond.
    """

    scope_id: str
    kind: ThrottleKind
    level: int
    at_us: int


class Call(msgspec.Struct, frozen=True):
    """What is known of a call when it is authorized; the hold and the receipt repeat it.

    `end_user` is whom the account made the call for, in its own words, and `metadata` what it wrote beside it
    for itself: a JSON object of texts. `run_id` is the run that it is billed with. All are empty where it
    does not say. While it is in flight it `counts_user`, if it counts to what its end user may spend.
    """

    id: str
    account_id: str
    key_id: str
    endpoint: str
    model: str
    upstream: str
    upstream_model: str
    stream: bool
    started_at_us: int
    end_user: str = ""
    metadata: str = ""
    run_id: str = ""
    counts_user: bool = False


class Hold(msgspec.Struct, frozen=True):
    """Funds set aside for one call; `id` is the call's. `tokens` is what its token rate limits were charged.

    `observed` is what the call has used so far, for recovery after a crash. `owner` is the process that made
    the hold. Without a `deadline_us` the hold is an orphan once that process is gone; a detached hold has a
    deadline, and is an orphan from then on, whether the process lives or not.

    The hold of usage that was only recorded was never open: it is of nothing, and nobody's.
    """

    id: str
    account_id: str
    key_id: str
    amount_nano: int
    tokens: int
    state: HoldState
    created_at_us: int
    owner: str
    call: Call
    observed: "Observed | None" = None
    deadline_us: int | None = None


class Observed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call in flight had used at its last checkpoint, and what that costs.

    `rates` are the terms of the card of a job of which only its end tells what it used. The call counts to
    `quota`, empty for none.
    """

    usage: dict[str, int]
    charge: Charge
    rates: tuple[Term, ...] = ()
    quota: str = ""


class Object(msgspec.Struct, frozen=True):
    """What an upstream made for an account, and knows by `id`: a response, a video. It belongs to its call.

    Usage that was told of from outside is one as well, by which it is known when it is told of again.

    `seen` is the JSON of what the upstream said of it last, in a few short members. From `expires_at_us` on
    there is no such object; one that was deleted has expired.
    """

    account_id: str
    id: str
    kind: str
    upstream: str
    key_id: str
    call_id: str
    model: str
    created_at_us: int
    seen: str
    expires_at_us: int = NEVER_US


class Counter(msgspec.Struct, frozen=True):
    """What an account has used in a window, by the name of what counts it: prices depend on that.

    `start_day` is in days since 1970-01-01, 0 for total. `volume` is what volume tiers need as well.
    """

    account_id: str
    name: str
    window: Window
    start_day: int
    quantity: int
    volume: Volume = NO_VOLUME


class Draw(msgspec.Struct, frozen=True, array_like=True):
    """What one entry put in a lot or, if negative, drew from it. A lot's draws sum to what remains of it."""

    lot_id: str
    amount_nano: int


EntryKind = Literal["grant", "charge", "expire", "adjust", "void", "refund", "fee"]


class Entry(msgspec.Struct, frozen=True):
    """One immutable ledger line. `ref` is the id of the command, call or lot that it is about.

    A call's refund is positive and refers to the call, a lot's is negative and refers to the lot.

    The sum of an account's `amount_nano` is `balance - debt`, and `balance_after - debt_after` on its last.
    """

    account_id: str
    seq: int
    kind: EntryKind
    amount_nano: int
    balance_after_nano: int
    debt_after_nano: int
    ref: str
    at_us: int
    draws: tuple[Draw, ...] = ()
    note: str = ""


class Attempt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One try at one target, which is named by its upstream, and how long it was waited for.

    `status` is what it answered, None when no answer came.
    """

    target: str
    status: int | None
    duration_us: int


class Outcome(msgspec.Struct, frozen=True):
    """How a call ended: `outcome` names the row of the charge table, `status` is the status of the reply.

    `usage` is by meter. `anomalies` counts the fields of the upstream's usage that had to be corrected.
    `attempts` are those at the targets of its route, in order; nobody knows them after a crash.
    `inferred` has the meters of the usage whose figures the upstream did not give, and how each was found.
    """

    outcome: str
    status: int
    basis: Basis
    usage: dict[str, int]
    ended_at_us: int
    first_byte_at_us: int | None = None
    anomalies: int = 0
    attempts: tuple[Attempt, ...] = ()
    inferred: dict[str, Inference] = {}


class Receipt(msgspec.Struct, frozen=True):
    """The record of one call: what it used, what was charged for that, and why.

    `charged_nano + shortfall_nano` is the charge's total. Of what was charged, `owed_nano` went beyond the
    hold and the funds, and became debt.
    """

    call: Call
    outcome: Outcome
    charge: Charge
    charged_nano: int
    shortfall_nano: int
    hold_nano: int
    owed_nano: int = 0
