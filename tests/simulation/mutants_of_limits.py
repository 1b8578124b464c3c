"""Deliberate faults of the rules of limits."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Authorize, Command, Result
from proxy.ledger.rows import Limits
from tests.simulation import mutants_of_end_users


def lets_one_more_at_once(books: Books, command: Command) -> Result:
    """An account's limit of calls at once is one too high."""
    account = books.accounts.get(command.call.account_id) if isinstance(command, Authorize) else None
    if account is None or account.limits.concurrency is None:
        return rules.apply(books, command)
    return _limited_by(books, command, replace(account.limits, concurrency=account.limits.concurrency + 1))


def forgets_the_accounts_own_limit(books: Books, command: Command) -> Result:
    """What an account may spend in a day is what the operator says, whatever it has set for itself."""
    account = books.accounts.get(command.call.account_id) if isinstance(command, Authorize) else None
    if account is None or account.limits.own_day_nano is None:
        return rules.apply(books, command)
    return _limited_by(books, command, replace(account.limits, own_day_nano=None))


def _limited_by(books: Books, command: Command, limits: Limits) -> Result:
    """What becomes of a call where its account had other limits."""
    assert isinstance(command, Authorize)
    before = books.accounts[command.call.account_id]
    books.accounts[before.id] = replace(before, limits=limits)
    result = rules.apply(books, command)
    books.accounts[before.id] = replace(books.accounts[before.id], limits=before.limits)
    return result


RULES = (lets_one_more_at_once, forgets_the_accounts_own_limit, *mutants_of_end_users.RULES)
"""All of them, with those of end users."""
