"""Deliberate faults of the rule of usage that was never authorized."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Recorded, Result
from proxy.ledger.records import Record, seen_of
from proxy.ledger.rows import NEVER_US


def records_again(books: Books, command: Command) -> Result:
    """What was recorded before is recorded once more."""
    if isinstance(command, Record):
        known = books.objects.get((command.call.account_id, command.name))
        if known is not None and books.holds.pop(known.call_id, None) is not None:
            del books.objects[known.account_id, known.id]
    return rules.apply(books, command)


def records_anything_under_a_name(books: Books, command: Command) -> Result:
    """Other usage under a name that is known is taken for a repeat."""
    known = (
        books.objects.get((command.call.account_id, command.name)) if isinstance(command, Record) else None
    )
    if known is None or not isinstance(command, Record):
        return rules.apply(books, command)
    books.objects[known.account_id, known.id] = replace(known, seen=seen_of(command.digest))
    result = rules.apply(books, command)
    books.objects[known.account_id, known.id] = known
    return result


def counts_recorded_usage_today(books: Books, command: Command) -> Result:
    """What was used on another day is counted on the day on which it is told of."""
    result = rules.apply(books, command)
    if isinstance(command, Record) and isinstance(result, Recorded) and not result.settled.replayed:
        call = command.call
        scopes = (call.account_id, call.key_id) if call.key_id else (call.account_id,)
        books.move(scopes, command.used_at_us, spent_nano=-result.settled.charged_nano)
        books.move(scopes, command.at_us, spent_nano=result.settled.charged_nano)
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
    records_anything_under_a_name,
    counts_recorded_usage_today,
    takes_what_calls_in_flight_hold,
)
"""All of them."""
