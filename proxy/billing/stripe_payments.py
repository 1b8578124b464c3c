"""Payments through Stripe: a Checkout page for each top-up, and refunds.

Every request has an idempotency key that follows from the top-up, so that one that was sent twice, or after a
crash, does nothing twice. What Stripe tells comes in by its webhook.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

import msgspec
import stripe

from proxy.billing.notices import Meaning
from proxy.billing.offers import StripeAccess
from proxy.billing.providers import Checkout
from proxy.billing.stripe_events import ACCOUNT, TOP_UP, Told, meaning_of
from proxy.errors import Refusal
from proxy.ledger.top_up_rows import TopUp

API_VERSION: Final = "2025-09-30.clover"
"""Objects keep this version's shape, whatever version the account or the library has."""
SECONDS: Final = 20.0
"""How long a request to Stripe may take, with its repeats."""
REPEATS: Final = 2
TOLERANCE_SECONDS: Final = 300
"""How long ago a notice may have been signed."""
_PAYMENT: Final = "pi_"

_Answer = TypeVar("_Answer")


class StripePayments:
    """Stripe, by its official library. Nothing that it says of a request goes to a caller."""

    def __init__(self, access: StripeAccess) -> None:
        self._access = access
        self._http = stripe.AIOHTTPClient(timeout=None)
        self._client = stripe.StripeClient(
            access.secret_key,
            stripe_version=API_VERSION,
            base_addresses={"api": access.base_url},
            max_network_retries=REPEATS,
            http_client=self._http,
        )

    async def begin(self, top_up: TopUp) -> Checkout:
        """A Checkout page, which Stripe closes after a day."""
        names = {ACCOUNT: top_up.account_id, TOP_UP: top_up.id}
        made = await self._asked(
            self._client.v1.checkout.sessions.create_async(
                params={
                    "mode": "payment",
                    "client_reference_id": top_up.id,
                    "success_url": self._access.success_url,
                    "cancel_url": self._access.cancel_url,
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": "usd",
                                "unit_amount": top_up.price_cents,
                                "product_data": {"name": self._access.product},
                            },
                        }
                    ],
                    "metadata": names,
                    "payment_intent_data": {"metadata": names},
                },
                options={"idempotency_key": top_up.id},
            )
        )
        return Checkout(made.id, made.url or "")

    async def pay_back(self, top_up: TopUp, cents: int, key: str) -> None:
        """A refund of the payment. What the operator has confirmed himself is not Stripe's."""
        if not top_up.reference.startswith(_PAYMENT):
            return
        await self._asked(
            self._client.v1.refunds.create_async(
                params={
                    "payment_intent": top_up.reference,
                    "amount": cents,
                    "metadata": {ACCOUNT: top_up.account_id, TOP_UP: top_up.id},
                },
                options={"idempotency_key": f"{top_up.id} {key}"},
            )
        )

    def told(self, notice: bytes, signature: str) -> Meaning:
        """What an event of the webhook means. Its signature is of the bytes as they came."""
        try:
            text = notice.decode()
            stripe.WebhookSignature.verify_header(
                text, signature, self._access.webhook_secret, tolerance=TOLERANCE_SECONDS
            )
        except (UnicodeDecodeError, stripe.SignatureVerificationError):
            message = "The notice is not signed with the webhook's secret, or was signed long ago."
            raise Refusal("signature_invalid", message) from None
        try:
            event = msgspec.json.decode(notice, type=Told)
        except msgspec.DecodeError:
            return None  # Stripe has signed it, so that it is of a kind that nothing here follows from.
        return meaning_of(event)

    async def close(self) -> None:
        """Close its connections."""
        # The library has no type for it.
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _asked(self, request: Awaitable[_Answer]) -> _Answer:
        """The answer to a request, in time."""
        try:
            async with asyncio.timeout(SECONDS):
                return await request
        except (stripe.StripeError, TimeoutError) as error:
            code = getattr(error, "code", None) or type(error).__name__
            message = f"The payment provider cannot be used now ({code}). Try again with the same key."
            raise Refusal("payments_unavailable", message) from None
