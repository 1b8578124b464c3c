"""A call in flight, between authorize and close: its target, its tally, and what it costs so far."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, cast

import msgspec

from proxy.call.base import AdmittedCall, KnownObject
from proxy.call.budget import OutputBudget
from proxy.call.estimates import fixed_usage
from proxy.call.off_loop import LARGE_BYTES, in_thread, off_loop
from proxy.call.outcomes import GOES_ON, Phase
from proxy.call.policy import Policy
from proxy.clock import Clock
from proxy.endpoints.base import Cost, HeadReader, Tally
from proxy.endpoints.tallies.served import TellsServed
from proxy.endpoints.tallies.sighted import BeginningTally
from proxy.ledger.rows import Attempt
from proxy.metering.model_names import counting_name
from proxy.metering.tokens import COUNTER
from proxy.metering.usage import METERS, ONE_CALL, Basis, Inference, Usage
from proxy.pricing.charge import Charge, price
from proxy.upstream.base import Answer, UpstreamFailure

_Result = TypeVar("_Result")

REST_SECONDS: Final = 0.25
ATTEMPTS_MAX: Final = 8
"""How many attempts a receipt has at most."""


class Spent(msgspec.Struct, frozen=True, gc=False):
    """What a call used, on which basis that is known, and what it costs."""

    usage: dict[str, int]
    basis: Basis
    anomalies: int
    charge: Charge
    inferred: dict[str, Inference]


class InFlightCall:
    """A call between authorize and close: its target, its answer, its tally, and whether it is closed.

    `phase` is how far it is, once its hold is made.
    """

    tally: Tally
    begins: BeginningTally | None = None
    """The tally of a stream whose job is still to be put on the ledger."""
    job: KnownObject | None = None
    """The job that a stream has begun; it goes on whoever leaves."""
    phase: Phase = "unanswered"
    closed = False
    client_left = False
    """Whether the client has left a call that goes on without it."""
    answer: Answer | None = None
    first_byte_at_us: int | None = None
    attempts: tuple[Attempt, ...] = ()
    budget: int | None = None
    passes_at_once = False
    """Whether nothing of the answer is kept back, so that its charge has to be on the hold before."""
    # What most calls never set is not set for each of them.
    _ended = False
    _text_tokens = 0
    _counted_chars = 0
    _fixed: Usage | None = None
    _enforce_at_size = 2**62
    _checkpoint_size = 0
    _counting: asyncio.Lock | None = None
    _reading: asyncio.Future[Any] | None = None

    def __init__(self, admitted: AdmittedCall, policy: Policy, clock: Clock) -> None:
        self.admitted = admitted
        self.policy = policy
        self.call = admitted.call
        self.hold_nano = admitted.granted.hold_nano
        self._terms = terms = admitted.routed.terms
        self._listens = terms.listens
        self._elastic = admitted.ceiling.elastic
        self._surcharges = terms.surcharges
        self._clock = clock

    def begin(self, budget: OutputBudget, *, keep_usage: bool) -> None:
        """Make the tally of the reply, and set the output budget."""
        self.tally = self.admitted.routed.ask.tally(keep_usage=keep_usage)
        if self._listens and isinstance(self.tally, TellsServed):
            self.tally.listens = True
        self.budget = budget.total
        if budget.total is not None:
            self._enforce_at_size = budget.total
        if self.call.stream and self.admitted.routed.begins_job:
            # Each piece is looked at until the job has begun.
            self.begins, self._enforce_at_size = cast("BeginningTally", self.tally), -1

    def job_begun(self, job: KnownObject | None) -> bytes:
        """The job of a stream is on the ledger, or the stream is that of none: what was kept back passes."""
        assert self.begins is not None
        released = self.begins.let_pass()
        self.begins, self.job = None, job
        self._enforce_at_size = 2**62 if job is not None or self.budget is None else self.budget
        return released

    def left(self) -> bool:
        """The client has left. Returns whether the call goes on all the same, so that leaving saves nothing.

        It does while the upstream has not answered, and for any answer but a stream. What is still read of a
        stream is for its closing to say.
        """
        self.client_left = not self.closed and self.phase in GOES_ON
        return self.client_left

    @property
    def is_whole(self) -> bool:
        """Whether the reply was read to its end, and that is a proper one."""
        return self._ended and self.tally.complete

    def tried(self, target: str, status: int | None, duration_us: int) -> None:
        """Remember an attempt. Beyond `ATTEMPTS_MAX` the latest takes the place of the one before."""
        attempt = Attempt(target, status, duration_us)
        before = self.attempts
        self.attempts = (*before[: ATTEMPTS_MAX - 1], attempt) if before else (attempt,)

    def answered(self, answer: Answer) -> None:
        """Remember the answer that the client will get."""
        self.answer = answer
        if 200 <= answer.status < 300 or answer.status in self.admitted.routed.route.plan.charged_statuses:
            tally = self.tally
            self.passes_at_once = isinstance(tally, HeadReader) and tally.read_head(answer.headers)
            self.phase = "stream" if self.call.stream or self.passes_at_once else "whole"
        else:
            self.phase = "error"
        # The clock may have been set back since the call began.
        now_us, started_at_us = self._clock.now_us(), self.call.started_at_us
        self.first_byte_at_us = now_us if now_us > started_at_us else started_at_us

    def is_large(self, chunk: bytes) -> bool:
        """Whether reading this chunk would stall the loop."""
        return len(chunk) + self.tally.pending_bytes > LARGE_BYTES

    async def read(self, chunk: bytes) -> bytes:
        """Tally a chunk of any size, in a thread if reading it would stall the loop."""
        await self._at_rest()
        if self.is_large(chunk):
            return await self._in_thread(len(chunk), partial(self.tally.feed, chunk))
        return self.tally.feed(chunk)

    async def finish(self) -> None:
        """The last byte has come: read what is left, in a thread if that would stall the loop."""
        if self._reading is not None:
            await self._at_rest()
        if self.tally.pending_bytes > LARGE_BYTES:
            await self._in_thread(self.tally.pending_bytes, self.tally.finish)
        else:
            self.tally.finish()
        self._ended = True

    async def _in_thread(self, size_bytes: int, job: Callable[[], _Result]) -> _Result:
        """Work on the tally in a thread. When the caller is cancelled it goes on; `_at_rest` waits for it."""
        self._reading = reading = in_thread(size_bytes, job)
        return await asyncio.shield(reading)

    async def _at_rest(self) -> None:
        """Wait until no thread works on the tally. The hot path checks first whether one ever did."""
        while self._reading is not None and not self._reading.done():
            await asyncio.wait({self._reading})

    @property
    def budget_is_due(self) -> bool:
        """Whether the output may have outgrown what is held, by its size."""
        return self.tally.produced_size > self._enforce_at_size

    @property
    def needs_checkpoint(self) -> bool:
        """Whether there is output that no checkpoint has yet."""
        return (
            not self.closed and self.answer is not None and self.tally.produced_size > self._checkpoint_size
        )

    def budget_enforced(self) -> None:
        """Set when to count again: when the output from here on could use up what is left."""
        if self.budget is not None:
            self._enforce_at_size = self._checkpoint_size + max(0, -self.overrun)

    @property
    def overrun(self) -> int:
        """How much more output was counted than the hold pays for; below zero: how much it still pays for."""
        if self.budget is None or self._elastic is None:
            return 0
        return self.tally.produced(self._text_tokens, self._counted_as).get(self._elastic, 0) - self.budget

    @property
    def is_long(self) -> bool:
        """Whether something of the answer was so large that it was read in a thread."""
        return self._reading is not None

    async def tail(self, cost: Cost | None) -> bytes:
        """The bytes that were kept back, with the cost in them where the client asked for it."""
        if self.is_long:
            # What was read in a thread is large; it is put together there as well, with the cost in it.
            return await self._in_thread(LARGE_BYTES, partial(self.tally.tail, cost))
        return self.tally.tail(cost)

    def let_go(self) -> None:
        """Stop the upstream, unless its answer has ended or another task reads on."""
        if self.answer is not None:
            self.answer.close()

    async def read_rest(self, answer: Answer) -> None:
        """The reply has ended: read until the upstream has finished, so that its connection is used again."""
        try:
            async with asyncio.timeout(REST_SECONDS):
                async for chunk in answer.chunks():
                    await self.read(chunk)
        except (TimeoutError, UpstreamFailure):
            answer.close()

    async def observed(self) -> dict[str, int]:
        """What a stream has used so far, counted."""
        await self.count_output()
        return {**await self._fixed_usage(), **self.tally.produced(self._text_tokens, self._counted_as)}

    async def count_output(self) -> None:
        """Count what a stream has produced so far; text that was counted before is not counted again."""
        self._counting = self._counting or asyncio.Lock()
        async with self._counting:
            await self._at_rest()
            size = self.tally.produced_size
            text = await off_loop(size, self.tally.output_text)
            if self.admitted.ceiling.choices > 1:
                # The text is one choice after the other, so that what is new is not at its end.
                self._text_tokens, self._counted_chars = 0, 0
            new = text[self._counted_chars :]
            self._text_tokens += await COUNTER.count_off_loop(new, self._counted_as)
            self._counted_chars, self._checkpoint_size = len(text), size
            if self.overrun > 0:
                # Text counted in pieces comes to a little more than it does as one; this decides about a cut.
                self._text_tokens = await COUNTER.count_off_loop(text, self._counted_as)

    async def spent(self) -> Spent:
        """What the call has used and what that costs: as reported, or else as counted within its budget."""
        if self._reading is not None:
            await self._at_rest()
        terms, tally = self._terms, self.tally
        reading = tally.reported()
        card = terms.charged
        if self._listens and isinstance(tally, TellsServed):
            card = terms.served(tally.told)
        if card.billing_type == "per_call":
            usage = {**ONE_CALL, **self._surcharges, **(reading.usage if reading else {})}
            return Spent(usage, "per_call", 0, price(card, usage), {})
        anomalies = reading.anomalies if reading else tally.anomalies
        usage, inferred = (reading.usage, dict(reading.inferred)) if reading else ({}, {})
        due, is_untold = self._to_count(usage)
        counted = await self._counted(usage, due, is_untold=is_untold) if due or is_untold else {}
        if counted or self._surcharges:
            # What the request turns on is used by that alone, unless it is told how often.
            usage = {**self._surcharges, **usage, **counted}
            inferred |= dict.fromkeys(counted, "counted")
        # What broke off had reported no more than it had used by then.
        is_counted = counted or not tally.complete or "assumed" in inferred.values()
        basis: Basis = "counted" if is_counted else "reported"
        return Spent(usage, basis, anomalies, price(card, usage), inferred)

    def _to_count(self, reported: Usage) -> tuple[list[str], bool]:
        """What of the request has to be counted, and whether the output has to be. No rate, no count.

        They were not reported, or cannot be believed: no request amounts to nothing, although some upstreams
        leave out what they took from a cache. A reply that has text has output, and one that broke off at
        least what was counted.
        """
        terms, elastic, tally, ceiling = self._terms, self._elastic, self.tally, self.admitted.ceiling
        priced, surcharges, allowed = terms.card.worst_weights, terms.surcharges, terms.allowed
        due: list[str] = []
        for meter, most in ceiling.fixed.items():
            is_told = reported.get(meter) or meter in surcharges or meter in allowed
            if most and not is_told and meter in priced:
                due.append(meter)
        if ceiling.either and any(reported.get(meter) and meter in priced for meter in ceiling.fixed):
            due = []  # It is billed by what it tells.
        told = elastic is None or bool(reported.get(elastic)) or not tally.produced_size
        return due, not told or not reported or not tally.complete

    async def _counted(self, reported: Usage, due: list[str], *, is_untold: bool) -> dict[str, int]:
        """The figures of `due` meters with their parts, and of what was produced if that `is_untold`."""
        counted: dict[str, int] = {}
        if due:
            fixed = await self._fixed_usage()
            counted = {meter: n for meter, n in fixed.items() if (METERS[meter].part_of or meter) in due}
        if is_untold:
            for meter, quantity in (await self._produced()).items():
                if quantity > reported.get(meter, -1):
                    counted[meter] = quantity
        return counted

    async def _produced(self) -> Usage:
        """All that was produced, counted, within the budget."""
        text = await off_loop(self.tally.produced_size, self.tally.output_text)
        text_tokens = await COUNTER.count_off_loop(text, self._counted_as)
        produced = self.tally.produced(text_tokens, self._counted_as)
        if self.budget is None or self._elastic is None:
            return produced
        # Parts are cut to their whole, as those that are reported are.
        within = {self._elastic, *(meter for meter in produced if METERS[meter].part_of == self._elastic)}
        return {meter: min(self.budget, n) if meter in within else n for meter, n in produced.items()}

    async def _fixed_usage(self) -> Usage:
        """What the request itself most likely amounts to, found once."""
        if self._fixed is None:
            admitted = self.admitted
            self._fixed = await fixed_usage(admitted.routed, admitted.ceiling, self._counted_as)
        return self._fixed

    @property
    def _counted_as(self) -> str:
        return counting_name(self.call.upstream_model, self.call.model)
