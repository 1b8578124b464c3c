"""Background tasks that are neither forgotten nor silent.

The event loop keeps only weak references to tasks, so a task that nothing holds may vanish half-way. Nobody
hears of the exception of a task that nobody awaits. So everything that runs beside a request is spawned here.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Tasks:
    """A set of running tasks, each held until it ends.

    When a task fails, `on_error` gets its name and its exception, even if somebody awaits the task. A
    `CancelledError` is a way to end and not a fault; any other `BaseException` is one.
    `drain` waits for `cancel_grace_seconds` until the tasks that it cancels have cleaned up.
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

        A cancel of the caller does not reach the task, unless the caller awaits it without `asyncio.shield`.
        Raises `RuntimeError` where no loop is running.
        """
        task = asyncio.create_task(coro, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def drain(self, timeout_seconds: float) -> int:
        """Wait at most `timeout_seconds` until every task has ended, also those spawned meanwhile.

        It cancels the tasks that are left then, gives them the grace to clean up, and returns their number. A
        task may drain the others: it does not wait for itself.
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
