"""A spawned task is neither forgotten nor silent, and a drain ends them all."""

import asyncio
import contextlib
import gc
import weakref

import pytest

from proxy.tasks import Tasks


class Panic(BaseException):
    """What a fault in a native extension raises: no `Exception`, yet a failure."""


class Faults:
    """Remembers the calls of `on_error`."""

    def __init__(self) -> None:
        self.told: list[tuple[str, BaseException]] = []

    def __call__(self, name: str, error: BaseException) -> None:
        self.told.append((name, error))


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def tasks(faults: Faults) -> Tasks:
    return Tasks(faults)


async def test_a_task_nobody_holds_survives_garbage_collection(tasks: Tasks) -> None:
    """The loop's weak reference alone lets a task vanish that waits for something nobody else holds."""
    woken: list[weakref.ref[asyncio.Future[None]]] = []
    reached: list[bool] = []

    async def wait_for_a_future_of_its_own() -> None:
        future = asyncio.get_running_loop().create_future()
        woken.append(weakref.ref(future))
        await future
        reached.append(True)

    tasks.spawn(wait_for_a_future_of_its_own(), name="lonely")
    await asyncio.sleep(0)
    gc.collect()
    future = woken[0]()
    assert future is not None
    future.set_result(None)
    assert await tasks.drain(5) == 0
    assert reached == [True]


async def test_a_task_has_its_name_and_its_result(tasks: Tasks) -> None:
    async def answer() -> int:
        return 42

    task = tasks.spawn(answer(), name="answer")
    assert task.get_name() == "answer"
    assert await task == 42


@pytest.mark.parametrize("error", [ValueError("bad"), Panic("worse")])
async def test_a_failure_is_told_with_the_tasks_name(
    tasks: Tasks, faults: Faults, error: BaseException
) -> None:
    async def fail() -> None:
        raise error

    tasks.spawn(fail(), name="failing")
    assert await tasks.drain(5) == 0
    assert faults.told == [("failing", error)]


async def test_a_cancelled_task_is_no_failure(tasks: Tasks, faults: Faults) -> None:
    task = tasks.spawn(asyncio.Event().wait(), name="endless")
    await asyncio.sleep(0)
    task.cancel()
    assert await tasks.drain(5) == 0
    assert faults.told == []


async def test_a_caller_that_shields_its_task_can_be_cancelled_alone(tasks: Tasks) -> None:
    gate = asyncio.Event()
    settled: list[bool] = []

    async def settle() -> None:
        await gate.wait()
        settled.append(True)

    async def request() -> None:
        await asyncio.shield(tasks.spawn(settle(), name="settle"))

    caller = tasks.spawn(request(), name="request")
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    assert caller.cancelled()
    gate.set()
    assert await tasks.drain(5) == 0
    assert settled == [True]


async def test_a_drain_waits_for_tasks_spawned_meanwhile(tasks: Tasks) -> None:
    order: list[str] = []

    async def second() -> None:
        await asyncio.sleep(0)
        order.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        tasks.spawn(second(), name="second")
        order.append("first")

    tasks.spawn(first(), name="first")
    assert await tasks.drain(5) == 0
    assert order == ["first", "second"]
    assert len(tasks) == 0


async def test_a_drain_out_of_time_cancels_what_is_left_and_counts_it(tasks: Tasks, faults: Faults) -> None:
    cleaned: list[str] = []

    async def hang(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(name)

    for name in ("a", "b"):
        tasks.spawn(hang(name), name=name)
    await asyncio.sleep(0)
    assert await tasks.drain(0) == 2
    assert sorted(cleaned) == ["a", "b"]
    assert len(tasks) == 0
    assert faults.told == []


async def test_a_task_that_ignores_its_cancelling_does_not_hang_the_drain(faults: Faults) -> None:
    tasks = Tasks(faults, cancel_grace_seconds=0)
    gate = asyncio.Event()

    async def ignore() -> None:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    tasks.spawn(ignore(), name="stubborn")
    await asyncio.sleep(0)
    assert await tasks.drain(0) == 1
    assert len(tasks) == 1
    gate.set()
    assert await tasks.drain(5) == 0


async def test_a_task_may_drain_the_others(tasks: Tasks) -> None:
    async def last_one_out() -> int:
        return await tasks.drain(5)

    tasks.spawn(asyncio.sleep(0), name="other")
    assert await tasks.spawn(last_one_out(), name="drainer") == 0


async def test_an_idle_drain_is_immediate(tasks: Tasks) -> None:
    assert await tasks.drain(0) == 0
