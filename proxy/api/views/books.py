"""The views of lots and entries."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.views.money import Display, Usd, When, display, expiry, instant
from proxy.ledger.rows import Entry, EntryKind, Lot
from proxy.money import Unit, usd_string


class LotView(Struct, frozen=True, kw_only=True):
    """The part of a grant that is left to draw."""

    object: Literal["lot"] = "lot"
    id: str
    account_id: str
    kind: str
    status: Literal["active", "expired"]
    amount: Usd
    remaining: Usd
    priority: int
    granted_at: When
    expires_at: When | None
    display: Display | UnsetType = UNSET


class DrawView(Struct, frozen=True):
    """The amount that an entry drew from a lot, or gave back to it."""

    lot_id: str
    amount: Usd


class EntryView(Struct, frozen=True, kw_only=True):
    """One immutable line of an account's books. `ref` is the command, the call or the lot that it is about.

    A `refund` is of a call if it is above zero, and of a lot below.
    """

    object: Literal["entry"] = "entry"
    account_id: str
    seq: int
    kind: EntryKind
    amount: Usd
    balance_after: Usd
    debt_after: Usd
    ref: str
    at: When
    note: str
    draws: list[DrawView]
    display: Display | UnsetType = UNSET


def lot_view(lot: Lot, unit: Unit, now_us: int) -> LotView:
    """The view of a lot. An expired one may have something left, for calls in flight."""
    return LotView(
        id=lot.id,
        account_id=lot.account_id,
        kind=lot.kind,
        status="expired" if lot.expires_at_us <= now_us else "active",
        amount=usd_string(lot.amount_nano),
        remaining=usd_string(lot.remaining_nano),
        priority=lot.priority,
        granted_at=instant(lot.granted_at_us),
        expires_at=expiry(lot.expires_at_us),
        display=display(unit, amount=lot.amount_nano, remaining=lot.remaining_nano),
    )


def entry_view(entry: Entry, unit: Unit) -> EntryView:
    """The view of an entry."""
    return EntryView(
        account_id=entry.account_id,
        seq=entry.seq,
        kind=entry.kind,
        amount=usd_string(entry.amount_nano),
        balance_after=usd_string(entry.balance_after_nano),
        debt_after=usd_string(entry.debt_after_nano),
        ref=entry.ref,
        at=instant(entry.at_us),
        note=entry.note,
        draws=[DrawView(draw.lot_id, usd_string(draw.amount_nano)) for draw in entry.draws],
        display=display(
            unit,
            amount=entry.amount_nano,
            balance_after=entry.balance_after_nano,
            debt_after=entry.debt_after_nano,
        ),
    )
