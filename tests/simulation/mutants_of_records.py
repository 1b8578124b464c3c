"""Deliberate faults of the rule of usage that was never authorized."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result, Settled
from proxy.ledger.records import Record
from proxy.ledger.rows import NEVER_US


def records_again(books: Books, command: Command) -> Result:
    """What was recorded before is recorded once more."""
    if isinstance(command, Record):
        known = books.holds.get(command.call.id)
        if known is not None and known.owner == command.digest:
            del books.holds[known.id]
    return rules.apply(books, command)


def records_anything_under_an_id(books: Books, command: Command) -> Result:
    """Other usage under the id of a call is taken for a repeat of that."""
    if isinstance(command, Record) and command.call.id in books.holds:
        known = books.holds[command.call.id]
        books.holds[known.id] = replace(known, account_id=command.call.account_id, owner=command.digest)
        result = rules.apply(books, command)
        books.holds[known.id] = known
        return result
    return rules.apply(books, command)


def counts_recorded_usage_today(books: Books, command: Command) -> Result:
    """What was used on another day is counted on the day on which it is told of."""
    result = rules.apply(books, command)
    if isinstance(command, Record) and isinstance(result, Settled) and not result.replayed:
        call = command.call
        scopes = (call.account_id, call.key_id) if call.key_id else (call.account_id,)
        books.move(scopes, command.used_at_us, spent_nano=-result.charged_nano)
        books.move(scopes, command.at_us, spent_nano=result.charged_nano)
    return result


def takes_what_calls_in_flight_hold(books: Books, command: Command) -> Result:
    """Usage is paid from what other calls were promised."""
    account = books.accounts.get(command.call.account_id) if isinstance(command, Record) else None
    if account is None:
        return rules.apply(books, command)
    books.accounts[account.id] = replace(account, held_nano=0, next_expiry_us=NEVER_US)
    result = rules.apply(books, command)
    after = books.accounts[account.id]
    books.accounts[account.id] = replace(after, held_nano=account.held_nano)
    return result


RULES = (
    records_again,
    records_anything_under_an_id,
    counts_recorded_usage_today,
    takes_what_calls_in_flight_hold,
)
"""All of them."""
