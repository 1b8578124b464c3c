"""A ledger on a store that fails and waits as a test says."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from proxy.errors import Refusal
from proxy.ledger.commands import Command, Result, Sweep
from proxy.ledger.ledger import Ledger
from proxy.tasks import Tasks
from tests.ledger.desk import ACCOUNT, NOON_US, Desk
from tests.ledger.memory import MemoryStore


class TroubledStore(MemoryStore):
    """A store in memory that waits while `gate` is shut, and fails with each of `faults` in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.tried: list[int] = []
        self.faults: deque[Exception | None] = deque()
        self.poison: type[Command] | None = None

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        self.tried.append(len(commands))
        await self.gate.wait()
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            raise fault
        if self.poison is not None and any(isinstance(command, self.poison) for command in commands):
            raise ZeroDivisionError
        return await super().apply(commands)


class House:
    """A ledger on a troubled store, with a desk to make commands at; what goes wrong unseen is noted."""

    def __init__(self) -> None:
        self.store = TroubledStore()
        self.desk = Desk(self.store)
        self.desk.grant(100)
        self.faults: list[BaseException] = []
        self.unseen: list[dict[str, Any]] = []
        self.slept: list[float] = []
        self.batches: list[int] = []
        self.outages: list[str] = []
        self.tasks = Tasks(lambda _, error: self.faults.append(error))
        self.ledger = self.new_ledger()

    def new_ledger(self, *, max_batch: int = 256, max_waiting: int = 10_000) -> Ledger:
        return Ledger(
            self.store,
            self.tasks,
            max_batch=max_batch,
            max_waiting=max_waiting,
            on_batch=lambda size, _: self.batches.append(size),
            on_outage=self.outages.append,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def sweeps(self, count: int) -> list[Command]:
        return [Sweep(ACCOUNT, NOON_US) for _ in range(count)]


async def settled(steps: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(steps):
        await asyncio.sleep(0)


def code_of(future: "asyncio.Future[Any]") -> str:
    error = future.exception()
    assert isinstance(error, Refusal)
    return error.code
