"""What Stripe's webhook tells, as what it means for a top-up. Nothing here waits, or needs the library."""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from proxy.billing.notices import Lost, Meaning, Paid, Unpaid

ACCOUNT: Final = "farebox_account"
TOP_UP: Final = "farebox_top_up"
"""The names under which Stripe's objects have the ids of account and top-up."""
ORIGIN: Final = "farebox_origin"
AUTOMATIC: Final = "automatic"
"""What a payment says that no buyer has made on a page."""


class _Object(msgspec.Struct, frozen=True):
    """The members of Stripe's objects that are read; which of them an object has depends on its kind."""

    id: str = ""
    metadata: dict[str, str] | None = None
    payment_status: str = ""
    payment_intent: str | None = None
    status: str = ""
    amount: int = 0
    amount_total: int | None = None
    amount_received: int | None = None
    amount_refunded: int = 0
    currency: str = ""
    last_payment_error: dict[str, Any] | None = None
    setup_future_usage: str | None = None
    customer: str | None = None
    payment_method: str | None = None


class _Data(msgspec.Struct, frozen=True):
    object: _Object


class Told(msgspec.Struct, frozen=True):
    """An event: its id and type, and the object that it is about."""

    id: str
    type: str
    data: _Data


def _names(thing: _Object) -> tuple[str, str] | None:
    """The ids of account and top-up; None for what was made for something else."""
    metadata = thing.metadata or {}
    account_id, top_up_id = metadata.get(ACCOUNT, ""), metadata.get(TOP_UP, "")
    return (account_id, top_up_id) if account_id and top_up_id else None


def _paid(thing: _Object, payment: str | None, amount: int | None) -> Paid | None:
    names = _names(thing)
    if names is None or not payment or amount is None:
        return None
    saved = ("", "")
    if thing.setup_future_usage == "off_session" and thing.customer and thing.payment_method:
        saved = (thing.customer, thing.payment_method)
    return Paid(*names, payment, amount, thing.currency, *saved)


def _unpaid(thing: _Object, state: Literal["failed", "expired"], reason: str) -> Unpaid | None:
    names = _names(thing)
    return Unpaid(*names, state, reason) if names else None


def _lost(thing: _Object, *, refunded: int = 0, disputed: int = 0, reason: str) -> Lost | None:
    if not thing.payment_intent:
        return None
    return Lost(thing.payment_intent, refunded, disputed, thing.currency, reason, _names(thing))


def _page_paid(thing: _Object) -> Meaning:
    # What is paid later, by a transfer, has a completed page before it is paid.
    if thing.payment_status != "paid":
        return None
    return _paid(thing, thing.payment_intent, thing.amount_total)


def _declined(thing: _Object) -> Meaning:
    # On a page a buyer may try another card; while nobody is there, nobody does.
    if (thing.metadata or {}).get(ORIGIN) != AUTOMATIC:
        return None
    why = (thing.last_payment_error or {}).get("code") or "canceled"
    return _unpaid(thing, "failed", f"The payment was declined: {why}.")


def _disputed(thing: _Object) -> Meaning:
    # An inquiry takes nothing back yet.
    if thing.status.startswith("warning"):
        return None
    return _lost(thing, disputed=thing.amount, reason="The payment is disputed.")


_MEANINGS: Final[dict[str, Callable[[_Object], Meaning]]] = {
    "checkout.session.completed": _page_paid,
    "checkout.session.async_payment_succeeded": _page_paid,
    "checkout.session.async_payment_failed": lambda thing: _unpaid(
        thing, "failed", "The payment has failed."
    ),
    "checkout.session.expired": lambda thing: _unpaid(thing, "expired", "It was not paid in time."),
    "payment_intent.succeeded": lambda thing: _paid(thing, thing.id, thing.amount_received),
    "payment_intent.payment_failed": _declined,
    "payment_intent.canceled": _declined,
    "charge.refunded": lambda thing: _lost(
        thing, refunded=thing.amount_refunded, reason="The payment was refunded."
    ),
    "charge.dispute.created": _disputed,
    "charge.dispute.funds_withdrawn": _disputed,
}


def meaning_of(event: Told) -> Meaning:
    """What an event means; None for one that means nothing here."""
    meaning = _MEANINGS.get(event.type)
    return meaning(event.data.object) if meaning else None
