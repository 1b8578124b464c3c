"""How commands about levels are made up, and how the auditor's model follows them, in fractions."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import msgspec
from msgspec.structs import replace

from proxy.ledger.commands import Recorded, Refused, Regrouped, Settled
from proxy.ledger.level_rows import TOLD_MAX, Level, LevelState, Told
from proxy.ledger.levels import Accrue, ReportLevel
from proxy.ledger.records import Record
from proxy.ledger.rows import NEVER_US, Call, Outcome
from proxy.pricing.charge import NO_CHARGE
from tests.ledger.auditor import nano
from tests.simulation.end_users import NAMES
from tests.simulation.follow_accounts import CONFLICT, INVALID, NO_ACCOUNT
from tests.simulation.model import DAY_US, Model
from tests.simulation.records import follow_record
from tests.simulation.world import CARDS, HOUR_US, World

THINGS = ("v1", "v2", "v3")
METER = "gib_hours"


class Kept(msgspec.Struct):
    """What the auditor knows of a thing: all that was told of it since it began, or was stopped.

    `came_to` is what it came to until `charged_us`, and `counted` what of that was charged, both in
    millionths of a unit for an hour.
    """

    key_id: str
    began_us: int
    told: dict[int, Told]
    charged_us: int = 0
    came_to: Fraction = Fraction(0)
    counted: int = 0
    is_stopped: bool = False

    def spans(self) -> Iterator[tuple[Told, int]]:
        """What was told, each with its end."""
        moments = [*sorted(self.told), NEVER_US]
        for start_us, end_us in pairwise(moments):
            yield self.told[start_us], end_us

    def comes_to(self, until_us: int) -> Fraction:
        """What it comes to from `charged_us` until a moment."""
        total = Fraction(0)
        for told, end_us in self.spans():
            length_us = min(end_us, until_us) - max(told.at_us, self.charged_us)
            total += Fraction(told.level * max(0, length_us), HOUR_US)
        return total

    def row(self, account_id: str, thing: str) -> Level:
        """The row that it should have."""
        kept = [told for told, end_us in self.spans() if end_us > self.charged_us]
        used = [max(told.at_us, self.charged_us) for told in kept if told.level]
        state: LevelState = "stopped" if self.is_stopped else "used" if kept[-1].level else "ended"
        carry = (self.came_to - self.counted) * HOUR_US
        return Level(
            *(account_id, "volume", thing, self.key_id, self.began_us, min(used, default=NEVER_US)),
            *(self.charged_us, int(carry), tuple(kept)),
            state=state,
        )


def report_level(world: World) -> ReportLevel:
    """How much there is of one of a few things, at times told late and now and then of what is charged."""
    account_id, at_us = world.account(), world.at_us()
    used_at_us = at_us - world.up_to(6 * HOUR_US) if world.happens(40) else at_us
    key_id = "" if world.happens(60) else world.key_of(account_id)
    level = 0 if world.happens(25) else world.up_to(10**9)
    parameters = (("class", world.one_of(("hot", "cold"))),) if world.happens(30) else ()
    record = _record(world, account_id, key_id, used_at_us, at_us)
    told = [row.id for row in world.model.objects.get(account_id, {}).values() if row.kind == "event"]
    if told and world.happens(5):
        name = world.one_of(told)
        digest = f"digest of {name.removeprefix('event ')}" if world.happens(70) else record.digest
        record = replace(record, name=name, digest=digest)
    level = -1 if world.happens(1) else level
    end_user = world.one_of(NAMES) if world.happens(40) else ""
    return ReportLevel(record, world.one_of(THINGS), Told(used_at_us, level, parameters, end_user))


def accrue(world: World) -> Accrue | None:
    """Charge a level until some moment; now and then one that is to come, or by what it was before."""
    account_id, at_us = world.account(), world.at_us()
    mine = world.model.levels.get(account_id, {})
    if not mine:
        return None
    thing = world.one_of(sorted(mine))
    kept = mine[thing]
    row = kept.row(account_id, thing)
    until_us = max(kept.charged_us, kept.began_us) + world.up_to(DAY_US)
    until_us = min(until_us, at_us) if world.happens(97) else until_us
    came_to = kept.came_to + kept.comes_to(until_us) - kept.counted
    usage = {METER: int(came_to) + (1 if world.happens(2) else 0)}
    used_at_us = min(row.since_us, at_us)
    record = _record(world, account_id, kept.key_id, used_at_us, at_us)
    record = replace(
        record,
        call=replace(
            record.call, end_user=row.end_user, counts_user=row.end_user != "" and world.happens(80)
        ),
        name=f"event level {thing} {until_us}",
        digest="",
        outcome=replace(record.outcome, usage=usage, basis="counted"),
        charge=world.price(CARDS["volume"], usage),
        on_shortfall="owe" if world.happens(40) else "forgive",
    )
    if world.happens(3):
        row = replace(row, carry=(row.carry + 1) % HOUR_US)
    return Accrue(record, row, until_us, stops=record.on_shortfall == "forgive")


def _record(world: World, account_id: str, key_id: str, used_at_us: int, at_us: int) -> Record:
    made = Call(world.new_id("event"), account_id, key_id, "events", "volume", "", "", False, used_at_us)
    party = world.model.parties.get(account_id)
    return Record(
        *(made, f"event {made.id}", f"digest of {made.id}", used_at_us, at_us),
        *(Outcome("complete", 200, "reported", {}, at_us), NO_CHARGE),
        group=party.account.group if party and world.happens(98) else "beta",
        defaults=world.defaults,
    )


def follow_report(model: Model, command: ReportLevel) -> Recorded | Regrouped | Refused:
    """What is told of a moment holds from then on, and of what is charged nothing more is told."""
    account_id, told = command.call.account_id, command.told
    is_known = command.record.name in model.objects.get(account_id, {})
    kept = model.levels.get(account_id, {}).get(command.thing)
    if not is_known and told.level < 0:
        return INVALID
    if not is_known and kept is not None:
        if told.at_us < kept.charged_us:
            return INVALID
        if len(kept.row(account_id, command.thing).told) >= TOLD_MAX:
            return CONFLICT
    result = follow_record(model, command.record)
    if isinstance(result, Recorded) and not result.settled.replayed:
        kept = kept or Kept(command.call.key_id, told.at_us, {})
        kept.told[told.at_us] = told
        kept.began_us, kept.is_stopped = min(kept.began_us, told.at_us), False
        model.levels.setdefault(account_id, {})[command.thing] = kept
    return result


def follow_accrue(model: Model, command: Accrue) -> Recorded | Regrouped | Refused:
    """Every moment is charged once; what is less than is counted waits; who cannot pay has no more of it."""
    account_id, thing, until_us = command.level.account_id, command.level.thing, command.until_us
    party = model.parties.get(account_id)
    if party is None:
        return NO_ACCOUNT
    if command.record.name in model.objects.get(account_id, {}):
        return follow_record(model, command.record)
    kept = model.levels.get(account_id, {}).get(thing)
    if kept is None or kept.row(account_id, thing) != command.level:
        return CONFLICT
    if not kept.charged_us < until_us <= command.at_us:
        return INVALID
    came_to = kept.came_to + kept.comes_to(until_us)
    quantity = int(came_to - kept.counted)
    if command.record.outcome.usage != {METER: quantity}:
        return INVALID
    history = party.history
    left = nano(history.balance()), nano(history.available())
    result = follow_record(model, command.record) if quantity else Recorded("", Settled(0, 0, *left))
    if isinstance(result, Recorded):
        kept.charged_us, kept.came_to, kept.counted = until_us, came_to, kept.counted + quantity
        if command.stops and result.settled.shortfall_nano:
            last = max(kept.told.items())[1]
            kept.told, kept.is_stopped = {until_us: Told(until_us, 0, last.parameters, last.end_user)}, True
    model.touch(account_id)
    return result
