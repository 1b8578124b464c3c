"""Closing a call: the one settle or void that each hold gets, however the call ends."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from proxy.call.base import Admitted
from proxy.call.in_flight import OpenCall, Spent
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


class Witness(Protocol):
    """Hears how each call ended; for figures and logs, never for decisions."""

    def ended(self, call: Call, outcome: Outcome, charge: Charge) -> None:
        """A call's hold was closed with this outcome."""
        ...

    def fault(self, task: str, error: BaseException) -> None:
        """Something of ours went wrong while it was closed."""
        ...


class Closing:
    """settle, or void: the only place where holds of live calls are closed."""

    def __init__(self, *, ledger: Ledger, clock: Clock, tasks: Tasks, witness: Witness) -> None:
        self._ledger = ledger
        self._clock = clock
        self._tasks = tasks
        self._witness = witness
        self._streams: set[OpenCall] = set()

    def open(self, admitted: Admitted, policy: Policy) -> OpenCall:
        """Answer for a call whose hold was just made."""
        opened = OpenCall(admitted, policy, self._clock)
        if opened.call.stream and admitted.errand.card.billing_type != "per_call":
            self._streams.add(opened)
        return opened

    async def watch(self, interval_seconds: Callable[[], float]) -> None:
        """Note what each stream has used, again and again, for recovery after a crash; until cancelled."""
        while True:
            await asyncio.sleep(interval_seconds())
            for opened in list(self._streams):
                try:
                    if opened.unnoted:
                        await self._note(opened)
                except Exception as fault:  # noqa: BLE001 - one bad stream must not end the watch over all.
                    self._tell_fault(f"note {opened.call.id}", fault)
                await asyncio.sleep(0)

    async def settle(self, opened: OpenCall) -> Settled:
        """Charge a reply that was read to its end; returns when that is durable.

        Raises UpstreamFailure when the end was not a proper one.
        """
        await opened.finish()
        if opened.tally.failed:
            return await self._settle_failed(opened, 200)
        if not opened.tally.complete:
            raise UpstreamFailure("upstream_failed", "The upstream ended its answer before it was complete.")
        assert opened.answer is not None
        return await self._close(opened, "complete", opened.answer.status)

    async def void(self, opened: OpenCall, outcome: str, status: int) -> Settled:
        """Close the hold without a charge; returns when that is durable."""
        return await self._commit(opened, outcome, status, None)

    async def fail(self, opened: OpenCall, failure: Exception) -> Refusal:
        """Close the hold of a call that broke off, by the charge table; returns what to tell the client.

        What is neither the upstream's failure nor a refusal is a fault of ours, and costs nothing.
        """
        refusal = _refusal_of(failure)
        if refusal.code == "internal_error":
            self._tell_fault(f"call {opened.call.id}", failure)
        try:
            await self._fail(opened, refusal.code, refusal.kind.status)
        except BaseException:
            self.abandon(opened)
            raise
        return refusal

    def abandon(self, opened: OpenCall) -> None:
        """Close the hold of a call that nobody waits for any more, its own task included.

        Nothing was produced before the upstream answered, so nothing is charged then.
        """
        if opened.closed:
            return
        if opened.answer is None:
            self._submit(opened, "client_left", CLIENT_LEFT_STATUS, None)
            return
        answer, opened.answer = opened.answer, None
        self._tasks.spawn(self._finish_alone(opened, answer), name=f"finish {opened.call.id}")

    async def look(self, opened: OpenCall) -> None:
        """Count what a stream has used so far, and cut it if that outgrows what can be held for it.

        Raises Refusal `hold_outgrown`.
        """
        await opened.count_output()
        if opened.outgrown:
            await self._extend(opened)
        opened.looked()

    async def _note(self, opened: OpenCall) -> None:
        usage = await opened.observed()
        if not opened.closed:
            observed = Observed(usage, price(opened.admitted.errand.card, usage))
            self._ledger.observe(Observe(opened.call.id, opened.call.account_id, observed))

    async def _extend(self, opened: OpenCall) -> None:
        assert opened.room_tokens is not None
        beyond = opened.counted_tokens - opened.room_tokens
        more_tokens = max(MIN_EXTENSION_TOKENS, beyond, opened.room_tokens // 4)
        amount_nano = worst_nano(opened.admitted.errand.card, {"output_tokens": more_tokens, "requests": 0})
        call, now_us = opened.call, self._clock.now_us()
        defaults = opened.admitted.defaults
        result = await self._ledger.extend(Extend(call, opened.admitted.at_us, now_us, amount_nano, defaults))
        if isinstance(result, Refused):
            raise Refusal("hold_outgrown", "The answer outgrew what could be paid for it and was cut.")
        opened.room_tokens += more_tokens

    async def _fail(self, opened: OpenCall, code: str, status: int) -> None:
        opened.let_go()
        if opened.closed:
            return
        if code == "hold_outgrown":
            opened.room_tokens = None
            await self._close(opened, "cut", status)
        elif code == "internal_error":
            await self.void(opened, code, status)
        elif opened.answer is None:
            await self.void(opened, "unreachable", status)
        else:
            await self._settle_failed(opened, status)

    async def _settle_failed(self, opened: OpenCall, status: int) -> Settled:
        """A reply that broke off or reports an error itself: what was delivered, or nothing by policy."""
        delivered = opened.tally.output_bytes > 0 and opened.call.stream
        if not delivered or opened.policy.on_upstream_failure == "free":
            return await self.void(opened, "upstream_failed", status)
        return await self._close(opened, "upstream_failed", status)

    async def _finish_alone(self, opened: OpenCall, answer: Answer) -> None:
        """Read on where that tells the usage: whole bodies always, streams if the policy is to drain.

        A stream whose text is all there is read on for a moment: its usage is about to come, and tells of
        reasoning that no text does. Else whoever leaves just before it would have that for nothing.
        """
        ended = False
        drains = opened.policy.on_disconnect == "drain" or not opened.call.stream
        try:
            if drains or opened.tally.spoken:
                async with asyncio.timeout(opened.policy.drain_seconds if drains else USAGE_SECONDS):
                    async for chunk in answer.chunks():
                        await opened.read(chunk)
                    await opened.finish()
                    ended = True
        except (TimeoutError, UpstreamFailure, Refusal, asyncio.CancelledError):
            pass  # What was read until here is what is known; a process that ends does not wait for more.
        except Exception as fault:  # noqa: BLE001 - whatever is wrong with us, the hold must be closed.
            self._tell_fault(f"finish {opened.call.id}", fault)
        finally:
            answer.close()
        whole = ended and opened.tally.complete
        if not 200 <= answer.status < 300 or not (opened.call.stream or whole):
            await self.void(opened, "client_left", CLIENT_LEFT_STATUS)
        else:
            await self._close(opened, "client_left", CLIENT_LEFT_STATUS)

    async def _close(self, opened: OpenCall, outcome: str, status: int) -> Settled:
        """Charge what was used. A fault of ours in finding that out costs the customer nothing."""
        spent: Spent | None = None
        try:
            spent = await opened.spent()
        except Exception as fault:  # noqa: BLE001 - whatever is wrong with us, the hold must be closed.
            self._tell_fault(f"price {opened.call.id}", fault)
            outcome = "internal_error"
        return await self._commit(opened, outcome, status, spent)

    async def _commit(self, opened: OpenCall, outcome: str, status: int, spent: Spent | None) -> Settled:
        # A cancel ends the waiting only: the command is in the ledger's inbox and is carried out.
        result = await self._submit(opened, outcome, status, spent)
        if not isinstance(result, Settled):
            raise Refusal("internal_error", f"The hold of call {opened.call.id} could not be closed.")
        return result

    def _submit(
        self, opened: OpenCall, outcome: str, status: int, spent: Spent | None
    ) -> "asyncio.Future[Settled | Refused]":
        """Hand the close to the ledger, which carries it out even if nobody waits; once for each call."""
        opened.closed = True
        self._streams.discard(opened)
        call, at_us, now_us = opened.call, opened.admitted.at_us, self._clock.now_us()
        first_at_us = opened.first_byte_at_us
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
