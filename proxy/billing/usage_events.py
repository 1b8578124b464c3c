"""Usage from outside: events that tell of it are priced by their type's rate card, and recorded."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from proxy.billing.event_prices import GROUP_TRIES, Ledger, Terms, card_of, charged
from proxy.billing.levels import LevelCharges
from proxy.billing.sessions import Heard, Sessions
from proxy.call.renewals import Renewals
from proxy.call.terms import card_at
from proxy.clock import Clock
from proxy.endpoints.event_plan import (
    EVENT_PREFIX,
    EVENTS,
    EventPlan,
    EventPolicy,
    LevelPlan,
    read_event,
    read_level,
    read_session,
)
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.commands import Command, Recorded, Refused, Regrouped, Result
from proxy.ledger.level_rows import Told
from proxy.ledger.levels import ReportLevel
from proxy.ledger.records import EVENT, Record, seen_of
from proxy.ledger.refusals import refusal
from proxy.ledger.rows import Call, Outcome
from proxy.ledger.store import Store
from proxy.ledger.windows import iso
from proxy.pricing.charge import NO_CHARGE, Charge
from proxy.pricing.runs import RunSum, in_run, run_after
from proxy.validation import did_you_mean

_US: Final = 1_000_000


class UsageEvent(msgspec.Struct, frozen=True):
    """What was told: an id within its account and `source`, a type, when it was, and all of it as JSON.

    `content` says the same in the same bytes whenever it is told, see `proxy.endpoints.event_plan`.
    `run_id` is the run that it is billed with, and `end_user` for whom it was; either is empty for none. It
    `counts_user` where the ledger has said that its end user is limited.
    """

    id: str
    type: str
    account_id: str
    at_us: int
    content: bytes
    source: str = ""
    run_id: str = ""
    end_user: str = ""
    counts_user: bool = False

    @property
    def name(self) -> str:
        """The name of what it is recorded as, which no upstream gives anything."""
        return msgspec.json.encode((EVENTS, self.source, self.id)).decode()

    @property
    def digest(self) -> str:
        """The digest of all that it says."""
        return hashlib.sha256(self.content).hexdigest()


class Reported(msgspec.Struct, frozen=True):
    """What became of an event: the receipt that it has now, or has had, or why it is rejected.

    `run` is what all of its run costs with it, where it is one of a run. A session that it tells of is held
    for until `funded_us`.
    """

    event: UsageEvent
    status: Literal["charged", "duplicate", "rejected"]
    call_id: str = ""
    charged_nano: int = 0
    shortfall_nano: int = 0
    owed_nano: int = 0
    fault: Refusal | None = None
    run: RunSum | None = None
    funded_us: int = 0


class UsageEvents:
    """Prices and records events. What is sent again changes nothing, so that any failure is made good so."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        store: Store,
        clock: Clock,
        terms: Callable[[], Terms],
        levels: LevelCharges,
        sessions: Sessions,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._terms = terms
        self._levels = levels
        self._sessions = sessions
        self._renewals = Renewals(ledger=ledger, clock=clock)

    async def settle(self, account_id: str, group: str) -> None:
        """Give an account what is due in its group, and take what that asks. Raises Refusal."""
        await self._renewals.group_of(account_id, group, self._terms().groups)

    async def report(self, events: Sequence[UsageEvent], key_id: str = "") -> list[Reported]:
        """Record events, each by itself; they are a key's where one is named.

        Raises Refusal `ledger_unavailable`: some may have been recorded then.
        """
        return list(await asyncio.gather(*(self._report(event, key_id) for event in events)))

    async def _report(self, event: UsageEvent, key_id: str) -> Reported:
        try:
            return await self._told(event, key_id)
        except Refusal as fault:
            if fault.code == "ledger_unavailable":
                raise
            # What was recorded is told as it was, whatever would refuse it now.
            return await self._known(event) or Reported(event, "rejected", fault=fault)

    async def _told(self, event: UsageEvent, key_id: str) -> Reported:
        """What comes of an event that is told now. Raises Refusal for one that cannot be."""
        terms, now_us = self._terms(), self._clock.now_us()
        group, plan = "", _plan_of(event, terms.events, is_key=bool(key_id), now_us=now_us)
        if plan.session is not None:
            told = read_session(plan, plan.session, event.content)
            return _of_session(event, await self._sessions.hear(event, plan, plan.session, told, key_id))
        for _ in range(GROUP_TRIES):
            command = _command(event, plan, terms, key_id, group=group, now_us=now_us)
            result = await self._ledger.submit(command)
            if isinstance(result, Regrouped):
                event = replace(event, counts_user=event.counts_user or result.counts_user)
                # Nobody owes for want of what the account should have been given by now.
                group = await self._renewals.group_of(event.account_id, result.group, terms.groups)
            elif not await self._has_room_now(command, result):
                return _reported(event, result)
        raise Refusal("conflict", "The account changes its group; send the event again.")

    async def _known(self, event: UsageEvent) -> Reported | None:
        """What an event has done before; None where it has done nothing."""
        plan = self._terms().events.plans.get(event.type)
        if plan is not None and plan.session is not None:
            try:
                told = read_session(plan, plan.session, event.content)
            except Refusal:
                return None
            heard = await self._sessions.opened(event, told)
            return None if heard is None else _of_session(event, heard)
        params = {"account_id": event.account_id, "id": event.name, "now_us": self._clock.now_us()}
        for row in await self._store.query("object_by_id", params):
            if (row["kind"], row["seen"]) == (EVENT, seen_of(event.digest)):
                return Reported(event, "duplicate", str(row["call_id"]))
        return None

    async def _has_room_now(self, command: Command, result: Result) -> bool:
        """Whether a level can be told of now that it was too full before. Raises Refusal."""
        if not isinstance(command, ReportLevel) or not isinstance(result, Refused):
            return False
        account_id = command.record.call.account_id
        return result.code == "conflict" and await self._levels.make_room(
            account_id, command.call.model, command.thing
        )


def _plan_of(event: UsageEvent, policy: EventPolicy, *, is_key: bool, now_us: int) -> EventPlan:
    """The plan of an event that may be told now by whoever does. Raises Refusal."""
    plan = policy.plans.get(event.type)
    if plan is None:
        near = did_you_mean(event.type, policy.plans)
        message = f"`type` is {event.type!r}: no such events are taken; {near}."
        raise Refusal("invalid_value", message, param="type")
    if is_key and not plan.from_keys:
        message = f"`type` is {event.type!r}: such events are taken from the operator alone."
        raise Refusal("event_not_allowed", message, param="type")
    said = f"`timestamp` is {iso(event.at_us)}"
    if event.at_us > now_us + policy.max_ahead_us:
        message = f"{said}: it may be {policy.max_ahead_us // _US} seconds ahead of now at most."
        raise Refusal("invalid_value", message, param="timestamp")
    if event.at_us < now_us - policy.max_age_us:
        message = f"{said}: it has to be after {iso(now_us - policy.max_age_us)}."
        raise Refusal("invalid_value", message, param="timestamp")
    return plan


def _command(
    event: UsageEvent, plan: EventPlan, terms: Terms, key_id: str, *, group: str, now_us: int
) -> Record | ReportLevel:
    """What records an event at the prices of a group, of the time when it happened. Raises Refusal."""
    if plan.level is not None:
        return _report_level(event, plan, plan.level, terms, key_id, group=group, now_us=now_us)
    told, at_us = read_event(plan, event.content), min(event.at_us, now_us)
    charge = NO_CHARGE
    if not told.failed:
        card = card_at(card_of(plan, terms.book, group).as_of(at_us), told.parameters, plan.meters)
        if event.run_id:
            card = in_run(card, event.run_id, terms.groups.of(group).run_share)
        charge = charged(card, told.usage)
    outcome = Outcome("reported_failure" if told.failed else "complete", 200, "reported", told.usage, now_us)
    record = _record(event, key_id, outcome, charge, group=group, now_us=now_us)
    return replace(record, on_shortfall=terms.events.on_shortfall, defaults=terms.groups.of(group).limits)


def _report_level(
    event: UsageEvent,
    plan: EventPlan,
    level: LevelPlan,
    terms: Terms,
    key_id: str,
    *,
    group: str,
    now_us: int,
) -> ReportLevel:
    """What notes the level that an event tells of; it costs nothing until time has passed. Raises Refusal."""
    if event.run_id:
        raise Refusal("invalid_value", "What is charged over time is of no run.", param="run_id")
    said, at_us = read_level(plan, level, event.content), min(event.at_us, now_us)
    if said.level:
        card_at(card_of(plan, terms.book, group).as_of(at_us), said.parameters, plan.meters)
    outcome = Outcome("complete", 200, "reported", {}, now_us)
    record = _record(event, key_id, outcome, NO_CHARGE, group=group, now_us=now_us)
    told = Told(at_us, said.level, tuple(said.parameters.items()), event.end_user)
    return ReportLevel(record, said.thing, told)


def _record(
    event: UsageEvent, key_id: str, outcome: Outcome, charge: Charge, *, group: str, now_us: int
) -> Record:
    call = Call(
        *(new_id(EVENT_PREFIX, now_us), event.account_id, key_id, EVENTS, event.type, "", ""),
        stream=False,
        started_at_us=event.at_us,
        end_user=event.end_user,
        run_id=event.run_id,
        counts_user=event.counts_user,
    )
    return Record(
        *(call, event.name, event.digest, min(event.at_us, now_us), now_us, outcome, charge), group=group
    )


def _of_session(event: UsageEvent, heard: Heard) -> Reported:
    if heard.is_known:
        return Reported(event, "duplicate", heard.call_id, funded_us=heard.funded_us)
    if heard.settled is None:
        return Reported(event, "charged", heard.call_id, funded_us=heard.funded_us)
    made = heard.settled
    return Reported(
        *(event, "charged", heard.call_id, made.charged_nano, made.shortfall_nano, made.owed_nano),
        run=run_after(made.charge) if made.charge is not None else None,
    )


def _reported(event: UsageEvent, result: Result) -> Reported:
    if isinstance(result, Refused):
        return Reported(event, "rejected", fault=refusal(result))
    assert isinstance(result, Recorded)
    if result.settled.replayed:
        return Reported(event, "duplicate", result.call_id)
    made = result.settled
    return Reported(
        *(event, "charged", result.call_id, made.charged_nano, made.shortfall_nano, made.owed_nano),
        run=run_after(made.charge) if made.charge is not None else None,
    )
