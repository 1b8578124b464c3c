"""How the auditor knows which events there must be: every crossing, worked out from its own figures."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

import msgspec

from proxy.ledger.alerts import Alerts
from proxy.ledger.commands import Command, Done, OfHold, Recorded, Result, Settle, Settled
from proxy.ledger.deliveries import TellExpiry
from proxy.ledger.dues import Renew
from proxy.ledger.end_user_rows import EndUserLimits, EndUserTerms
from proxy.ledger.events import Event, event_id
from proxy.ledger.groups import Group, Groups
from proxy.ledger.invoice_rows import CreditNote, Invoice
from proxy.ledger.levels import STOPPED, Accrue, ReportLevel
from proxy.ledger.quotas import SetHoldings
from proxy.ledger.records import Record
from proxy.ledger.rows import NEVER_US, NO_LIMIT, NO_THRESHOLD, Account, AlertRules, Hold, Key, Limits, Object
from proxy.ledger.sessions import ENDED, SESSION
from proxy.ledger.top_up_rows import TopUp
from proxy.ledger.top_ups import ConfirmTopUp, FailTopUp, RefundTopUp, ReverseTopUp
from proxy.ledger.windows import WINDOWS
from proxy.money import usd_string
from tests.ledger.auditor import ACCOUNT, Dollars, Line, dollars, nano, window_end_us, window_name
from tests.simulation.model import DAY_US, Model, Party, both, in_force, spending_limits

LOW_NANO: Final = 3_000_000
DEFAULTS: Final = Limits(day_nano=9_000_000)
GROUPS: Final = {"vip": Group("vip", Limits(day_nano=25_000_000, month_nano=60_000_000))}
ALERTS: Final = Alerts(AlertRules(LOW_NANO, (50, 80, 100)), Groups(DEFAULTS, GROUPS))
"""What every process of a simulation tells of."""

_CHARGING: Final = (OfHold, Record, ReportLevel, Accrue)
Told = tuple[str, str, dict[str, object]]
"""An event's type, its cause and its data."""


def follow_events(model: Model, command: Command, account_id: str, told: Iterable[Told]) -> None:
    """Add the events that a command has caused, each once."""
    mine = model.events.setdefault(account_id, {})
    for place, (type_, cause, data) in enumerate(told, 1):
        id_ = event_id(account_id, type_, cause)
        text = msgspec.json.encode({"account_id": account_id, **data}).decode()
        at_us: int = getattr(command, "at_us", 0)
        model.touch(account_id).times[at_us] = None
        mine.setdefault(id_, Event(account_id, id_, type_, at_us, place, text))


class Watch:
    """What is looked at before a command, to tell afterwards what it has crossed."""

    def __init__(self, model: Model, command: Command, account_id: str) -> None:
        self._model = model
        self._command = command
        self._party = model.parties.get(account_id)
        self._lines = len(self._party.history.lines) if self._party else 0
        self._credit = self._party.history.credit if self._party else Fraction(0)
        self._account = self._party.account if self._party else None
        if self._party is not None:
            self._party.asked = Fraction(0)
        self._key = model.keys.get(getattr(command, "key_id", ""))
        call = command.call if isinstance(command, _CHARGING) else None
        fellow = model.fellows.get((account_id, call.end_user)) if call else None
        self._spent = {} if fellow is None else {each: sums[0] for each, sums in fellow.windows.items()}

    def told(self, result: Result) -> Iterator[Told]:
        """The events of the command, in their order."""
        party, command = self._party, self._command
        if party is None:
            return
        if isinstance(command, TellExpiry):
            yield from _of_expiry(party, command)
        hold = self._model.holds.get(command.call.id) if isinstance(command, _CHARGING) else None
        lines = party.history.lines
        for seq in range(self._lines + 1, len(lines) + 1):
            before = lines[seq - 2] if seq > 1 else None
            yield from self._of_line(party, seq, before, lines[seq - 1])
        if isinstance(result, Done) and result.top_up and not result.replayed:
            yield from _of_top_up(command, result, result.top_up)
        if isinstance(result, Done) and result.invoice and not result.replayed:
            issued = result.invoice
            cause = f"{issued.period}/{issued.part}" if issued.part else issued.period
            yield "invoice.issued", cause, _of_invoice(issued)
        if isinstance(result, Done) and result.credit_note and not result.replayed:
            yield "credit_note.issued", str(result.credit_note.seq), _of_note(result.credit_note)
        if isinstance(result, Done) and result.key is not None:
            yield from _of_key(command, self._key, result.key)
        if isinstance(result, Done) and self._account is not None:
            yield from self._of_account(party, self._account)
        settled = result.settled if isinstance(result, Recorded) else result
        if isinstance(settled, Settled) and not settled.replayed and hold is not None:
            yield from self._of_limits(party, hold, dollars(settled.charged_nano))
            if settled.shortfall_nano or settled.owed_nano:
                yield _shortfall(self._model, hold)
            yield from self._of_end_user(party, hold)
            yield from _of_ends(command, hold, settled)

    def _of_line(self, party: Party, seq: int, before: Line | None, line: Line) -> Iterator[Told]:
        was = self._credit + (before.balance - before.debt if before else 0)
        funds = self._credit + line.balance - line.debt
        low_nano = LOW_NANO if party.rules.balance_low_nano is None else party.rules.balance_low_nano
        if low_nano != NO_THRESHOLD and was > dollars(low_nano) >= funds:
            yield "balance.low", str(seq), {"funds": money(funds), "threshold": usd_string(low_nano)}
        if was > 0 >= funds:
            yield "balance.depleted", str(seq), {"funds": money(funds)}
        if line.kind == "expire":
            lot = party.lots[line.ref]
            data = {"amount": money(-line.amount), "kind": lot.kind, "lot_id": lot.id}
            ends = {"expired_at": instant(lot.expires_at_us), "balance": money(line.balance)}
            yield "credits.expired", str(seq), {**data, **ends}
        if line.kind == "grant":
            yield "credits.granted", str(seq), _of_grant(party, line)
        if line.kind in ("adjust", "void", "refund", "fee"):
            yield _of_correction(party, seq, line)

    def _of_account(self, party: Party, before: Account) -> Iterator[Told]:
        """What a command has changed of the account itself, however it did."""
        command, at_us, now = self._command, getattr(self._command, "at_us", 0), party.account
        if isinstance(command, Renew) and party.asked and command.dues.fee:
            fee = command.dues.fee
            ends = {"falls_to": fee.falls_to or None, "falls_at": instant(at_us + fee.grace_us)}
            yield "plan.unpaid", str(at_us), {"group": command.group, "amount": money(party.asked), **ends}
        if before.group != now.group:
            reason = "holdings" if isinstance(command, SetHoldings) else "request"
            reason = "unpaid" if isinstance(command, Renew) else reason
            moved: dict[str, object] = {
                "from": before.group or None,
                "to": now.group or None,
                "reason": reason,
            }
            yield "plan.changed", f"{at_us}/{before.group}/{now.group}", moved
        if before.status != now.status:
            yield "account.status_changed", f"{at_us}/{now.status}", {"status": now.status}

    def _of_limits(self, party: Party, hold: Hold, paid: Dollars) -> Iterator[Told]:
        group = GROUPS[party.account.group].limits if party.account.group in GROUPS else DEFAULTS
        limits = dict(spending_limits(ACCOUNT, in_force(party.account.limits, group)))
        if hold.key_id:
            limits |= spending_limits(hold.key_id, self._model.keys[hold.key_id].limits)
        percents = party.rules.limit_percents
        for scope in (ACCOUNT, hold.key_id):
            for window in WINDOWS:
                limit = limits.get(f"{scope}_{window}")
                label = (scope, window, window_name(window, hold.created_at_us))
                spent = party.history.spending(label)[0]
                if limit:
                    crossed = (spent - paid) / limit * 100, spent / limit * 100
                    about = _about(party, hold, scope, window, limit, spent)
                    yield from _parts((50, 80, 100) if percents is None else percents, crossed, about)

    def _of_end_user(self, party: Party, hold: Hold) -> Iterator[Told]:
        """What an end user has passed of its limits, by all windows that are still counted."""
        fellow = self._model.fellows.get((hold.account_id, hold.call.end_user))
        if fellow is None or not hold.call.counts_user or not hold.call.end_user:
            return
        limits = end_user_limits(self._model, party, hold, fellow.limits)
        percents = party.rules.limit_percents
        for (first, window), (spent, _) in sorted(fellow.windows.items()):
            limit_nano = getattr(limits, f"{window}_nano")
            if limit_nano and limit_nano != NO_LIMIT:
                was = self._spent.get((first, window), 0)
                crossed = Fraction(was * 100, limit_nano), Fraction(spent * 100, limit_nano)
                about = _about_fellow(hold, window, first, limit_nano, spent)
                yield from _parts((50, 80, 100) if percents is None else percents, crossed, about)


def end_user_limits(model: Model, party: Party, hold: Hold, own: EndUserLimits) -> EndUserLimits:
    """Those that are in force for an end user by now, as whoever tells of them reads them."""
    group = GROUPS[party.account.group].limits if party.account.group in GROUPS else DEFAULTS
    terms = in_force(party.account.limits, group).end_users or EndUserTerms()
    of_key = model.keys[hold.key_id].limits.end_users if hold.key_id else None
    terms = both(of_key, terms) if of_key else terms
    return both(EndUserTerms(own), terms).limits


def _about_fellow(hold: Hold, window: str, first: int, limit_nano: int, spent_nano: int) -> Told:
    ends_us = window_end_us(window, first * DAY_US)
    assert ends_us is not None
    data: dict[str, object] = {
        "scope": "end_user",
        "key_id": None,
        "end_user": hold.call.end_user,
        "window": window,
        "window_start": instant(first * DAY_US),
        "resets_at": instant(ends_us),
        "limit": usd_string(limit_nano),
        "spent": usd_string(spent_nano),
    }
    return "", f"end_user/{hold.call.end_user}/{window}/{first}", data


def _of_ends(command: Command, hold: Hold, settled: Settled) -> Iterator[Told]:
    """Of a session that has ended, and of a thing that has to."""
    for row in command.objects if isinstance(command, Settle) else ():
        if row.kind == SESSION:
            yield ENDED, hold.id, _of_end(row, hold, settled)
    if isinstance(command, Accrue) and command.stops and settled.shortfall_nano:
        yield STOPPED, hold.id, _of_stop(command, hold, settled)


def _of_end(row: Object, hold: Hold, settled: Settled) -> dict[str, object]:
    said = msgspec.json.decode(row.seen)
    return {
        "type": hold.call.model,
        "session": said["name"],
        "reason": said["reason"],
        "ended_at": instant(said["ended_us"]),
        "call_id": hold.id,
        "charged": usd_string(settled.charged_nano),
    }


def _of_stop(command: Accrue, hold: Hold, settled: Settled) -> dict[str, object]:
    return {
        "type": command.level.type,
        "thing": command.level.thing,
        "stopped_at": instant(command.until_us),
        "call_id": hold.id,
        "shortfall": usd_string(settled.shortfall_nano),
    }


def _of_key(command: Command, before: Key | None, key: Key) -> Iterator[Told]:
    """A key that there was not, or whose status was another."""
    about: dict[str, object] = {"key_id": key.id, "name": key.name}
    if before is None:
        yield "key.created", key.id, {**about, "expires_at": instant(key.expires_at_us)}
    elif before.status != key.status:
        at_us: int = getattr(command, "at_us", 0)
        yield "key.disabled" if key.status == "disabled" else "key.enabled", f"{key.id}/{at_us}", about


def _of_top_up(command: Command, result: Done, top_up: TopUp) -> Iterator[Told]:
    price = Fraction(top_up.price_cents, 100)
    whole: dict[str, object] = {
        "top_up_id": top_up.id,
        "origin": top_up.origin,
        "provider": top_up.provider,
        "amount": usd_string(top_up.credit_nano),
        "price": usd_string(nano(price)),
    }
    if isinstance(command, ConfirmTopUp) and result.account is not None:
        balance = usd_string(result.account.balance_nano)
        more = {"bonus": usd_string(top_up.bonus_nano), "reference": top_up.reference or None}
        yield "topup.succeeded", top_up.id, {**whole, **more, "balance": balance}
    if isinstance(command, RefundTopUp | ReverseTopUp) and result.account is not None:
        back = {"refunded": top_up.refunded_cents, "disputed": top_up.disputed_cents}
        sums = {name: money(Fraction(cents, 100)) for name, cents in back.items()}
        ends = {"owed": usd_string(top_up.owed_nano), "balance": usd_string(result.account.balance_nano)}
        cause = f"{top_up.id}/{top_up.refunded_cents}/{top_up.disputed_cents}"
        yield "topup.refunded", cause, {**whole, **sums, **ends}
    if isinstance(command, FailTopUp):
        yield "topup.failed", top_up.id, {**whole, "state": top_up.state, "reason": top_up.reason}


def _of_invoice(invoice: Invoice) -> dict[str, object]:
    figures = {name: getattr(invoice, f"{name}_nano") for name in ("credits", "charges", "closing")}
    return {
        "invoice_id": invoice.id,
        "number": invoice.number,
        "month": invoice.period,
        "part": invoice.part or None,
        **{name: usd_string(nano) for name, nano in figures.items()},
        "due": usd_string(invoice.debt_nano),
    }


def _of_note(note: CreditNote) -> dict[str, object]:
    ids = {"credit_note_id": note.id, "number": note.number, "invoice_id": note.invoice_id}
    return {**ids, "amount": usd_string(note.amount_nano), "ref": note.ref}


def _of_expiry(party: Party, command: TellExpiry) -> Iterator[Told]:
    for piece in party.history.pieces:
        if piece["id"] == command.lot_id and piece["left"] and command.at_us < piece["until"] < NEVER_US:
            data = {"amount": money(piece["left"]), "kind": party.lots[command.lot_id].kind}
            yield (
                "credits.expiring",
                command.lot_id,
                {**data, "lot_id": command.lot_id, "expires_at": instant(piece["until"])},
            )


def _of_grant(party: Party, line: Line) -> dict[str, object]:
    lot = party.lots[line.draws[0][0]] if line.draws else None
    return {
        "amount": money(line.amount),
        "kind": lot.kind if lot else None,
        "lot_id": lot.id if lot else None,
        "expires_at": instant(lot.expires_at_us) if lot else None,
        "balance": money(line.balance),
    }


def _of_correction(party: Party, seq: int, line: Line) -> Told:
    (reason,) = (entry.note for _, entry in party.done.values() if entry.seq == seq)
    type_, about = {
        "adjust": ("credits.adjusted", ""),
        "void": ("credits.voided", "lot_id"),
        "fee": ("fee.charged", ""),
        "refund": ("credits.refunded", "lot_id") if line.amount < 0 else ("charge.refunded", "call_id"),
    }[line.kind]
    amount = line.amount if line.kind == "adjust" else abs(line.amount)
    data: dict[str, object] = {"amount": money(amount), "reason": reason, "balance": money(line.balance)}
    return type_, str(seq), {about: line.ref, **data} if about else data


def _parts(percents: Iterable[int], crossed: tuple[Fraction, Fraction], about: Told) -> Iterator[Told]:
    _, cause, data = about
    for percent in percents:
        if crossed[0] < percent <= crossed[1]:
            yield "limit.threshold", f"{cause}/{percent}", {"percent": percent, **data}
    if crossed[0] < 100 <= crossed[1]:
        yield "limit.reached", cause, data


def _about(party: Party, hold: Hold, scope: str, window: str, limit: Dollars, spent: Dollars) -> Told:
    day = hold.created_at_us // DAY_US
    first = day if window != "total" else 0
    name = window_name(window, hold.created_at_us)
    while window != "total" and window_name(window, (first - 1) * DAY_US) == name:
        first -= 1
    ends_us = window_end_us(window, hold.created_at_us)
    is_account = scope == ACCOUNT
    data: dict[str, object] = {
        "scope": "account" if is_account else "key",
        "key_id": None if is_account else scope,
        "end_user": None,
        "window": window,
        "window_start": None if ends_us is None else instant(first * DAY_US),
        "resets_at": None if ends_us is None else instant(ends_us),
        "limit": money(limit),
        "spent": money(spent),
    }
    return "", f"{party.account.id if is_account else scope}/{window}/{first}", data


def _shortfall(model: Model, hold: Hold) -> Told:
    row = model.receipts[hold.id]
    ids = {"call_id": hold.id, "key_id": hold.key_id or None, "model": row.call.model}
    figures = {"charge": row.charge.total_nano, "shortfall": row.shortfall_nano, "owed": row.owed_nano}
    shown = {name: usd_string(figure) for name, figure in figures.items()}
    return "charge.shortfall", hold.id, {**ids, **shown}


def money(amount: Dollars) -> str:
    return usd_string(nano(amount))


def instant(at_us: int) -> str | None:
    if at_us == NEVER_US:
        return None
    return datetime.fromtimestamp(at_us // 10**6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
