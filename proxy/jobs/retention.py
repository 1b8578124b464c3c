"""The end of objects: what was deleted, or is older than objects are kept, leaves the database.

A row stays for a while after its object has ended, as a slower answer may still tell of that. One process of
all looks, the one that has the lease; two that looked at once would do no harm. The rows go by commands to
the ledger, under the locks of all else, so that a job that runs keeps what it made.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.clock import Clock
from proxy.ledger.commands import Forget
from proxy.ledger.ledger import Ledger
from proxy.ledger.rounds import repeat
from proxy.ledger.store import Row, Store

LEASE: Final = "objects"
LEASE_SECONDS: Final = 200.0
ROUND_SECONDS: Final = 60.0
"""How often it looks whether objects are due."""
DAY_US: Final = 86_400_000_000
ENDED_US: Final = DAY_US
"""How long a row stays after its object has ended."""
PAGE: Final = 200
"""How many objects one look finds. The commands of other calls come in between two looks."""
PAGES: Final = 50
"""How many looks a round has at most; the next one goes on."""


class Retention:
    """Deletes the rows of objects that have ended, or that were made before `keep_days()` days.

    `on_fault` is told of a fault of ours, which does not end it.
    """

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        keep_days: Callable[[], int],
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._keep_days = keep_days
        self._on_fault = on_fault
        self._sleep = sleep

    async def run(self) -> None:
        """Delete what is due, again and again until cancelled."""
        await repeat(
            self.round,
            name="objects",
            every_seconds=ROUND_SECONDS,
            on_fault=self._on_fault,
            sleep=self._sleep,
        )

    async def round(self) -> None:
        """Delete what is due now, up to `PAGES` times `PAGE` rows, if this is the process that does."""
        if not await self._store.take_lease(LEASE, LEASE_SECONDS):
            return
        now_us = self._clock.now_us()
        expired_us, made_us = now_us - ENDED_US, now_us - self._keep_days() * DAY_US
        for _ in range(PAGES):
            due = {"expired_us": expired_us, "made_us": made_us, "limit": PAGE}
            rows = await self._store.query("objects_due", due)
            await asyncio.gather(
                *(
                    self._ledger.command(Forget(account_id, objects, expired_us, made_us))
                    for account_id, objects in _by_account(rows).items()
                )
            )
            if len(rows) < PAGE:
                break


def _by_account(rows: list[Row]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Id and call of each object, by its account."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault(str(row["account_id"]), []).append((str(row["id"]), str(row["call_id"])))
    return {account_id: tuple(objects) for account_id, objects in found.items()}
