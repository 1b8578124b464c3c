"""Work on large bodies and answers: it would stall the event loop, and is done in threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_Result = TypeVar("_Result")

LARGE_BYTES: Final = 65_536
"""What is larger is worked on in a thread: of the worst contents so much takes some milliseconds."""

HUGE_BYTES: Final = 4_194_304
"""What is larger has threads of its own, so that what is only large does not wait for it."""

THREADS: Final = 2
"""How many of each kind there are: each more would take its share of the interpreter from the event loop."""

_LARGE: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="large")
_HUGE: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="huge")


def in_thread(size_bytes: int, job: Callable[[], _Result]) -> "asyncio.Future[_Result]":
    """Do `job`, which works on so many bytes, in a thread. It goes on when the future is cancelled."""
    threads = _HUGE if size_bytes > HUGE_BYTES else _LARGE
    return asyncio.get_running_loop().run_in_executor(threads, job)


async def off_loop(size_bytes: int, job: Callable[[], _Result]) -> _Result:
    """Do `job`, in a thread if so many bytes would stall the loop.

    What every call does on its way asks for the size itself: for small bodies a coroutine costs more than it
    is worth.
    """
    return await in_thread(size_bytes, job) if size_bytes > LARGE_BYTES else job()
