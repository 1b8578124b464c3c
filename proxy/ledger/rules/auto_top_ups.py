"""The rules of how an account is topped up by itself. When it is, is decided outside of the ledger."""

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.top_up_rows import AutoTopUp
from proxy.ledger.top_ups import SaveMethod, SetAutoTopUp
from proxy.money import MAX_NANO


@carries_out(SetAutoTopUp)
def set_auto_top_up(books: Books, command: SetAutoTopUp) -> Done | Refused:
    """Set when an account is topped up, and by how much: an amount, or up to a target above the threshold."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    if command.state == "on" and not _is_possible(command):
        return Refused("invalid_value", "It takes an amount, or a target above the threshold, one of them.")
    auto = replace(
        books.auto_top_ups.get(account.id) or AutoTopUp(account.id),
        state=command.state,
        threshold_nano=command.threshold_nano,
        amount_nano=command.amount_nano,
        target_nano=command.target_nano,
        daily_nano=command.daily_nano,
        monthly_nano=command.monthly_nano,
        changed_at_us=command.at_us,
    )
    books.auto_top_ups.put(auto)
    return Done(account, auto_top_up=auto)


@carries_out(SaveMethod)
def save_method(books: Books, command: SaveMethod) -> Done | Refused:
    """Save a means of payment in place of the one before; nothing is switched on by that."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    before = books.auto_top_ups.get(account.id) or AutoTopUp(account.id)
    auto = replace(before, customer=command.customer, method=command.method, changed_at_us=command.at_us)
    books.auto_top_ups.put(auto)
    return Done(account, auto_top_up=auto)


def _is_possible(command: SetAutoTopUp) -> bool:
    figures = (command.threshold_nano, command.amount_nano, command.target_nano)
    if min(*figures, command.daily_nano, command.monthly_nano) < 0 or max(figures) > MAX_NANO:
        return False
    if command.target_nano:
        return not command.amount_nano and command.target_nano > command.threshold_nano
    return command.amount_nano > 0
