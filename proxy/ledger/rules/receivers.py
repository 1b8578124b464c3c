"""The rules of receivers: an account has a few, each with a secret that can be replaced."""

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.events import Receiver
from proxy.ledger.receivers import AddReceiver, DropReceiver, OfReceiver, RotateReceiver
from proxy.ledger.rows import Account
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.registry import carries_out


@carries_out(AddReceiver)
def add_receiver(books: Books, command: AddReceiver) -> Done | Refused:
    """Add a receiver; one whose id is taken, or that is one too many, is a conflict."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    mine = [each for each in books.receivers.values() if each.account_id == account.id]
    if command.receiver.account_id != account.id or any(each.id == command.receiver.id for each in mine):
        return Refused("conflict", f"The webhook {command.receiver.id} cannot be added to this account.")
    if len(mine) >= command.most:
        return Refused("conflict", f"An account has {command.most} webhooks at most: delete one first.")
    books.receivers.put(command.receiver)
    return Done(account, receiver=command.receiver)


@carries_out(RotateReceiver)
def rotate_receiver(books: Books, command: RotateReceiver) -> Done | Refused:
    """Count the secrets of a receiver up: the next one follows from that."""
    found = _found(books, command)
    if isinstance(found, Refused):
        return found
    account, receiver = found
    receiver = replace(receiver, generation=receiver.generation + 1, rotated_at_us=command.at_us)
    books.receivers.put(receiver)
    return Done(account, receiver=receiver)


@carries_out(DropReceiver)
def drop_receiver(books: Books, command: DropReceiver) -> Done | Refused:
    """Delete a receiver."""
    found = _found(books, command)
    if isinstance(found, Refused):
        return found
    account, receiver = found
    books.receivers.drop(receiver)
    return Done(account, receiver=receiver)


def _found(books: Books, command: OfReceiver) -> tuple[Account, Receiver] | Refused:
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    receiver = books.receivers.get((account.id, command.receiver_id))
    if receiver is None:
        return Refused("not_found", f"There is no webhook {command.receiver_id}.")
    return account, receiver
