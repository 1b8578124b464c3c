"""A job thread: jobs in order, their answers and faults to those who wait, and a clean end."""

import asyncio
import threading
from functools import partial

import pytest

from proxy.storage.sqlite.job_thread import JobThread


async def test_jobs_are_done_in_order_on_one_thread_that_is_not_the_loops() -> None:
    thread, done = JobThread("test-thread"), []

    def job(number: int) -> int:
        done.append((number, threading.get_ident()))
        return number

    futures = [thread.run(partial(job, number)) for number in range(5)]
    assert await asyncio.gather(*futures) == [0, 1, 2, 3, 4]
    thread.stop()
    assert [number for number, _ in done] == [0, 1, 2, 3, 4]
    (ident,) = {told for _, told in done}
    assert ident != threading.get_ident()


async def test_a_fault_goes_to_the_one_who_waits_and_the_next_job_is_done() -> None:
    thread = JobThread("test-thread")
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    assert await thread.run(lambda: 1) == 1
    thread.stop()


async def test_nobody_has_to_wait_for_a_job() -> None:
    """A job whose future is cancelled is done all the same, and those after it are answered."""
    thread, free, done = JobThread("test-thread"), threading.Event(), threading.Event()

    def job() -> None:
        free.wait(10)
        done.set()

    left = thread.run(job)
    left.cancel()
    free.set()
    assert await thread.run(done.is_set)
    assert left.cancelled()
    thread.stop()


async def test_what_was_asked_for_is_done_before_the_thread_ends() -> None:
    thread, done = JobThread("test-thread"), threading.Event()
    future = thread.run(done.set)
    thread.stop()
    assert done.is_set()
    await future


def test_a_thread_without_a_job_has_nothing_to_stop() -> None:
    before = threading.active_count()
    JobThread("test-thread").stop()
    assert threading.active_count() == before
