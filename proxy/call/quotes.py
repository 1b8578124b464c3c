"""Quotes: what a call would cost, worked out as for the call itself, without forwarding it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from proxy.call.admission import Admission
from proxy.call.base import InboundRequest, RoutedCall
from proxy.call.estimates import fixed_usage
from proxy.call.fitting import BOUND_OVER_COUNT, COUNTED_BYTES_MAX, exact_ceiling
from proxy.call.off_loop import LARGE_BYTES
from proxy.call.policy import Catalog
from proxy.errors import Refusal
from proxy.metering.ceiling import Ceiling
from proxy.metering.model_names import counting_name
from proxy.metering.usage import METERS, ONE_CALL, Usage
from proxy.pricing.charge import Charge, least_charge, worst_charge, worst_nano
from proxy.pricing.counting import counted
from proxy.pricing.tiers import Count, CounterKey, Period

TURN_SECONDS: Final = 5.0
"""How long a large request waits for its turn. Nobody pays for it, so that it must keep no call waiting."""


class Priced(msgspec.Struct, frozen=True):
    """A usage and its charge."""

    usage: Usage
    charge: Charge


class Quote(msgspec.Struct, frozen=True):
    """What a call costs: `floor` for what its request amounts to by itself, `ceiling` at most.

    `hold_nano` is the price of the ceiling, which the call has to hold.
    """

    routed: RoutedCall
    floor: Priced
    ceiling: Priced
    hold_nano: int

    @property
    def is_exact(self) -> bool:
        """Whether the call costs just so much, whatever it is answered."""
        return self.floor.charge.total_nano == self.hold_nano


class CountsNow(Protocol):
    """Tells what the counters of an account have in the windows of now."""

    async def __call__(self, account_id: str) -> tuple[Mapping[CounterKey, Count], Mapping[Period, int]]:
        """What they have, and the first day of each window. Raises Refusal `ledger_unavailable`."""
        ...


class Quotes:
    """Makes quotes by the admission of calls. Nothing is held, and no limit is looked at.

    Where a price depends on what was used before, it is that of what was used by now.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        catalog: Callable[[], Catalog],
        counts: CountsNow,
        turn_seconds: float = TURN_SECONDS,
    ) -> None:
        self._admission = admission
        self._counts = counts
        self._catalog = catalog
        self._turn = asyncio.Semaphore()
        self._turn_seconds = turn_seconds

    async def of(self, request: InboundRequest) -> Quote:
        """The quote for a request. Raises Refusal as the admission of a call does, or `overloaded`.

        Large ones are counted one after the other.
        """
        caller = await self._admission.identify(request, anew=True)
        routed = await self._admission.route(request, caller, self._catalog())
        if not caller.key.may_use(routed.ask.model):
            message = f"The key is not allowed to use {routed.ask.model}."
            raise Refusal("model_not_allowed", message, param="model")
        if len(routed.body) <= LARGE_BYTES:
            return await self._counted(await _quote(routed), caller.key.account_id)
        try:
            await asyncio.wait_for(self._turn.acquire(), self._turn_seconds)
        except TimeoutError:
            message = "Other large requests are being counted; try again in a moment."
            raise Refusal("overloaded", message) from None
        try:
            return await self._counted(await _quote(routed), caller.key.account_id)
        finally:
            self._turn.release()

    async def _counted(self, quote: Quote, account_id: str) -> Quote:
        """A quote at the tiers that the account has reached."""
        if not (quote.floor.charge.tiers or quote.ceiling.charge.tiers):
            return quote
        counts, first_days = await self._counts(account_id)

        def at_tiers(priced: Priced) -> Priced:
            return replace(priced, charge=counted(priced.charge, counts, first_days)[0])

        return replace(quote, floor=at_tiers(quote.floor), ceiling=at_tiers(quote.ceiling))


async def _quote(routed: RoutedCall) -> Quote:
    ask, card = routed.ask, routed.terms.card
    is_counted = ask.input_text_length() <= COUNTED_BYTES_MAX
    ceiling = routed.bounded(await exact_ceiling(ask) if is_counted else ask.ceiling())
    if card.billing_type == "per_call":
        floor: Usage = {**ONE_CALL, **routed.terms.surcharges}
    else:
        counted = await _counted(routed, ceiling) if is_counted else _least(routed, ceiling)
        asked = {m: n for m, n in ceiling.usage.items() if m not in routed.terms.allowed}
        floor = {**_whole(counted, asked), **routed.terms.surcharges}
    terms = routed.terms
    floors = (least_charge(each, floor, ceiling.usage) for each in (card, *terms.possible))
    return Quote(
        routed=routed,
        floor=Priced(*min(floors, key=lambda least: least[1].total_nano)),
        ceiling=Priced(ceiling.usage, worst_charge(card, ceiling.usage)),
        hold_nano=worst_nano(card, ceiling.usage),
    )


async def _counted(routed: RoutedCall, ceiling: Ceiling) -> Usage:
    model = routed.ask.model
    return await fixed_usage(routed, ceiling, counting_name(routed.route.targets[0].model or model, model))


def _least(routed: RoutedCall, ceiling: Ceiling) -> Usage:
    """What a request whose text is too long to be counted comes to at least."""
    sure = {meter: n for meter, n in ceiling.fixed.items() if meter not in routed.terms.allowed}
    return {meter: n // BOUND_OVER_COUNT if METERS[meter].is_tokens else n for meter, n in sure.items()}


def _whole(counted: Usage, asked: Usage) -> Usage:
    """What was counted, with what is asked for by number and counted in the answer, such as pictures.

    A whole answer has all of it.
    """
    in_answer = {meter: n for meter, n in asked.items() if not METERS[meter].is_tokens}
    return {
        meter: quantity or in_answer.get(meter, 0) for meter, quantity in {**in_answer, **counted}.items()
    }
