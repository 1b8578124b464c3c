"""Deliberate faults of the rules of end users."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Authorize, Close, Command, Result
from proxy.ledger.end_user_rows import NEWCOMERS, EndUserTerms
from proxy.ledger.end_users import ForgetEndUsers, LimitEndUser
from proxy.ledger.records import Record
from proxy.ledger.windows import DAY_US


def forgets_who_is_counted(books: Books, command: Command) -> Result:
    """An end user is forgotten whose windows have not ended."""
    if isinstance(command, ForgetEndUsers):
        command = replace(command, at_us=command.at_us + 40 * DAY_US)
    return rules.apply(books, command)


def lets_in_any_crowd(books: Books, command: Command) -> Result:
    """New end users are not counted."""
    if isinstance(command, Authorize) and command.call.counts_user:
        crowd = books.end_users.get((command.call.account_id, NEWCOMERS))
        if crowd is not None:
            books.end_users[command.call.account_id, NEWCOMERS] = replace(crowd, levels=())
    return rules.apply(books, command)


def counts_only_what_is_held(books: Books, command: Command) -> Result:
    """What a call was charged is not counted to its end user."""
    result = rules.apply(books, command)
    if isinstance(command, Close) and command.call.counts_user:
        row = books.end_users.get((command.call.account_id, command.call.end_user))
        if row is not None:
            books.end_users.put(replace(row, sums=tuple(replace(each, spent_nano=0) for each in row.sums)))
    return result


def leaves_the_limits_of_one(books: Books, command: Command) -> Result:
    """An end user's own limits are noted, and not heeded: its account is not looked at."""
    result = rules.apply(books, command)
    if isinstance(command, LimitEndUser) and command.account_id in books.accounts:
        account = books.accounts[command.account_id]
        if account.limits.end_users == EndUserTerms():
            books.put_account(replace(account, limits=replace(account.limits, end_users=None)))
    return result


def asks_nobody(books: Books, command: Command) -> Result:
    """A call need not say whom it is for, whatever the account says."""
    account = books.accounts.get(command.call.account_id) if isinstance(command, Authorize) else None
    if account is None or account.limits.end_users is None:
        return rules.apply(books, command)
    terms = replace(account.limits.end_users, is_required=False)
    books.accounts[account.id] = replace(account, limits=replace(account.limits, end_users=terms))
    result = rules.apply(books, command)
    books.accounts[account.id] = replace(books.accounts[account.id], limits=account.limits)
    return result


def forgets_whom_usage_was_for(books: Books, command: Command) -> Result:
    """What is told of from outside is charged, and not counted to its end user."""
    if not isinstance(command, Record) or not command.call.counts_user:
        return rules.apply(books, command)
    id_ = (command.call.account_id, command.call.end_user)
    known = books.end_users.get(id_)
    result = rules.apply(books, command)
    after = books.end_users.get(id_)
    if after is not None and known is not None:
        books.end_users.put(replace(after, sums=known.sums))
    return result


RULES = (
    forgets_whom_usage_was_for,
    forgets_who_is_counted,
    lets_in_any_crowd,
    counts_only_what_is_held,
    leaves_the_limits_of_one,
    asks_nobody,
)
"""All of them."""
