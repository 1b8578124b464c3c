"""Early invoices: of accounts with a credit limit whose usage on no invoice has passed a threshold."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from proxy.billing.invoices import Invoices
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.invoices import InvoicePolicy
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.store import Store

LEASE: Final = "early-invoices"
LEASE_SECONDS: Final = 120.0
ROUND_SECONDS: Final = 15.0
"""How often it adds up what was used."""
PAGE: Final = 200
ENTRIES: Final = 5_000
"""How many entries one read adds up. The commands of calls come in between."""


class Sum(msgspec.Struct):
    """What the entries of an account from after `after` to `seq` were charged for usage."""

    after: int
    seq: int
    usage_nano: int


class EarlyInvoices:
    """Adds usage up and makes the invoices, by one process of all; each entry is read once by it.

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
        self._store = store
        self._policy = policy
        self._on_fault = on_fault
        self._sleep = sleep
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)
        self._sums: dict[str, Sum] = {}

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Make what is due, if this is the process that does. Raises LedgerUnavailable, Refusal."""
        policy = self._policy()
        if policy is None or policy.threshold_nano is None or not await self._lead.taken():
            self._sums.clear()
            return
        after, seen = "", set[str]()
        while rows := await self._store.query("accounts_on_credit", {"after": after, "limit": PAGE}):
            for row in rows:
                after = str(row["id"])
                seen.add(after)
                await self._look_at(after, _int(row["entries"]), policy.threshold_nano)
            if len(rows) < PAGE or not await self._lead.taken():
                break
        self._sums = {id_: each for id_, each in self._sums.items() if id_ in seen}

    async def _look_at(self, account_id: str, entries: int, threshold_nano: int) -> None:
        known = self._sums.get(account_id)
        if known is not None and known.seq >= entries:
            return
        after = await self._invoices.invoiced_until(account_id)
        if known is None or known.after != after:
            known = self._sums[account_id] = Sum(after, after, 0)
        while known.seq < entries and known.usage_nano < threshold_nano:
            until = min(entries, known.seq + ENTRIES)
            place = {"account_id": account_id, "after": known.seq, "until": until}
            (row,) = await self._store.query("usage_between", place)
            known.usage_nano += _int(row["usage_nano"])
            known.seq = until
        if known.usage_nano >= threshold_nano:
            await self._make(account_id)
            self._sums.pop(account_id, None)

    async def _make(self, account_id: str) -> None:
        try:
            await self._invoices.make_early(account_id)
        except Refusal as refusal:
            if refusal.code == "ledger_unavailable":
                raise
            self._on_fault(LEASE, refusal)


def _int(value: Any) -> int:
    return int(value)
