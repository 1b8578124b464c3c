"""The rules of a call's end: settle, void and recover close its hold, and leave a receipt."""

from typing import Final

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Close, OfHold, Recover, Refused, Settle, Settled, Void
from proxy.ledger.rows import Account, Call, Draw, Hold, HoldState, OnShortfall, Outcome, Receipt
from proxy.ledger.rules import alerts, counters, end_users, lots, objects, quotas, sessions, throttles
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.sessions import SESSION
from proxy.ledger.windows import iso
from proxy.metering.usage import tokens_of
from proxy.pricing.charge import NO_CHARGE, Charge

NEXT_STATE: Final[dict[tuple[HoldState, type[Close]], HoldState]] = {
    ("open", Settle): "settled",
    ("open", Void): "voided",
    ("open", Recover): "expired",
}
"""How a hold may change. A closed one does not change again: closing it is a replay."""


@carries_out(Settle)
def settle(books: Books, command: Settle) -> Settled | Refused:
    """Close a hold with a charge. What hold and uncommitted funds do not cover is forgiven, or owed."""
    used_tokens = tokens_of(command.outcome.usage)
    settled = _close(
        books, command, command.outcome, command.charge, used_tokens, on_shortfall=command.on_shortfall
    )
    if command.objects and isinstance(settled, Settled):
        objects.put(books, command.call, command.objects, command.at_us)
        for row in command.objects:
            if row.kind == SESSION and row.call_id == command.call.id and not settled.replayed:
                sessions.tell_end(books, command, row, settled)
    return settled


@carries_out(Void)
def void(books: Books, command: Void) -> Settled | Refused:
    """Close a hold without a charge."""
    closed = _close(books, command, command.outcome, NO_CHARGE, 0)
    if command.quota != "" and isinstance(closed, Settled) and not closed.replayed:
        quotas.give_back(books, books.holds[command.call.id], command.quota)
    if command.objects and isinstance(closed, Settled):
        objects.put(books, command.call, command.objects, command.at_us)
    return closed


@carries_out(Recover)
def recover(books: Books, command: Recover) -> Settled | Refused:
    """Close a hold whose process is gone, with the charge of what was observed of its call.

    Nobody knows what the client was sent, so that the status is 0. Before its deadline a hold is refused, so
    that one process may detach what another recovers. The receipt names the upstream on the hold, which is
    the last one that the call was sent to.
    """
    hold = hold_of(books, command)
    if isinstance(hold, Refused):
        return hold
    if hold.state == "open" and hold.deadline_us is not None and command.at_us < hold.deadline_us:
        return Refused("conflict", f"The hold {hold.id} is detached until {iso(hold.deadline_us)}.")
    usage = hold.observed.usage if hold.observed else {}
    charge = hold.observed.charge if hold.observed else NO_CHARGE
    if hold.state == "open" and charge.tiers != command.tiers:
        return Refused("conflict", f"The hold {hold.id} has been charged by other tiers meanwhile.")
    outcome = Outcome("crashed", 0, "recovered", usage, command.at_us)
    command = replace(command, call=hold.call)
    closed = _close(books, command, outcome, charge, tokens_of(usage), on_shortfall=command.on_shortfall)
    if command.quota and not usage and isinstance(closed, Settled) and not closed.replayed:
        # Nobody has got anything of it, as far as anybody knows.
        quotas.give_back(books, hold, command.quota)
    return closed


def hold_of(books: Books, command: OfHold) -> Hold | Refused:
    """The hold that a command is about, in any state; refused when account, key or time of it differ.

    They decide which rows have been loaded.
    """
    call = command.call
    hold = books.holds.get(call.id)
    if hold is None:
        return Refused("not_found", f"There is no hold for the call {call.id}.")
    made_for = (hold.account_id, hold.key_id, hold.created_at_us)
    if made_for != (call.account_id, call.key_id, command.authorized_at_us):
        return Refused("conflict", f"The hold {hold.id} was made for another account, key or time.")
    if hold.call.counts_user and not (call.counts_user and call.end_user == hold.call.end_user):
        return Refused("conflict", f"The hold {hold.id} counts to an end user.")
    return hold


def _close(
    books: Books,
    command: Close,
    outcome: Outcome,
    charge: Charge,
    used_tokens: int,
    *,
    on_shortfall: OnShortfall = "forgive",
) -> Settled | Refused:
    hold = hold_of(books, command)
    if isinstance(hold, Refused):
        return hold
    account, key = books.accounts[hold.account_id], books.keys[hold.key_id]
    state = NEXT_STATE.get((hold.state, type(command)))
    if state is None:
        return Settled(0, 0, account.balance_nano, account.available_nano, replayed=True)
    if account.next_expiry_us <= command.at_us:
        account = lots.sweep(books, account, command.at_us)
    hold = replace(hold, state=state)
    settled = charge_account(
        books,
        account,
        hold,
        call=command.call,
        outcome=outcome,
        charge=charge,
        at_us=command.at_us,
        on_shortfall=on_shortfall,
    )
    books.put_key(replace(key, open_holds=key.open_holds - 1))
    throttles.correct(books, hold, key, used_tokens)
    if hold.call.counts_user:
        of_user = {"charged_nano": settled.charged_nano, "used_tokens": used_tokens}
        end_users.close(books, hold, command.at_us, **of_user)
    return settled


def charge_account(
    books: Books,
    account: Account,
    hold: Hold,
    *,
    call: Call,
    outcome: Outcome,
    charge: Charge,
    at_us: int,
    on_shortfall: OnShortfall,
    was_open: bool = True,
) -> Settled:
    """Put a closed hold in the books, charge its swept account, and leave the entry and the receipt.

    What the hold and uncommitted funds do not cover is forgiven, or owed. Windows of spending and of counters
    are those of the hold's time. One that never `was_open` was promised nothing: its charge is drawn from
    what there is now.
    """
    counted = None
    if charge.tiers:
        charge = counted = counters.count(books, hold, charge)
    total_nano = paid_nano = charge.total_nano if charge.total_nano > 0 else 0
    if total_nano > hold.amount_nano:
        paid_nano = min(total_nano, hold.amount_nano + max(0, account.uncommitted_nano))
        if counted is not None and on_shortfall == "forgive" and total_nano > paid_nano:
            counters.forgive(books, hold, counted, total_nano - paid_nano)
    owed_nano = total_nano - paid_nano if on_shortfall == "owe" else 0
    charged_nano = paid_nano + owed_nano
    shortfall_nano = total_nano - charged_nano
    books.put_hold(hold)
    since_us = hold.created_at_us if was_open else at_us
    account = _paid(
        books,
        account,
        hold,
        at_us,
        paid_nano=paid_nano,
        owed_nano=owed_nano,
        since_us=since_us,
        was_open=was_open,
    )
    books.put_account(account)
    scope_ids = (account.id, hold.key_id) if hold.key_id else (account.id,)
    if books.alerts.records:
        if charged_nano:
            alerts.spent(books, account, hold, at_us, charged_nano)
        if charged_nano > paid_nano or shortfall_nano:
            unpaid = {"shortfall_nano": shortfall_nano, "owed_nano": owed_nano}
            alerts.short(books, hold, at_us, charge_nano=total_nano, **unpaid)
    books.move(scope_ids, hold.created_at_us, spent_nano=charged_nano, held_nano=-hold.amount_nano)
    books.new_receipts.append(
        Receipt(call, outcome, charge, charged_nano, shortfall_nano, hold.amount_nano, owed_nano)
    )
    return Settled(
        *(charged_nano, shortfall_nano, account.balance_nano, account.available_nano),
        owed_nano=owed_nano,
        charge=counted,
    )


def _paid(
    books: Books,
    account: Account,
    hold: Hold,
    at_us: int,
    *,
    paid_nano: int,
    owed_nano: int,
    since_us: int,
    was_open: bool,
) -> Account:
    """The account without the hold, and without the charge. The hold must be closed in the books.

    What is owed takes nothing of the funds that other calls in flight were promised.
    """
    draws: tuple[Draw, ...] = ()
    if paid_nano:
        account, draws = lots.take(books, account, paid_nano, since_us=since_us, now_us=at_us)
    charged_nano = paid_nano + owed_nano
    account = replace(
        account,
        held_nano=account.held_nano - hold.amount_nano,
        open_holds=account.open_holds - was_open,
        owed_nano=account.owed_nano + owed_nano,
        entries=account.entries + (charged_nano > 0),
    )
    if charged_nano:
        lots.post(
            books, account, kind="charge", amount_nano=-charged_nano, ref=hold.id, at_us=at_us, draws=draws
        )
    # What a due lot still had for this hold alone expires now.
    if account.next_expiry_us <= at_us:
        account = lots.sweep(books, account, at_us)
    assert account.held_nano >= 0 <= account.open_holds, account
    assert account.uncommitted_nano >= 0, account
    return account
