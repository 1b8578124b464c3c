"""How the auditor's model follows what is done to accounts, keys and credit."""

from typing import Any

from msgspec.structs import replace

from proxy.ledger.commands import (
    Adjust,
    ChangeAccount,
    ChangeKey,
    CreateKey,
    Done,
    Grant,
    OpenAccount,
    Refused,
    Sweep,
)
from proxy.ledger.dues import TakeFee
from proxy.ledger.end_user_rows import EndUserTerms
from proxy.ledger.returns import RefundLot, VoidLot
from proxy.ledger.rows import NO_LIMIT, Account, Key, Lot, Membership
from proxy.ledger.rules.once import Once
from proxy.money import MAX_NANO
from tests.ledger.auditor import dollars, nano
from tests.simulation.model import Model, Party

USUAL_PRIORITY = 50
NO_ACCOUNT = Refused("not_found", "")
CONFLICT = Refused("conflict", "")
INVALID = Refused("invalid_value", "")


def open_account(model: Model, command: OpenAccount) -> Done | Refused:
    """An id is opened once, with a credit limit that can be."""
    if command.account_id in model.parties:
        return CONFLICT
    if not 0 <= command.credit_limit_nano <= MAX_NANO:
        return INVALID
    account = Account(
        command.account_id,
        command.name,
        command.at_us,
        credit_limit_nano=command.credit_limit_nano,
        limits=command.limits,
        group=command.group,
        alerts=command.alerts,
    )
    party = model.parties[account.id] = Party(account)
    return Done(party.row())


def change_account(model: Model, command: ChangeAccount) -> Done | Refused:
    """What is given replaces what was; a credit limit covers what is owed or held once due credit is gone."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    history = party.history
    if command.credit_limit_nano is not None:
        if not 0 <= command.credit_limit_nano <= MAX_NANO:
            return INVALID
        history.expire(command.at_us)
        if history.uncommitted() - history.credit + dollars(command.credit_limit_nano) < 0:
            return CONFLICT
        history.credit = dollars(command.credit_limit_nano)
    if command.group not in (None, party.account.group):
        member = party.member or Membership(party.account.id, "", 0)
        moved = {"group": command.group, "since_us": command.at_us, "due_us": 0, "unpaid_us": 0}
        party.member = replace(member, **moved)
    party.account = replace(party.account, **_given(command, "name", "status", "group", "alerts"))
    before = party.account.limits
    limits, own = command.limits or before, before.own_day_nano
    if command.own_day_nano is not None:
        own = command.own_day_nano if command.own_day_nano < NO_LIMIT else None
    terms = limits.end_users or (EndUserTerms() if before.end_users else None)
    party.account = replace(party.account, limits=replace(limits, own_day_nano=own, end_users=terms))
    return Done(party.row())


def create_key(model: Model, command: CreateKey) -> Done | Refused:
    """An id is a key once, of an account there is."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    if command.key_id in model.keys:
        return CONFLICT
    key = Key(
        command.key_id,
        command.account_id,
        command.name,
        command.digest,
        command.hint,
        command.at_us,
        expires_at_us=command.expires_at_us,
        models=command.models,
        limits=command.limits,
        billing=command.billing,
    )
    model.keys[key.id] = key
    party.keys.append(key.id)
    return Done(party.row(), key)


def change_key(model: Model, command: ChangeKey) -> Done | Refused:
    """What is given replaces what was, of a key of that account."""
    party, key = model.parties.get(command.account_id), model.keys.get(command.key_id)
    if party is None or key is None or key.account_id != command.account_id:
        return NO_ACCOUNT
    key = replace(key, **_given(command, "name", "status", "expires_at_us", "models", "limits", "billing"))
    model.keys[key.id] = key
    return Done(party.row(), model.key_row(key))


def grant(model: Model, command: Grant) -> Done | Refused:
    """More than nothing, that has not expired yet, is put in once for each command id."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    earlier = earlier_result(party, command)
    if earlier:
        return earlier
    if command.amount_nano <= 0 or command.expires_at_us <= command.at_us:
        return INVALID
    return _put_in(model, party, command, command.kind, command.priority, command.expires_at_us)


def adjust(model: Model, command: Adjust) -> Done | Refused:
    """A correction upwards is put in; one downwards takes from what is available, and never more."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    earlier = earlier_result(party, command)
    if earlier:
        return earlier
    if not command.amount_nano:
        return INVALID
    if command.amount_nano > 0:
        return _put_in(model, party, command, "adjust", USUAL_PRIORITY, 2**62)
    history, at_us = party.history, command.at_us
    history.expire(at_us)
    wanted = dollars(-command.amount_nano)
    if wanted > history.available():
        return Refused(
            "conflict",
            "",
            limit_source="balance",
            held_nano=nano(history.promised()),
            required_nano=nano(wanted),
            available_nano=nano(history.available()),
        )
    history.post("adjust", -wanted, command.command_id, at_us, history.take(wanted, at_us, at_us))
    return noted(model, party, command)


def sweep(model: Model, command: Sweep) -> Done | Refused:
    """What is due expires."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    party.history.expire(command.at_us)
    return Done(party.row())


def _put_in(
    model: Model, party: Party, command: Grant | Adjust, kind: str, priority: int, expires_at_us: int
) -> Done | Refused:
    history, amount = party.history, dollars(command.amount_nano)
    if history.balance() + amount > dollars(MAX_NANO):
        return INVALID
    if command.lot_id in party.lots:
        return CONFLICT
    draws = history.put_in(command.lot_id, command.amount_nano, command.at_us, expires_at_us, priority)
    for lot_id, rest in draws:
        party.lots[lot_id] = Lot(
            lot_id, party.account.id, kind, nano(rest), nano(rest), priority, command.at_us, expires_at_us
        )
    word = "grant" if isinstance(command, Grant) else "adjust"
    history.post(word, amount, command.command_id, command.at_us, draws)
    return noted(model, party, command)


def earlier_result(party: Party, command: Once) -> Done | Refused | None:
    """What a command is told whose id has been used before."""
    earlier = party.done.get(command.command_id)
    if earlier is None:
        return None
    if _as_given(earlier[0]) == _as_given(command):
        return Done(party.row(), replayed=True, entry=earlier[1])
    return Refused("idempotency_conflict", "")


def noted(model: Model, party: Party, command: Once) -> Done:
    """What a command is told that has been carried out, and posted the last entry."""
    model.touch(party.account.id).commands[command.command_id] = None
    (entry,) = party.entry_rows(len(party.history.lines) - 1)
    entry = replace(entry, note=command.note if isinstance(command, Grant) else command.reason)
    party.done[command.command_id] = (command, entry)
    return Done(party.row(), entry=entry)


def _as_given(command: Once) -> Once:
    """A command without what differs each time it is tried."""
    if isinstance(command, RefundLot):
        return replace(command, at_us=0, days=None)
    if isinstance(command, TakeFee | VoidLot):
        return replace(command, at_us=0)
    return replace(command, lot_id="", at_us=0)


def _given(command: ChangeAccount | ChangeKey, *names: str) -> dict[str, Any]:
    return {name: getattr(command, name) for name in names if getattr(command, name) is not None}
