"""The rules: one pure function from books and a command to changed books and a result.

No clock, no storage, no waiting: times and ids come with the command. Whatever storage is used, only the
rules decide what a command does. A refused command changes nothing, with one exception: lots that are due
when it is looked at expire, as they would by any other command.
"""

from proxy.ledger.books import Books
from proxy.ledger.commands import COMMANDS, Command, OfAccount, Result
from proxy.ledger.rules import (
    accounts,
    auto_top_ups,
    calls,
    closing,
    credit,
    credit_notes,
    deliveries,
    end_users,
    ended,
    fees,
    invoices,
    levels,
    memberships,
    objects,
    quotas,
    receivers,
    records,
    returns,
    top_ups,
    vouchers,
)
from proxy.ledger.rules.registry import RULES

__all__ = [
    "accounts",
    "apply",
    "auto_top_ups",
    "calls",
    "closing",
    "credit",
    "credit_notes",
    "deliveries",
    "end_users",
    "ended",
    "fees",
    "invoices",
    "levels",
    "memberships",
    "objects",
    "quotas",
    "receivers",
    "records",
    "returns",
    "top_ups",
    "vouchers",
]

if unruled := set(COMMANDS) - RULES.keys():
    raise TypeError(f"no rule carries out {', '.join(sorted(kind.__name__ for kind in unruled))}")


def apply(books: Books, command: Command) -> Result:
    """Carry out one command on the books. Raises KeyError for a command of an unknown type."""
    books.begin()
    if isinstance(command, OfAccount):
        # These are few, and their results show the whole account.
        books.add_up()
    return RULES[type(command)](books, command)
