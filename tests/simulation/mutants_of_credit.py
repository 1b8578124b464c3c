"""Deliberate faults of the rules of credit that is taken back or given back, and of what is told of it."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.alerts import Alerts
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result
from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US, AlertRules
from tests.simulation.events import LOW_NANO


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
        for key in [key for key, entry in books.entries.items() if entry.kind == "refund"]:
            del books.entries[key]
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


def tells_nothing_of_a_low_balance(books: Books, command: Command) -> Result:
    """Funds fall to the threshold, and nobody is told."""
    before = set(books.events.once)
    result = rules.apply(books, command)
    for key in set(books.events.once) - before:
        if books.events.once[key].type == "balance.low":
            del books.events.once[key]
    return result


def tells_a_percent_late(books: Books, command: Command) -> Result:
    """Half of a limit is told of only when some more is spent."""
    books.alerts = Alerts(AlertRules(LOW_NANO, (51, 80, 100)), books.alerts.groups)
    return rules.apply(books, command)


def tells_by_the_limits_of_nobody(books: Books, command: Command) -> Result:
    """The limits that a group has in force are not looked at when something is spent."""
    books.alerts = Alerts(AlertRules(LOW_NANO, (50, 80, 100)))
    return rules.apply(books, command)


def tells_again_in_another_command(books: Books, command: Command) -> Result:
    """What a window has told before is told again when a limit was raised: each time has an id of its own."""
    before = set(books.events.once)
    result = rules.apply(books, command)
    for key in set(books.events.once) - before:
        event = books.events.once[key]
        if event.type == "limit.reached":
            del books.events.once[key]
            anew = replace(event, id=f"{event.id}-{event.at_us}")
            books.events.once[event.account_id, anew.id] = anew
    return result


RULES = (
    voids_what_was_promised,
    refunds_without_end,
    revives_what_has_expired,
    tells_nothing_of_a_low_balance,
    tells_a_percent_late,
    tells_by_the_limits_of_nobody,
    tells_again_in_another_command,
)
"""All of them."""
