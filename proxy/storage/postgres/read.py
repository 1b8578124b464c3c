"""Everything that PostgreSQL is asked beside batches: a pool of connections, and the named reads."""

import asyncio
import contextlib
import re
from collections.abc import Mapping
from typing import Final

import asyncpg
import msgspec

from proxy.ledger.store import LedgerUnavailable, Row
from proxy.storage.postgres.session import FAILURES, PRIMARY, Timeouts, as_faults, fault_of, is_cut, set_up
from proxy.storage.queries import PORTABLE_READS, Query, load, rows_of

_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]+)")
_CLOSING_SECONDS: Final = 5.0


class Read(msgspec.Struct, frozen=True):
    """A named read with PostgreSQL's numbered parameters; `names` are those of their values, in order."""

    sql: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, query: Query) -> "Read":
        """The read of a query with named parameters."""
        names = tuple(sorted(query.params))
        sql = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", query.sql)
        return cls(sql, names)


READS: Final = {
    name: Read.of(query)
    for name, query in {
        **load(*PORTABLE_READS),
        **load("postgres/sql/read.sql"),
    }.items()
}
"""The named reads; every engine has the same names."""


class ReadPool:
    """Up to `connections` to the database at `location`, made when they are needed."""

    def __init__(self, location: str, timeouts: Timeouts, *, connections: int) -> None:
        self._location = location
        self._timeouts = timeouts
        self._connections = connections
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Make the pool; it connects when a read needs it."""
        timeouts = self._timeouts

        async def init(connection: asyncpg.pool.PoolConnectionProxy) -> None:
            await set_up(connection, timeouts)

        self._pool = await asyncpg.create_pool(  # type: ignore[call-overload]  # its overloads do not match.
            self._location,
            min_size=0,
            max_size=self._connections,
            timeout=timeouts.connect_seconds,
            command_timeout=timeouts.answer_seconds,
            target_session_attrs=PRIMARY,
            init=init,
            # Reads leave nothing behind, so no round trip has to undo anything after each.
            reset=_leave_as_it_is,
            server_settings={"application_name": "farebox"},
        )

    async def fetch(self, sql: str, *params: object) -> list[asyncpg.Record]:
        """The rows of a statement that may run twice: it is tried again when its connection was broken.

        Raises LedgerUnavailable or ConstraintFault.
        """
        if self._pool is None:
            raise LedgerUnavailable("the store is not open")
        try:
            return await self._fetch(self._pool, sql, *params)
        except FAILURES as error:
            # A server that restarted has broken every connection, also the idle ones.
            if not is_cut(error):
                raise fault_of(error, self._location) from error
        with as_faults(self._location):
            return await self._fetch(self._pool, sql, *params)

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        """The rows of one of `READS`. Raises as a store's `query`."""
        read = READS[name]
        if params.keys() != set(read.names):
            raise ValueError(f"{name} takes {sorted(read.names)}, not {sorted(params)}")
        return await rows_of(await self.fetch(read.sql, *(params[name] for name in read.names)))

    async def close(self) -> None:
        """Let go of the connections; idempotent."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await pool.close()
        except FAILURES:
            with contextlib.suppress(*FAILURES):
                pool.terminate()

    async def _fetch(self, pool: asyncpg.Pool, sql: str, *params: object) -> list[asyncpg.Record]:
        async with asyncio.timeout(self._timeouts.answer_seconds), pool.acquire() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *params)
            return rows


async def _leave_as_it_is(connection: "asyncpg.Connection") -> None:
    pass
