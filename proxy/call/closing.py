"""Closing a call: the one settle or void that each hold gets, however the call ends."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from proxy.call.base import AdmittedCall
from proxy.call.in_flight import InFlightCall, Spent
from proxy.call.policy import Policy
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.commands import Extend, Observe, Refused, Settle, Settled, Void
from proxy.ledger.ledger import Ledger
from proxy.ledger.rows import Call, Observed, Outcome
from proxy.pricing.charge import NO_CHARGE, Charge, price, worst_nano
from proxy.tasks import Tasks
from proxy.upstream.base import Answer, UpstreamFailure

CLIENT_LEFT_STATUS: Final = 499
"""What logs and receipts say of a client that did not wait, as nginx has it."""
MIN_EXTENSION_TOKENS: Final = 64
USAGE_SECONDS: Final = 2.0
"""How long a stream that has said everything is read on for its usage when its client has left."""


class CallObserver(Protocol):
    """Hears how each call ended; for figures and logs, never for decisions."""

    def ended(self, call: Call, outcome: Outcome, charge: Charge) -> None:
        """A call's hold was closed with this outcome."""
        ...

    def fault(self, task: str, error: BaseException) -> None:
        """Something of ours went wrong while it was closed."""
        ...


class Closing:
    """settle, or void: the only place where holds of live calls are closed."""

    def __init__(self, *, ledger: Ledger, clock: Clock, tasks: Tasks, observer: CallObserver) -> None:
        self._ledger = ledger
        self._clock = clock
        self._tasks = tasks
        self._witness = observer
        self._streams: set[InFlightCall] = set()

    def open(self, admitted: AdmittedCall, policy: Policy) -> InFlightCall:
        """Answer for a call whose hold was just made."""
        in_flight = InFlightCall(admitted, policy, self._clock)
        if in_flight.call.stream and admitted.routed.card.billing_type != "per_call":
            self._streams.add(in_flight)
        return in_flight

    async def watch(self, interval_seconds: Callable[[], float]) -> None:
        """Note what each stream has used, again and again, for recovery after a crash; until cancelled."""
        while True:
            await asyncio.sleep(interval_seconds())
            for in_flight in list(self._streams):
                try:
                    if in_flight.needs_checkpoint:
                        await self._checkpoint(in_flight)
                except Exception as fault:  # noqa: BLE001 - one bad stream must not end the watch over all.
                    self._tell_fault(f"note {in_flight.call.id}", fault)
                await asyncio.sleep(0)

    async def settle(self, in_flight: InFlightCall) -> Settled:
        """Charge a reply that was read to its end; returns when that is durable.

        Raises UpstreamFailure when the end was not a proper one.
        """
        await in_flight.finish()
        if in_flight.tally.failed:
            return await self._settle_failed(in_flight, 200)
        if not in_flight.tally.complete:
            raise UpstreamFailure("upstream_failed", "The upstream ended its answer before it was complete.")
        assert in_flight.answer is not None
        return await self._close(in_flight, "complete", in_flight.answer.status)

    async def void(self, in_flight: InFlightCall, outcome: str, status: int) -> Settled:
        """Close the hold without a charge; returns when that is durable."""
        return await self._commit(in_flight, outcome, status, None)

    async def fail(self, in_flight: InFlightCall, failure: Exception) -> Refusal:
        """Close the hold of a call that broke off, by the charge table; returns what to tell the client.

        What is neither the upstream's failure nor a refusal is a fault of ours, and costs nothing.
        """
        refusal = _refusal_of(failure)
        if refusal.code == "internal_error":
            self._tell_fault(f"call {in_flight.call.id}", failure)
        try:
            await self._fail(in_flight, refusal.code, refusal.kind.status)
        except BaseException:
            self.abandon(in_flight)
            raise
        return refusal

    def abandon(self, in_flight: InFlightCall) -> None:
        """Close the hold of a call that nobody waits for any more, its own task included.

        Nothing was produced before the upstream answered, so nothing is charged then.
        """
        if in_flight.closed:
            return
        if in_flight.answer is None:
            self._submit(in_flight, "client_left", CLIENT_LEFT_STATUS, None)
            return
        answer, in_flight.answer = in_flight.answer, None
        self._tasks.spawn(self._finish_alone(in_flight, answer), name=f"finish {in_flight.call.id}")

    async def enforce_budget(self, in_flight: InFlightCall) -> None:
        """Count what a stream has used so far, and cut it if that outgrows what can be held for it.

        Raises Refusal `hold_outgrown`.
        """
        await in_flight.count_output()
        if in_flight.outgrown:
            await self._extend(in_flight)
        in_flight.budget_enforced()

    async def _checkpoint(self, in_flight: InFlightCall) -> None:
        usage = await in_flight.observed()
        if not in_flight.closed:
            observed = Observed(usage, price(in_flight.admitted.routed.card, usage))
            self._ledger.observe(Observe(in_flight.call.id, in_flight.call.account_id, observed))

    async def _extend(self, in_flight: InFlightCall) -> None:
        assert in_flight.budget_tokens is not None
        beyond = in_flight.counted_tokens - in_flight.budget_tokens
        more_tokens = max(MIN_EXTENSION_TOKENS, beyond, in_flight.budget_tokens // 4)
        amount_nano = worst_nano(
            in_flight.admitted.routed.card, {"output_tokens": more_tokens, "requests": 0}
        )
        call, now_us = in_flight.call, self._clock.now_us()
        defaults = in_flight.admitted.defaults
        result = await self._ledger.extend(
            Extend(call, in_flight.admitted.at_us, now_us, amount_nano, defaults)
        )
        if isinstance(result, Refused):
            raise Refusal("hold_outgrown", "The answer outgrew what could be paid for it and was cut.")
        in_flight.budget_tokens += more_tokens

    async def _fail(self, in_flight: InFlightCall, code: str, status: int) -> None:
        in_flight.let_go()
        if in_flight.closed:
            return
        if code == "hold_outgrown":
            in_flight.budget_tokens = None
            await self._close(in_flight, "cut", status)
        elif code == "internal_error":
            await self.void(in_flight, code, status)
        elif in_flight.answer is None:
            await self.void(in_flight, "unreachable", status)
        else:
            await self._settle_failed(in_flight, status)

    async def _settle_failed(self, in_flight: InFlightCall, status: int) -> Settled:
        """A reply that broke off or reports an error itself: what was delivered, or nothing by policy."""
        delivered = in_flight.tally.output_bytes > 0 and in_flight.call.stream
        if not delivered or in_flight.policy.on_upstream_failure == "free":
            return await self.void(in_flight, "upstream_failed", status)
        return await self._close(in_flight, "upstream_failed", status)

    async def _finish_alone(self, in_flight: InFlightCall, answer: Answer) -> None:
        """Read on where that tells the usage: whole bodies always, streams if the policy is to drain.

        A stream whose text is all there is read on for a moment: its usage is about to come, and tells of
        reasoning that no text does. Else whoever leaves just before it would have that for nothing.
        """
        ended = False
        drains = in_flight.policy.on_disconnect == "drain" or not in_flight.call.stream
        try:
            if drains or in_flight.tally.choices_finished:
                async with asyncio.timeout(in_flight.policy.drain_seconds if drains else USAGE_SECONDS):
                    async for chunk in answer.chunks():
                        await in_flight.read(chunk)
                    await in_flight.finish()
                    ended = True
        except (TimeoutError, UpstreamFailure, Refusal, asyncio.CancelledError):
            pass  # What was read until here is what is known; a process that ends does not wait for more.
        except Exception as fault:  # noqa: BLE001 - whatever is wrong with us, the hold must be closed.
            self._tell_fault(f"finish {in_flight.call.id}", fault)
        finally:
            answer.close()
        whole = ended and in_flight.tally.complete
        if not 200 <= answer.status < 300 or not (in_flight.call.stream or whole):
            await self.void(in_flight, "client_left", CLIENT_LEFT_STATUS)
        else:
            await self._close(in_flight, "client_left", CLIENT_LEFT_STATUS)

    async def _close(self, in_flight: InFlightCall, outcome: str, status: int) -> Settled:
        """Charge what was used. A fault of ours in finding that out costs the customer nothing."""
        spent: Spent | None = None
        try:
            spent = await in_flight.spent()
        except Exception as fault:  # noqa: BLE001 - whatever is wrong with us, the hold must be closed.
            self._tell_fault(f"price {in_flight.call.id}", fault)
            outcome = "internal_error"
        return await self._commit(in_flight, outcome, status, spent)

    async def _commit(
        self, in_flight: InFlightCall, outcome: str, status: int, spent: Spent | None
    ) -> Settled:
        # A cancel ends the waiting only: the command is in the ledger's inbox and is carried out.
        result = await self._submit(in_flight, outcome, status, spent)
        if not isinstance(result, Settled):
            raise Refusal("internal_error", f"The hold of call {in_flight.call.id} could not be closed.")
        return result

    def _submit(
        self, in_flight: InFlightCall, outcome: str, status: int, spent: Spent | None
    ) -> "asyncio.Future[Settled | Refused]":
        """Hand the close to the ledger, which carries it out even if nobody waits; once for each call."""
        in_flight.closed = True
        self._streams.discard(in_flight)
        call, at_us, now_us = in_flight.call, in_flight.admitted.at_us, self._clock.now_us()
        first_at_us = in_flight.first_byte_at_us
        if spent is None:
            charge = NO_CHARGE
            ended = Outcome(outcome, status, "void", {}, now_us, first_at_us)
            future = self._ledger.void(Void(call, at_us, now_us, ended))
        else:
            charge = spent.charge
            ended = Outcome(outcome, status, spent.basis, spent.usage, now_us, first_at_us, spent.anomalies)
            future = self._ledger.settle(Settle(call, at_us, now_us, ended, charge))
        try:
            self._witness.ended(call, ended, charge)
        except Exception as fault:  # noqa: BLE001 - figures and logs must not keep a call from ending.
            self._tell_fault(f"witness {call.id}", fault)
        return future

    def _tell_fault(self, task: str, fault: Exception) -> None:
        with contextlib.suppress(Exception):
            self._witness.fault(task, fault)


def _refusal_of(failure: Exception) -> Refusal:
    if isinstance(failure, Refusal):
        return failure
    if isinstance(failure, UpstreamFailure):
        return Refusal(failure.code, str(failure))
    return Refusal("internal_error", "Something went wrong here; the log has the request id.")
