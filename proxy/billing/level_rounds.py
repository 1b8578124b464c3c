"""The rounds that charge what is there over time, by one process of all, whenever a period has ended."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.billing.levels import LevelCharges, level_of, period_of
from proxy.clock import Clock
from proxy.endpoints.event_plan import EventPlan, LevelPlan
from proxy.errors import Refusal
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.store import Row, Store

LEASE: Final = "levels"
LEASE_SECONDS: Final = 300.0
ROUND_SECONDS: Final = 5.0
"""How often it looks whether a period has ended."""
PAGE: Final = 100
"""How many things are charged beside one another."""


class LevelRounds:
    """Charges each period once, however long nobody could; two that did so at once would do no harm.

    `on_fault` is told of a thing that cannot be charged; the others are gone on with, and it is tried again
    when the next period has ended. One that was told of meanwhile is tried again at once.
    """

    def __init__(
        self,
        *,
        levels: LevelCharges,
        store: Store,
        clock: Clock,
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._levels = levels
        self._store = store
        self._clock = clock
        self._on_fault = on_fault
        self._sleep = sleep
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)
        self._done: dict[str, int] = {}

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Charge the periods that have ended, if this is the process that does.

        Raises LedgerUnavailable, Refusal `ledger_unavailable`.
        """
        for plan in self._levels.policy.plans.values():
            if plan.level is not None and await self._lead.taken():
                await self._charge(plan, plan.level)

    async def _charge(self, plan: EventPlan, level: LevelPlan) -> None:
        until_us = period_of(level.every, self._clock.now_us() - level.late_us).start_us
        if self._done.get(plan.type) == until_us:
            return
        place, went_well = {"account_id": "", "thing": ""}, True
        while await self._lead.taken():
            due = {"type": plan.type, "until_us": until_us, **place, "limit": PAGE}
            rows = await self._store.query("levels_due", due)
            if not rows:
                if went_well:
                    self._done[plan.type] = until_us
                return
            charged = await asyncio.gather(*(self._charge_one(row, until_us) for row in rows))
            went_well = went_well and all(charged)
            place = {name: str(rows[-1][name]) for name in place}

    async def _charge_one(self, row: Row, until_us: int) -> bool:
        """Charge one thing. Whether there is nothing to be tried again now."""
        try:
            await self._levels.charge(level_of(row), until_us)
        except Refusal as refusal:
            if refusal.code == "ledger_unavailable":
                raise
            if refusal.code == "conflict":
                return False
            self._on_fault(f"level {row['thing']} of {row['account_id']}", refusal)
        return True
