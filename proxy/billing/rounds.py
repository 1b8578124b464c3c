"""Rounds of one process of all, which does what is due for accounts that make no calls."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.call.renewals import Renewals
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.groups import Groups
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.store import LedgerUnavailable, Store

LEASE: Final = "dues"
LEASE_SECONDS: Final = 60.0
ROUND_SECONDS: Final = 5.0
"""How often it looks who is due."""
PAGE: Final = 100
"""For how many accounts it does so at once. The commands of calls come in between."""
PAGES: Final = 1_000
"""How many pages a round has at most; the next one goes on."""


class DueRounds:
    """Does what is due for all accounts in groups that give or ask something.

    Two processes that did so at once would do no harm. `on_fault` is told of an account whose books do not
    add up; the others are gone on with.
    """

    def __init__(
        self,
        *,
        store: Store,
        renewals: Renewals,
        clock: Clock,
        groups: Callable[[], Groups],
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._renewals = renewals
        self._clock = clock
        self._groups = groups
        self._on_fault = on_fault
        self._sleep = sleep
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Do what is due now, if this is the process that does. Raises LedgerUnavailable."""
        if not self._groups().has_dues or not await self._lead.taken():
            return
        failed = 0
        for _ in range(PAGES):
            due = {"now_us": self._clock.now_us(), "limit": PAGE, "skipped": failed}
            rows = await self._store.query("memberships_due", due)
            groups = self._groups()
            results = await asyncio.gather(
                *(self._renewals.settle(str(row["account_id"]), str(row["group"]), groups) for row in rows),
                return_exceptions=True,
            )
            failed += self._faults(results)
            if len(rows) < PAGE or not await self._lead.taken():
                break

    def _faults(self, results: list[str | BaseException]) -> int:
        """How many accounts nothing was done for. Raises what is no single account's."""
        faults = [result for result in results if isinstance(result, BaseException)]
        if len(faults) == len(results) or any(isinstance(fault, LedgerUnavailable) for fault in faults):
            for fault in faults:
                raise fault
        for fault in faults:
            if not isinstance(fault, Refusal):
                self._on_fault(LEASE, fault)
        return len(faults)
