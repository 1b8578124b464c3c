"""One thread that does short jobs for the event loop, at little cost for each."""

import asyncio
import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

_Answer = TypeVar("_Answer")


class JobThread:
    """A thread that does jobs one after the other, in the order they come.

    An executor's locks take as long as a job of a batch does. The thread starts with the first job, and does
    not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self._jobs: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, job: Callable[[], _Answer]) -> asyncio.Future[_Answer]:
        """Do a job in the thread; the future has what it returns or raises."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, future))
        return future

    def stop(self) -> None:
        """Wait for the jobs that came before, and end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (ticket := self._jobs.get()) is not None:
            _do(*ticket)


def _do(job: Callable[[], Any], future: asyncio.Future[Any]) -> None:
    answer, error = None, None
    try:
        answer = job()
    except BaseException as raised:  # noqa: BLE001 - the caller gets every error.
        error = raised
    # On a loop that was closed meanwhile nobody waits.
    with contextlib.suppress(RuntimeError):
        future.get_loop().call_soon_threadsafe(_resolve, future, answer, error)


def _resolve(future: asyncio.Future[Any], answer: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)
