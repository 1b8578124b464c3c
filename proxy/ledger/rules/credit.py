"""The rules of credit: grants and adjustments, each carried out once, and the expiry of due lots."""

from typing import Final

from proxy.ledger.books import Books
from proxy.ledger.commands import Adjust, Done, Grant, Refused, Sweep
from proxy.ledger.rows import Account, Lot
from proxy.ledger.rules import alerts, lots
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.once import carried_out, earlier_result
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.windows import iso
from proxy.money import MAX_NANO, usd_string

ADJUSTMENT_PRIORITY: Final = 50


@carries_out(Grant)
def grant(books: Books, command: Grant) -> Done | Refused:
    """Put credit in: debt is repaid first, a lot holds the rest."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    earlier = earlier_result(books, account, command)
    if earlier:
        return earlier
    if command.amount_nano <= 0:
        return Refused("invalid_value", "A grant must be of more than nothing.")
    if command.expires_at_us <= command.at_us:
        return Refused(
            "invalid_value", f"A grant cannot have expired, as this one at {iso(command.expires_at_us)}."
        )
    lot = Lot(
        command.lot_id,
        account.id,
        command.kind,
        command.amount_nano,
        command.amount_nano,
        command.priority,
        command.at_us,
        command.expires_at_us,
    )
    done = _put_in(books, account, command, lot)
    if isinstance(done, Done) and done.account and done.entry:
        alerts.granted(books, done.account, done.entry, lot)
    return done


@carries_out(Adjust)
def adjust(books: Books, command: Adjust) -> Done | Refused:
    """Correct a balance: up by a lot, down by draws, and never below what is available."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    earlier = earlier_result(books, account, command)
    if earlier:
        return earlier
    amount_nano, at_us = command.amount_nano, command.at_us
    if not amount_nano:
        return Refused("invalid_value", "An adjustment must be of more or less than nothing.")
    if amount_nano > 0:
        lot = Lot(command.lot_id, account.id, "adjust", amount_nano, amount_nano, ADJUSTMENT_PRIORITY, at_us)
        return _put_in(books, account, command, lot)
    account = lots.swept(books, account, at_us)
    if account.available_nano + amount_nano < 0:
        return Refused(
            "conflict",
            f"{usd_string(-amount_nano)} USD cannot be taken: "
            f"{usd_string(account.available_nano)} USD are available.",
            limit_source="balance",
            held_nano=account.held_nano,
            required_nano=-amount_nano,
            available_nano=account.available_nano,
        )
    account, draws = lots.take(books, account, -amount_nano, since_us=at_us, now_us=at_us)
    return carried_out(books, account, command, amount_nano, draws)


@carries_out(Sweep)
def sweep(books: Books, command: Sweep) -> Done | Refused:
    """Expire the lots of an account that are due."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    return Done(lots.swept(books, account, command.at_us))


def _put_in(books: Books, account: Account, command: Grant | Adjust, lot: Lot) -> Done | Refused:
    if command.amount_nano > MAX_NANO - account.balance_nano:
        return Refused("invalid_value", f"No balance may exceed {usd_string(MAX_NANO)} USD.")
    if lot.id in books.lots.get(account.id, {}):
        return Refused("conflict", f"The lot {lot.id} exists already.")
    account, draws = lots.add(books, account, lot)
    return carried_out(books, account, command, command.amount_nano, draws)
