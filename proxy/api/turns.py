"""Turns: of one account a few requests are worked on at once, so that its reads keep nobody else waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from proxy.errors import Refusal

AT_ONCE: Final = 4
"""How many requests of an account a process works on at once."""
SECONDS: Final = 5.0
"""How long the next one waits for its turn."""


class Turns:
    """The turns of all accounts. Nothing is kept of one that asks for nothing."""

    def __init__(self, at_once: int = AT_ONCE, seconds: float = SECONDS) -> None:
        self._at_once = at_once
        self._seconds = seconds
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, account_id: str) -> AsyncIterator[None]:
        """A turn of an account; an empty id, the operator's, has it at once.

        Raises Refusal `concurrency_limit_exceeded` when it does not come in time.
        """
        if not account_id:
            yield
            return
        turns = self._of.setdefault(account_id, asyncio.Semaphore(self._at_once))
        try:
            async with asyncio.timeout(self._seconds):
                await turns.acquire()
        except TimeoutError:
            message = f"The account has {self._at_once} such requests going on, as many as it may."
            raise Refusal("concurrency_limit_exceeded", message, headers={"Retry-After": "1"}) from None
        try:
            yield
        finally:
            turns.release()
