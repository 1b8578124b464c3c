"""A call between authorize and close: where it went, what its tally has seen, and what that costs."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from proxy.call.admission import counted_input
from proxy.call.base import AdmittedCall
from proxy.call.budget import OutputBudget
from proxy.call.policy import Policy
from proxy.clock import Clock
from proxy.endpoints.base import Tally
from proxy.metering.tokens import COUNTER
from proxy.metering.usage import Basis
from proxy.pricing.charge import Charge, price
from proxy.upstream.base import Answer, UpstreamFailure

_Result = TypeVar("_Result")

REST_SECONDS: Final = 0.25
LARGE_BYTES: Final = 1_048_576
"""What is read at once is read in a thread from this size on."""


class Spent(msgspec.Struct, frozen=True, gc=False):
    """What a call used, where that is known from, and what it costs."""

    usage: dict[str, int]
    basis: Basis
    anomalies: int
    charge: Charge


class InFlightCall:
    """A call between authorize and close: where it went, what its tally saw, and whether it is closed."""

    tally: Tally

    def __init__(self, admitted: AdmittedCall, policy: Policy, clock: Clock) -> None:
        self.admitted = admitted
        self.policy = policy
        self.call = admitted.call
        self.closed = False
        self.answer: Answer | None = None
        self.first_byte_at_us: int | None = None
        self.budget_tokens: int | None = None
        self.counted_tokens = 0
        self._counted_chars = 0
        self._counted_input: dict[str, int] | None = None
        self._clock = clock
        self._enforce_at_bytes = 2**62
        self._checkpoint_bytes = 0
        self._counting = asyncio.Lock()
        self._reading: asyncio.Future[Any] | None = None

    def begin(self, budget: OutputBudget, *, keep_usage: bool) -> None:
        """Make ready to follow the reply."""
        self.tally = self.admitted.routed.ask.tally(keep_usage=keep_usage)
        self.budget_tokens = budget.tokens
        self.budget_enforced()

    def goes_to(self, upstream: str, model: str) -> None:
        """Note the target that is being tried."""
        if upstream != self.call.upstream or model != self.call.upstream_model:
            self.call = msgspec.structs.replace(self.call, upstream=upstream, upstream_model=model)

    def answered(self, answer: Answer) -> None:
        """Note the answer that the client will get."""
        self.answer = answer
        self.first_byte_at_us = self._clock.now_us()

    def is_large(self, chunk: bytes) -> bool:
        """Whether reading this chunk would stall the loop."""
        return len(chunk) + self.tally.pending_bytes >= LARGE_BYTES

    async def read(self, chunk: bytes) -> bytes:
        """Tally a chunk of any size; what would stall the loop is read in a thread."""
        await self._at_rest()
        if self.is_large(chunk):
            return await self._in_thread(partial(self.tally.feed, chunk))
        return self.tally.feed(chunk)

    async def finish(self) -> None:
        """The last byte has come: read what is left, in a thread if that would stall the loop."""
        if self._reading is not None:
            await self._at_rest()
        if self.tally.pending_bytes >= LARGE_BYTES:
            await self._in_thread(self.tally.finish)
        else:
            self.tally.finish()

    async def _in_thread(self, job: Callable[[], _Result]) -> _Result:
        """Work on the tally in a thread. When the caller is cancelled it goes on; `_at_rest` waits for it."""
        self._reading = reading = asyncio.get_running_loop().run_in_executor(None, job)
        return await asyncio.shield(reading)

    async def _at_rest(self) -> None:
        """Wait until no thread works on the tally; what every call passes asks first if one ever did."""
        while self._reading is not None and not self._reading.done():
            await asyncio.wait({self._reading})

    @property
    def budget_is_due(self) -> bool:
        """Whether the output may have outgrown what is held: by its bytes, which bound its tokens."""
        return self.tally.output_bytes > self._enforce_at_bytes

    @property
    def needs_checkpoint(self) -> bool:
        """Whether there is output that was not observed yet."""
        return (
            not self.closed and self.answer is not None and self.tally.output_bytes > self._checkpoint_bytes
        )

    def budget_enforced(self) -> None:
        """Set when to look next: when the bytes from here on could fill the room that is left."""
        if self.budget_tokens is not None:
            left = max(0, self.budget_tokens - self.counted_tokens)
            self._enforce_at_bytes = self._checkpoint_bytes + left

    def tail(self, cost: str | None) -> bytes:
        """What was kept back, with the cost in it where the client asked for that."""
        return self.tally.tail(cost)

    def let_go(self) -> None:
        """Stop the upstream unless it is done, or unless somebody else reads on."""
        if self.answer is not None:
            self.answer.close()

    async def read_rest(self, answer: Answer) -> None:
        """The end has come: let the upstream finish, so that its connection can be used again."""
        try:
            async with asyncio.timeout(REST_SECONDS):
                async for chunk in answer.chunks():
                    await self.read(chunk)
        except (TimeoutError, UpstreamFailure):
            answer.close()

    async def observed(self) -> dict[str, int]:
        """What a stream has used so far, counted."""
        await self.count_output()
        return {**await self._input(), "output_tokens": self.counted_tokens}

    async def count_output(self) -> None:
        """Count what a stream has produced so far; text that was counted before is not counted again."""
        async with self._counting:
            await self._at_rest()
            text, size = self.tally.output_text(), self.tally.output_bytes
            if self.admitted.routed.ask.choices > 1:
                # The text is one choice after the other, so that what is new is not at its end.
                self.counted_tokens, self._counted_chars = 0, 0
            new = text[self._counted_chars :]
            self.counted_tokens += await COUNTER.count_off_loop(new, self.call.model)
            self._counted_chars, self._checkpoint_bytes = len(text), size
            if self.outgrown:
                # Text counted in pieces comes to a little more than it does as one; this decides about a cut.
                self.counted_tokens = await COUNTER.count_off_loop(text, self.call.model)

    @property
    def outgrown(self) -> bool:
        """Whether more output was counted than the hold pays for."""
        return self.budget_tokens is not None and self.counted_tokens > self.budget_tokens

    async def spent(self) -> Spent:
        """What the call has used, as reported, else as counted within its bounds, and what that costs."""
        if self._reading is not None:
            await self._at_rest()
        card, tally = self.admitted.routed.card, self.tally
        reading = tally.reported()
        if card.billing_type == "per_call":
            usage = {"requests": 1, **(reading.usage if reading else {})}
            return Spent(usage, "per_call", 0, price(card, usage))
        anomalies = reading.anomalies if reading else tally.anomalies
        if reading and tally.complete and (reading.usage.get("output_tokens") or not tally.output_bytes):
            usage = reading.usage
            if not usage.get("input_tokens"):
                # Some upstreams leave out what they took from a cache; no request has no input at all.
                usage = usage | await self._input()
            return Spent(usage, "reported", anomalies, price(card, usage))
        counted = dict(await self._input())
        if "output_tokens" in self.admitted.routed.endpoint.meters:
            produced = await COUNTER.count_off_loop(tally.output_text(), self.call.model)
            budget = self.budget_tokens
            counted["output_tokens"] = produced if budget is None else min(produced, budget)
        if reading:
            # What a reply that did not come to its end has reported is the least it had used by then.
            counted |= {meter: max(n, counted.get(meter, 0)) for meter, n in reading.usage.items()}
        return Spent(counted, "counted", anomalies, price(card, counted))

    async def _input(self) -> dict[str, int]:
        if self._counted_input is None:
            self._counted_input = dict(await counted_input(self.admitted.routed.ask))
        return self._counted_input
