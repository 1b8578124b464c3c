"""Deliberate faults of the rules of telling of events."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result
from proxy.ledger.deliveries import ForgetEvents, NoteDelivery, RouteEvent, TellExpiry
from proxy.ledger.receivers import AddReceiver, RotateReceiver


def tells_an_endpoint_again(books: Books, command: Command) -> Result:
    """An endpoint that was told is told once more, although nobody has asked for it."""
    if isinstance(command, RouteEvent):
        command = replace(command, again=True)
    return rules.apply(books, command)


def notes_what_has_ended(books: Books, command: Command) -> Result:
    """What somebody has noted meanwhile is noted over."""
    if isinstance(command, NoteDelivery):
        key = (command.account_id, command.event_id, command.endpoint)
        known = books.deliveries.get(key)
        if known is not None:
            books.deliveries[key] = replace(known, state="pending", attempts=command.attempts)
    return rules.apply(books, command)


def forgets_who_waits(books: Books, command: Command) -> Result:
    """An event goes although an endpoint is still to be told of it."""
    if isinstance(command, ForgetEvents):
        command = replace(command, endpoints=())
    return rules.apply(books, command)


def tells_of_what_has_expired(books: Books, command: Command) -> Result:
    """A lot is told to expire that has expired."""
    if isinstance(command, TellExpiry):
        lot = books.lots.get(command.account_id, {}).get(command.lot_id)
        if lot is not None and lot.expires_at_us <= command.at_us:
            command = replace(command, at_us=lot.expires_at_us - 1)
    return rules.apply(books, command)


def lets_an_account_have_any_number(books: Books, command: Command) -> Result:
    """Nobody counts the receivers of an account."""
    if isinstance(command, AddReceiver):
        command = replace(command, most=1_000)
    return rules.apply(books, command)


def keeps_an_old_secret(books: Books, command: Command) -> Result:
    """A secret that was replaced stays the one that signs."""
    result = rules.apply(books, command)
    if isinstance(command, RotateReceiver):
        receiver = books.receivers.get((command.account_id, command.receiver_id))
        if receiver is not None and receiver.generation > 1:
            books.receivers.put(replace(receiver, generation=receiver.generation - 1))
    return result


def tells_nothing_of_end_users(books: Books, command: Command) -> Result:
    """What end users have spent of their limits is kept from everybody."""
    before = set(books.events.once)
    result = rules.apply(books, command)
    for key in set(books.events.once) - before:
        if '"scope":"end_user"' in books.events.once[key].data:
            del books.events.once[key]
    return result


def tells_nothing_of_disabled_keys(books: Books, command: Command) -> Result:
    """A key is disabled, and nobody is told."""
    before = set(books.events.once)
    result = rules.apply(books, command)
    for key in set(books.events.once) - before:
        if books.events.once[key].type == "key.disabled":
            del books.events.once[key]
    return result


RULES = (
    tells_nothing_of_disabled_keys,
    tells_nothing_of_end_users,
    lets_an_account_have_any_number,
    keeps_an_old_secret,
    tells_an_endpoint_again,
    notes_what_has_ended,
    forgets_who_waits,
    tells_of_what_has_expired,
)
"""All of them."""
