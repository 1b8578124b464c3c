"""Commands to the ledger; `results` has what they come to.

A command names the rows that its rule reads, and a function in `rules` names the command that it carries out.
There is no other list of commands than `COMMANDS`, which has those of `credit_notes`, `deliveries`, `dues`,
`end_users`, `ended`, `invoices`, `levels`, `quotas`, `receivers`, `records`, `returns`, `top_ups` and
`vouchers` as well.
"""

from collections.abc import Iterator
from typing import Final, Literal

from proxy.ledger import (
    credit_notes,
    deliveries,
    dues,
    end_users,
    ended,
    invoices,
    kinds,
    levels,
    quotas,
    receivers,
    records,
    returns,
    top_ups,
    vouchers,
)
from proxy.ledger.command import Command as Command  # noqa: PLC0414 - with all others.
from proxy.ledger.command import OfAccount as OfAccount  # noqa: PLC0414
from proxy.ledger.needs import Needs
from proxy.ledger.quotas import Quota
from proxy.ledger.results import Done as Done  # noqa: PLC0414
from proxy.ledger.results import Granted as Granted  # noqa: PLC0414
from proxy.ledger.results import RateStatus as RateStatus  # noqa: PLC0414
from proxy.ledger.results import Recorded as Recorded  # noqa: PLC0414
from proxy.ledger.results import Refused as Refused  # noqa: PLC0414
from proxy.ledger.results import Regrouped as Regrouped  # noqa: PLC0414
from proxy.ledger.results import Result as Result  # noqa: PLC0414
from proxy.ledger.results import Settled as Settled  # noqa: PLC0414
from proxy.ledger.rows import (
    NEVER_US,
    NO_RULES,
    UNLIMITED,
    AlertRules,
    Call,
    Hold,
    KeyBilling,
    Limits,
    Object,
    Observed,
    OnShortfall,
    Outcome,
)
from proxy.pricing.charge import NO_CHARGE, Charge
from proxy.pricing.tiers import Tiers


class OpenAccount(OfAccount, frozen=True):
    """Open an account. Repeating it with the same id is a conflict."""

    name: str
    at_us: int
    credit_limit_nano: int = 0
    limits: Limits = UNLIMITED
    group: str = ""
    alerts: AlertRules = NO_RULES


class ChangeAccount(OfAccount, frozen=True):
    """Change an account's name, status, credit limit, limits, group or alerts; None leaves it alone.

    `own_day_nano` is the account's own limit for a day, which `limits` leaves alone; NO_LIMIT lifts it.
    """

    at_us: int
    name: str | None = None
    status: Literal["active", "suspended"] | None = None
    credit_limit_nano: int | None = None
    limits: Limits | None = None
    own_day_nano: int | None = None
    group: str | None = None
    alerts: AlertRules | None = None

    def add_needs(self, needs: Needs) -> None:
        """Add the account and its due lots: these no longer cover what is owed or held."""
        needs.add_lots(self.account_id, self.at_us)
        if self.group is not None:
            needs.add(kinds.MEMBERSHIP, self.account_id)


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
    billing: KeyBilling = ""

    def add_needs(self, needs: Needs) -> None:
        """Add the account, and the key that may have this id."""
        needs.accounts.add(self.account_id)
        needs.keys.add((self.account_id, self.key_id))


class ChangeKey(OfAccount, frozen=True):
    """Change a key's name, status, expiry, models, limits or billing; None leaves a field alone."""

    key_id: str
    at_us: int
    name: str | None = None
    status: Literal["active", "disabled"] | None = None
    expires_at_us: int | None = None
    models: tuple[str, ...] | None = None
    limits: Limits | None = None
    billing: KeyBilling | None = None

    def add_needs(self, needs: Needs) -> None:
        """Add the account and the key."""
        needs.accounts.add(self.account_id)
        needs.keys.add((self.account_id, self.key_id))


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
        """Add the account, what an earlier command with this id did, and the lot that this one makes."""
        needs.add_lots(self.account_id, self.at_us)
        needs.add(kinds.COMMAND, (self.account_id, self.command_id))
        needs.add_grant(self.expires_at_us)


class Adjust(OfAccount, frozen=True):
    """An operator's correction: a positive amount makes a lot, a negative one draws what is available."""

    command_id: str
    lot_id: str
    amount_nano: int
    reason: str
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account, its due lots, and what an earlier command with this id did."""
        needs.add_lots(self.account_id, self.at_us)
        needs.add(kinds.COMMAND, (self.account_id, self.command_id))


class Sweep(OfAccount, frozen=True):
    """Expire an account's due lots now rather than at its next call."""

    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account and its due lots."""
        needs.add_lots(self.account_id, self.at_us)


class Authorize(Command, frozen=True):
    """Hold up to `ceiling_nano` for a call, at least `floor_nano`, or refuse.

    With `floor_nano == ceiling_nano` it is all or nothing. `tokens` is the ceiling in tokens, for the
    token rate limits. `group` is the one that the account was taken to be in: ceiling and floor are at its
    prices, and `defaults` are the limits of its accounts that set none of their own. It counts to `quota`.
    """

    call: Call
    ceiling_nano: int
    floor_nano: int
    tokens: int
    at_us: int
    owner: str
    defaults: Limits = UNLIMITED
    group: str = ""
    quota: Quota | None = None

    def add_needs(self, needs: Needs) -> None:
        """Add all that decides about a call at this time."""
        needs.add_call(self.call, self.at_us, self.at_us)
        if self.quota is not None:
            needs.add(kinds.MEMBERSHIP, self.call.account_id)

    def void(self, outcome: Outcome) -> "Void":
        """What takes back the hold that it has made."""
        quota = self.quota.name if self.quota is not None else ""
        return Void(self.call, self.at_us, self.at_us, outcome, quota=quota)


class Observe(Command, frozen=True):
    """Checkpoint what a call in flight has used so far."""

    hold_id: str
    account_id: str
    observed: Observed

    def add_needs(self, needs: Needs) -> None:
        """Add the hold."""
        needs.add_hold(self.account_id, self.hold_id)


class Forget(Command, frozen=True):
    """Delete objects of an account, each named by its id and that of its call, which are due.

    Due is what has expired by `expired_us`, or was made before `made_us`. A job's object is kept while the
    job runs, however old it is.
    """

    account_id: str
    objects: tuple[tuple[str, str], ...]
    expired_us: int
    made_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the objects, and the holds of their calls."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.OBJECT, *((self.account_id, id_) for id_, _ in self.objects))
        needs.holds.update((self.account_id, call_id) for _, call_id in self.objects)


class Reroute(Command, frozen=True):
    """Name another upstream on a hold. `call` differs in `upstream` and `upstream_model` alone."""

    call: Call

    def add_needs(self, needs: Needs) -> None:
        """Add the hold."""
        needs.add_hold(self.call.account_id, self.call.id)


class OfHold(Command, frozen=True):
    """A command about a hold. `authorized_at_us` is when the hold was made, which names the buckets."""

    call: Call
    authorized_at_us: int
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add all that a call moves which was authorized then."""
        needs.add_call(self.call, self.authorized_at_us, self.at_us)


class Extend(OfHold, frozen=True):
    """Hold `amount_nano` more for a call in flight, all or nothing, from funds and the hold's own windows."""

    amount_nano: int
    defaults: Limits = UNLIMITED


class Detach(OfHold, frozen=True):
    """Let a hold outlive its process: nobody recovers it before `deadline_us`, and anybody does afterwards.

    Detaching it again moves the deadline. `observed` is what its job costs once it is complete, and `objects`
    are what the call made; it is refused where one of them is another call's.
    """

    deadline_us: int
    observed: Observed | None = None
    objects: tuple[Object, ...] = ()

    def add_needs(self, needs: Needs) -> None:
        """Add the hold, and the objects."""
        needs.add_hold(self.call.account_id, self.call.id)
        needs.add_objects(self.objects)

    def unanswered(self) -> "Void":
        """What takes its place when its caller was told that the ledger cannot be written.

        Nobody was told what its job is called then, and it costs nothing.
        """
        outcome = Outcome("ledger_unavailable", 503, "void", {}, self.at_us)
        return Void(self.call, self.authorized_at_us, self.at_us, outcome, quota=None)


class Close(OfHold, frozen=True):
    """A command that closes a hold, and so must not be lost."""

    def unanswered(self) -> "Close":
        """What is carried out when nobody waits for the result any more: the same, as a rule."""
        return self


class Settle(Close, frozen=True):
    """Close a hold with a charge. `objects` are what the call made, or what it has seen anew of them."""

    outcome: Outcome
    charge: Charge = NO_CHARGE
    on_shortfall: OnShortfall = "forgive"
    objects: tuple[Object, ...] = ()

    def add_needs(self, needs: Needs) -> None:
        """Add all that a call moves which was authorized then, and the objects."""
        needs.add_call(self.call, self.authorized_at_us, self.at_us)
        if self.objects:
            needs.add_objects(self.objects)
        if self.charge.tiers:
            needs.add_counters(self.call.account_id, self.charge, self.authorized_at_us)

    def unanswered(self) -> "Close":
        """What takes its place when its caller was told that the ledger cannot be written.

        An answer in one piece was not sent then, and costs nothing. Of a stream all but the end was.
        """
        if self.call.stream or self.outcome.outcome != "complete":
            return self
        ended = self.outcome
        outcome = Outcome("ledger_unavailable", 503, "void", {}, ended.ended_at_us, ended.first_byte_at_us)
        return Void(self.call, self.authorized_at_us, self.at_us, outcome, quota=None)


class Void(Close, frozen=True):
    """Close a hold without a charge; the receipt says why. `objects` are as those of `Settle`.

    The call counts no more to the `quota` of this name, empty for none, None for what its hold says.
    """

    outcome: Outcome
    objects: tuple[Object, ...] = ()
    quota: str | None = ""

    def add_needs(self, needs: Needs) -> None:
        """Add all that a call moves which was authorized then, and the objects."""
        needs.add_call(self.call, self.authorized_at_us, self.at_us)
        needs.add_objects(self.objects)
        if self.quota != "":
            needs.add(kinds.MEMBERSHIP, self.call.account_id)


class Recover(Close, frozen=True):
    """Close a hold whose process is gone, or whose deadline has passed: what was observed is charged.

    `tiers` are those of the charge that was observed. It is refused where the hold has others by now. The
    call counts no more to `quota`, empty for none, if nothing of it was observed.
    """

    on_shortfall: OnShortfall = "forgive"
    tiers: tuple[tuple[int, Tiers], ...] = ()
    quota: str = ""

    @classmethod
    def of(cls, hold: Hold, at_us: int, on_shortfall: OnShortfall = "forgive") -> "Recover":
        """The command that closes a hold as it was read."""
        observed = hold.observed
        known = (observed.charge.tiers, observed.quota) if observed is not None else ()
        return cls(hold.call, hold.created_at_us, at_us, on_shortfall, *known)

    def add_needs(self, needs: Needs) -> None:
        """Add all that a call moves which was authorized then."""
        needs.add_call(self.call, self.authorized_at_us, self.at_us)
        if self.tiers:
            charge = Charge(0, (), "", self.tiers)
            needs.add_counters(self.call.account_id, charge, self.authorized_at_us)
        if self.quota:
            needs.add(kinds.MEMBERSHIP, self.call.account_id)


def _leaves(kind: type[Command]) -> Iterator[type[Command]]:
    for derived in kind.__subclasses__():
        yield from _leaves(derived) if derived.__subclasses__() else (derived,)


assert {
    credit_notes,
    deliveries,
    dues,
    end_users,
    ended,
    invoices,
    levels,
    quotas,
    receivers,
    records,
    returns,
    top_ups,
    vouchers,
}, "a command is one of all once its module is there"
COMMANDS: Final[tuple[type[Command], ...]] = tuple(_leaves(Command))
"""Every command."""
