"""Rounds: what one process of all does again and again, such as looking at jobs, for as long as it runs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.store import LedgerUnavailable, Store

RENEW_SHARE: Final = 3
"""A lease that is a third over is asked for again."""


class Lead:
    """Whether this process is the one that has a lease, which the store is asked for now and then only."""

    def __init__(self, store: Store, clock: Clock, name: str, seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._name = name
        self._seconds = seconds
        self._renew_at_us = 0

    async def taken(self) -> bool:
        """Whether it has the lease, perhaps from now on. Raises LedgerUnavailable."""
        passed_us = self._clock.monotonic_us()
        if passed_us < self._renew_at_us:
            return True
        if not await self._store.take_lease(self._name, self._seconds):
            return False
        self._renew_at_us = passed_us + int(self._seconds * 1_000_000) // RENEW_SHARE
        return True


async def repeat(
    round_: Callable[[], Awaitable[object]],
    *,
    name: str,
    every_seconds: float,
    on_fault: Callable[[str, BaseException], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Do a round every so many seconds until cancelled. `on_fault` is told of a fault, which ends nothing."""
    while True:
        await sleep(every_seconds)
        try:
            await round_()
        except (LedgerUnavailable, Refusal):
            continue  # Others tell of the outage, and the next round may find the database back.
        except Exception as fault:  # noqa: BLE001 - the next round may go well after any fault.
            on_fault(name, fault)
