"""Payments through Stripe: a Checkout page for each top-up, and refunds.

Every request has an idempotency key that follows from the top-up, so that one that was sent twice, or after a
crash, does nothing twice. What Stripe tells comes in by its webhook.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec
import stripe

from proxy.billing.notices import Meaning
from proxy.billing.offers import StripeAccess
from proxy.billing.providers import Charged, Checkout
from proxy.billing.stripe_events import ACCOUNT, AUTOMATIC, ORIGIN, TOP_UP, Told, meaning_of
from proxy.errors import Refusal
from proxy.ledger.top_up_rows import TopUp

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsPaymentIntentData

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

    @property
    def saves_methods(self) -> bool:
        """A card or the like is saved by Checkout."""
        return True

    async def begin(
        self, top_up: TopUp, *, saves_method: bool = False, means: Sequence[str] = ()
    ) -> Checkout:
        """A Checkout page, which Stripe closes after a day."""
        names = {ACCOUNT: top_up.account_id, TOP_UP: top_up.id}
        intent: SessionCreateParamsPaymentIntentData = {"metadata": names}
        if saves_method:
            intent["setup_future_usage"] = "off_session"
        params: SessionCreateParams = {
            "customer_creation": "always" if saves_method else "if_required",
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
            "payment_intent_data": intent,
        }
        if means:
            # The library's types are of a later version of the API, which calls it otherwise.
            cast("dict[str, Any]", params)["payment_method_types"] = list(means)
        made = await self._asked(
            self._client.v1.checkout.sessions.create_async(
                params=params, options={"idempotency_key": top_up.id}
            )
        )
        return Checkout(made.id, made.url or "")

    async def charge(self, top_up: TopUp, customer: str, method: str) -> Charged:
        """A payment while the buyer is away, confirmed at once. The webhook tells of it as of any other."""
        try:
            made = await self._asked(
                self._client.v1.payment_intents.create_async(
                    params={
                        "amount": top_up.price_cents,
                        "currency": "usd",
                        "customer": customer,
                        "payment_method": method,
                        "off_session": True,
                        "confirm": True,
                        "metadata": {ACCOUNT: top_up.account_id, TOP_UP: top_up.id, ORIGIN: AUTOMATIC},
                    },
                    options={"idempotency_key": top_up.id},
                )
            )
        except stripe.CardError as error:
            return Charged(declined=error.code or "declined")
        return Charged(made.id)

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
            # The library compares no other texts, and does not say so by an error of its own.
            signature.encode("ascii")
            text = notice.decode()
            stripe.WebhookSignature.verify_header(
                text, signature, self._access.webhook_secret, tolerance=TOLERANCE_SECONDS
            )
        except (UnicodeError, stripe.SignatureVerificationError):
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
        except stripe.CardError:
            raise
        except (stripe.StripeError, TimeoutError) as error:
            code = getattr(error, "code", None) or type(error).__name__
            message = f"The payment provider cannot be used now ({code}). Try again with the same key."
            raise Refusal("payments_unavailable", message) from None
