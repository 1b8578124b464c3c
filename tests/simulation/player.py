"""Who carries a history out, and has every step audited."""

from collections import Counter
from collections.abc import Awaitable, Sequence
from traceback import format_exc
from typing import Final, TypeVar

from msgspec.structs import replace

from proxy.ledger.commands import Authorize, Command, Recorded, Recover, Refused, Result, Settled
from proxy.ledger.needs import Needs
from proxy.ledger.rows import Hold
from proxy.ledger.store import LedgerUnavailable, Store
from tests.simulation.checks import Violation, check_looks, check_results
from tests.simulation.digest import digest_of
from tests.simulation.events import Watch, follow_events
from tests.simulation.kinds import KINDS
from tests.simulation.model import Model
from tests.simulation.rows import look_at, look_at_all, strangers
from tests.simulation.stages import Stage
from tests.simulation.steps import Batch, Fault, Kill, Open, Rescue, Step, account_of
from tests.simulation.whole import check_whole

WHOLE_EVERY: Final = 400
"""After so many steps all rows are audited, not only those that a step may have changed."""

CARRIED_OUT = "An engine carries out what the rules allow, and breaks off only where it is made to."
FOLLOWED = "The auditor can follow whatever happens."
NAMES = "No two living processes go by one name."
ORPHANS = "The holds to recover are those in flight whose process is gone, or whose deadline has passed."
STRANGERS = "Every row is of an account or key that was opened."

_Answer = TypeVar("_Answer")


class Poison(Command, frozen=True):
    """No command at all: the rules fail at it, with what came before it in its batch undone."""

    def add_needs(self, needs: Needs) -> None:
        """Nothing."""


class Player:
    """Carries steps out on a stage and audits each. `owners` names the processes that are alive."""

    def __init__(self, stage: Stage, model: Model, owners: dict[int, str] | None = None) -> None:
        self.model = model
        self.owners: dict[int, str] = {} if owners is None else owners
        self.seen: Counter[str] = Counter()
        self._stage = stage
        self._stores: dict[int, Store] = {}
        self._inherited: dict[int, set[str]] = {}
        self._steps = 0

    async def play(self, step: Step) -> None:
        """Carry out a step. Raises Violation when a rule does not hold after it."""
        self._steps += 1
        self.seen[type(step).__name__] += 1
        try:
            await self._play(step)
        except Violation:
            raise
        except Exception as error:
            raise Violation(FOLLOWED, format_exc()) from error

    async def _play(self, step: Step) -> None:
        match step:
            case Open():
                await self._open(step.process)
            case Kill():
                await self._kill(step.process)
            case Rescue():
                await self._rescue(step)
            case Batch():
                await self._carry_out(step)
        check_looks(await look_at(self._stage, self.model, self.model.touched), self.model)
        self.model.touched.clear()
        if self._steps % WHOLE_EVERY == 0:
            self.check_whole()

    def check_whole(self) -> None:
        """Audit every row. Raises Violation."""
        dump = self._stage.dump()
        for row in strangers(dump, self.model):
            raise Violation(STRANGERS, row)
        check_whole(dump, self._stage.totals())
        check_looks(look_at_all(dump, self.model), self.model)

    async def finish(self) -> str:
        """Audit all; returns the digest of all rows. Raises Violation."""
        if self._steps:
            self.check_whole()
        return digest_of(self._stage.dump()) if self._steps else ""

    async def close(self) -> None:
        """End every process; idempotent."""
        for process in list(self._stores):
            await self._kill(process)
        await self._stage.close()

    async def _open(self, process: int) -> None:
        if process in self._stores:
            return
        store = self._stage.store()
        await carried_out(store.open())
        if store.owner in self.owners.values():
            raise Violation(NAMES, f"{store.owner} is {self.owners} already")
        self._stores[process] = store
        self.owners[process] = store.owner
        flight = self.model.flight.values()
        self._inherited[process] = {hold.id for hold in flight if hold.owner == store.owner}

    async def _kill(self, process: int) -> None:
        # To the ledger, a process that is gone is a lock that is free and a connection that is closed.
        store = self._stores.pop(process, None)
        self.owners.pop(process, None)
        self._inherited.pop(process, None)
        if store is not None:
            await store.close()

    async def _rescue(self, step: Rescue) -> None:
        await self._open(step.process)
        store = self._stores[step.process]
        found = {hold.id: hold for hold in await carried_out(store.orphans(step.at_us))}
        alive, inherited = self.owners.values(), self._inherited[step.process]
        right: dict[str, Hold] = {
            hold.id: hold
            for hold in self.model.flight.values()
            if (
                hold.owner not in alive or hold.id in inherited
                if hold.deadline_us is None
                else hold.deadline_us <= step.at_us
            )
        }
        if found != right:
            raise Violation(ORPHANS, f"found {sorted(found)}, and should have {sorted(right)}")
        commands = [
            Recover.of(hold, step.at_us, "owe" if hold.amount_nano % 2 else "forgive")
            for _, hold in sorted(right.items())
        ]
        self.seen["orphans"] += len(commands)
        self.seen["overdue"] += sum(hold.deadline_us is not None for hold in right.values())
        if commands and step.fault is None:
            await self._committed(store, commands)
        elif commands and step.fault is not None:
            await self._broken_off(store, commands, step.fault, len(commands) // 2)
        if step.fault is not None:
            await self._kill(step.process)

    async def _carry_out(self, step: Batch) -> None:
        await self._open(step.process)
        store = self._stores[step.process]
        commands = [
            replace(command, owner=store.owner) if isinstance(command, Authorize) else command
            for command in step.commands
        ]
        if step.fault is None:
            await self._committed(store, commands)
        else:
            await self._broken_off(store, commands, step.fault, step.fault_after)
        if step.dies:
            await self._kill(step.process)

    async def _committed(self, store: Store, commands: Sequence[Command]) -> None:
        flight = dict(self.model.flight)
        results = await carried_out(store.apply(commands))
        expected = self._follow(commands)
        over = [hold for id_, hold in flight.items() if self.model.holds[id_].state in ("settled", "voided")]
        gone = [hold for hold in over if hold.owner not in self.owners.values()]
        self.seen["outlived"] += sum(hold.deadline_us is not None for hold in gone)
        check_results(commands, results, expected)
        self._count(commands, results)

    async def _broken_off(
        self, store: Store, commands: Sequence[Command], fault: Fault, fault_after: int
    ) -> None:
        """A batch that breaks off is on the ledger whole, or not at all; nobody is told which."""
        self.seen[fault] += 1
        if fault == "after_commit":
            self._follow(commands)
            if not self._stage.can_break(fault):
                await carried_out(store.apply(commands))
                return
        else:
            self._touch(commands)
        try:
            if self._stage.can_break(fault):
                with self._stage.broken(store, fault):
                    await store.apply(commands)
            else:
                after = fault_after if fault == "in_rules" else len(commands)
                await store.apply([*commands[:after], Poison(), *commands[after:]])
        except (LedgerUnavailable, KeyError):
            return
        raise Violation(CARRIED_OUT, f"a batch did not break off {fault}")

    def _follow(self, commands: Sequence[Command]) -> list[Result]:
        self._touch(commands)
        return [self._followed(command) for command in commands]

    def _followed(self, command: Command) -> Result:
        account_id = account_of(command)
        watch = Watch(self.model, command, account_id)
        result: Result = KINDS[type(command)].follow(self.model, command)
        told = list(watch.told(result))
        follow_events(self.model, command, account_id, told)
        self.seen.update(type_ for type_, *_ in told)
        return result

    def _touch(self, commands: Sequence[Command]) -> None:
        for command in commands:
            touched = self.model.touch(account_of(command))
            if hasattr(command, "at_us"):
                touched.times[command.at_us] = None

    def _count(self, commands: Sequence[Command], results: Sequence[Result]) -> None:
        for command, result in zip(commands, results, strict=True):
            self.seen[type(command).__name__] += 1
            if isinstance(result, Refused):
                self.seen[result.code] += 1
            elif getattr(result, "replayed", False):
                self.seen["replayed"] += 1
            settled = result.settled if isinstance(result, Recorded) else result
            if isinstance(settled, Settled) and (settled.shortfall_nano or settled.owed_nano):
                self.seen["shortfall" if settled.shortfall_nano else "owed"] += 1


async def carried_out(doing: Awaitable[_Answer]) -> _Answer:
    """What a store answers. Raises Violation when it fails, as nothing has made it."""
    try:
        return await doing
    except Exception as error:
        raise Violation(CARRIED_OUT, repr(error)) from error
