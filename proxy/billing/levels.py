"""What levels come to: worked out piece by piece, each at the prices in force in it, and charged once."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from proxy.billing.event_prices import GROUP_TRIES, Ledger, Terms, card_of, charged
from proxy.call.renewals import Renewals
from proxy.call.terms import card_at
from proxy.clock import Clock
from proxy.endpoints.event_plan import EVENT_PREFIX, EVENTS, EventPolicy, Every, LevelPlan
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.commands import Recorded, Refused, Regrouped
from proxy.ledger.level_rows import HOUR_US, Level, Told, accrued, stopped
from proxy.ledger.levels import Accrue
from proxy.ledger.periods import Span, period_at
from proxy.ledger.records import Record
from proxy.ledger.refusals import refusal
from proxy.ledger.rows import NEVER_US, Call, Outcome
from proxy.ledger.store import Row, Store
from proxy.ledger.windows import iso
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import NO_CHARGE

_LEVEL: Final = "level"
_decode_told = msgspec.json.Decoder(tuple[Told, ...]).decode
_encode: Final = msgspec.json.Encoder().encode


class Piece(msgspec.Struct, frozen=True):
    """What a level comes to from its first use until a moment: one quantity at one price."""

    level: Level
    until_us: int
    quantity: int
    after: Level
    card: RateCard


def period_of(every: Every, at_us: int) -> Span:
    """The period of the calendar in UTC in which an instant lies."""
    if every == "hour":
        start_us = at_us // HOUR_US * HOUR_US
        return Span(start_us, start_us + HOUR_US)
    return period_at(every, at_us)


def level_of(row: Row) -> Level:
    """A level from the columns of its row."""
    return msgspec.convert({**row, "told": _decode_told(str(row["told"]))}, Level, strict=False)


def piece_of(level: Level, plan: LevelPlan, card: RateCard, until_us: int) -> Piece:
    """The next piece of a level of which there is something before `until_us`.

    It ends with its period at the latest, where the card changes, and where what prices depend on does.
    """
    since_us = level.since_us
    changes = (at_us for at_us, _ in card.changes if at_us > since_us)
    period_end_us = period_of(plan.every, since_us).end_us
    end_us = min(until_us, period_end_us, level.same_until_us, min(changes, default=NEVER_US))
    quantity, after = accrued(level, end_us)
    priced = card_at(card.as_of(since_us), level.parameters, (plan.meter,))
    return Piece(level, end_us, quantity, after, priced)


class LevelCharges:
    """Charges levels. To charge what was charged changes nothing, whoever does it."""

    def __init__(self, *, ledger: Ledger, store: Store, clock: Clock, terms: Callable[[], Terms]) -> None:
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._terms = terms
        self._renewals = Renewals(ledger=ledger, clock=clock)

    @property
    def policy(self) -> EventPolicy:
        """The types of events in force."""
        return self._terms().events

    async def charge(self, level: Level, until_us: int) -> None:
        """Charge a level until a moment that has passed.

        Raises Refusal: for a level that has changed meanwhile, and one whose type or price is gone.
        """
        while level.since_us < until_us:
            level = await self._charge_piece(level, until_us)

    async def make_room(self, account_id: str, type_: str, thing: str) -> bool:
        """Charge a level until the last change of it before now, so that more can be told of it.

        Whether there was any. Raises Refusal.
        """
        params = {"account_id": account_id, "type": type_, "thing": thing}
        rows = await self._store.query("level_by_name", params)
        if not rows:
            return False
        level, now_us = level_of(rows[0]), self._clock.now_us()
        last_us = max((each.at_us for each in level.told if each.at_us <= now_us), default=0)
        if last_us <= level.charged_us:
            return False
        await self.charge(level, last_us)
        return True

    async def _charge_piece(self, level: Level, until_us: int) -> Level:
        """Charge the next piece. The level as it is then."""
        plan = self.policy.plans.get(level.type)
        if plan is None or plan.level is None:
            raise Refusal("conflict", f"No events of type {level.type!r} tell of levels any more.")
        group, counts_user = "", False
        for _ in range(GROUP_TRIES):
            card = card_of(plan, self._terms().book, group)
            piece = piece_of(level, plan.level, card, until_us)
            stops = plan.level.when_short == "stop"
            result = await self._ledger.submit(
                self._accrue(piece, plan.level, group, counts_user=counts_user)
            )
            if isinstance(result, Refused):
                raise refusal(result)
            if not isinstance(result, Regrouped):
                assert isinstance(result, Recorded)
                is_over = stops and result.settled.shortfall_nano
                return stopped(piece.after) if is_over else piece.after
            counts_user = counts_user or result.counts_user
            # Nobody owes for want of what the account should have been given by now.
            group = await self._renewals.group_of(level.account_id, result.group, self._terms().groups)
        raise Refusal("conflict", "The account changes its group.")

    def _accrue(self, piece: Piece, plan: LevelPlan, group: str, *, counts_user: bool) -> Accrue:
        level, now_us = piece.level, self._clock.now_us()
        usage = {plan.meter: piece.quantity}
        name = _encode((_LEVEL, level.type, level.thing, piece.until_us)).decode()
        call = Call(
            *(new_id(EVENT_PREFIX, now_us), level.account_id, level.key_id, EVENTS, level.type, "", ""),
            stream=False,
            started_at_us=level.since_us,
            end_user=level.end_user,
            metadata=_about(piece),
            counts_user=counts_user,
        )
        is_owed = plan.when_short == "owe"
        record = Record(
            *(call, name, "", level.since_us, now_us, Outcome("complete", 200, "counted", usage, now_us)),
            charge=charged(piece.card, usage) if piece.quantity else NO_CHARGE,
            on_shortfall="owe" if is_owed else "forgive",
            group=group,
            defaults=self._terms().groups.of(group).limits,
        )
        return Accrue(record, level, piece.until_us, stops=not is_owed)


def _about(piece: Piece) -> str:
    """What a receipt says of the thing: its name, and from when until when it is charged."""
    told: dict[str, Any] = {
        "thing": piece.level.thing,
        "from": iso(piece.level.since_us),
        "until": iso(piece.until_us),
    }
    return _encode(told).decode()
