"""The end of windows: what was spent and counted in a day, a week or a month leaves the database in time.

One process of all looks, the one that has the lease; two that looked at once would do no harm. The rows go by
commands to the ledger, a bounded number at once, and only those that no rule can read any more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from proxy.clock import Clock
from proxy.ledger.ended import KEPT_DAYS, ForgetWindows
from proxy.ledger.ledger import Ledger
from proxy.ledger.rounds import repeat
from proxy.ledger.store import Row, Store
from proxy.ledger.windows import DAY_US

LEASE: Final = "windows"
LEASE_SECONDS: Final = 600.0
ROUND_SECONDS: Final = 300.0
"""How often it looks whether windows are due."""
PAGE: Final = 200
"""How many rows one look finds. The commands of calls come in between two looks."""
PAGES: Final = 50
"""How many looks a round has at most for each table; the next one goes on."""
_NAMES: Final = {"buckets": "scope_id", "counters": "name"}
_BEGINNING: Final = (-DAY_US, "")


class WindowRetention:
    """Deletes the rows of windows that have ended long ago. `on_fault` is told of a fault of ours."""

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
        # What an account that spends nothing more has left stays, so that each look goes on behind the last.
        self._after = dict.fromkeys(_NAMES, _BEGINNING)

    async def run(self) -> None:
        """Delete what is due, again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Delete what is due now, up to `PAGES` times `PAGE` rows, if this is the process that does."""
        if await self._store.take_lease(LEASE, LEASE_SECONDS):
            for table in _NAMES:
                for _ in range(PAGES):
                    if not await self._look(table):
                        break

    async def _look(self, table: str) -> bool:
        """Delete what the next look at a table finds. Whether there may be more."""
        now_us, (day, account_id) = self._clock.now_us(), self._after[table]
        place = {"after_day": day, "after": account_id, "day": now_us // DAY_US - KEPT_DAYS, "limit": PAGE}
        rows = await self._store.query(f"{table}_due", place)
        found: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows:
            found.setdefault(str(row["account_id"]), []).append(_key_of(row, _NAMES[table]))
        commands = (
            ForgetWindows(account_id, now_us, **{table: tuple(keys)}) for account_id, keys in found.items()
        )
        await asyncio.gather(*map(self._ledger.command, commands))
        is_whole = len(rows) == PAGE
        self._after[table] = _place_of(rows[-1]) if is_whole else _BEGINNING
        return is_whole


def _key_of(row: Row, name: str) -> tuple[Any, ...]:
    return row[name], row["window"], row["start_day"]


def _place_of(row: Row) -> tuple[int, str]:
    return cast("int", row["start_day"]), str(row["account_id"])
