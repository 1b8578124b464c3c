"""How commands about receivers are made up, and how the auditor's model follows them."""

from msgspec.structs import replace

from proxy.ledger.commands import Done, Refused
from proxy.ledger.events import Receiver
from proxy.ledger.receivers import AddReceiver, DropReceiver, OfReceiver, RotateReceiver
from tests.simulation.follow_accounts import CONFLICT, NO_ACCOUNT
from tests.simulation.model import Model, Party
from tests.simulation.world import World

MOST = 3


def add_receiver(world: World) -> AddReceiver:
    """A receiver of an account that may have enough; now and then one that it has, or of another account."""
    account_id, at_us = world.account(), world.at_us()
    known = list(world.model.receivers.get(account_id, {}))
    id_ = world.one_of(known) if known and world.happens(5) else world.new_id("whk")
    owner = world.account() if world.happens(3) else account_id
    types = world.one_of((("*",), ("credits.*", "limit.*")))
    receiver = Receiver(owner, id_, f"https://{id_}.example", types, 1, at_us, at_us)
    return AddReceiver(account_id, receiver, at_us, MOST)


def rotate_receiver(world: World) -> RotateReceiver:
    """One of an account's, or none."""
    return RotateReceiver(*_one(world), world.at_us())


def drop_receiver(world: World) -> DropReceiver:
    """One of an account's, or none."""
    return DropReceiver(*_one(world), world.at_us())


def follow_add(model: Model, command: AddReceiver) -> Done | Refused:
    """A few for each account, each once."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    mine = model.receivers.setdefault(command.account_id, {})
    receiver = command.receiver
    if receiver.account_id != command.account_id or receiver.id in mine or len(mine) >= command.most:
        return CONFLICT
    mine[receiver.id] = receiver
    return Done(party.row(), receiver=receiver)


def follow_rotate(model: Model, command: RotateReceiver) -> Done | Refused:
    """Its secrets are counted up."""
    found = _found(model, command)
    if isinstance(found, Refused):
        return found
    party, receiver = found
    receiver = replace(receiver, generation=receiver.generation + 1, rotated_at_us=command.at_us)
    model.receivers[command.account_id][receiver.id] = receiver
    return Done(party.row(), receiver=receiver)


def follow_drop(model: Model, command: DropReceiver) -> Done | Refused:
    """It is gone."""
    found = _found(model, command)
    if isinstance(found, Refused):
        return found
    party, receiver = found
    del model.receivers[command.account_id][receiver.id]
    return Done(party.row(), receiver=receiver)


def _one(world: World) -> tuple[str, str]:
    account_id = world.account()
    known = list(world.model.receivers.get(account_id, {}))
    return account_id, world.one_of(known) if known and not world.happens(5) else "whk_nobody"


def _found(model: Model, command: OfReceiver) -> tuple[Party, Receiver] | Refused:
    party = model.parties.get(command.account_id)
    receiver = model.receivers.get(command.account_id, {}).get(command.receiver_id)
    return NO_ACCOUNT if party is None or receiver is None else (party, receiver)
