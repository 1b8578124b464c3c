"""Telling of credit that expires soon, once for each lot, by one process of all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.clock import Clock
from proxy.ledger.deliveries import TellExpiry
from proxy.ledger.ledger import Ledger
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.store import Store
from proxy.ledger.windows import DAY_US

LEASE: Final = "expiries"
LEASE_SECONDS: Final = 200.0
ROUND_SECONDS: Final = 60.0
PAGE: Final = 200


class ExpiryRounds:
    """Looks for lots that expire within `days()` days, of those that live longer than that.

    It remembers whom it has told, so that a round looks at lots and gives no commands as a rule. Another
    process that begins to look tells nothing twice: an event's id follows from its lot.
    """

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        days: Callable[[], int],
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._days = days
        self._on_fault = on_fault
        self._sleep = sleep
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)
        self._told: dict[str, int] = {}

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Tell of each lot that expires soon, if this is the process that does."""
        if not self._store.alerts.records or not await self._lead.taken():
            return
        now_us, days_us = self._clock.now_us(), self._days() * DAY_US
        self._told = {lot_id: ends_us for lot_id, ends_us in self._told.items() if ends_us > now_us}
        place = {"after_us": now_us, "account_id": "", "id": ""}
        while True:
            looked = {**place, "until_us": now_us + days_us, "life_us": days_us, "limit": PAGE}
            rows = await self._store.query("lots_expiring", looked)
            for row in rows:
                lot_id, ends_us = str(row["id"]), int(str(row["expires_at_us"]))
                if lot_id not in self._told:
                    await self._ledger.command(TellExpiry(str(row["account_id"]), lot_id, now_us))
                    self._told[lot_id] = ends_us
                place = {"after_us": ends_us, "account_id": str(row["account_id"]), "id": lot_id}
            if len(rows) < PAGE:
                break
