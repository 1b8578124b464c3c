"""Deliberate faults of the rules of credit that is taken back, or given back."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result
from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US


def voids_what_was_promised(books: Books, command: Command) -> Result:
    """A lot is voided or refunded as if no call were in flight."""
    if not isinstance(command, VoidLot | RefundLot) or command.account_id not in books.accounts:
        return rules.apply(books, command)
    before = books.accounts[command.account_id]
    books.accounts[before.id] = replace(before, held_nano=0)
    result = rules.apply(books, command)
    books.accounts[before.id] = replace(books.accounts[before.id], held_nano=before.held_nano)
    return result


def refunds_without_end(books: Books, command: Command) -> Result:
    """What a call was refunded before does not count."""
    if isinstance(command, RefundCall):
        books.refunds.clear()
    return rules.apply(books, command)


def revives_what_has_expired(books: Books, command: Command) -> Result:
    """A refund goes back to lots that have expired."""
    if isinstance(command, RefundCall):
        lots = books.lots.get(command.account_id, {})
        before = dict(lots)
        lots.update({id_: replace(lot, expires_at_us=NEVER_US) for id_, lot in lots.items()})
        result = rules.apply(books, command)
        lots.update(
            {
                id_: replace(lot, expires_at_us=before[id_].expires_at_us)
                for id_, lot in lots.items()
                if id_ in before
            }
        )
        return result
    return rules.apply(books, command)


RULES = (voids_what_was_promised, refunds_without_end, revives_what_has_expired)
"""All of them."""
