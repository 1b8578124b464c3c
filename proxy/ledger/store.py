"""The seam to a storage engine."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from proxy.ledger.alerts import Alerts
from proxy.ledger.commands import Command, Result
from proxy.ledger.rows import Caller, Hold

Row = dict[str, object]


class LedgerUnavailable(Exception):  # noqa: N818 - it is an answer to the caller, not a fault in the code.
    """The engine could not commit. Nothing of the batch is on the ledger."""


class LedgerLost(LedgerUnavailable):
    """This process can never use the ledger again, however often it tries. A new process may."""


class Store(Protocol):
    """A storage engine for the ledger. Each `apply` is one write transaction.

    An engine loads what `needs.needs_of` names, runs `rules.apply` for each command in order, writes what the
    books say has changed, and commits durably before it returns. The rules tell of what `alerts` are for,
    which may be replaced at any time.
    """

    alerts: Alerts

    @property
    def owner(self) -> str:
        """This process's name on the holds it makes. No other live process has it."""
        ...

    async def open(self) -> None:
        """Connect, bring the schema up to date, and claim an owner name."""
        ...

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Carry out a batch; one result for each command. Raises LedgerUnavailable if it could not commit."""
        ...

    async def probe(self) -> None:
        """Find out whether keys are found and, where that can be lost, commits succeed, for any process.

        Raises LedgerUnavailable. The caller bounds how long it may take.
        """
        ...

    async def loss(self) -> str:
        """Wait until every method but `close` raises LedgerLost for good; returns why."""
        ...

    async def orphans(self, now_us: int) -> list[Hold]:
        """Open holds without a process that will close them, in the order of their ids.

        These are holds without a deadline whose process is gone, those under this process's own name from
        before it began included, and holds whose deadline is not after `now_us`, whether or not their process
        is gone.
        """
        ...

    async def take_lease(self, name: str, seconds: float) -> bool:
        """Whether this process has the lease of this name, perhaps from now on, for so many seconds at least.

        At most one process has it, which keeps it by asking again in time; once it is gone another gets it.
        """
        ...

    async def caller_by_digest(self, digest: str) -> Caller | None:
        """The key with this digest and its account's group, or None."""
        ...

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        """Run one of the named read queries."""
        ...

    async def close(self) -> None:
        """Let go of everything; idempotent."""
        ...
