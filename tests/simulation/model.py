"""The auditor's ledger: every account's history, kept by an `Auditor` each, and its keys, holds and receipts.

It has its own arithmetic, in exact fractions of a dollar, and knows neither batches nor processes nor
engines: commands are followed one by one. `tests.simulation.kinds` says how each is followed.
"""

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace

from proxy.ledger.end_user_rows import EndUserLimits, EndUserTerms
from proxy.ledger.events import Delivery, Event, Receiver
from proxy.ledger.invoice_rows import CreditNote, Invoice
from proxy.ledger.rows import (
    UNLIMITED,
    Account,
    AlertRules,
    Claim,
    Draw,
    Entry,
    Hold,
    Key,
    Limits,
    Lot,
    Membership,
    Object,
    Receipt,
    Voucher,
)
from proxy.ledger.rules.once import Once
from proxy.ledger.spending import NOTHING_SPENT, Bucket, Spending
from proxy.ledger.top_up_rows import AutoTopUp, TopUp, TopUpReference
from proxy.ledger.windows import WINDOWS, Window
from tests.ledger.auditor import ACCOUNT, Auditor, Dollars, Line, dollars, nano, window_name
from tests.simulation.counters import Uses
from tests.simulation.gauges import Gauges

if TYPE_CHECKING:
    from tests.simulation.levels import Kept

DAY_US = 86_400_000_000


class Party:
    """One account: what the ledger should say of it, and its history."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.history = Auditor(account.credit_limit_nano)
        self.keys: list[str] = []
        self.lots: dict[str, Lot] = {}
        self.done: dict[str, tuple[Once, Entry]] = {}
        self.stacks: dict[str, list[tuple[str, Dollars]]] = {}
        self.holds: list[str] = []
        self.last_day: dict[str, int] = {}
        self.asked = Fraction(0)
        """What the last command would have had to take for a plan, and could not for the first time."""
        self.member: Membership | None = None
        if account.group:
            self.member = Membership(account.id, account.group, account.created_at_us)

    @property
    def rules(self) -> AlertRules:
        """What the account wants to be told of."""
        return self.account.alerts

    def row(self) -> Account:
        """The account's row."""
        history = self.history
        return replace(
            self.account,
            balance_nano=nano(history.balance()),
            held_nano=nano(history.promised()),
            debt_nano=nano(history.debt),
            credit_limit_nano=nano(history.credit),
            open_holds=len(history.flight),
            entries=len(history.lines),
            next_expiry_us=history.next_expiry_us(),
            spending=self.spending(ACCOUNT),
            owed_nano=nano(history.owed),
        )

    def spending(self, scope: str) -> Spending:
        """What the account or one of its keys spent in the windows of the last day on which that moved."""
        if scope not in self.last_day:
            return NOTHING_SPENT
        day = self.last_day[scope]
        names = ((window, window_name(window, day * DAY_US)) for window in WINDOWS)
        sums = (self.history.spending((scope, *name)) for name in names)
        today, week, month, total = ((nano(spent), nano(held)) for spent, held in sums)
        return Spending(day, (today, week, month, total))

    def moved(self, key_id: str, at_us: int) -> None:
        """Note that a call that began then moved what the account and a key spend."""
        for scope in (ACCOUNT, key_id):
            self.last_day[scope] = max(self.last_day.get(scope, 0), at_us // DAY_US)

    def stack(self, seq: int) -> list[tuple[str, Dollars]]:
        """What a charge can still give back, the first at the end: from which lot, or from none."""
        line = self.history.lines[seq - 1]
        if line.ref not in self.stacks:
            drawn = [(lot_id, -amount) for lot_id, amount in line.draws]
            self.stacks[line.ref] = [*drawn, ("", -line.amount - sum(amount for _, amount in drawn))]
        return self.stacks[line.ref]

    def lot_rows(self) -> dict[str, Lot]:
        """Every lot there ever was, with what is left of it."""
        left = {piece["id"]: piece["left"] for piece in self.history.pieces}
        return {
            id_: replace(lot, remaining_nano=nano(left.get(id_, Fraction(0))))
            for id_, lot in self.lots.items()
        }

    def bucket_rows(self) -> dict[tuple[str, Window, str], tuple[int, int]]:
        """What is spent and held by scope and window, where there is anything."""
        found: dict[tuple[str, Window, str], tuple[int, int]] = {}
        for scope, window, name in self.history.windows():
            spent, held = self.history.spending((scope, window, name))
            if spent or held:
                scope_id = self.account.id if scope == ACCOUNT else scope
                (kind,) = (kind for kind in WINDOWS if kind == window)
                found[scope_id, kind, name] = nano(spent), nano(held)
        return found

    def entry_rows(self, since: int) -> list[Entry]:
        """The entries after the first `since`, without their notes."""
        lines = enumerate(self.history.lines[since:], since + 1)
        return [_entry(self.account.id, seq, line) for seq, line in lines]


class Day(msgspec.Struct):
    """What the receipts of one account, day, key and model sum to."""

    requests: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    charged_nano: int = 0


class Touched(NamedTuple):
    """What a batch may have changed: the rows that are looked at after it."""

    since: int
    holds: dict[str, None]
    receipts: dict[str, None]
    commands: dict[str, None]
    days: dict[int, None]
    times: dict[int, None]


class Model:
    """What the ledger should hold, and which owner's calls are in flight."""

    def __init__(self) -> None:
        self.parties: dict[str, Party] = {}
        self.keys: dict[str, Key] = {}
        self.holds: dict[str, Hold] = {}
        self.flight: dict[str, Hold] = {}
        self.receipts: dict[str, Receipt] = {}
        self.objects: dict[str, dict[str, Object]] = {}
        self.days: dict[str, dict[tuple[int, str, str], Day]] = {}
        self.vouchers: dict[str, Voucher] = {}
        self.quotas: dict[str, str] = {}
        self.claims: dict[tuple[str, str], Claim] = {}
        self.uses: Uses = {}
        self.events: dict[str, dict[str, Event]] = {}
        self.top_ups: dict[str, dict[str, TopUp]] = {}
        self.references: dict[tuple[str, str], TopUpReference] = {}
        self.autos: dict[str, AutoTopUp] = {}
        self.invoices: dict[str, dict[tuple[str, int], Invoice]] = {}
        self.receivers: dict[str, dict[str, Receiver]] = {}
        self.notes: dict[str, dict[int, CreditNote]] = {}
        self.deliveries: dict[str, dict[tuple[str, str], Delivery]] = {}
        self.levels: dict[str, dict[str, Kept]] = {}
        self.fellows: dict[tuple[str, str], Any] = {}
        self.gauges = Gauges()
        self.touched: dict[str, Touched] = {}

    def touch(self, account_id: str) -> Touched:
        """Note that an account is to be looked at after this batch."""
        if account_id not in self.touched:
            party = self.parties.get(account_id)
            self.touched[account_id] = Touched(len(party.history.lines) if party else 0, {}, {}, {}, {}, {})
        return self.touched[account_id]

    def put_hold(self, hold: Hold) -> None:
        """Add or replace a hold."""
        if hold.id not in self.holds:
            self.parties[hold.account_id].holds.append(hold.id)
        self.holds[hold.id] = hold
        if hold.amount_nano:
            self.parties[hold.account_id].moved(hold.key_id, hold.created_at_us)
        if hold.state == "open":
            self.flight[hold.id] = hold
        else:
            self.flight.pop(hold.id, None)
        self.touch(hold.account_id).holds[hold.id] = None

    def put_receipt(self, row: Receipt, authorized_at_us: int) -> None:
        """Add a receipt, and count it in its day."""
        call, usage = row.call, row.outcome.usage
        self.receipts[call.id] = row
        if row.charged_nano:
            self.parties[call.account_id].moved(call.key_id, authorized_at_us)
        number = authorized_at_us // DAY_US
        day = self.days.setdefault(call.account_id, {}).setdefault((number, call.key_id, call.model), Day())
        day.requests += 0 if row.outcome.basis == "void" else 1
        day.input_tokens += usage.get("input_tokens", 0)
        day.cached_input_tokens += usage.get("cached_input_tokens", 0)
        day.output_tokens += usage.get("output_tokens", 0)
        day.charged_nano += row.charged_nano
        touched = self.touch(call.account_id)
        touched.receipts[call.id] = None
        touched.days[number] = None

    def key_row(self, key: Key) -> Key:
        """A key's row: its calls in flight are those of the account's history."""
        party = self.parties[key.account_id]
        open_holds = sum(call["key"] == key.id for call in party.history.flight.values())
        return replace(key, open_holds=open_holds, spending=party.spending(key.id))


def in_force(own: Limits, defaults: Limits) -> Limits:
    """An account's own limits, and the defaults where it sets none."""
    return _over(own, defaults)


@lru_cache(maxsize=4096)
def _over(own: Limits, defaults: Limits) -> Limits:
    pairs = zip(msgspec.structs.astuple(own), msgspec.structs.astuple(defaults), strict=True)
    limits = Limits(*(theirs if mine is None else mine for mine, theirs in pairs))
    if own.end_users is None or defaults.end_users is None:
        return limits
    return replace(limits, end_users=both(own.end_users, defaults.end_users))


def both(first: EndUserTerms, then: EndUserTerms) -> EndUserTerms:
    """Of two terms what is set, of the first where both say it."""
    figures = {
        name: mine if (mine := getattr(first.limits, name)) is not None else getattr(then.limits, name)
        for name in EndUserLimits.__struct_fields__
    }
    required, new = (
        mine if (mine := getattr(first, name)) is not None else getattr(then, name)
        for name in ("is_required", "new_rpm")
    )
    return EndUserTerms(EndUserLimits(**figures), required, new)


@lru_cache(maxsize=4096)
def spending_limits(scope: str, limits: Limits) -> dict[str, Dollars]:
    """The spending limits that are set, by scope and window."""
    if limits == UNLIMITED:
        return {}
    found = {window: getattr(limits, f"{window}_nano") for window in WINDOWS}
    found["day"] = min(
        (set_ for set_ in (found["day"], limits.own_day_nano) if set_ is not None), default=None
    )
    return {f"{scope}_{window}": dollars(limit) for window, limit in found.items() if limit is not None}


def bucket_name(bucket: Bucket) -> str:
    """The window of a bucket by the name the auditor gives it."""
    return window_name(bucket.window, bucket.start_day * DAY_US)


def _entry(account_id: str, seq: int, line: Line) -> Entry:
    draws: Iterable[Draw] = (Draw(lot_id, nano(amount)) for lot_id, amount in line.draws)
    kind = msgspec.convert(line.kind, Entry.__annotations__["kind"])
    return Entry(
        account_id,
        seq,
        kind,
        nano(line.amount),
        nano(line.balance),
        nano(line.debt),
        line.ref,
        line.at_us,
        tuple(draws),
    )
