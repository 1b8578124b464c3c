"""The rules of top-ups: opened, credited once they are paid, and taken back when the money is."""

from typing import Final

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Adjust, Done, Grant, Refused
from proxy.ledger.returns import RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US, Account
from proxy.ledger.rules import lots
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.credit import grant
from proxy.ledger.rules.once import carried_out, earlier_result
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.rules.returns import refund_lot, void_lot
from proxy.ledger.top_up_rows import TopUp, TopUpReference, TopUpState
from proxy.ledger.top_ups import (
    ConfirmTopUp,
    FailTopUp,
    NoteTopUp,
    OfTopUp,
    OpenTopUp,
    RefundTopUp,
    ReverseTopUp,
    bonus_id,
    bonus_return_id,
    owing_id,
    purchase_id,
    reversal_id,
)
from proxy.ledger.windows import DAY_US
from proxy.money import MAX_NANO, usd_string

MOVES: Final[dict[TopUpState, tuple[TopUpState, ...]]] = {
    "pending": ("succeeded", "failed", "expired"),
    "failed": ("succeeded",),
    "expired": ("succeeded",),
    "succeeded": (),
}
"""What may become of a top-up in each state. What was paid after all is credited."""


@carries_out(OpenTopUp)
def open_top_up(books: Books, command: OpenTopUp) -> Done | Refused:
    """Open a top-up; pending ones that are due expire, and do not count against it."""
    top_up, account = command.top_up, books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    earlier = books.top_ups.get((account.id, top_up.id))
    if earlier is not None:
        return _as_opened(account, earlier, top_up)
    if refused := _not_for_sale(command, account):
        return refused
    pending = books.pending(account.id)
    due = [each for each in pending if each.expires_at_us <= top_up.created_at_us]
    left = [each for each in pending if each not in due]
    # Whoever opens many that are never paid keeps the account from no automatic one.
    alike = [each for each in left if each.origin == top_up.origin]
    if len(alike) >= command.most_pending:
        return Refused("conflict", f"The account has {len(alike)} pending top-ups; let them end first.")
    if top_up.origin == "automatic" and any(each.origin == "automatic" for each in left):
        return Refused("conflict", "An automatic top-up of the account is pending.")
    for each in due:
        books.top_ups.put(_closed(each, "expired", "It was not paid in time.", top_up.created_at_us))
    books.top_ups.put(top_up)
    return Done(account, top_up=top_up)


@carries_out(NoteTopUp)
def note_top_up(books: Books, command: NoteTopUp) -> Done | Refused:
    """Note the provider's name for a pending top-up; one that it has kept names another."""
    found = _found(books, command)
    if isinstance(found, Refused):
        return found
    account, top_up = found
    if (top_up.reference, top_up.url) == (command.reference, command.url):
        return Done(account, top_up=top_up, replayed=True)
    if top_up.state != "pending":
        return _not_in_state(top_up)
    refused = _other_name(books, top_up, command.provider, command.reference)
    if refused:
        return refused
    _refer(books, top_up, command.reference)
    top_up = replace(top_up, reference=command.reference, url=command.url)
    books.top_ups.put(top_up)
    return Done(account, top_up=top_up)


@carries_out(ConfirmTopUp)
def confirm_top_up(books: Books, command: ConfirmTopUp) -> Done | Refused:
    """Put in what was bought and its bonus, once: a repeat changes nothing, another payment is a conflict."""
    found = _found(books, command)
    if isinstance(found, Refused):
        return found
    account, top_up = found
    if top_up.state == "succeeded":
        if not command.reference or top_up.reference in ("", command.reference):
            return Done(account, top_up=top_up, replayed=True)
        return Refused("conflict", f"The top-up {top_up.id} was paid by {top_up.reference} before.")
    grants = _grants(top_up, command)
    refused = _impossible(books, account, top_up, command, [each.lot_id for each in grants])
    if refused:
        return refused
    _refer(books, top_up, command.reference)
    for each in grants:
        granted = grant(books, each)
        assert isinstance(granted, Done), granted
    top_up = replace(
        _closed(top_up, "succeeded", "", command.at_us),
        reference=command.reference or top_up.reference,
        lot_id=command.lot_id,
        bonus_lot_id=command.bonus_lot_id if top_up.bonus_nano else "",
    )
    books.top_ups.put(top_up)
    books.put_event(
        account.id,
        "topup.succeeded",
        top_up.id,
        command.at_us,
        **_told_of(top_up),
        bonus=usd_string(top_up.bonus_nano),
        reference=top_up.reference or None,
        balance=usd_string(books.accounts[account.id].balance_nano),
    )
    return Done(books.accounts[account.id], top_up=top_up)


@carries_out(FailTopUp)
def fail_top_up(books: Books, command: FailTopUp) -> Done | Refused:
    """Close a pending top-up without credit; one that was credited stays so."""
    found = _found(books, command)
    if isinstance(found, Refused):
        return found
    account, top_up = found
    if top_up.state == command.state:
        return Done(account, top_up=top_up, replayed=True)
    if command.state not in MOVES[top_up.state]:
        return _not_in_state(top_up)
    top_up = _closed(top_up, command.state, command.reason, command.at_us)
    books.top_ups.put(top_up)
    books.put_event(
        account.id,
        "topup.failed",
        top_up.id,
        command.at_us,
        **_told_of(top_up),
        state=top_up.state,
        reason=top_up.reason,
    )
    return Done(account, top_up=top_up)


@carries_out(RefundTopUp)
def refund_top_up(books: Books, command: RefundTopUp) -> Done | Refused:
    """Take the credit that is paid back, and what is unused of the bonus."""
    found = _found(books, command)
    if isinstance(found, Refused):
        return found
    account, top_up = found
    taking = RefundLot(
        *(account.id, command.command_id, top_up.lot_id, command.reason, command.at_us),
        top_up.credit_of(command.cents),
    )
    earlier = earlier_result(books, account, taking)
    if earlier:
        return earlier if isinstance(earlier, Refused) else replace(earlier, top_up=top_up)
    if top_up.state != "succeeded":
        return _not_in_state(top_up)
    left_cents = top_up.bought_cents - top_up.refunded_cents - top_up.disputed_cents
    if command.cents > left_cents:
        return Refused(
            "conflict",
            f"{_usd(command.cents)} USD cannot be refunded: {_usd(max(0, left_cents))} USD of what was paid "
            "for credit are left.",
        )
    taken = refund_lot(books, taking)
    if isinstance(taken, Refused):
        return taken
    _void_bonus(books, top_up, bonus_return_id(command.command_id), command.reason, command.at_us)
    top_up = replace(
        top_up,
        refunded_cents=top_up.refunded_cents + command.cents,
        returned_nano=top_up.returned_nano + taking.amount_nano,
    )
    books.top_ups.put(top_up)
    _tell_return(books, top_up, command.at_us)
    return Done(books.accounts[account.id], top_up=top_up, entry=taken.entry)


@carries_out(ReverseTopUp)
def reverse_top_up(books: Books, command: ReverseTopUp) -> Done | Refused:
    """Take what is unused of what the provider has paid back; what was used is owed, or let go."""
    found = _found(books, command)
    if isinstance(found, Refused):
        return found
    account, top_up = found
    if top_up.state != "succeeded":
        return _not_in_state(top_up)
    before_cents = top_up.refunded_cents + top_up.disputed_cents
    top_up = replace(
        top_up,
        refunded_cents=max(top_up.refunded_cents, command.refunded_cents),
        disputed_cents=max(top_up.disputed_cents, command.disputed_cents),
    )
    cents = top_up.refunded_cents + top_up.disputed_cents
    if cents == before_cents:
        return Done(account, top_up=top_up, replayed=True)
    id_ = reversal_id(top_up.id, cents)
    wanted_nano = max(0, top_up.credit_of(cents) - top_up.returned_nano)
    account = lots.swept(books, account, command.at_us)
    taken_nano = min(wanted_nano, _free_nano(books, account, top_up.lot_id, command.at_us))
    if taken_nano:
        refund_lot(
            books, RefundLot(account.id, id_, top_up.lot_id, command.reason, command.at_us, taken_nano)
        )
    _void_bonus(books, top_up, bonus_return_id(id_), command.reason, command.at_us)
    owed_nano = wanted_nano - taken_nano if command.on_used == "owe" else 0
    if owed_nano:
        _owe(books, Adjust(account.id, owing_id(id_), "", -owed_nano, command.reason, command.at_us))
    top_up = replace(
        top_up,
        returned_nano=top_up.returned_nano + wanted_nano,
        owed_nano=top_up.owed_nano + owed_nano,
    )
    books.top_ups.put(top_up)
    _tell_return(books, top_up, command.at_us)
    return Done(books.accounts[account.id], top_up=top_up)


def _found(books: Books, command: OfTopUp) -> tuple[Account, TopUp] | Refused:
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    top_up = books.top_ups.get((account.id, command.top_up_id))
    if top_up is None:
        return Refused("not_found", f"There is no top-up {command.top_up_id} of this account.")
    return account, top_up


def _as_opened(account: Account, earlier: TopUp, asked: TopUp) -> Done | Refused:
    """What was asked for, whatever it costs by now."""
    amounts = (earlier.credit_nano, asked.credit_nano) if not asked.package else (0, 0)
    if (earlier.provider, earlier.origin, earlier.package, earlier.method) == (
        *(asked.provider, asked.origin, asked.package, asked.method),
    ) and amounts[0] == amounts[1]:
        return Done(account, top_up=earlier, replayed=True)
    return Refused("idempotency_conflict", f"The top-up {earlier.id} was opened for something else.")


def _not_for_sale(command: OpenTopUp, account: Account) -> Refused | None:
    """Why an account cannot buy what it was offered: it is nothing, or is sold to another group."""
    if not _is_possible(command.top_up):
        return Refused("invalid_value", "A top-up must buy something, for something.")
    if command.group not in (None, account.group):
        return Refused("conflict", "The account has just changed its plan, and with it what is sold to it.")
    return None


def _is_possible(top_up: TopUp) -> bool:
    if (top_up.state, top_up.lot_id, top_up.returned_nano) != ("pending", "", 0):
        return False
    amounts = (top_up.fee_cents, top_up.bonus_nano, top_up.days)
    if top_up.bought_cents <= 0 or top_up.credit_nano <= 0 or min(amounts) < 0:
        return False
    return top_up.credit_nano + top_up.bonus_nano <= MAX_NANO and top_up.price_cents <= MAX_NANO


def _impossible(
    books: Books, account: Account, top_up: TopUp, command: ConfirmTopUp, lot_ids: list[str]
) -> Refused | None:
    """Why a top-up that was not credited yet cannot be."""
    if command.price_cents != top_up.price_cents:
        return Refused(
            "conflict",
            f"{_usd(command.price_cents)} USD were paid, and {_usd(top_up.price_cents)} USD asked for.",
        )
    if top_up.credit_nano + top_up.bonus_nano > MAX_NANO - account.balance_nano:
        return Refused("invalid_value", f"No balance may exceed {usd_string(MAX_NANO)} USD.")
    if len({*lot_ids, *books.lots.get(account.id, {})}) < len(lot_ids) + len(books.lots.get(account.id, {})):
        return Refused("conflict", "A lot of this id exists already.")
    return _other_name(books, top_up, command.provider, command.reference)


def _other_name(books: Books, top_up: TopUp, provider: str, reference: str) -> Refused | None:
    """Why a provider's name cannot be one for a top-up: it is another's."""
    if provider != top_up.provider:
        return Refused("conflict", f"The top-up {top_up.id} is paid through {top_up.provider}.")
    known = books.references.get((provider, reference))
    if known is not None and (known.account_id, known.top_up_id) != (top_up.account_id, top_up.id):
        return Refused("conflict", f"By {reference} another top-up was paid.")
    return None


def _refer(books: Books, top_up: TopUp, reference: str) -> None:
    """Note a provider's name for a top-up, unless it is known."""
    if reference and (top_up.provider, reference) not in books.references:
        books.references.put(TopUpReference(top_up.provider, reference, top_up.account_id, top_up.id))


def _grants(top_up: TopUp, command: ConfirmTopUp) -> list[Grant]:
    expires_at_us = command.at_us + top_up.days * DAY_US if top_up.days else NEVER_US
    purchase = Grant(
        *(top_up.account_id, purchase_id(top_up.id), command.lot_id, top_up.credit_nano, command.at_us),
        kind="purchase",
        expires_at_us=expires_at_us,
        note=top_up.package,
    )
    if not top_up.bonus_nano:
        return [purchase]
    ids = {"command_id": bonus_id(top_up.id), "lot_id": command.bonus_lot_id}
    return [purchase, replace(purchase, **ids, amount_nano=top_up.bonus_nano, kind="bonus")]


def _closed(top_up: TopUp, state: TopUpState, reason: str, at_us: int) -> TopUp:
    return replace(top_up, state=state, reason=reason, closed_at_us=at_us)


def _not_in_state(top_up: TopUp) -> Refused:
    return Refused("conflict", f"The top-up {top_up.id} is {top_up.state}.")


def _free_nano(books: Books, account: Account, lot_id: str, at_us: int) -> int:
    lot = books.lots.get(account.id, {}).get(lot_id)
    return lots.free_nano(books, account, lot, at_us) if lot and lot.remaining_nano else 0


def _void_bonus(books: Books, top_up: TopUp, command_id: str, reason: str, at_us: int) -> None:
    account = books.accounts[top_up.account_id]
    if _free_nano(books, account, top_up.bonus_lot_id, at_us):
        void_lot(books, VoidLot(account.id, command_id, top_up.bonus_lot_id, reason, at_us))


def _owe(books: Books, adjustment: Adjust) -> None:
    """Let an account owe what it has used of credit that was taken back. No lot is drawn from."""
    account, owed_nano = books.accounts[adjustment.account_id], -adjustment.amount_nano
    account = replace(account, owed_nano=account.owed_nano + owed_nano)
    carried_out(books, account, adjustment, adjustment.amount_nano, ())


def _tell_return(books: Books, top_up: TopUp, at_us: int) -> None:
    """Tell what of a top-up was paid back or lost so far: each such sum once."""
    cause = f"{top_up.id}/{top_up.refunded_cents}/{top_up.disputed_cents}"
    books.put_event(
        top_up.account_id,
        "topup.refunded",
        cause,
        at_us,
        **_told_of(top_up),
        refunded=_usd(top_up.refunded_cents),
        disputed=_usd(top_up.disputed_cents),
        owed=usd_string(top_up.owed_nano),
        balance=usd_string(books.accounts[top_up.account_id].balance_nano),
    )


def _told_of(top_up: TopUp) -> dict[str, object]:
    """What events say of a top-up, of whatever type."""
    return {
        "top_up_id": top_up.id,
        "origin": top_up.origin,
        "provider": top_up.provider,
        "amount": usd_string(top_up.credit_nano),
        "price": _usd(top_up.price_cents),
    }


def _usd(cents: int) -> str:
    return usd_string(cents * 10_000_000)
