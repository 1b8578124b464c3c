"""What a payment provider tells of top-ups, whatever its own words for that are."""

from typing import Literal

import msgspec


class Paid(msgspec.Struct, frozen=True):
    """A top-up was paid, by a payment, with so many of the currency's smallest unit.

    `customer` and `method` are the buyer and means of payment that may be charged later, if they were saved.
    """

    account_id: str
    top_up_id: str
    payment: str
    amount: int
    currency: str
    customer: str = ""
    method: str = ""


class Unpaid(msgspec.Struct, frozen=True):
    """A top-up will not be paid by what was made for it."""

    account_id: str
    top_up_id: str
    state: Literal["failed", "expired"]
    reason: str


class Lost(msgspec.Struct, frozen=True):
    """Of a payment so much was paid back in all, or is lost in a dispute.

    `top_up` has the ids of account and top-up, where the provider says them.
    """

    payment: str
    refunded: int
    disputed: int
    currency: str
    reason: str
    top_up: tuple[str, str] | None = None


Meaning = Paid | Unpaid | Lost | None
"""None is a notice of something else."""
