"""Jobs: calls that outlive their request. How one begins, what an answer tells of it, and its one end."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from msgspec.structs import replace

from proxy.call.base import Job, KnownObject, RoutedCall
from proxy.call.in_flight import InFlightCall, Spent
from proxy.call.outcomes import Ending, rule_of
from proxy.call.policy import Policy
from proxy.clock import Clock
from proxy.endpoints.base import Reading
from proxy.endpoints.features import WITHIN
from proxy.endpoints.tallies.sighted import SightedTally, Sighting, State
from proxy.ledger.commands import Detach, Refused, Settle, Settled, Void
from proxy.ledger.ledger import Ledger
from proxy.ledger.rows import Call, Object, Observed, Outcome
from proxy.metering.usage import ONE_CALL, Basis
from proxy.pricing.charge import NO_CHARGE, Charge, affordable, price
from proxy.pricing.listed import card_of

STATUS: Final = 200
"""What a job's client was answered at its beginning."""
ACCEPTED: Final = 202
"""What an upstream answers that has not got yet what it was asked for, whatever comes with that."""
NOTHING_SEEN: Final = "{}"

_GUESSES: Final = frozenset({"assumed", "counted"})
_ENDINGS: Final[dict[State, Ending]] = {
    "complete": "complete",
    "failed": "job_failed",
    "deleted": "job_deleted",
}
"""How a job ends, by what was seen of it. What runs has not ended."""


def sighting_of(in_flight: InFlightCall) -> Sighting | None:
    """What the answer to a call tells of an object; None while it is not whole, or where it tells nothing."""
    about = in_flight.admitted.routed.about
    if about is None or in_flight.phase not in ("whole", "stream"):
        return None
    if about.known is not None and in_flight.attempts[-1].status == ACCEPTED:
        return None
    tally = cast("SightedTally", in_flight.tally)
    return tally.sighting if in_flight.is_whole or tally.failed else None


def objects_of(in_flight: InFlightCall, now_us: int) -> tuple[Object, ...]:
    """What a call has made, or what it has seen anew of what was there."""
    sighting = sighting_of(in_flight)
    if sighting is None:
        return ()
    routed = in_flight.admitted.routed
    if routed.about is not None and routed.about.known is not None:
        return (seen_again(routed.about.known.row, sighting, now_us),)
    made = _made(in_flight.call, routed, sighting)
    within = _within(made, sighting)
    return (made, *within) if sighting.id else within


def _within(row: Object, sighting: Sighting) -> tuple[Object, ...]:
    """What an object has in it, as objects of their own."""
    kind = f"{row.kind}{WITHIN}"
    return tuple(replace(row, kind=kind, id=id_, seen=NOTHING_SEEN) for id_ in sighting.within)


def seen_again(row: Object, sighting: Sighting, now_us: int) -> Object:
    """An object as it is after it was seen. One that was deleted ends now."""
    expires_at_us = now_us if sighting.state == "deleted" else row.expires_at_us
    return replace(row, seen=sighting.seen or row.seen, expires_at_us=expires_at_us)


def beginning(in_flight: InFlightCall, spent: Spent, now_us: int) -> Detach | None:
    """The command that lets a call's job go on; None for one that has made none, or that is complete."""
    routed, sighting = in_flight.admitted.routed, sighting_of(in_flight)
    if (
        sighting is None
        or sighting.state != "running"
        or routed.about is None
        or routed.about.known is not None
    ):
        return None
    return _detach(in_flight, sighting, spent.usage, now_us)


def beginning_of_stream(
    in_flight: InFlightCall, sighting: Sighting, usage: dict[str, int], now_us: int
) -> tuple[Detach, KnownObject]:
    """The same for a stream that has told what it makes, of which so much is used by then; and its job."""
    begun = _detach(in_flight, sighting, usage, now_us)
    at_us, hold_nano = in_flight.admitted.at_us, in_flight.hold_nano
    job = Job(in_flight.call, at_us, begun.deadline_us, begun.observed, hold_nano)
    return begun, KnownObject(begun.objects[0], job)


def _detach(in_flight: InFlightCall, sighting: Sighting, usage: dict[str, int], now_us: int) -> Detach:
    routed, at_us = in_flight.admitted.routed, in_flight.admitted.at_us
    assert routed.about is not None
    deadline_us = max(at_us, now_us) + in_flight.policy.job_seconds * 1_000_000
    card = routed.terms.charged
    observed = Observed(usage, price(card, usage), card.listed if routed.about.kind.tells_usage else ())
    made = (_made(in_flight.call, routed, sighting),)
    return Detach(in_flight.call, at_us, now_us, deadline_us, observed, made)


def _made(call: Call, routed: RoutedCall, sighting: Sighting) -> Object:
    assert routed.about is not None
    kind, seen = routed.about.kind.name, sighting.seen or NOTHING_SEEN
    return Object(
        call.account_id,
        sighting.id,
        kind,
        call.upstream,
        call.key_id,
        call.id,
        call.model,
        call.started_at_us,
        seen,
    )


class Jobs:
    """Ends jobs: the only place that closes their holds. Whoever sees the end first may ask it to.

    `tell` is told how each ended, as of any call, and `tell_excess` of one that came to more than was held.
    To end a job twice does no more than to end it once.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        tell: Callable[[Call, Outcome, Charge], None],
        tell_excess: Callable[[Call, int, "asyncio.Future[Settled | Refused]"], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._tell = tell
        self._tell_excess = tell_excess

    def saw(
        self, known: KnownObject, sighting: Sighting, policy: Policy
    ) -> "asyncio.Future[Settled | Refused] | None":
        """End an object's job if this sighting is of its end; the future is done when that is durable."""
        ending = _ENDINGS.get(sighting.state)
        if known.job is None or ending is None:
            return None
        seen = seen_again(known.row, sighting, self._clock.now_us())
        used = sighting.used
        if used is None and sighting.unreported:
            used = _produced(known.job, sighting.unreported, policy, self._clock.now_us())
        return self.end(known.job, ending, policy, (seen, *_within(seen, sighting)), used)

    def end(
        self,
        job: Job,
        ending: Ending,
        policy: Policy,
        objects: tuple[Object, ...] = (),
        used: Reading | None = None,
    ) -> "asyncio.Future[Settled | Refused]":
        """Close a job's hold by the rule for this ending, with what was seen of its object.

        `used` is what was reported of a job that was not priced by its request.
        """
        rule = rule_of("running", ending)
        # Nothing ends before it has begun, also when the clock was set back meanwhile.
        now_us = max(self._clock.now_us(), job.authorized_at_us)
        charged = rule.charged == "used" or (
            rule.charged == "if_policy" and policy.on_job_overdue == "charge"
        )
        call, at_us, observed = job.call, job.authorized_at_us, job.observed
        if charged and observed is not None:
            outcome, charge = _price(rule.outcome, observed, used, now_us)
            future = self._ledger.settle(
                Settle(call, at_us, now_us, outcome, charge, policy.on_shortfall, objects)
            )
        else:
            outcome, charge = Outcome(rule.outcome, STATUS, "void", {}, now_us), NO_CHARGE
            future = self._ledger.void(Void(call, at_us, now_us, outcome, objects))
        future.add_done_callback(lambda done: self.told(done, call, outcome, charge))
        if charge.total_nano > job.hold_nano:
            future.add_done_callback(partial(self._tell_excess, call, job.hold_nano))
        return asyncio.shield(future)

    def told(
        self, done: "asyncio.Future[Settled | Refused]", call: Call, outcome: Outcome, charge: Charge
    ) -> None:
        """Tell of an end once it is on the ledger, and only of the end that came first."""
        if done.cancelled() or done.exception() is not None:
            return
        settled = done.result()
        if isinstance(settled, Settled) and not settled.replayed:
            self._tell(call, outcome, settled.charge or charge)


def _produced(job: Job, meter: str, policy: Policy, now_us: int) -> Reading | None:
    """What a job may have produced that has ended without telling: so much a second, within its hold."""
    observed = job.observed
    if observed is None or not observed.rates:
        return None
    seconds = -(-max(0, now_us - job.authorized_at_us) // 1_000_000)
    card = card_of(observed.charge.price_id, observed.rates)
    most = seconds * policy.job_output_per_second
    within = affordable(card, job.hold_nano, {**observed.usage, meter: most}, meter)
    return Reading({meter: min(most, within)}, 1, {meter: "assumed"})


def _price(name: str, observed: Observed, used: Reading | None, now_us: int) -> tuple[Outcome, Charge]:
    """What a job comes to: as its end reports it at the rates of its beginning, else as observed then."""
    if used is None or not observed.rates:
        return Outcome(name, STATUS, _basis(observed), observed.usage, now_us), observed.charge
    usage, inferred = {**observed.usage, **used.usage}, dict(used.inferred)
    charge = price(card_of(observed.charge.price_id, observed.rates), usage)
    basis: Basis = "reported" if _GUESSES.isdisjoint(inferred.values()) else "counted"
    if _basis(observed) == "per_call":
        basis = "per_call"
    return Outcome(name, STATUS, basis, usage, now_us, anomalies=used.anomalies, inferred=inferred), charge


def _basis(observed: Observed) -> Basis:
    """A job's price follows from its request: it is a fixed one, or what was asked for is counted."""
    return (
        "per_call"
        if {line.meter for line in observed.charge.lines if line.quantity} == ONE_CALL.keys()
        else "counted"
    )
