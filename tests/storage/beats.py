"""Time for what a store does now and then: it passes when a test says so."""

import asyncio


class Beats:
    """The sleeps of so many `seconds` end one by one, when a test lets them; all others last for ever."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asleep = asyncio.Semaphore(0)
        self._go_on = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        """What a store is given to sleep with."""
        if seconds != self._seconds:
            await asyncio.Event().wait()
        self._asleep.release()
        await self._go_on.acquire()

    async def first(self) -> None:
        """Wait until the first sleep has begun."""
        await self._asleep.acquire()

    async def beat(self) -> None:
        """Let a sleep end, and wait for the next one: what is done between them is done then."""
        self._go_on.release()
        await self._asleep.acquire()

    def let(self) -> None:
        """Let a sleep end, and do not wait."""
        self._go_on.release()
