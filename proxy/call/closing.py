"""Closing a call: the one settle or void that each hold gets, however the call ends."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol, cast

from msgspec.structs import replace

from proxy.call.base import AdmittedCall, KnownObject
from proxy.call.in_flight import InFlightCall, Spent
from proxy.call.jobs import Jobs, beginning, beginning_of_stream, objects_of, sighting_of
from proxy.call.outcomes import CLIENT_LEFT_STATUS, OUR_FAULT, Ending, OutcomeRule, ending_of, rule_of
from proxy.call.policy import Policy
from proxy.call.reasoning import ReasoningModels
from proxy.clock import Clock
from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.sighted import BeginningTally
from proxy.errors import Refusal
from proxy.ledger.commands import Detach, Done, Extend, Observe, Refused, Reroute, Settle, Settled, Void
from proxy.ledger.ledger import Ledger
from proxy.ledger.rows import Call, Observed, Outcome
from proxy.pricing.charge import NO_CHARGE, Charge, more_nano, price
from proxy.tasks import Tasks
from proxy.upstream.base import Answer, UpstreamFailure

MIN_EXTENSION: Final = 64
"""The least of the elastic meter that a hold is extended by at once."""
USAGE_SECONDS: Final = 2.0
"""How long a stream whose choices have finished is read on for its usage when its client has left."""


class CallObserver(Protocol):
    """Is told how each call ended, for figures and logs; it decides nothing."""

    def ended(self, call: Call, outcome: Outcome, charge: Charge) -> None:
        """A call's hold was closed with this outcome."""
        ...

    def exceeded(self, call: Call, hold_nano: int, settled: Settled) -> None:
        """A call came to more than what was held for it: an upstream reports more than its ceiling."""
        ...

    def fault(self, task: str, error: BaseException) -> None:
        """A fault of Farebox came up while a call was in flight or was closed."""
        ...


class Closing:
    """Settles or voids: the only place that closes the holds of calls in flight."""

    def __init__(self, *, ledger: Ledger, clock: Clock, tasks: Tasks, observer: CallObserver) -> None:
        self._ledger = ledger
        self._clock = clock
        self._tasks = tasks
        self._observer = observer
        self.jobs = Jobs(ledger=ledger, clock=clock, tell=self._tell_end, tell_excess=self._tell_excess)
        self._reasoning = ReasoningModels()
        self._streams: set[InFlightCall] = set()

    def open(self, admitted: AdmittedCall, policy: Policy) -> InFlightCall:
        """Take charge of a call whose hold was just made."""
        in_flight = InFlightCall(admitted, policy, self._clock)
        if in_flight.call.stream and admitted.routed.terms.card.billing_type != "per_call":
            self._streams.add(in_flight)
        return in_flight

    async def goes_to(self, in_flight: InFlightCall, upstream: str, model: str) -> None:
        """Write on the hold which target comes next, so that after a crash the receipt names it.

        Raises Refusal when the hold cannot be written, or when another process has closed it meanwhile.
        """
        call = in_flight.call
        if (upstream, model) == (call.upstream, call.upstream_model):
            return
        call = replace(call, upstream=upstream, upstream_model=model)
        if isinstance(await self._ledger.reroute(Reroute(call)), Refused):
            raise Refusal("internal_error", f"The hold of call {call.id} is no longer open.")
        in_flight.call = call

    async def watch(self, interval_seconds: Callable[[], float]) -> None:
        """Write down what each stream has used, again and again until cancelled, for after a crash."""
        while True:
            await asyncio.sleep(interval_seconds())
            for in_flight in list(self._streams):
                try:
                    if in_flight.needs_checkpoint:
                        await self._checkpoint(in_flight)
                except Exception as fault:  # noqa: BLE001 - one bad stream must not end the watch over all.
                    self._tell_fault(f"checkpoint {in_flight.call.id}", fault)
                await asyncio.sleep(0)

    async def settle(self, in_flight: InFlightCall) -> Settled | None:
        """Charge a reply that was read to its end; returns when that is durable. None: its job goes on.

        Raises UpstreamFailure when the end was not a proper one.
        """
        await in_flight.finish()
        if in_flight.job is not None:
            return await self._end_streamed(in_flight, in_flight.job)
        if in_flight.tally.failed:
            return await self._end(in_flight, "error_reported")
        if not in_flight.tally.complete:
            raise UpstreamFailure("upstream_failed", "The upstream ended its answer before it was complete.")
        return await self._end(in_flight, "client_left" if in_flight.client_left else "complete")

    async def refused(self, in_flight: InFlightCall) -> Settled | None:
        """Void the hold of a call whose upstream answered with an error; returns when that is durable."""
        return await self._end(in_flight, "upstream_refused")

    async def fail(self, in_flight: InFlightCall, failure: BaseException) -> Refusal | None:
        """Close the hold of a call that broke off, by the table of outcomes.

        Returns the refusal for the client. None when the client has left; another task closes the hold then.
        """
        ending = ending_of(failure)
        if ending == "client_left":
            self._abandon(in_flight)
            return None
        refusal = _refusal_of(failure)
        if ending == "our_fault":
            self._tell_fault(f"call {in_flight.call.id}", failure)
        in_flight.let_go()
        if in_flight.closed:
            return refusal
        if refusal.code == "ledger_unavailable":
            # The ledger closes the hold when it is back; the client does not wait for that.
            closing = self._end(in_flight, ending, refusal)
            self._tasks.spawn(_unless_away(closing), name=f"end {in_flight.call.id}")
            return refusal
        try:
            await _unless_away(self._end(in_flight, ending, refusal))
        except BaseException:
            self._abandon(in_flight)
            raise
        return refusal

    async def enforce_budget(self, in_flight: InFlightCall) -> bytes:
        """Count what a stream has used so far, and cut it if that outgrows what can be held for it.

        The job of a stream is put on the ledger here, before anything of it passes. Returns what was kept
        back until then. Raises Refusal `hold_outgrown`.
        """
        if in_flight.begins is not None:
            return await self._begin_streamed(in_flight, in_flight.begins)
        await in_flight.count_output()
        if in_flight.overrun > 0:
            await self._extend(in_flight)
        in_flight.budget_enforced()
        return b""

    async def observe_first(self, in_flight: InFlightCall) -> None:
        """Write down what a call comes to whose answer passes as it comes; returns when that is durable.

        Raises Refusal when it cannot be written, or when another process has closed the hold meanwhile.
        """
        if isinstance(await self._observe(in_flight, await in_flight.observed()), Refused):
            raise Refusal("internal_error", f"The hold of call {in_flight.call.id} is no longer open.")

    async def _checkpoint(self, in_flight: InFlightCall) -> None:
        usage = await in_flight.observed()
        if not in_flight.closed:
            self._observe(in_flight, usage)

    def _observe(self, in_flight: InFlightCall, usage: dict[str, int]) -> "asyncio.Future[Done | Refused]":
        observed = Observed(usage, price(in_flight.admitted.routed.terms.charged, usage))
        return self._ledger.observe(Observe(in_flight.call.id, in_flight.call.account_id, observed))

    async def _extend(self, in_flight: InFlightCall) -> None:
        admitted, budget = in_flight.admitted, in_flight.budget
        assert budget is not None
        assert admitted.ceiling.elastic is not None
        more = max(MIN_EXTENSION, in_flight.overrun, budget // 4)
        amount_nano = more_nano(admitted.routed.card, admitted.ceiling.elastic, more)
        now_us = self._clock.now_us()
        result = await self._ledger.extend(
            Extend(in_flight.call, admitted.at_us, now_us, amount_nano, admitted.defaults)
        )
        if isinstance(result, Refused):
            # What was produced is charged in full, as far as the funds go.
            in_flight.budget = None
            raise Refusal("hold_outgrown", "The answer outgrew what could be paid for it and was cut.")
        in_flight.budget, in_flight.hold_nano = budget + more, result.hold_nano

    def _abandon(self, in_flight: InFlightCall) -> None:
        """Close the hold of a call whose client has left, without waiting: its own task may be cancelled."""
        if in_flight.closed:
            return
        rule, answer = rule_of(in_flight.phase, "client_left"), in_flight.answer
        if rule.charged == "nothing" or answer is None:
            self._submit(in_flight, rule.outcome, CLIENT_LEFT_STATUS, None)
            return
        in_flight.answer = None  # The caller lets go of its answer, and this one is still read.
        self._tasks.spawn(self._finish_alone(in_flight, answer, rule), name=f"finish {in_flight.call.id}")

    async def _finish_alone(self, in_flight: InFlightCall, answer: Answer, rule: OutcomeRule) -> None:
        """Read on for as long as that may tell the usage, and close the hold."""
        seconds = self._reads_on_seconds(in_flight, rule)
        try:
            if seconds is None or seconds > 0:
                async with asyncio.timeout(seconds):
                    async for chunk in answer.chunks():
                        await in_flight.read(chunk)
                    await in_flight.finish()
        except (TimeoutError, UpstreamFailure, Refusal, asyncio.CancelledError):
            pass  # What was read so far counts; a process that ends does not wait for more.
        except Exception as fault:  # noqa: BLE001 - no fault of ours may keep the hold open.
            self._tell_fault(f"finish {in_flight.call.id}", fault)
        finally:
            answer.close()
        await _unless_away(self._close(in_flight, rule, CLIENT_LEFT_STATUS))

    def _reads_on_seconds(self, in_flight: InFlightCall, rule: OutcomeRule) -> float | None:
        """How long to read on when the client has left: streams by the policy, whole bodies as long as any.

        Only the usage has reasoning that is not shown, and only it is exact about pictures and sounds: a
        client cannot avoid paying for these by leaving before it comes. It is about to come where all choices
        have finished.
        """
        if rule.charged == "if_whole":
            return None
        policy, tally = in_flight.policy, in_flight.tally
        drains = policy.on_disconnect == "drain"
        if policy.on_disconnect == "auto" and in_flight.admitted.routed.card.billing_type != "per_call":
            drains = drains or tally.has_data or self._reasoning.may_hide(in_flight.call)
        if drains:
            return policy.drain_seconds
        return USAGE_SECONDS if tally.choices_finished else 0.0

    def _end(
        self, in_flight: InFlightCall, ending: Ending, refusal: Refusal | None = None
    ) -> Coroutine[Any, Any, Settled | None]:
        """Close the hold by the rule for this ending; returns when that is durable."""
        rule = rule_of(in_flight.phase, ending)
        status = rule.status if isinstance(rule.status, int) else 0
        if refusal is not None:
            status = refusal.kind.status
        if rule.status == "upstream" and in_flight.answer is not None:
            status = in_flight.answer.status
        return self._close(in_flight, rule, status)

    async def _close(self, in_flight: InFlightCall, rule: OutcomeRule, status: int) -> Settled | None:
        """Charge what the rule says. A fault of ours in finding that out costs the customer nothing.

        A call whose job goes on is not charged yet: its hold stays, and None comes back.
        """
        spent: Spent | None = None
        outcome = rule.outcome
        try:
            if _is_charged(in_flight, rule):
                spent = await in_flight.spent()
                self._reasoning.learn(in_flight.call, spent.usage, whole=spent.basis == "reported")
        except Exception as fault:  # noqa: BLE001 - no fault of ours may keep the hold open.
            self._tell_fault(f"price {in_flight.call.id}", fault)
            outcome = OUR_FAULT
        # A cancel ends only the waiting: the command is in the ledger's inbox, and will be carried out.
        if in_flight.admitted.routed.about is not None:
            if spent is not None and (begun := beginning(in_flight, spent, self._clock.now_us())) is not None:
                await self._go_on(in_flight, begun)
                return None
            await self._end_job(in_flight)
        result = await self._submit(in_flight, outcome, status, spent)
        if not isinstance(result, Settled):
            raise Refusal("internal_error", f"The hold of call {in_flight.call.id} could not be closed.")
        return result

    async def _go_on(self, in_flight: InFlightCall, begun: Detach) -> None:
        """Let a hold outlive its request. Raises UpstreamFailure for an id that another call's object has."""
        in_flight.closed = True
        self._streams.discard(in_flight)
        if isinstance(await asyncio.shield(self._ledger.detach(begun)), Refused):
            in_flight.closed = False
            raise UpstreamFailure(
                "upstream_invalid", "The upstream gave the id of what another call has made."
            )

    async def _begin_streamed(self, in_flight: InFlightCall, tally: BeginningTally) -> bytes:
        """Let the hold of a stream outlive it as soon as it has told of its job."""
        if tally.begun is not None:
            usage, now_us = await in_flight.observed(), self._clock.now_us()
            begun, job = beginning_of_stream(in_flight, tally.begun, usage, now_us)
            await self._go_on(in_flight, begun)
            return in_flight.job_begun(job)
        return b"" if tally.waits else in_flight.job_begun(None)

    async def _end_streamed(self, in_flight: InFlightCall, job: KnownObject) -> Settled | None:
        """End the job of a stream that has told its end. Where it has not, others see that later: None."""
        sighting = cast("BeginningTally", in_flight.tally).ended
        if sighting is None:
            if in_flight.tally.failed:
                return None
            raise UpstreamFailure("upstream_failed", "The upstream ended its answer before it was complete.")
        if sighting.state == "complete":
            spent = await in_flight.spent()
            used = Reading(spent.usage, spent.anomalies, spent.inferred)
            sighting = replace(sighting, used=used)
        ended = self.jobs.saw(job, sighting, in_flight.policy)
        settled = None if ended is None else await ended
        return settled if isinstance(settled, Settled) and not settled.replayed else None

    async def _end_job(self, in_flight: InFlightCall) -> None:
        """End the job that a call's answer shows the end of, before that answer is complete."""
        about, sighting = in_flight.admitted.routed.about, sighting_of(in_flight)
        if about is None or about.known is None or sighting is None:
            return
        ended = self.jobs.saw(about.known, sighting, in_flight.policy)
        if ended is not None and isinstance(await ended, Refused):
            raise Refusal("internal_error", f"The hold of job {about.known.row.call_id} could not be closed.")

    def _submit(
        self, in_flight: InFlightCall, outcome: str, status: int, spent: Spent | None
    ) -> "asyncio.Future[Settled | Refused]":
        """Hand the close to the ledger, once for each call: a cancel does not stop it."""
        in_flight.closed = True
        self._streams.discard(in_flight)
        call, at_us, first_at_us = in_flight.call, in_flight.admitted.at_us, in_flight.first_byte_at_us
        tried, now_us = in_flight.attempts, self._clock.now_us()
        # Nothing ends before it has begun, also when the clock was set back meanwhile.
        begun_at_us = at_us if first_at_us is None or first_at_us < at_us else first_at_us
        if now_us < begun_at_us:
            now_us = begun_at_us
        objects = () if in_flight.admitted.routed.about is None else objects_of(in_flight, now_us)
        if spent is None:
            charge = NO_CHARGE
            ended = Outcome(outcome, status, "void", {}, now_us, first_at_us, attempts=tried)
            quota = in_flight.admitted.routed.quota_name
            future = self._ledger.void(Void(call, at_us, now_us, ended, objects, quota))
        else:
            charge = spent.charge
            basis, usage, anomalies, inferred = spent.basis, spent.usage, spent.anomalies, spent.inferred
            ended = Outcome(outcome, status, basis, usage, now_us, first_at_us, anomalies, tried, inferred)
            policy = in_flight.policy
            settle = Settle(call, at_us, now_us, ended, charge, policy.on_shortfall, objects)
            future = self._ledger.settle(settle)
            if charge.total_nano > in_flight.hold_nano:
                future.add_done_callback(partial(self._tell_excess, call, in_flight.hold_nano))
                # A caller that is cancelled would cancel the future that it awaits, and nobody be told.
                future = asyncio.shield(future)
            if charge.tiers:
                future.add_done_callback(lambda done: self.jobs.told(done, call, ended, charge))
                return asyncio.shield(future)
        self._tell_end(call, ended, charge)
        return future

    def _tell_end(self, call: Call, outcome: Outcome, charge: Charge) -> None:
        try:
            self._observer.ended(call, outcome, charge)
        except Exception as fault:  # noqa: BLE001 - figures and logs must not keep a call from ending.
            self._tell_fault(f"observe {call.id}", fault)

    def _tell_excess(self, call: Call, hold_nano: int, future: "asyncio.Future[Settled | Refused]") -> None:
        """An upstream has reported more than the ceiling: what the ledger made of it is told once."""
        if future.cancelled() or future.exception() is not None:
            return
        settled = future.result()
        if isinstance(settled, Settled) and not settled.replayed and _exceeds(settled, hold_nano):
            try:
                self._observer.exceeded(call, hold_nano, settled)
            except Exception as fault:  # noqa: BLE001 - figures and logs must not keep a call from ending.
                self._tell_fault(f"observe {call.id}", fault)

    def _tell_fault(self, task: str, fault: BaseException) -> None:
        with contextlib.suppress(Exception):
            self._observer.fault(task, fault)


async def _unless_away(closing: Coroutine[Any, Any, Settled | None]) -> None:
    """Wait for a close whose result nobody needs. When the ledger is away for long it comes later."""
    try:
        await closing
    except Refusal as refusal:
        if refusal.code != "ledger_unavailable":
            raise


def _exceeds(settled: Settled, hold_nano: int) -> bool:
    """Whether a charge that could come to more than its hold has done so."""
    return settled.charge is None or settled.charge.total_nano > hold_nano


def _is_charged(in_flight: InFlightCall, rule: OutcomeRule) -> bool:
    match rule.charged:
        case "if_whole":
            return in_flight.is_whole
        case "delivered":
            # Nothing has passed of a stream whose job could not be put on the ledger.
            delivers = in_flight.tally.produced_size > 0 and in_flight.begins is None
            return delivers and in_flight.policy.on_upstream_failure == "charge"
        case charged:
            return charged == "used"


def _refusal_of(failure: BaseException) -> Refusal:
    if isinstance(failure, Refusal):
        return failure
    if isinstance(failure, UpstreamFailure):
        return Refusal(failure.code, str(failure))
    return Refusal("internal_error", "Something went wrong here; the log has the request id.")
