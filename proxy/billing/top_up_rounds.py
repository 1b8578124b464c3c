"""Rounds that top accounts up by themselves: one process of all looks whose funds are low."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from proxy.billing.automatic import BURST, Past, wanted
from proxy.billing.offers import Payments
from proxy.billing.top_ups import TopUps
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.store import Row, Store
from proxy.ledger.top_up_rows import AutoTopUp, TopUp
from proxy.ledger.windows import DAY_US, starts_of_day

LEASE: Final = "top-ups"
LEASE_SECONDS: Final = 60.0
ROUND_SECONDS: Final = 5.0
PAGE: Final = 100
PAGES: Final = 100
"""How many pages a round has at most; the next one begins anew."""


class TopUpRounds:
    """Opens a top-up for each account whose funds are low, and has the provider charge it.

    Nothing is credited here: the provider's notice does that. `on_fault` is told of an account that cannot be
    topped up for a fault; the others are gone on with. Accounts that have it off cost nothing.
    """

    def __init__(
        self,
        *,
        store: Store,
        top_ups: TopUps,
        clock: Clock,
        payments: Callable[[], Payments | None],
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._top_ups = top_ups
        self._clock = clock
        self._payments = payments
        self._on_fault = on_fault
        self._sleep = sleep
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)
        self._log = structlog.get_logger("farebox.payments")

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Top up whom it is due for, if this is the process that does. Raises LedgerUnavailable."""
        payments = self._payments()
        if payments is None or not await self._lead.taken():
            return
        if self._top_ups.charges(payments):
            await self._each_page(
                "automatic_unsent", lambda row: self._charge(row, payments), provider=payments.provider
            )
        now_us = self._clock.now_us()
        await self._each_page("auto_top_ups_due", lambda row: self._consider(row, payments), now_us=now_us)

    async def _each_page(self, query: str, do: Callable[[Row], Awaitable[None]], **params: str | int) -> None:
        after = ""
        for _ in range(PAGES):
            rows = await self._store.query(query, {**params, "after": after, "limit": PAGE})
            for row in rows:
                try:
                    await do(row)
                except Refusal as refusal:
                    if refusal.code == "ledger_unavailable":
                        raise
                    self._log.warning(
                        "automatic top-up refused", account=row["account_id"], reason=refusal.message
                    )
                except Exception as fault:  # noqa: BLE001 - the next account's may go well.
                    self._on_fault(LEASE, fault)
            if len(rows) < PAGE:
                return
            after = str(rows[-1]["account_id"])

    async def _charge(self, row: Row, payments: Payments) -> None:
        """Ask the provider anew for one that it was not asked for, or whose answer was lost."""
        top_up = msgspec.convert(row, TopUp)
        saved = await self._store.query("auto_top_up", {"account_id": top_up.account_id})
        if saved:
            await self._top_ups.charge(top_up, msgspec.convert(saved[0], AutoTopUp), payments)

    async def _consider(self, row: Row, payments: Payments) -> None:
        auto, now_us = msgspec.convert(row, AutoTopUp), self._clock.now_us()
        payments = payments.for_group(str(row["group"]))
        past = await self._past(auto.account_id, now_us)
        found = wanted(auto, int(str(row["funds_nano"])), past, payments, now_us)
        if found is None:
            return
        if found.is_burst:
            self._log.warning("automatic top-ups in a burst", account=auto.account_id, count=BURST)
        offer = payments.amount(found.amount_nano)
        top_up, _ = await self._top_ups.open(auto.account_id, found.key, offer, payments, origin="automatic")
        if top_up.state == "pending":
            await self._top_ups.charge(top_up, auto, payments)

    async def _past(self, account_id: str, now_us: int) -> Past:
        days = dict(starts_of_day(now_us // DAY_US))
        times = {"day_us": days["day"] * DAY_US, "month_us": days["month"] * DAY_US, "now_us": now_us}
        newest = await self._store.query("automatic_top_ups", {"account_id": account_id, "limit": BURST})
        (sums,) = await self._store.query("automatic_sums", {"account_id": account_id, **times})
        day_nano, month_nano = int(str(sums["day_nano"])), int(str(sums["month_nano"]))
        return Past([msgspec.convert(each, TopUp) for each in newest], day_nano, month_nano)
