"""When a ledger says that calls would get through."""

import asyncio
from collections import deque
from collections.abc import Sequence

import pytest

from proxy.errors import Refusal
from proxy.ledger.commands import Command, Granted, Result
from proxy.ledger.ledger import Ledger
from proxy.ledger.readiness import BEAT_SECONDS, PROBE_SECONDS, Readiness
from proxy.ledger.store import LedgerUnavailable
from proxy.tasks import Tasks
from tests.ledger.desk import Desk
from tests.ledger.memory import MemoryStore

PROMISED_SECONDS = 2.0


class ProbedStore(MemoryStore):
    """A store whose probes and batches fail with these, in turn; it does not answer while `gate` is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.probes: deque[Exception | None] = deque()
        self.batches: deque[Exception | None] = deque()
        self.gate = asyncio.Event()
        self.gate.set()

    async def probe(self) -> None:
        await self.gate.wait()
        if self.probes and (fault := self.probes.popleft()):
            raise fault

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        if self.batches and (fault := self.batches.popleft()):
            raise fault
        return await super().apply(commands)


class Heard:
    """Remembers what an operator is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def outage(self, reason: str) -> None:
        self.lines.append(reason)

    def returned(self, seconds: float) -> None:
        self.lines.append(f"back after {seconds:g} s")

    def fault(self, task: str, error: BaseException) -> None:
        self.lines.append(f"fault of {task}: {type(error).__name__}")


class House:
    """A ledger on a probed store; each beat takes a second of a clock that nothing else moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store, self.heard = ProbedStore(), Heard()
        self.desk = Desk(self.store)
        self.desk.grant(100)
        self.faults: list[BaseException] = []
        self.tasks = Tasks(lambda _, error: self.faults.append(error))
        self.ledger = Ledger(self.store, self.tasks)
        self.ready = self.new_readiness(10.0)
        self.ledger.start()

    def new_readiness(self, probe_seconds: float) -> Readiness:
        return Readiness(
            ledger=self.ledger,
            store=self.store,
            observer=self.heard,
            monotonic=lambda: self.now,
            probe_seconds=probe_seconds,
        )

    async def beats(self, count: int) -> list[bool]:
        """What it says after each of some beats."""
        said = []
        for _ in range(count):
            self.now += 1.0
            await self.ready.check()
            said.append(self.ready.is_ready)
        return said

    async def hold(self) -> bool:
        """Whether a call gets its hold."""
        try:
            return isinstance(await self.ledger.authorize(self.desk.ask(5)), Granted)
        except Refusal:
            return False


def test_a_loss_and_a_return_are_noticed_within_the_time_that_is_promised() -> None:
    assert BEAT_SECONDS + PROBE_SECONDS <= 0.8 * PROMISED_SECONDS


async def test_a_store_that_is_lost_is_noticed_without_a_call_and_told_once_as_is_its_return() -> None:
    house = House()
    assert not house.ready.is_ready, "nobody knows before the first probe"
    gone = LedgerUnavailable("the server is gone")
    house.store.probes.extend([None, gone, gone, gone, None, None, gone])
    assert await house.beats(7) == [True, False, False, False, True, True, False]
    assert house.heard.lines == ["the server is gone", "back after 3 s", "the server is gone"]


async def test_a_store_that_does_not_answer_is_lost() -> None:
    house = House()
    house.ready = house.new_readiness(0.001)
    house.store.gate.clear()
    assert await house.beats(2) == [False, False]
    house.ready = house.new_readiness(10.0)
    house.store.gate.set()
    assert await house.beats(1) == [True]


async def test_a_batch_that_fails_counts_at_once_and_until_a_command_is_carried_out() -> None:
    """The store may answer every probe, and still take no batch."""
    house = House()
    assert await house.beats(1) == [True]
    house.store.batches.extend([LedgerUnavailable("disk full")] * 3)
    assert not await house.hold()
    assert not house.ready.is_ready
    assert await house.beats(3) == [False, False, True]
    assert house.heard.lines == ["disk full", "back after 2 s"]
    house.store.batches.append(LedgerUnavailable("disk full"))
    assert not await house.hold()
    assert await house.hold()
    assert house.ready.is_ready, "a batch has shown that it is over"


async def test_a_fault_in_a_probe_is_told_and_the_next_beat_comes() -> None:
    house = House()
    house.store.probes.append(ZeroDivisionError())
    assert await house.beats(2) == [False, True]
    assert house.heard.lines == [
        "fault of readiness: ZeroDivisionError",
        "a fault: ZeroDivisionError",
        "back after 1 s",
    ]


async def test_the_watch_goes_on_until_it_is_cancelled() -> None:
    house, slept = House(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 3:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    ready = Readiness(ledger=house.ledger, store=house.store, observer=house.heard, sleep=sleep)
    house.store.probes.extend([LedgerUnavailable("gone"), None, None])
    with pytest.raises(asyncio.CancelledError):
        await ready.watch()
    assert (slept, ready.is_ready) == ([BEAT_SECONDS] * 4, True)
    assert house.heard.lines[0] == "gone"


async def test_a_ledger_that_closes_is_not_ready() -> None:
    house = House()
    assert await house.beats(1) == [True]
    await house.ledger.close()
    assert not house.ready.is_ready
    assert house.faults == []
