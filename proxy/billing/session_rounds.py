"""The rounds that extend the holds of sessions and end those that have to end, by one process of all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.billing.event_prices import Terms
from proxy.billing.sessions import Running, Sessions, running_of
from proxy.call.objects import known_of
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.store import Row, Store

LEASE: Final = "sessions"
LEASE_SECONDS: Final = 30.0
ROUND_SECONDS: Final = 2.0
AHEAD_US: Final = 10_000_000
"""How long before what is held is used up more is held."""
PAGE: Final = 100
HOLD_US: Final = 60_000_000
"""For how long a session is held for whose type is not in the configuration any more."""


class SessionRounds:
    """Looks at sessions that are due. Two processes that did so at once would do no harm."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        store: Store,
        clock: Clock,
        terms: Callable[[], Terms],
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._clock = clock
        self._terms = terms
        self._on_fault = on_fault
        self._sleep = sleep
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Extend or end each session that is due, if this process does. Raises LedgerUnavailable."""
        if not await self._lead.taken():
            return
        after = ""
        while True:
            due_us = self._clock.now_us() + AHEAD_US
            rows = await self._store.query("sessions_due", {"due_us": due_us, "after": after, "limit": PAGE})
            await asyncio.gather(*map(self._look, rows))
            if len(rows) < PAGE:
                return
            after = str(rows[-1]["call_id"])

    async def _look(self, row: Row) -> None:
        running = running_of(known_of(row))
        if running is None:
            return
        try:
            await self._extend_or_end(running)
        except Refusal as refusal:
            if refusal.code == "ledger_unavailable":
                raise
            self._on_fault(f"session {running.row.id} of {running.row.account_id}", refusal)

    async def _extend_or_end(self, running: Running) -> None:
        session, now_us = running.session, self._clock.now_us()
        plan = self._terms().events.plans.get(running.row.model)
        of_type = plan.session if plan is not None else None
        if session.ends_for == "funds":
            heard = await self._sessions.extend(running, of_type.hold_us if of_type else HOLD_US)
            if heard.funded_us > session.funded_us:
                return
        if now_us >= session.due_us:
            await self._sessions.end(running, charges_idle=of_type is None or of_type.charges_idle)
