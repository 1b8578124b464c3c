"""How the auditor's model follows what is taken back of lots, and given back for calls."""

from proxy.ledger.commands import Done, Refused
from proxy.ledger.returns import OfLot, RefundCall, RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US, Lot
from proxy.money import MAX_NANO
from tests.ledger.auditor import ZERO, Dollars, dollars, nano
from tests.simulation.follow_accounts import (
    CONFLICT,
    INVALID,
    NO_ACCOUNT,
    USUAL_PRIORITY,
    earlier_result,
    noted,
)
from tests.simulation.model import DAY_US, Model, Party

PAID_FOR = ("purchase", "grant")


def void_lot(model: Model, command: VoidLot) -> Done | Refused:
    """All that is left is taken but for what calls in flight may draw, and never nothing."""
    return _taken(model, command, None)


def refund_lot(model: Model, command: RefundLot) -> Done | Refused:
    """An amount is taken of what was paid for, all of it or nothing."""
    return _taken(model, command, dollars(command.amount_nano))


def refund_call(model: Model, command: RefundCall) -> Done | Refused:
    """A charge is undone from its end: debt is repaid, then lots that live have theirs back."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    earlier = earlier_result(party, command)
    if earlier:
        return earlier
    history, amount = party.history, dollars(command.amount_nano)
    refused = _no_refund(party, command, amount)
    if refused:
        return refused
    repaid = history.repay(amount)
    _popped(party, command.seq, repaid)
    draws = _put_back(party, command, _popped(party, command.seq, amount - repaid))
    history.post("refund", amount, command.call_id, command.at_us, draws)
    return noted(model, party, command)


def _no_refund(party: Party, command: RefundCall, amount: Dollars) -> Refused | None:
    lines = party.history.lines[command.seq - 1 : command.seq]
    if not lines or (lines[0].kind, lines[0].ref) != ("charge", command.call_id):
        return NO_ACCOUNT
    left = sum((part for _, part in party.stack(command.seq)), ZERO)
    if amount > left:
        return Refused("conflict", "", required_nano=nano(amount), available_nano=nano(left))
    if amount <= 0 or party.history.balance() + amount > dollars(MAX_NANO):
        return INVALID
    return None


def _popped(party: Party, seq: int, amount: Dollars) -> list[tuple[str, Dollars]]:
    """Take an amount off the end of a charge."""
    stack, parts = party.stack(seq), list[tuple[str, Dollars]]()
    while amount:
        lot_id, there = stack.pop()
        part = min(there, amount)
        amount -= part
        if part:
            parts.append((lot_id, part))
        if there > part:
            stack.append((lot_id, there - part))
    return parts


def _put_back(
    party: Party, command: RefundCall, parts: list[tuple[str, Dollars]]
) -> list[tuple[str, Dollars]]:
    alive = {id_: lot for id_, lot in party.lots.items() if lot.expires_at_us > command.at_us}
    draws = [(id_, part) for id_, part in parts if id_ in alive]
    homeless = sum((part for id_, part in parts if id_ not in alive), ZERO)
    if homeless:
        amount_nano = nano(homeless)
        alive[command.lot_id] = party.lots[command.lot_id] = Lot(
            *(command.lot_id, party.account.id, "refund", amount_nano, amount_nano),
            *(USUAL_PRIORITY, command.at_us, NEVER_US),
        )
        draws.append((command.lot_id, homeless))
    for id_, part in draws:
        lot = alive[id_]
        party.history.return_to(id_, part, lot.granted_at_us, lot.expires_at_us, lot.priority)
    return draws


def _is_late(party: Party, command: OfLot) -> bool:
    """Whether the days in which a lot is paid back are over."""
    days = command.days if isinstance(command, RefundLot) else None
    return days is not None and command.at_us >= party.lots[command.lot_id].granted_at_us + days * DAY_US


def _taken(model: Model, command: OfLot, amount: Dollars | None) -> Done | Refused:
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    assert isinstance(command, VoidLot | RefundLot)
    earlier = earlier_result(party, command)
    if earlier:
        return earlier
    history = party.history
    history.expire(command.at_us)
    left = sum((piece["left"] for piece in history.pieces if piece["id"] == command.lot_id), ZERO)
    if not left:
        return NO_ACCOUNT
    is_kept = amount is not None and party.lots[command.lot_id].kind not in PAID_FOR
    if amount is not None and (amount <= 0 or is_kept or _is_late(party, command)):
        return INVALID if amount <= 0 else CONFLICT
    spare = history.spare(command.lot_id, command.at_us)
    wanted = max(dollars(1), spare) if amount is None else amount
    if wanted > spare:
        return Refused(
            *("conflict", ""),
            held_nano=nano(left - spare),
            required_nano=nano(wanted),
            available_nano=nano(spare),
        )
    history.reduce(command.lot_id, wanted)
    kind = "void" if isinstance(command, VoidLot) else "refund"
    history.post(kind, -wanted, command.lot_id, command.at_us, [(command.lot_id, -wanted)])
    return noted(model, party, command)
