"""Owner names on PostgreSQL: leases show which processes are alive, and locked files do on one machine.

A lost connection says nothing about its process: the server may have restarted, or the network failed for a
moment, while calls are in flight and money is held for them. So a process counts as gone only in two cases.
Its lease has run out, which it extends several times before each end. Or a process on the same machine finds
that nobody holds the lock on its file, which the system releases only when the process ends.

When the database itself was away, all leases have run out, of processes that all live and still have calls to
close. So a process judges others by their leases only when it has been in touch with the database for half a
lease, in which the others extend theirs several times. A process that has just started does not judge.

A process that was found gone stays gone, and this is stored before any of its holds is closed. Each batch of
a process locks its row and cannot begin without it. So a process that was only cut off, or stood still,
learns of it before it makes another hold, and goes on under a new name. Its calls in flight under the old
name have been recovered, with the charge that was observed last.
"""

import contextlib
import secrets
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import asyncpg

from proxy.ledger.rows import Hold
from proxy.storage import columns
from proxy.storage.owners import alone, gone
from proxy.storage.postgres.migrate import STATEMENTS

_LOCK: Final = "lock"

Fetch = Callable[..., Awaitable[Sequence[asyncpg.Record]]]
"""Runs a statement with its parameters and returns its rows."""


class Lease:
    """This process's name, and the lease on it for `lease_seconds` at a time.

    Methods raise LedgerUnavailable when the database does not answer.
    """

    def __init__(self, fetch: Fetch, *, lease_seconds: float, folder: Path | None = None) -> None:
        self._fetch = fetch
        self._lease_seconds = lease_seconds
        self._folder = folder or Path(tempfile.gettempdir())
        self._life = ExitStack()
        self._life_file = ""
        self.names: list[str] = []

    @property
    def name(self) -> str:
        """The name now, such as `owner-7`; empty before the first."""
        return self.names[-1] if self.names else ""

    async def open(self) -> None:
        """Take a name."""
        with contextlib.suppress(OSError):
            life_file = str(self._folder / f"farebox-{secrets.token_hex(16)}")
            self._life.enter_context(alone(Path(life_file)))
            self._life.callback(_remove, life_file)
            self._life_file = life_file
        try:
            await self._claim()
            await self._fetch(STATEMENTS["forget_owners"])
        except BaseException:
            self._life.close()
            raise

    async def renew(self) -> None:
        """Extend the lease, or take a new name when the old one was found gone."""
        name = self.name
        if not await self._fetch(STATEMENTS["renew_owner"], name, self._lease_seconds):
            await self.name_after(name)

    async def name_after(self, gone_name: str) -> str:
        """The name that follows one that was found gone; it is taken if there is none yet."""
        if self.name == gone_name:
            await self._claim()
        return self.name

    async def take(self, work: str, seconds: float) -> bool:
        """Whether this process does some work for all, for so many seconds from now on."""
        return bool(await self._fetch(STATEMENTS["take_lease"], work, self.name, seconds))

    async def orphans(self, now_us: int) -> list[Hold]:
        """Open holds of processes that are gone, and those whose deadline has passed.

        A hold with a deadline is no orphan before it. The processes cannot come back under their names.
        """
        await self.renew()
        owners = await self._fetch(STATEMENTS["live_owners"])
        dead = {row["name"]: row["life_file"] for row in owners if _is_dead(row["life_file"])}
        await self._fetch(STATEMENTS["end_owners"], list(dead), self.name, self._lease_seconds)
        for life_file in dead.values():
            _remove(life_file)
        rows = await self._fetch(STATEMENTS["orphans"], self.names, now_us)
        return [columns.hold_of(tuple(row)) for row in rows]

    async def close(self) -> None:
        """Give the name up, so that nobody waits for the lease to end; idempotent."""
        try:
            for name in self.names:
                await self._fetch(STATEMENTS["drop_lease"], name)
                await self._fetch(STATEMENTS["drop_owner"], name)
        finally:
            self._life.close()

    async def _claim(self) -> None:
        (row,) = await self._fetch(STATEMENTS["add_owner"], self._life_file, self._lease_seconds)
        self.names.append(row["name"])


def _is_dead(life_file: str) -> bool:
    """Whether a process's file is on this machine, and nobody has it locked."""
    if not life_file:
        return False
    path = Path(life_file)
    with contextlib.suppress(OSError):
        return path.with_name(f"{path.name}.{_LOCK}").exists() and bool(gone(path, [_LOCK]))
    return False


def _remove(life_file: str) -> None:
    path = Path(life_file)
    with contextlib.suppress(OSError):
        path.with_name(f"{path.name}.{_LOCK}").unlink()
