"""Readiness: whether a call would get through to the ledger, by a probe of the store on a beat of its own.

Nobody has to call for an outage to be noticed, and each process finds out for itself, so that all of them say
the same.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from proxy.errors import Refusal
from proxy.ledger.ledger import Ledger
from proxy.ledger.store import LedgerUnavailable, Store

BEAT_SECONDS: Final = 0.6
"""How long a probe lets the next one wait."""
PROBE_SECONDS: Final = 1.0
"""How long a store may take to answer one. With a beat this is the longest that a loss goes unnoticed."""


class ReadinessObserver(Protocol):
    """Is told when the ledger is lost and when it is back."""

    def outage(self, reason: str) -> None:
        """The ledger cannot be read or written."""
        ...

    def returned(self, seconds: float) -> None:
        """It can again, so long after that was noticed."""
        ...

    def fault(self, task: str, error: BaseException) -> None:
        """A fault of Farebox came up."""
        ...


class Readiness:
    """Whether the ledger can be read and written; until the first `check` it cannot."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        store: Store,
        observer: ReadinessObserver,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._observer = observer
        self._sleep = sleep
        self._monotonic = monotonic
        self._probe_seconds = probe_seconds
        self._answers = False
        self._lost_at: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a call would get through, as far as is known."""
        return self._answers and self._ledger.available and not self._ledger.outage

    async def watch(self) -> None:
        """Check again and again, until cancelled."""
        while True:
            await self._sleep(BEAT_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Ask the store once, and tell the observer if the answer is another one than before."""
        reason = await self._reason()
        self._answers = not reason
        if reason and self._lost_at is None:
            self._lost_at = self._monotonic()
            self._observer.outage(reason)
        elif not reason and self._lost_at is not None:
            self._observer.returned(self._monotonic() - self._lost_at)
            self._lost_at = None

    async def _reason(self) -> str:
        """Why no call would get through; empty when it would."""
        try:
            async with asyncio.timeout(self._probe_seconds):
                await self._store.probe()
                await self._ledger.end_outage()
        except LedgerUnavailable as error:
            return str(error) or "the store cannot be used"
        except Refusal:
            return self._ledger.outage or "no command is carried out"
        except TimeoutError:
            return f"the store did not answer within {self._probe_seconds:g} s"
        except Exception as fault:  # noqa: BLE001 - the next beat comes after any fault.
            self._observer.fault("readiness", fault)
            return f"a fault: {type(fault).__name__}"
        return ""
