"""The views of top-ups, and of what may be bought."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.views.money import Display, Usd, When, display, expiry, instant
from proxy.billing.offers import NANO_PER_CENT, Offer
from proxy.ledger.top_up_rows import TopUp, TopUpOrigin, TopUpState
from proxy.money import Unit, usd_string


class TopUpView(Struct, frozen=True, kw_only=True):
    """A top-up: for `price`, of which `fee` buys nothing, it puts in `amount` and `bonus` once it is paid.

    It is paid at `url`, where there is one. `refunded` and `disputed` are what was paid back or lost of the
    price, `returned` what of the amount went with it, and `owed` how much of that had been used.
    """

    object: Literal["top_up"] = "top_up"
    id: str
    account_id: str
    provider: str
    origin: TopUpOrigin
    state: TopUpState
    package: str | None
    method: str | None
    amount: Usd
    bonus: Usd
    price: Usd
    fee: Usd
    currency: Literal["usd"] = "usd"
    days: int | None
    created_at: When
    expires_at: When | None
    closed_at: When | None
    url: str | None
    reference: str | None
    reason: str | None
    lot_id: str | None
    bonus_lot_id: str | None
    refunded: Usd
    disputed: Usd
    returned: Usd
    owed: Usd
    display: Display | UnsetType = UNSET


class PackageView(Struct, frozen=True, kw_only=True):
    """A package: for `price`, of which `fee` buys nothing, it puts in `amount` and `bonus`."""

    object: Literal["package"] = "package"
    name: str
    amount: Usd
    bonus: Usd
    price: Usd
    fee: Usd
    currency: Literal["usd"] = "usd"
    display: Display | UnsetType = UNSET


class PackagesView(Struct, frozen=True, kw_only=True):
    """What may be bought: the packages, and amounts of one's own from `minimum` to `maximum`.

    With `free_amounts` of `packages` such an amount has the bonus and discount of the largest package not
    above it, with `plain` it has none, and with `refused` it is not sold. What was bought lasts `days`. With
    `methods` a buyer may name the way to pay, and has its fee.
    """

    object: Literal["list"] = "list"
    data: list[PackageView]
    free_amounts: Literal["packages", "plain", "refused"]
    minimum: Usd
    maximum: Usd
    days: int | None
    provider: str
    methods: list[str]
    top_up_url: str | None


def top_up_view(top_up: TopUp, unit: Unit) -> TopUpView:
    """The view of a top-up. Where it is paid is shown as long as it can be."""
    return TopUpView(
        id=top_up.id,
        account_id=top_up.account_id,
        provider=top_up.provider,
        origin=top_up.origin,
        state=top_up.state,
        package=top_up.package or None,
        method=top_up.method or None,
        amount=usd_string(top_up.credit_nano),
        bonus=usd_string(top_up.bonus_nano),
        price=_usd(top_up.price_cents),
        fee=_usd(top_up.fee_cents),
        days=top_up.days or None,
        created_at=instant(top_up.created_at_us),
        expires_at=expiry(top_up.expires_at_us),
        closed_at=instant(top_up.closed_at_us) if top_up.closed_at_us else None,
        url=(top_up.url or None) if top_up.state == "pending" else None,
        reference=top_up.reference or None,
        reason=top_up.reason or None,
        lot_id=top_up.lot_id or None,
        bonus_lot_id=top_up.bonus_lot_id or None,
        refunded=_usd(top_up.refunded_cents),
        disputed=_usd(top_up.disputed_cents),
        returned=usd_string(top_up.returned_nano),
        owed=usd_string(top_up.owed_nano),
        display=display(unit, amount=top_up.credit_nano, bonus=top_up.bonus_nano),
    )


def package_view(offer: Offer, unit: Unit) -> PackageView:
    """The view of the offer of a package."""
    return PackageView(
        name=offer.package,
        amount=usd_string(offer.credit_nano),
        bonus=usd_string(offer.bonus_nano),
        price=_usd(offer.price_cents),
        fee=_usd(offer.fee_cents),
        display=display(unit, amount=offer.credit_nano, bonus=offer.bonus_nano),
    )


def _usd(cents: int) -> str:
    return usd_string(cents * NANO_PER_CENT)
