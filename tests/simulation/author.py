"""Who makes up a history: step by step, from what there is by now."""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from proxy.ledger.commands import Authorize, Command, Forget, Grant, Observe, Reroute, Settle, Sweep
from proxy.ledger.credit_notes import IssueCreditNote
from proxy.ledger.deliveries import ForgetEvents
from proxy.ledger.invoices import IssueInvoice
from proxy.ledger.levels import Accrue, ReportLevel
from proxy.ledger.rows import NEVER_US, UNLIMITED, Limits
from proxy.ledger.top_ups import OpenTopUp
from proxy.ledger.vouchers import MakeVoucher
from tests.simulation.kinds import KINDS
from tests.simulation.make_accounts import newcomer
from tests.simulation.model import DAY_US
from tests.simulation.steps import Batch, Fault, Kill, Open, Rescue, Step
from tests.simulation.world import HOUR_US, SECOND_US, SHORTEST_LIFE_US, World

NEWCOMERS_AT_ONCE: Final = 20
MOST_IN_FLIGHT: Final = 120
RECENT: Final = 60
SIZES: Final = (1, 1, 1, 2, 2, 3, 5, 8, 13, 30)
FAULTS: Final[tuple[Fault, ...]] = ("in_rules", "at_commit", "after_commit")
SKEWS_US: Final = (0, 0, SECOND_US, -SECOND_US, 40 * SECOND_US, -300 * SECOND_US, HOUR_US, -3 * HOUR_US)

AS_GIVEN: Final = (
    *(Observe, Reroute, Forget, MakeVoucher, ForgetEvents, OpenTopUp, IssueInvoice, IssueCreditNote),
    *(ReportLevel, Accrue),
)
"""Commands that have no time of their own, or one that is part of what they say."""
_TOTAL: Final = sum(kind.weight for kind in KINDS.values())


_AS_GIVEN = (
    *(Observe, Reroute, Forget, MakeVoucher, ForgetEvents, OpenTopUp, IssueInvoice, IssueCreditNote),
)
"""Commands that are repeated by their own time: it is part of what they make, or they have none."""


class Author:
    """Makes up the steps of a world. Which step comes next depends on the model as it is then."""

    def __init__(self, world: World) -> None:
        self._world = world

    def opening(self) -> Iterator[Step]:
        """The first process, and nine accounts of ten that there will be."""
        world = self._world
        yield Open(0)
        for first in range(0, max(1, world.extent.accounts * 9 // 10), NEWCOMERS_AT_ONCE):
            count = min(NEWCOMERS_AT_ONCE, max(1, world.extent.accounts * 9 // 10) - first)
            newcomers = [newcomer(world) for _ in range(count)]
            yield Batch(0, tuple(command for commands in newcomers for command in commands))

    def steps(self) -> Iterator[Step]:
        """What happens next, until the time is over."""
        world = self._world
        while world.now_us < world.end_us:
            self._pass_time()
            yield from self._next()

    def _next(self) -> Iterator[Step]:
        world, alive = self._world, sorted(self._world.owners)
        roll = world.chance.randrange(1000) if alive else 0
        absent = [number for number in range(world.extent.processes) if number not in alive]
        world.process = world.one_of(alive or absent)
        if roll < 15 and absent:
            world.process = world.one_of(absent)
            yield Open(world.process)
            yield self._rescue()
        elif roll < 25:
            yield Kill(world.process)
        elif roll < 30:
            yield self._rescue()
        else:
            if roll < 36:
                world.skews_us[world.process] = world.one_of(SKEWS_US)
            if roll < 42:
                world.defaults = world.one_of((UNLIMITED, Limits(day_nano=30_000_000, rpm=300)))
            yield self._batch()

    def _rescue(self) -> Rescue:
        world = self._world
        fault = world.one_of(FAULTS) if world.happens(8) else None
        return Rescue(world.process, world.at_us(), fault)

    def _batch(self) -> Batch:
        world = self._world
        world.batch = []
        for _ in range(world.one_of(SIZES)):
            command = self._again() if world.recent and world.happens(6) else self._command()
            if command is not None:
                world.batch.append(command)
        commands = tuple(world.batch)
        world.recent = [*world.recent, *commands][-RECENT:]
        if not world.happens(4):
            return Batch(world.process, commands)
        fault = world.one_of(FAULTS)
        dies = fault == "after_commit" or world.happens(50)
        return Batch(world.process, commands, fault, world.chance.randint(0, len(commands)), dies)

    def _command(self) -> Command | None:
        world = self._world
        roll = world.chance.randrange(_TOTAL)
        for type_, kind in KINDS.items():
            roll -= kind.weight
            if roll < 0:
                crowded = type_ is Authorize and len(world.model.flight) >= MOST_IN_FLIGHT
                return KINDS[Settle].make(world) if crowded else kind.make(world)
        raise AssertionError("the weights do not sum to their total")

    def _again(self) -> Command:
        """A command that was given before, by its own time or as of now; credit only as of now."""
        world = self._world
        command = world.one_of(world.recent)
        if isinstance(command, AS_GIVEN) or (not isinstance(command, Grant) and world.happens(50)):
            return command
        at_us = world.at_us()
        if isinstance(command, Grant) and command.expires_at_us < at_us + SHORTEST_LIFE_US:
            return Sweep(command.account_id, at_us)
        return replace(command, at_us=at_us)

    def _pass_time(self) -> None:
        """Mostly a moment, at times up to an hour, now and then until something is due."""
        world = self._world
        roll = world.chance.randrange(100)
        if roll < 80:
            world.now_us += world.chance.randrange(3 * SECOND_US)
        elif roll < 98:
            world.now_us += world.chance.randrange(HOUR_US)
        else:
            due_us = world.one_of(self._due())
            world.now_us = max(world.now_us, due_us + world.one_of((-40_000, -1, 0, 0, 1)))

    def _due(self) -> list[int]:
        """Instants at which something ends within some hours: a day, a lot, a key."""
        world = self._world
        account_id = world.account()
        party = world.model.parties.get(account_id)
        lots = [piece["until"] for piece in party.history.pieces] if party else []
        keys = [world.model.keys[id_].expires_at_us for id_ in party.keys] if party else []
        jobs = [hold.deadline_us for hold in world.model.flight.values() if hold.deadline_us is not None]
        midnight_us = (world.now_us // DAY_US + 1) * DAY_US
        soon_us = min(world.now_us + 6 * HOUR_US, NEVER_US)
        due = [due_us for due_us in (midnight_us, *lots, *keys, *jobs[:3]) if world.now_us < due_us < soon_us]
        return due or [world.now_us]
