"""The rule of windows that have ended long ago."""

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.ended import KEPT_DAYS, ForgetWindows
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.windows import DAY_US


@carries_out(ForgetWindows)
def forget_windows(books: Books, command: ForgetWindows) -> Done | Refused:
    """Delete what nobody can read any more; what may be read stays, whatever the command names."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    # A clock that is ahead must not end windows that calls are still in.
    last_day = min(account.spending.day, command.at_us // DAY_US) - KEPT_DAYS
    for key in command.buckets:
        ended = books.ended_buckets.get((account.id, *key))
        is_free = ended is not None and not ended.held_nano and key not in books.changed_buckets
        if ended is not None and is_free and ended.start_day <= last_day:
            books.ended_buckets.drop(ended)
            books.buckets.pop(key, None)
    for key in command.counters:
        counter = books.counters.get((account.id, *key))
        if counter is not None and counter.window != "total" and counter.start_day <= last_day:
            books.counters.drop(counter)
    return Done(account)
