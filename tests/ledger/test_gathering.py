"""When large batches follow one another the next one gathers for a moment; otherwise nobody waits."""

import asyncio
from collections.abc import Sequence

import pytest

from proxy.ledger.commands import Command, Done, Result, Sweep
from proxy.ledger.ledger import Ledger
from proxy.ledger.rhythm import GATHER_ABOVE, GATHER_SECONDS, Rhythm
from proxy.tasks import Tasks
from tests.ledger.desk import ACCOUNT, NOON_US, Desk
from tests.ledger.memory import MemoryStore

FEW, MANY = GATHER_ABOVE, GATHER_ABOVE + 1


class Hall(MemoryStore):
    """A ledger on itself: the next of `crowds` enters while a batch is written, `late` while it sleeps."""

    def __init__(self, *crowds: int, late: int = 0, max_batch: int = 256) -> None:
        super().__init__()
        Desk(self).grant(100)
        self.batches: list[int] = []
        self.slept: list[float] = []
        self.results: list[asyncio.Future[Result]] = []
        self._crowds = list(crowds)
        self._late = late
        self.ledger = Ledger(
            self,
            Tasks(lambda _, error: pytest.fail(repr(error))),
            max_batch=max_batch,
            on_batch=lambda size, _: self.batches.append(size),
            sleep=self._sleep,
        )

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        if self._crowds:
            self.enter(self._crowds.pop(0))
        return await super().apply(commands)

    def enter(self, count: int) -> None:
        self.results += [self.ledger.submit(Sweep(ACCOUNT, NOON_US)) for _ in range(count)]

    async def served(self, count: int) -> None:
        """Have so many enter, and wait until they and all who came meanwhile have their results."""
        self.enter(count)
        while pending := [result for result in self.results if not result.done()]:
            await asyncio.wait(pending)
        assert all(isinstance(result.result(), Done) for result in self.results)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.enter(self._late)


async def test_what_comes_in_the_moment_after_two_large_batches_goes_with_the_third() -> None:
    hall = Hall(MANY, MANY, late=5)
    hall.ledger.start()
    await hall.served(MANY)
    assert (hall.batches, hall.slept) == ([MANY, MANY, MANY + 5], [GATHER_SECONDS])
    await hall.ledger.close()


async def test_a_batch_gathers_once_however_few_have_come_by_then() -> None:
    hall = Hall(MANY, 1, 1)
    hall.ledger.start()
    await hall.served(MANY)
    assert (hall.batches, hall.slept) == ([MANY, MANY, 1, 1], [GATHER_SECONDS])
    await hall.ledger.close()


@pytest.mark.parametrize("crowds", [(1,) * 9, (FEW,) * 9, (MANY, FEW) * 4])
async def test_a_few_callers_at_once_never_wait(crowds: tuple[int, ...]) -> None:
    hall = Hall(*crowds[1:])
    hall.ledger.start()
    await hall.served(crowds[0])
    assert (hall.batches, hall.slept) == (list(crowds), [])
    await hall.ledger.close()


async def test_who_comes_after_a_pause_does_not_wait() -> None:
    """A lone caller pays nothing for the crowd that was there before."""
    hall = Hall(MANY)
    hall.ledger.start()
    await hall.served(MANY)
    await hall.served(1)
    assert (hall.batches, hall.slept) == ([MANY, MANY, 1], [])
    await hall.ledger.close()


async def test_a_full_batch_goes_at_once() -> None:
    hall = Hall(max_batch=MANY)
    hall.ledger.start()
    await hall.served(4 * MANY)
    assert (hall.batches, hall.slept) == ([MANY] * 4, [])
    await hall.ledger.close()


async def test_nothing_waits_once_the_ledger_is_being_closed() -> None:
    hall = Hall(max_batch=MANY)
    hall.enter(2 * MANY + 1)
    hall.ledger.start()
    await hall.ledger.close()
    assert (hall.batches, hall.slept) == ([MANY, MANY, 1], [])


def test_a_rhythm_is_dense_while_each_of_the_last_two_batches_was_large() -> None:
    rhythm = Rhythm()
    seen = []
    for size in (MANY, MANY, FEW, MANY, MANY):
        rhythm.beat(size)
        seen.append(rhythm.is_dense)
    rhythm.pause()
    assert ([*seen, rhythm.is_dense]) == [False, True, False, False, True, False]
