"""A worker's thread: jobs in order, their answers and faults to those who wait, and a clean end."""

import asyncio
import threading
from functools import partial

import pytest

from proxy.storage.worker import Worker


async def test_jobs_are_done_in_order_on_one_thread_that_is_not_the_loops() -> None:
    worker, done = Worker("test-worker"), []

    def job(number: int) -> int:
        done.append((number, threading.get_ident()))
        return number

    futures = [worker.run(partial(job, number)) for number in range(5)]
    assert await asyncio.gather(*futures) == [0, 1, 2, 3, 4]
    worker.stop()
    assert [number for number, _ in done] == [0, 1, 2, 3, 4]
    (thread,) = {thread for _, thread in done}
    assert thread != threading.get_ident()


async def test_a_fault_goes_to_the_one_who_waits_and_the_next_job_is_done() -> None:
    worker = Worker("test-worker")
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(lambda: 1) == 1
    worker.stop()


async def test_nobody_has_to_wait_for_a_job() -> None:
    """A job whose future is cancelled is done all the same, and those after it are answered."""
    worker, free, done = Worker("test-worker"), threading.Event(), threading.Event()

    def job() -> None:
        free.wait(10)
        done.set()

    left = worker.run(job)
    left.cancel()
    free.set()
    assert await worker.run(done.is_set)
    assert left.cancelled()
    worker.stop()


async def test_what_was_asked_for_is_done_before_the_thread_ends() -> None:
    worker, done = Worker("test-worker"), threading.Event()
    future = worker.run(done.set)
    worker.stop()
    assert done.is_set()
    await future


def test_a_worker_without_a_job_has_nothing_to_stop() -> None:
    before = threading.active_count()
    Worker("test-worker").stop()
    assert threading.active_count() == before
