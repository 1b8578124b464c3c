"""The views of vouchers."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.views.books import EntryView
from proxy.api.views.money import Display, Usd, When, display, expiry, instant
from proxy.ledger.rows import Voucher
from proxy.money import Unit, usd_string


class VoucherView(Struct, frozen=True, kw_only=True):
    """A voucher without its code: `used` of its `uses`. Its credit lasts `days`, null is for ever."""

    object: Literal["voucher"] = "voucher"
    id: str
    label: str
    kind: str
    amount: Usd
    uses: int
    used: int
    days: int | None
    created_at: When
    expires_at: When | None
    display: Display | UnsetType = UNSET


class NewVoucherView(VoucherView, frozen=True, kw_only=True):
    """A new voucher with its code, which is shown this once."""

    code: str


class RedemptionView(Struct, frozen=True, kw_only=True):
    """A voucher that was redeemed, and the entry that it made. New calls may hold `available` now."""

    object: Literal["redemption"] = "redemption"
    voucher_id: str
    kind: str
    amount: Usd
    expires_at: When | None
    available: Usd
    entry: EntryView
    display: Display | UnsetType = UNSET


def voucher_view(voucher: Voucher, unit: Unit) -> VoucherView:
    """The view of a voucher."""
    return VoucherView(
        id=voucher.id,
        label=voucher.label,
        kind=voucher.kind,
        amount=usd_string(voucher.amount_nano),
        uses=voucher.uses,
        used=voucher.used,
        days=voucher.days or None,
        created_at=instant(voucher.created_at_us),
        expires_at=expiry(voucher.expires_at_us),
        display=display(unit, amount=voucher.amount_nano),
    )
