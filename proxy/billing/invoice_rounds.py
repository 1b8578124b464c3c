"""The round that makes the invoices of the past month for all accounts, by one process of all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.billing.invoices import Invoices, day_of_month, past_month
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.invoices import InvoicePolicy
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.store import Store

LEASE: Final = "invoices"
LEASE_SECONDS: Final = 300.0
ROUND_SECONDS: Final = 5.0
"""How often it looks whether a month has ended."""
PAGE: Final = 100


class InvoiceRounds:
    """Makes each invoice once; two processes that did so at once would do no harm.

    `on_fault` is told of an account whose invoice cannot be made; the others are gone on with.
    """

    def __init__(
        self,
        *,
        invoices: Invoices,
        store: Store,
        clock: Clock,
        policy: Callable[[], InvoicePolicy | None],
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._invoices = invoices
        self._clock = clock
        self._policy = policy
        self._on_fault = on_fault
        self._sleep = sleep
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)
        self._done = ""

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Make what is to be made, if this is the process that does. Raises LedgerUnavailable, Refusal."""
        policy, now_us = self._policy(), self._clock.now_us()
        month = past_month(now_us)
        if policy is None or month == self._done or day_of_month(now_us) < policy.day:
            return
        after = ""
        while await self._lead.taken():
            accounts = await self._invoices.accounts(month, after=after, limit=PAGE)
            for account_id in accounts:
                await self._make(account_id, month)
                after = account_id
            if len(accounts) < PAGE:
                self._done = month
                return

    async def _make(self, account_id: str, month: str) -> None:
        try:
            await self._invoices.make(account_id, month)
        except Refusal as refusal:
            if refusal.code == "ledger_unavailable":
                raise
            self._on_fault(LEASE, refusal)
