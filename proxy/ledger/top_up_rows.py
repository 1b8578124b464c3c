"""The rows of top-ups: money that accounts pay in."""

from typing import Literal

import msgspec

TopUpState = Literal["pending", "succeeded", "failed", "expired"]
AutoState = Literal["on", "off"]
TopUpOrigin = Literal["request", "automatic"]
"""Whether a buyer has asked for a top-up, or a low balance has."""


class TopUp(msgspec.Struct, frozen=True):
    """Money that an account pays in: `price_cents` are asked for, of which `fee_cents` buy nothing.

    Once the provider says that it was paid, `credit_nano` is a lot of kind `purchase` and `bonus_nano` one of
    kind `bonus`, each of which lasts `days`; 0 is for ever. `package` is empty for an amount of the buyer's
    own, `method` where it may be paid by any. `reference` is what the provider calls the payment, `url` is
    where it is made. Until `expires_at_us` it may be pending.

    `refunded_cents` were paid back, `disputed_cents` taken back through the buyer's bank. For both
    `returned_nano` of the credit is gone again, of which `owed_nano` had been used and is owed.
    """

    account_id: str
    id: str
    provider: str
    origin: TopUpOrigin
    package: str
    price_cents: int
    fee_cents: int
    credit_nano: int
    bonus_nano: int
    days: int
    created_at_us: int
    expires_at_us: int
    state: TopUpState = "pending"
    reference: str = ""
    url: str = ""
    reason: str = ""
    closed_at_us: int = 0
    lot_id: str = ""
    bonus_lot_id: str = ""
    refunded_cents: int = 0
    disputed_cents: int = 0
    returned_nano: int = 0
    owed_nano: int = 0
    method: str = ""

    @property
    def bought_cents(self) -> int:
        """What was asked for the credit itself: the rest is the fee, which nobody gets back."""
        return self.price_cents - self.fee_cents

    def credit_of(self, cents: int) -> int:
        """The credit that so much of the price has bought, rounded down, so that parts sum to no more."""
        return self.credit_nano * min(cents, self.bought_cents) // self.bought_cents


class TopUpReference(msgspec.Struct, frozen=True):
    """Which top-up a provider means by a name of its own for it. No name stands for two."""

    provider: str
    reference: str
    account_id: str
    top_up_id: str


class AutoTopUp(msgspec.Struct, frozen=True):
    """How an account is topped up by itself, once its funds are at `threshold_nano` or below.

    It buys `amount_nano`, or what is missing of `target_nano`; one of them is 0. In a day (UTC) it buys
    `daily_nano` at most, in a month `monthly_nano`; 0 is no bound. `customer` and `method` are what the
    provider calls the buyer and the means of payment that was saved; they are kept while it is off.
    """

    account_id: str
    state: AutoState = "off"
    threshold_nano: int = 0
    amount_nano: int = 0
    target_nano: int = 0
    daily_nano: int = 0
    monthly_nano: int = 0
    customer: str = ""
    method: str = ""
    changed_at_us: int = 0
