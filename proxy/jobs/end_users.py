"""The end of end users: a row of whom nothing is left to count leaves the database.

One process of all looks, the one that has the lease. The rows go by commands to the ledger, which looks at
each again under the locks of all else: who has come back meanwhile stays.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.clock import Clock
from proxy.ledger.end_users import ForgetEndUsers
from proxy.ledger.ledger import Ledger
from proxy.ledger.rounds import repeat
from proxy.ledger.store import Row, Store

LEASE: Final = "end-users"
LEASE_SECONDS: Final = 200.0
ROUND_SECONDS: Final = 60.0
"""How often it looks whether any are due."""
PAGE: Final = 200
"""How many one look finds. The commands of calls come in between two looks."""
PAGES: Final = 100
"""How many looks a round has at most; the next one goes on."""


class EndUserRounds:
    """Forgets end users that are idle. `on_fault` is told of a fault of ours, which does not end it."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._on_fault = on_fault
        self._sleep = sleep

    async def run(self) -> None:
        """Forget who is idle, again and again until cancelled."""
        await repeat(
            self.round,
            name="end-users",
            every_seconds=ROUND_SECONDS,
            on_fault=self._on_fault,
            sleep=self._sleep,
        )

    async def round(self) -> None:
        """Forget who is idle now, up to `PAGES` times `PAGE` rows, if this is the process that does."""
        if not await self._store.take_lease(LEASE, LEASE_SECONDS):
            return
        now_us = self._clock.now_us()
        for _ in range(PAGES):
            rows = await self._store.query("end_users_due", {"now_us": now_us, "limit": PAGE})
            await asyncio.gather(
                *(
                    self._ledger.command(ForgetEndUsers(account_id, ids, now_us))
                    for account_id, ids in _by_account(rows).items()
                )
            )
            if len(rows) < PAGE:
                break


def _by_account(rows: list[Row]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(str(row["account_id"]), []).append(str(row["id"]))
    return {account_id: tuple(ids) for account_id, ids in found.items()}
