"""Background tasks that are neither forgotten nor silent.

The event loop keeps only weak references to tasks, so one that nobody holds may vanish half-way; and the
exception of one that nobody awaits is told to nobody. Everything that runs beside a request is spawned here.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Tasks:
    """A set of running tasks, each held until it ends.

    `on_error` is called with a task's name and its exception when one fails, also when it is awaited: any
    `BaseException` but `CancelledError`, which is a way to end and not a fault.
    `cancel_grace_seconds` is how long `drain` waits for the cleaning up of tasks that it had to cancel.
    """

    def __init__(
        self, on_error: Callable[[str, BaseException], None], *, cancel_grace_seconds: float = 1.0
    ) -> None:
        self._on_error = on_error
        self._cancel_grace_seconds = cancel_grace_seconds
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Count the tasks that have not ended."""
        return len(self._running)

    def spawn(self, coro: Coroutine[Any, Any, _Result], *, name: str) -> asyncio.Task[_Result]:
        """Start `coro` on the running loop and hold it until it ends.

        Cancelling the caller leaves the task alone, unless the caller awaits it bare: `asyncio.shield` keeps
        them apart. Raises `RuntimeError` where no loop is running.
        """
        task = asyncio.create_task(coro, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def drain(self, timeout_seconds: float) -> int:
        """Wait at most `timeout_seconds` until every task has ended, also those spawned meanwhile.

        Tasks that are left then are cancelled and get the grace to clean up; the result is their number.
        A task may drain the others: it does not wait for itself.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while (others := self._others()) and (rest := deadline - loop.time()) > 0:
            await asyncio.wait(others, timeout=rest)
        left = self._others()
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=self._cancel_grace_seconds)
        return len(left)

    def _others(self) -> set[asyncio.Task[Any]]:
        return self._running - {asyncio.current_task()}

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._on_error(task.get_name(), error)
