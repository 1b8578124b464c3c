"""Usage from outside: events that tell of it are priced by their type's rate card, and recorded."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

import msgspec

from proxy.call.renewals import Renewals
from proxy.call.terms import card_at
from proxy.clock import Clock
from proxy.endpoints.event_plan import EVENTS, EventPlan, EventPolicy, read_event
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.commands import Command, Done, Recorded, Refused, Regrouped, Result
from proxy.ledger.groups import Groups
from proxy.ledger.records import Record
from proxy.ledger.refusals import refusal
from proxy.ledger.rows import Call, Outcome
from proxy.ledger.windows import iso
from proxy.money import MAX_NANO
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import NO_CHARGE, Charge, price
from proxy.pricing.runs import RunSum, in_run, run_after
from proxy.validation import did_you_mean

GROUP_TRIES: Final = 3
"""How often an event is priced for the group that its account is in by then."""
_US: Final = 1_000_000


class UsageEvent(msgspec.Struct, frozen=True):
    """What was told: an id within its account and `source`, a type, when it was, and all of it as JSON.

    `content` says the same in the same bytes whenever it is told, see `proxy.endpoints.event_plan`.
    `run_id` is the run that it is billed with, empty for none.
    """

    id: str
    type: str
    account_id: str
    at_us: int
    content: bytes
    source: str = ""
    run_id: str = ""

    @property
    def name(self) -> str:
        """The name of what it is recorded as, which no upstream gives anything."""
        return msgspec.json.encode((EVENTS, self.source, self.id)).decode()


class Reported(msgspec.Struct, frozen=True):
    """What became of an event: the receipt that it has now, or has had, or why it is rejected.

    `run` is what all of its run costs with it, where it is one of a run.
    """

    event: UsageEvent
    status: Literal["charged", "duplicate", "rejected"]
    call_id: str = ""
    charged_nano: int = 0
    shortfall_nano: int = 0
    owed_nano: int = 0
    fault: Refusal | None = None
    run: RunSum | None = None


class Ledger(Protocol):
    """The ledger as events use it."""

    def submit(self, command: Command) -> asyncio.Future[Result]:
        """Put a command in the inbox."""
        ...

    async def command(self, command: Command) -> Done:
        """Carry out a command of the administration. Raises Refusal."""
        ...


class Terms(Protocol):
    """The part of the settings that decides about events. A reload replaces it."""

    @property
    def events(self) -> EventPolicy:
        """The types that are taken, and their bounds."""
        ...

    @property
    def book(self) -> PriceBook:
        """The price book."""
        ...

    @property
    def groups(self) -> Groups:
        """The groups, with the markups of their runs."""
        ...


class UsageEvents:
    """Prices and records events. What is sent again changes nothing, so that any failure is made good so."""

    def __init__(self, *, ledger: Ledger, clock: Clock, terms: Callable[[], Terms]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._terms = terms
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
        terms, now_us = self._terms(), self._clock.now_us()
        group = ""
        try:
            plan = _plan_of(event, terms.events, is_key=bool(key_id), now_us=now_us)
            for _ in range(GROUP_TRIES):
                command = _command(event, plan, terms, key_id, group=group, now_us=now_us)
                result = await self._ledger.submit(command)
                if not isinstance(result, Regrouped):
                    return _reported(event, result)
                # Nobody owes for want of what the account should have been given by now.
                group = await self._renewals.group_of(event.account_id, result.group, terms.groups)
        except Refusal as fault:
            if fault.code == "ledger_unavailable":
                raise
            return Reported(event, "rejected", fault=fault)
        regrouped = Refusal("conflict", "The account changes its group; send the event again.")
        return Reported(event, "rejected", fault=regrouped)


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
) -> Record:
    """What records an event at the prices of a group, of the time when it happened. Raises Refusal."""
    told, used_at_us = read_event(plan, event.content), min(event.at_us, now_us)
    charge = NO_CHARGE
    if not told.failed:
        card = _card(plan, told.parameters, terms.book, group=group, at_us=used_at_us)
        if event.run_id:
            card = in_run(card, event.run_id, terms.groups.of(group).run_share)
        charge = _charge(card, told.usage)
    outcome = Outcome("reported_failure" if told.failed else "complete", 200, "reported", told.usage, now_us)
    call = Call(
        *(new_id("call", now_us), event.account_id, key_id, EVENTS, event.type, "", ""),
        stream=False,
        started_at_us=event.at_us,
        run_id=event.run_id,
    )
    digest = hashlib.sha256(event.content).hexdigest()
    return Record(
        *(call, event.name, digest, used_at_us, now_us, outcome, charge),
        on_shortfall=terms.events.on_shortfall,
        group=group,
    )


def _card(
    plan: EventPlan, parameters: dict[str, str], book: PriceBook, *, group: str, at_us: int
) -> RateCard:
    """The card for events of a plan with these parameters at a moment. Raises Refusal."""
    card = book.card_now(plan.rate_card, plan.type, EVENTS, at_us, group)
    if card is None:
        message = f"The rate card {plan.rate_card!r} prices no {plan.type} for the group {group!r}."
        raise Refusal("model_not_priced", message, param="type")
    return card_at(card, parameters, plan.meters)


def _charge(card: RateCard, usage: dict[str, int]) -> Charge:
    charge = price(card, usage)
    if charge.total_nano > MAX_NANO:
        raise Refusal("invalid_value", "The event would cost more than the largest amount there is.")
    return charge


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
