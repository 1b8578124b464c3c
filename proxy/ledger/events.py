"""Events: what happened to an account that somebody may want to be told of, and which kinds there are.

A rule that causes one puts it in the books with `Books.put_event`, and it is stored with all else that its
command changes, or not at all.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

EventState = Literal["new", "routed"]
DeliveryState = Literal["pending", "delivered", "dead"]


class Event(msgspec.Struct, frozen=True):
    """One event of an account. `id` follows from its cause, so that one cause leaves one event.

    `place` is its place among those of one command. `data` is JSON, with the members that `EVENT_TYPES` tells
    of its type. It is `new` until it is known who is to be told.
    """

    account_id: str
    id: str
    type: str
    at_us: int
    place: int
    data: str
    state: EventState = "new"


class Delivery(msgspec.Struct, frozen=True):
    """What has become of telling an endpoint of an event. A dead one is tried no more.

    It was tried so many `attempts`, the last time at `at_us`; `status` is the HTTP status of the answer then,
    0 where there was none, and `reason` why that was no success. A pending one is tried at `next_at_us`.
    """

    account_id: str
    event_id: str
    endpoint: str
    state: DeliveryState
    attempts: int
    at_us: int
    next_at_us: int
    status: int = 0
    reason: str = ""


class Receiver(msgspec.Struct, frozen=True):
    """Where an account has itself told of its own events of some types.

    Its secret follows from a configured one, from its id, and from its `generation`: 1 is the first secret.
    """

    account_id: str
    id: str
    url: str
    types: tuple[str, ...]
    generation: int
    created_at_us: int
    rotated_at_us: int


class EventType(msgspec.Struct, frozen=True):
    """A type of events: what it means, and its members in `data` beside `account_id`, each with its meaning.

    Money is a decimal string of US dollars, an instant RFC 3339 in UTC.
    """

    about: str
    members: dict[str, str]


_FUNDS: Final = "What the account has: its balance and credit limit without its debt."
_LIMIT: Final = {
    "scope": "Whose limit it is: `account`, `key` or `end_user`.",
    "key_id": "The key whose limit it is; null for one of another scope.",
    "end_user": "The end user whose limit it is; null for one of another scope.",
    "window": "`day`, `week`, `month` or `total`.",
    "window_start": "When the window began; null for `total`.",
    "resets_at": "When the window ends; null for `total`.",
    "limit": "The limit.",
    "spent": "What is spent in the window.",
}
_TOP_UP: Final = {
    "top_up_id": "The top-up.",
    "origin": "`request`, or `automatic` where a low balance has asked for it.",
    "provider": "Through whom it is paid.",
    "amount": "The credit that it buys.",
    "price": "What is paid for it.",
}
_KEY: Final = {"key_id": "The key.", "name": "Its name."}
_TAKEN: Final = {
    "amount": "How much.",
    "reason": "Why, in the words of whoever did it.",
    "balance": "The balance after it.",
}
EVENT_TYPES: Final[Mapping[str, EventType]] = {
    "credits.granted": EventType(
        "Credit was put in.",
        {
            "amount": "How much.",
            "kind": "The kind of its lot, such as `purchase` or `voucher`.",
            "lot_id": "Its lot; null where all of it repaid debt, as are kind and expiry.",
            "expires_at": "When it expires, or null.",
            "balance": "The balance after it.",
        },
    ),
    "credits.expiring": EventType(
        "Credit expires soon: once for each lot, `expiring_days` before.",
        {
            "amount": "How much is left of the lot.",
            "kind": "The kind of the lot.",
            "lot_id": "The lot.",
            "expires_at": "When it expires.",
        },
    ),
    "credits.expired": EventType(
        "Credit expired.",
        {
            "amount": "How much.",
            "kind": "The kind of its lot.",
            "lot_id": "Its lot.",
            "expired_at": "When it was due.",
            "balance": "The balance after it.",
        },
    ),
    "credits.adjusted": EventType(
        "A balance was corrected, up or down.", {**_TAKEN, "amount": "How much; below zero if it was taken."}
    ),
    "credits.voided": EventType("What was left of a lot was taken.", {"lot_id": "The lot.", **_TAKEN}),
    "credits.refunded": EventType(
        "Unused credit was paid back, and so taken from its lot.", {"lot_id": "The lot.", **_TAKEN}
    ),
    "charge.refunded": EventType(
        "A call was refunded, in whole or in part.", {"call_id": "The call.", **_TAKEN}
    ),
    "fee.charged": EventType("A fee was taken: that of a plan, or what was missing to a minimum.", _TAKEN),
    "topup.succeeded": EventType(
        "A top-up was paid, and its credit is there.",
        {
            **_TOP_UP,
            "bonus": "The credit that has come with it.",
            "reference": "What the provider calls the payment, or null.",
            "balance": "The balance after it.",
        },
    ),
    "topup.failed": EventType(
        "A top-up was not paid.",
        {**_TOP_UP, "state": "`failed` or `expired`.", "reason": "Why."},
    ),
    "topup.refunded": EventType(
        "A top-up was paid back, or lost in a dispute, in whole or in part.",
        {
            **_TOP_UP,
            "refunded": "What of its price was paid back so far.",
            "disputed": "What of it was lost so far.",
            "owed": "What of its credit was used, and is owed now.",
            "balance": "The balance after it.",
        },
    ),
    "balance.low": EventType(
        "The funds fell to `balance_low` or below. They must rise above it before this is told again.",
        {"funds": _FUNDS, "threshold": "The `balance_low` that is in force."},
    ),
    "balance.depleted": EventType(
        "The funds are used up. They must rise above nothing before this is told again.", {"funds": _FUNDS}
    ),
    "limit.threshold": EventType(
        "So many percent of a spending limit are spent: once for each percentage, window and limit.",
        {"percent": "The percentage that was passed.", **_LIMIT},
    ),
    "limit.reached": EventType("All of a spending limit is spent: once for each window and limit.", _LIMIT),
    "charge.shortfall": EventType(
        "A call cost more than its hold and all funds.",
        {
            "call_id": "The call.",
            "key_id": "Its key, or null.",
            "model": "Its model.",
            "charge": "What it cost.",
            "shortfall": "What of it was forgiven.",
            "owed": "What of it is debt now.",
        },
    ),
    "level.stopped": EventType(
        "A thing that is charged over time has to end: funds did not cover what it came to.",
        {
            "type": "The type of events that tell of it.",
            "thing": "The thing, as they name it.",
            "stopped_at": "Until when it was charged; nothing of it counts from then on.",
            "call_id": "The receipt of its last charge.",
            "shortfall": "What of that was forgiven.",
        },
    ),
    "session.ended": EventType(
        "A session has ended, because it was closed or because it has to be.",
        {
            "type": "The type of events that tell of it.",
            "session": "The session, as they name it.",
            "reason": "`closed`, `idle`, `longest` or `funds`.",
            "ended_at": "Until when it was charged.",
            "call_id": "Its receipt.",
            "charged": "What it cost.",
        },
    ),
    "invoice.issued": EventType(
        "The invoice of a month was issued, or an early one.",
        {
            "invoice_id": "The invoice.",
            "number": "Its number.",
            "month": "The month, such as 2027-03.",
            "part": "Which early invoice of the month it is, from 1 on; null for the one that ends it.",
            "credits": "What was put in.",
            "charges": "What was charged and taken.",
            "closing": "The balance less all debt at its end.",
            "due": "All debt at its end.",
        },
    ),
    "credit_note.issued": EventType(
        "A credit note was issued: something was refunded that is on an invoice.",
        {
            "credit_note_id": "The credit note.",
            "number": "Its number.",
            "invoice_id": "The invoice that it corrects.",
            "amount": "What a call was given back, or below zero, what of a lot was paid back.",
            "ref": "The call or the lot.",
        },
    ),
    "plan.changed": EventType(
        "The account was moved to another plan or group.",
        {
            "from": "The group that it has left, or null.",
            "to": "The group that it is in now, or null.",
            "reason": "`request`, `holdings` where these decide, or `unpaid` after the grace of a fee.",
        },
    ),
    "plan.unpaid": EventType(
        "The fee of a plan could not be paid: once, until it is paid.",
        {
            "group": "The plan.",
            "amount": "What is to be paid.",
            "falls_to": "The group that the account falls to unless it pays, or null.",
            "falls_at": "When it does.",
        },
    ),
    "account.status_changed": EventType(
        "The account was suspended, or is active again.", {"status": "`active` or `suspended`."}
    ),
    "key.created": EventType("A key was created.", {**_KEY, "expires_at": "When it expires, or null."}),
    "key.disabled": EventType("A key was disabled: no call is made with it any more.", _KEY),
    "key.enabled": EventType("A key that was disabled is active again.", _KEY),
}
"""Every type of events, in the order in which they are documented."""


def event_id(account_id: str, type_: str, cause: str) -> str:
    """The id of the event of a type that a cause has, which no other event of any account has."""
    text = f"{account_id}\n{type_}\n{cause}"
    return f"evt_{hashlib.sha256(text.encode()).hexdigest()[:32]}"
