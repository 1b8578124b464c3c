"""The rules of what is taken back, or given back: lots are voided or refunded, and calls are refunded."""

from collections.abc import Iterator
from typing import Final

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.returns import OfLot, RefundCall, RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US, Account, Entry, Lot
from proxy.ledger.rules import lots
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.once import carried_out, earlier_result
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.windows import DAY_US, iso
from proxy.money import MAX_NANO, usd_string

REFUNDABLE: Final = ("purchase", "grant")
"""The kinds of lots whose rest may be paid back: what was given for nothing is voided instead."""
REFUND_PRIORITY: Final = 50


@carries_out(VoidLot)
def void_lot(books: Books, command: VoidLot) -> Done | Refused:
    """Take what is left of a lot and was promised to no call in flight."""
    return _taken(books, command, None)


@carries_out(RefundLot)
def refund_lot(books: Books, command: RefundLot) -> Done | Refused:
    """Take an amount from a lot that may be paid back, if so much is left that no call in flight may need."""
    return _taken(books, command, command.amount_nano)


@carries_out(RefundCall)
def refund_call(books: Books, command: RefundCall) -> Done | Refused:
    """Give back some of a charge: debt is repaid first, then lots that live get back what it drew of them.

    What the charge drew last comes back first. What was drawn of lots that have expired, or was debt that has
    been repaid since, goes to a lot of its own, which never expires. Spending limits stay as they are.
    """
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    earlier = earlier_result(books, account, command)
    if earlier:
        return earlier
    charge = books.entries.get((account.id, command.seq))
    if charge is None or (charge.kind, charge.ref) != ("charge", command.call_id):
        return Refused("not_found", f"There is no charge for the call {command.call_id}.")
    refunded_nano = books.refunded_nano(account.id, command.call_id)
    refused = _impossible(books, account, command, -charge.amount_nano - refunded_nano, charge)
    if refused:
        return refused
    fresh = Lot(
        *(command.lot_id, account.id, "refund", 1, 0, REFUND_PRIORITY, command.at_us, NEVER_US),
    )
    repaid_nano = min(command.amount_nano, account.whole_debt_nano)
    parts = list(parts_of(charge, refunded_nano + repaid_nano, command.amount_nano - repaid_nano))
    account, draws = lots.give_back(books, account, parts, fresh, repaid_nano=repaid_nano)
    return carried_out(books, account, command, command.amount_nano, draws)


def parts_of(charge: Entry, after_nano: int, amount_nano: int) -> Iterator[tuple[str, int]]:
    """Which lots an amount of a charge was drawn from, after so much of it, counted from what came last.

    The id is empty for what was not drawn from a lot.
    """
    drawn = [(draw.lot_id, -draw.amount_nano) for draw in charge.draws]
    lent_nano = -charge.amount_nano - sum(nano for _, nano in drawn)
    first, last = after_nano, after_nano + amount_nano
    for lot_id, nano in [("", lent_nano), *reversed(drawn)]:
        part = min(nano, last) - max(0, first)
        if part > 0:
            yield lot_id, part
        first, last = first - nano, last - nano


def _impossible(
    books: Books, account: Account, command: RefundCall, left_nano: int, charge: Entry
) -> Refused | None:
    amount_nano, there = command.amount_nano, books.lots.get(account.id, {})
    if amount_nano <= 0:
        return Refused("invalid_value", "A refund must be of more than nothing.")
    if amount_nano > left_nano:
        return Refused(
            "conflict",
            f"{usd_string(amount_nano)} USD cannot be refunded: "
            f"of what the call was charged, {usd_string(left_nano)} USD are left.",
            required_nano=amount_nano,
            available_nano=left_nano,
        )
    if amount_nano > MAX_NANO - account.balance_nano:
        return Refused("invalid_value", f"No balance may exceed {usd_string(MAX_NANO)} USD.")
    if command.lot_id in there:
        return Refused("conflict", f"The lot {command.lot_id} exists already.")
    if any(draw.lot_id not in there for draw in charge.draws):
        return Refused("invalid_value", "The charge was drawn from other lots.")
    return None


def _taken(books: Books, command: VoidLot | RefundLot, amount_nano: int | None) -> Done | Refused:
    """Take an amount of a lot, or all that can be taken."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    earlier = earlier_result(books, account, command)
    if earlier:
        return earlier
    account = lots.swept(books, account, command.at_us)
    lot = _lot_left(books, command, amount_nano)
    if isinstance(lot, Refused):
        return lot
    free_nano = lots.free_nano(books, account, lot, command.at_us)
    wanted_nano = max(1, free_nano) if amount_nano is None else amount_nano
    if wanted_nano > free_nano:
        return _promised(command, lot, wanted_nano, free_nano)
    account, draws = lots.take_of(books, account, lot, wanted_nano)
    return carried_out(books, account, command, -wanted_nano, draws)


def _lot_left(books: Books, command: OfLot, amount_nano: int | None) -> Lot | Refused:
    lot = books.lots.get(command.account_id, {}).get(command.lot_id)
    if lot is None or not lot.remaining_nano:
        return Refused("not_found", f"There is nothing left of a lot {command.lot_id} of this account.")
    if amount_nano is not None and amount_nano <= 0:
        return Refused("invalid_value", "A refund must be of more than nothing.")
    if amount_nano is not None and lot.kind not in REFUNDABLE:
        return Refused("conflict", f"A lot of kind {lot.kind} is not refunded; it can be voided.")
    days = command.days if isinstance(command, RefundLot) else None
    if days is not None and command.at_us >= lot.granted_at_us + days * DAY_US:
        message = f"A lot can be paid back for {days} days; this one is of {iso(lot.granted_at_us)}."
        return Refused("conflict", message)
    return lot


def _promised(command: OfLot, lot: Lot, wanted_nano: int, free_nano: int) -> Refused:
    return Refused(
        "conflict",
        f"{usd_string(free_nano)} USD can be taken of the lot {command.lot_id}; "
        "the rest of it was promised to calls in flight."
        if free_nano < lot.remaining_nano
        else f"{usd_string(free_nano)} USD are left of the lot {command.lot_id}.",
        held_nano=lot.remaining_nano - free_nano,
        required_nano=wanted_nano,
        available_nano=free_nano,
    )
