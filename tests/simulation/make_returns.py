"""How commands about what is taken back of lots, and given back for calls, are made up."""

from typing import Final

from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from tests.simulation.make_accounts import earlier_command_id
from tests.simulation.world import World

RECENT_RECEIPTS: Final = 200


def void_lot(world: World) -> VoidLot:
    """What is left of a lot; now and then of one that there is none of."""
    account_id, at_us = world.account(), world.at_us()
    return VoidLot(account_id, _command_id(world, account_id), _lot(world, account_id), "an error", at_us)


def refund_lot(world: World) -> RefundLot:
    """Some of a lot, at times more than there is."""
    account_id, at_us = world.account(), world.at_us()
    amount_nano = 0 if world.happens(3) else world.up_to(60_000_000)
    lot_id = _lot(world, account_id)
    days = world.one_of((None, None, None, 0, 1, 3))
    ids = (account_id, _command_id(world, account_id), lot_id)
    return RefundLot(*ids, "sent back", at_us, amount_nano, days)


def refund_call(world: World) -> RefundCall | None:
    """Some of what a call was charged, or all of it; now and then more than that, or of another entry."""
    model = world.model
    paid = [row for row in list(model.receipts.values())[-RECENT_RECEIPTS:] if row.charged_nano]
    if not paid:
        return None
    row = world.one_of(paid)
    account_id, call_id, at_us = row.call.account_id, row.call.id, world.at_us()
    lines = enumerate(model.parties[account_id].history.lines, 1)
    ((seq, charge),) = ((seq, line) for seq, line in lines if (line.kind, line.ref) == ("charge", call_id))
    roll = world.chance.randrange(100)
    amount_nano = row.charged_nano if roll < 40 else world.up_to(row.charged_nano + (roll > 90))
    return RefundCall(
        *(account_id, _command_id(world, account_id), world.new_id("lot"), call_id),
        *(0 if roll == 99 else amount_nano, "a bad answer", at_us),
        *(seq + world.happens(2), tuple(lot_id for lot_id, _ in charge.draws)),
    )


def _lot(world: World, account_id: str) -> str:
    party = world.model.parties.get(account_id)
    pieces = party.history.pieces if party else []
    return str(world.one_of(pieces)["id"]) if pieces and not world.happens(4) else "lot_nobody"


def _command_id(world: World, account_id: str) -> str:
    earlier = earlier_command_id(world, account_id) if world.happens(3) else None
    return earlier or world.new_id("command")
