"""POST /v1/webhooks/stripe: what Stripe tells of payments."""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from aiohttp import web
from msgspec import Struct

from proxy.api.operations import Nothing, Operation, json_response
from proxy.billing.offers import Payments
from proxy.billing.payments import Notices
from proxy.billing.providers import Providers
from proxy.errors import Refusal

MOST_BYTES: Final = 256 * 1024
"""The largest notice. Anybody may send one, and its signature is known only when all of it is there."""
SECONDS: Final = 10.0
AT_ONCE: Final = 64
"""How many notices a process reads at once. One more takes the place of the one that is read longest."""
SIGNATURE: Final = "Stripe-Signature"
STRIPE: Final = "stripe"


class StripeEvent(Struct, frozen=True):
    """An event as Stripe sends it."""


class Received(Struct, frozen=True):
    """That a notice was taken; `used` if it was about a top-up."""

    used: bool
    received: Literal[True] = True


STRIPE_WEBHOOK: Final = Operation(
    id="stripe_webhook",
    method="POST",
    path="/v1/webhooks/stripe",
    summary="Take an event of Stripe, signed with the webhook's secret.",
    audience="public",
    reply=Received,
    query=Nothing,
    body=StripeEvent,
)

OPERATIONS: Final = (STRIPE_WEBHOOK,)


class NoticeRoutes:
    """Takes the notices of payment providers. Nobody has a key for that: the signature tells."""

    def __init__(
        self, *, notices: Notices, providers: Providers, payments: Callable[[], Payments | None]
    ) -> None:
        self._notices = notices
        self._providers = providers
        self._payments = payments
        self._reading: dict[asyncio.Timeout, None] = {}

    def routes(self) -> list[web.RouteDef]:
        """The one route."""
        return [web.post(STRIPE_WEBHOOK.path, self.stripe)]

    async def stripe(self, request: web.Request) -> web.Response:
        """Take an event. Raises Refusal `signature_invalid`, `not_found`, and others for a later repeat."""
        payments = self._payments()
        if payments is None or payments.provider != STRIPE:
            raise Refusal("not_found", "No payment provider sends notices here.")
        try:
            async with asyncio.timeout(SECONDS) as patience:
                notice = await self._read(request, patience)
        except TimeoutError:
            raise Refusal("body_timeout", f"The body did not arrive within {SECONDS:.0f} seconds.") from None
        meaning = self._providers.of(payments).told(notice, request.headers.get(SIGNATURE, ""))
        used = await self._notices.take(STRIPE, meaning)
        return json_response(200, Received(used), {})

    async def _read(self, request: web.Request, patience: asyncio.Timeout) -> bytes:
        """The bytes of a notice. Strangers who are slow with theirs must not keep out the provider's."""
        if len(self._reading) >= AT_ONCE:
            longest = next(iter(self._reading))
            del self._reading[longest]
            longest.reschedule(0)
        self._reading[patience] = None
        try:
            return await _bounded(request)
        finally:
            self._reading.pop(patience, None)


async def _bounded(request: web.Request) -> bytes:
    notice = bytearray()
    async for chunk in request.content.iter_any():
        notice += chunk
        if len(notice) > MOST_BYTES:
            raise Refusal("body_too_large", f"A notice is larger than {MOST_BYTES} bytes.")
    return bytes(notice)
