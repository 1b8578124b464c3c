"""Sessions that events tell of: opened, extended and ended on the ledger, so that none runs unpaid."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from proxy.billing.event_prices import GROUP_TRIES, Ledger, Terms, card_of
from proxy.call.base import Job, KnownObject
from proxy.call.objects import known_of
from proxy.call.renewals import Renewals
from proxy.call.terms import card_at
from proxy.clock import Clock
from proxy.endpoints.event_plan import EVENT_PREFIX, EVENTS, EventPlan, SessionPlan, ToldSession, used
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.commands import Authorize, Detach, Extend, Granted, Refused, Regrouped, Settle, Settled
from proxy.ledger.refusals import refusal
from proxy.ledger.rows import Call, Object, Observed, Outcome
from proxy.ledger.sessions import SESSION, EndReason, Session, seen_of, session_of
from proxy.ledger.store import Store
from proxy.money import MAX_NANO
from proxy.pricing import listed
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price, worst_nano
from proxy.pricing.runs import in_run

_encode: Final = msgspec.json.Encoder().encode


class UsageEvent(Protocol):
    """The part of an event that is needed here."""

    @property
    def account_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def type(self) -> str:
        """Its type."""
        ...

    @property
    def at_us(self) -> int:
        """When it was."""
        ...

    @property
    def content(self) -> bytes:
        """All of it."""
        ...

    @property
    def run_id(self) -> str:
        """The run that it is billed with."""
        ...

    @property
    def end_user(self) -> str:
        """For whom it was."""
        ...


class Running(msgspec.Struct, frozen=True):
    """A session that has not ended: its object, its hold, and what is known of it."""

    row: Object
    job: Job
    session: Session

    @property
    def card(self) -> RateCard:
        """The card of its prices, as it was when it opened."""
        observed = self.job.observed
        assert observed is not None
        return listed.card_of(observed.charge.price_id, observed.rates)


class Heard(msgspec.Struct, frozen=True):
    """What came of hearing of a session: its call, until when it is held for, and its end if that was it."""

    call_id: str
    funded_us: int = 0
    settled: Settled | None = None
    is_known: bool = False


def session_id(type_: str, name: str) -> str:
    """The id of the object that a session is."""
    return _encode((SESSION, type_, name)).decode()


def running_of(known: KnownObject) -> Running | None:
    """A session as it was read; None for one that has ended."""
    return None if known.job is None else Running(known.row, known.job, session_of(known.row.seen))


class Sessions:
    """Hears of sessions, and holds for them. To hear of the same again changes nothing."""

    def __init__(self, *, ledger: Ledger, store: Store, clock: Clock, terms: Callable[[], Terms]) -> None:
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._terms = terms
        self._renewals = Renewals(ledger=ledger, clock=clock)

    async def hear(
        self, event: UsageEvent, plan: EventPlan, session: SessionPlan, told: ToldSession, key_id: str
    ) -> Heard:
        """What an event tells of a session, done. Raises Refusal: also for one that has ended."""
        now_us, found = self._clock.now_us(), await self._found(event, told)
        if found is None:
            if told.state != "open":
                raise Refusal("not_found", f"There is no session {told.name!r} of this account.")
            return await self._open(event, plan, session, told, key_id)
        known = found
        was, running = session_of(known.row.seen), running_of(known)
        if told.state == "open":
            if was.digest != _digest(event):
                raise Refusal("idempotency_conflict", "Another session was opened under this name.")
            return Heard(known.row.call_id, was.funded_us, is_known=True)
        if running is None:
            if told.state == "close" and was.reason == "closed":
                return Heard(known.row.call_id, is_known=True)
            raise Refusal("conflict", f"The session has ended: {was.reason or 'recovered'}.")
        heard_us = min(event.at_us, now_us)
        if told.state == "close":
            return await self._end(running, max(heard_us, was.last_us), "closed")
        if now_us >= was.funded_us or heard_us >= was.due_us:
            await self.end(running, charges_idle=session.charges_idle)
            raise Refusal("conflict", f"The session has ended: {was.ends_for}.")
        if heard_us <= was.last_us:
            return Heard(known.row.call_id, was.funded_us, is_known=True)
        running = replace(running, session=replace(was, last_us=min(heard_us, was.longest_us)))
        return await self.extend(running, session.hold_us)

    async def opened(self, event: UsageEvent, told: ToldSession) -> Heard | None:
        """The session that an event has opened before, whatever has become of it; None if it has not."""
        known = await self._found(event, told)
        was = None if known is None else session_of(known.row.seen)
        if known is None or was is None or told.state != "open" or was.digest != _digest(event):
            return None
        return Heard(known.row.call_id, was.funded_us, is_known=True)

    async def extend(self, running: Running, hold_us: int) -> Heard:
        """Note what was heard of a session, and hold for it for so long from now on, if there are funds."""
        session, job, now_us = running.session, running.job, self._clock.now_us()
        wanted_us = min(max(now_us, session.last_us) + hold_us, session.longest_us)
        if wanted_us > session.funded_us:
            most_nano = worst_nano(running.card, used(session.opened_us, wanted_us))
            more_nano = most_nano - job.hold_nano
            extended: object = None
            if more_nano > 0:
                group = self._terms().groups.of(await self._group(job.call.account_id))
                extended = await self._ledger.submit(
                    Extend(job.call, job.authorized_at_us, now_us, more_nano, group.limits)
                )
            if not isinstance(extended, Refused):
                session = replace(session, funded_us=wanted_us)
        result = await self._ledger.submit(self._detach(replace(running, session=session), now_us))
        if isinstance(result, Refused):
            raise refusal(result)
        return Heard(job.call.id, session.funded_us)

    async def end(self, running: Running, *, charges_idle: bool = True) -> Heard:
        """End a session that is due, for what it is due."""
        session = running.session
        is_free = session.ends_for == "idle" and not charges_idle
        return await self._end(running, session.last_us if is_free else session.due_us, session.ends_for)

    async def _end(self, running: Running, at_us: int, reason: EndReason) -> Heard:
        """Charge a session until a moment, but for no longer than it could have run."""
        session, job, now_us = running.session, running.job, self._clock.now_us()
        ended_us = max(session.opened_us, min(at_us, session.due_us))
        usage = used(session.opened_us, ended_us)
        ended = replace(session, ended_us=ended_us, reason=reason)
        outcome = Outcome(
            "complete" if reason == "closed" else f"session_{reason}", 200, "reported", usage, now_us
        )
        settle = Settle(
            *(job.call, job.authorized_at_us, now_us, outcome, price(running.card, usage), "forgive"),
            objects=(replace(running.row, seen=seen_of(ended)),),
        )
        result = await self._ledger.submit(settle)
        if isinstance(result, Refused):
            raise refusal(result)
        assert isinstance(result, Settled)
        return Heard(job.call.id, settled=result, is_known=result.replayed)

    async def _open(
        self, event: UsageEvent, plan: EventPlan, session: SessionPlan, told: ToldSession, key_id: str
    ) -> Heard:
        key_id, now_us = key_id or told.key_id, self._clock.now_us()
        if not key_id:
            param = session.key.name if session.key is not None else None
            raise Refusal("invalid_value", "A session is a key's: the event has to name it.", param=param)
        opened_us = min(event.at_us, now_us)
        longest_us = opened_us + session.longest_us
        funded_us = min(now_us + session.hold_us, longest_us)
        call = Call(
            *(new_id(EVENT_PREFIX, now_us), event.account_id, key_id, EVENTS, plan.type, "", ""),
            stream=False,
            started_at_us=opened_us,
            end_user=event.end_user,
            metadata=_encode({"session": told.name}).decode(),
            run_id=event.run_id,
        )
        call, card, hold_nano = await self._hold(call, plan, told.parameters, funded_us, now_us)
        times = (opened_us, opened_us, funded_us, longest_us, session.idle_us)
        opened = Session(told.name, _digest(event), *times)
        return await self._begin(call, card, hold_nano, now_us, opened)

    async def _hold(
        self, call: Call, plan: EventPlan, parameters: dict[str, str], funded_us: int, now_us: int
    ) -> tuple[Call, RateCard, int]:
        """Hold for a session until a moment: its call, its card, and how much is held. Raises Refusal."""
        group, opened_us = "", call.started_at_us
        for _ in range(GROUP_TRIES):
            terms = self._terms()
            card = card_at(card_of(plan, terms.book, group).as_of(opened_us), parameters, plan.meters)
            if call.run_id:
                card = in_run(card, call.run_id, terms.groups.of(group).run_share)
            most_nano = worst_nano(card, used(opened_us, funded_us))
            if most_nano > MAX_NANO:
                raise Refusal("invalid_value", "The session would cost more than any amount can be.")
            authorize = Authorize(
                *(call, most_nano, most_nano, 0, now_us, self._store.owner),
                defaults=terms.groups.of(group).limits,
                group=group,
            )
            result = await self._ledger.submit(authorize)
            if isinstance(result, Refused):
                raise refusal(result)
            if isinstance(result, Granted):
                return call, card, result.hold_nano
            assert isinstance(result, Regrouped)
            call = replace(call, counts_user=call.counts_user or result.counts_user)
            group = await self._renewals.group_of(call.account_id, result.group, terms.groups)
        raise Refusal("conflict", "The account changes its group; send the event again.")

    async def _begin(
        self, call: Call, card: RateCard, hold_nano: int, now_us: int, session: Session
    ) -> Heard:
        """Let the hold of a session outlive this process, and make the object by which it is known."""
        row = Object(
            *(call.account_id, session_id(call.model, session.name), SESSION, "", call.key_id, call.id),
            *(call.model, session.opened_us, ""),
        )
        usage = used(session.opened_us, session.opened_us)
        observed = Observed(usage, price(card, usage), card.listed)
        running = Running(row, Job(call, now_us, now_us, observed, hold_nano), session)
        result = await self._ledger.submit(self._detach(running, now_us))
        if isinstance(result, Refused):
            # Another event has opened it meanwhile: its hold is not needed.
            void = Authorize(call, 0, 0, 0, now_us, "").void(Outcome("refused", 409, "void", {}, now_us))
            await asyncio.shield(self._ledger.submit(void))
            raise refusal(result)
        return Heard(call.id, session.funded_us)

    def _detach(self, running: Running, now_us: int) -> Detach:
        session, job = running.session, running.job
        usage = used(session.opened_us, min(session.last_us, session.funded_us))
        observed = Observed(usage, price(running.card, usage), running.card.listed)
        deadline_us = max(session.due_us, now_us + 1)
        row = replace(running.row, seen=seen_of(session))
        return Detach(job.call, job.authorized_at_us, now_us, deadline_us, observed, (row,))

    async def _found(self, event: UsageEvent, told: ToldSession) -> KnownObject | None:
        id_, now_us = session_id(event.type, told.name), self._clock.now_us()
        params = {"account_id": event.account_id, "id": id_, "now_us": now_us}
        rows = await self._store.query("object_by_id", params)
        return known_of(rows[0]) if rows else None

    async def _group(self, account_id: str) -> str:
        rows = await self._store.query("account_by_id", {"account_id": account_id})
        return str(rows[0]["group"]) if rows else ""


def _digest(event: UsageEvent) -> str:
    return hashlib.sha256(event.content).hexdigest()
