"""The round that makes the invoices of the past month for all accounts, by one process of all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.billing.invoices import Invoices, day_of_month, past_month
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.invoices import InvoicePolicy
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.store import LedgerUnavailable, Store

LEASE: Final = "invoices"
LEASE_SECONDS: Final = 300.0
ROUND_SECONDS: Final = 5.0
"""How often it looks whether a month has ended."""
PAGE: Final = 100
RETRY_US: Final = 600_000_000
"""After how long those that were refused are tried again."""
MOST_REFUSED: Final = 1_000
"""How many of them are remembered. Where there are more, all accounts are gone through again."""


class NotInvoiced(Exception):  # noqa: N818 - it is what became of an invoice, not a fault in the code.
    """An invoice could not be made; it is tried again."""


class InvoiceRounds:
    """Makes each invoice once; two processes that did so at once would do no harm.

    `on_fault` is told of an account whose invoice cannot be made. The others are gone on with, and that one
    is tried again every `RETRY_US`.
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
        self._refused: list[str] = []
        self._retry_at_us = 0

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Make what is to be made, if this is the process that does. Raises LedgerUnavailable, Refusal."""
        policy, now_us = self._policy(), self._clock.now_us()
        month = past_month(now_us)
        if policy is None or day_of_month(now_us) < policy.day:
            return
        if month == self._done:
            if self._refused and self._clock.monotonic_us() >= self._retry_at_us:
                await self._again(month)
            return
        after, refused = "", list[str]()
        while await self._lead.taken():
            accounts = await self._invoices.accounts(month, after=after, limit=PAGE)
            for account_id in accounts:
                refused += await self._refusing(account_id, month)
                after = account_id
            if len(accounts) < PAGE:
                self._done = month
                self._note(refused)
                return

    async def _again(self, month: str) -> None:
        """Try those that were refused; all where there are more of them than are remembered."""
        if len(self._refused) > MOST_REFUSED:
            self._done = ""
        elif await self._lead.taken():
            self._note([id_ for each in self._refused for id_ in await self._refusing(each, month)])

    def _note(self, refused: list[str]) -> None:
        self._refused = refused[: MOST_REFUSED + 1]
        self._retry_at_us = self._clock.monotonic_us() + RETRY_US

    async def _refusing(self, account_id: str, month: str) -> list[str]:
        """Make one; the account itself where that is refused or goes wrong, which is said."""
        try:
            await self._invoices.make(account_id, month)
        except Refusal as refusal:
            if refusal.code == "ledger_unavailable":
                raise
            fault: Exception = refusal
        except LedgerUnavailable:
            raise
        except Exception as broken:  # noqa: BLE001 - one account's fault keeps no other's invoice back.
            fault = broken
        else:
            return []
        self._on_fault(LEASE, NotInvoiced(f"the invoice of {account_id} for {month}: {fault}"))
        return [account_id]
