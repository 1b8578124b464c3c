"""The rows of top-ups: money that accounts pay in."""

from typing import Literal

import msgspec

TopUpState = Literal["pending", "succeeded", "failed", "expired"]
TopUpOrigin = Literal["request", "automatic"]
"""Whether a buyer has asked for a top-up, or a low balance has."""


class TopUp(msgspec.Struct, frozen=True):
    """Money that an account pays in: `price_cents` are asked for, of which `fee_cents` buy nothing.

    Once the provider says that it was paid, `credit_nano` is a lot of kind `purchase` and `bonus_nano` one of
    kind `bonus`, each of which lasts `days`; 0 is for ever. `package` is empty for an amount of the buyer's
    own. `reference` is what the provider calls the payment, `url` is where it is made. Until `expires_at_us`
    it may be pending.

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
