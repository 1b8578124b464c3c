"""Who takes the money of accounts: the seam to payment providers, and the one that is the operator."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from proxy.billing.notices import Meaning
from proxy.billing.offers import Payments
from proxy.errors import Refusal
from proxy.ledger.top_up_rows import TopUp


class Checkout(msgspec.Struct, frozen=True):
    """What a provider has made for a top-up: its own name for it, and the page on which it is paid."""

    reference: str = ""
    url: str = ""


class Charged(msgspec.Struct, frozen=True):
    """What has come of a charge: the provider's name for it, and why it was declined, if it was."""

    reference: str = ""
    declined: str = ""


class PaymentProvider(Protocol):
    """A payment provider. It credits nothing: that a payment was made comes in by itself, and is confirmed.

    Methods raise Refusal `payments_unavailable` if the provider cannot be reached or refuses. To call one
    again with the same arguments does nothing twice.
    """

    @property
    def saves_methods(self) -> bool:
        """Whether automatic top-ups need a means of payment that was saved."""
        ...

    async def begin(
        self, top_up: TopUp, *, saves_method: bool = False, means: Sequence[str] = ()
    ) -> Checkout:
        """Make what a pending top-up is paid by, which may be saved for automatic ones.

        It is paid by one of these `means`, as the provider calls them, or by any.
        """
        ...

    async def charge(self, top_up: TopUp, customer: str, method: str) -> Charged:
        """Have a pending top-up paid by means that were saved, while the buyer is away."""
        ...

    async def pay_back(self, top_up: TopUp, cents: int, key: str) -> None:
        """Pay back so many cents of a top-up that was paid, once for a key."""
        ...

    def told(self, notice: bytes, signature: str) -> Meaning:
        """What a notice of the provider's means. Raises Refusal `signature_invalid` if it is not its own."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Manual:
    """The operator takes the money, confirms what has arrived, and pays back by other means."""

    @property
    def saves_methods(self) -> bool:
        """A transfer is made anew each time."""
        return False

    async def begin(
        self, top_up: TopUp, *, saves_method: bool = False, means: Sequence[str] = ()
    ) -> Checkout:
        """Nothing: the operator tells how to pay."""
        del top_up, saves_method, means
        return Checkout()

    async def charge(self, top_up: TopUp, customer: str, method: str) -> Charged:
        """Nothing: the operator sees that it is pending."""
        del top_up, customer, method
        return Charged()

    async def pay_back(self, top_up: TopUp, cents: int, key: str) -> None:
        """Nothing: the operator sends the money."""

    def told(self, notice: bytes, signature: str) -> Meaning:
        """Nobody sends notices but the operator, who has the admin API for that."""
        del notice, signature
        raise Refusal("not_found", "No payment provider sends notices here.")

    async def close(self) -> None:
        """Nothing is held."""


class Providers:
    """The provider of the configuration in force. One is made when it is first needed, and kept."""

    def __init__(self, make: Callable[[Payments], PaymentProvider] = lambda _: Manual()) -> None:
        self._make = make
        self._made: list[tuple[Payments, PaymentProvider]] = []

    def of(self, payments: Payments) -> PaymentProvider:
        """The provider of these payments."""
        for known, provider in self._made:
            if (known.provider, known.stripe) == (payments.provider, payments.stripe):
                return provider
        provider = self._make(payments)
        self._made.append((payments, provider))
        return provider

    async def close(self) -> None:
        """Let go of all of them."""
        while self._made:
            await self._made.pop()[1].close()


def provider_for(payments: Payments) -> PaymentProvider:
    """A provider by its name. The library of one that is not configured is never loaded."""
    if payments.stripe is None:
        return Manual()
    from proxy.billing.stripe_payments import StripePayments  # noqa: PLC0415 - it is an extra.

    return StripePayments(payments.stripe)
