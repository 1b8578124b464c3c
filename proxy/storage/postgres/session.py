"""Sessions of PostgreSQL: their setup, the meaning of their errors, and their timeouts."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import msgspec
from asyncpg.connect_utils import SessionAttribute

from proxy.ledger.store import LedgerUnavailable
from proxy.storage.faults import ConstraintFault, StorageFault

OLDEST_POSTGRES: Final = 14
"""The first major version that removes superseded index entries by itself; lots leave many."""

PRIMARY: Final = SessionAttribute.primary
"""Of several servers in a location, the one that accepts writes; a failover may change it."""

# The parts of a location that may be shown. An ambiguous one, such as with a slash in its password, shows
# nothing.
_SHOWN: Final = re.compile(r"(\w+://)(?:[^/?#@]*@)?([^/?#@]*(?:/[^/?#@]*)?)(?:\?[^@]*)?")

# Text is quoted in one way only, whatever the database's own settings are. A read that leaves parameters
# out is planned without them. A commit is durable even where the server's default is not.
_SETUP: Final = """
SELECT set_config(name, value, false) FROM (VALUES
    ('standard_conforming_strings', 'on'),
    ('jit', 'off'),
    ('lock_timeout', '{lock_ms}ms'),
    ('statement_timeout', '{statement_ms}ms'),
    ('farebox.locked_timeout', '{locked_ms}ms'),
    ('idle_in_transaction_session_timeout', '{idle_ms}ms'),
    ('plan_cache_mode', 'force_custom_plan'),
    ('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END)
) AS settings (name, value)
"""
# A batch finds every row by a key. It is planned once, and a plan that was made for a small table must not
# scan all of it after it has grown.
_KEYED: Final = (
    "SET plan_cache_mode = force_generic_plan; "
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
)

# SQLSTATE classes and codes, as in PostgreSQL's appendix of error codes.
_CONSTRAINT_CLASSES: Final = frozenset({"22", "23"})
_UNDONE_CODES: Final = frozenset({"40001", "40P01", "55P03"})
_UNIQUE_VIOLATION: Final = "23505"
_QUERY_CANCELED: Final = "57014"


class Timeouts(msgspec.Struct, frozen=True):
    """How long things may take. The server ends what exceeds `lock_seconds` or `statement_seconds`.

    A server that does not answer is given up `spare_seconds` later. A session that has locks and is silent
    for `locked_seconds` loses them.
    """

    connect_seconds: float = 5.0
    lock_seconds: float = 5.0
    statement_seconds: float = 10.0
    spare_seconds: float = 2.0
    locked_seconds: float = 5.0
    idle_seconds: float = 120.0

    @property
    def answer_seconds(self) -> float:
        """After how long a connection that does not answer is given up."""
        return self.statement_seconds + self.spare_seconds


async def connect(
    location: str, timeouts: Timeouts, *, keyed: bool = False, probing: bool = False
) -> asyncpg.Connection:
    """A session set up; `keyed` for one that looks for rows by their keys only.

    One that is `probing` is set up just so that the server ends soon what it waits for.

    Raises asyncpg.PostgresError, asyncpg.InterfaceError, OSError or TimeoutError, and StorageFault for a
    location that cannot be read and for a server that is too old.
    """
    try:
        connection = await asyncpg.connect(
            location,
            timeout=timeouts.connect_seconds,
            command_timeout=timeouts.answer_seconds,
            target_session_attrs=PRIMARY,
            server_settings={"application_name": "farebox"},
        )
    except asyncpg.InterfaceError:
        raise
    except ValueError:
        # Its message may contain a piece of the password.
        raise StorageFault(
            "the URL cannot be read; in user and password write what is special as %2F and the like"
        ) from None
    try:
        if probing:
            await connection.execute(f"SET statement_timeout = {_ms(timeouts.connect_seconds)}")
            return connection
        await set_up(connection, timeouts)
        if keyed:
            await connection.execute(_KEYED)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def let_go(connection: asyncpg.Connection, timeouts: Timeouts) -> None:
    """Close a connection, whatever state it is in."""
    try:
        await connection.close(timeout=timeouts.connect_seconds)
    except FAILURES:
        connection.terminate()


async def set_up(
    connection: "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy", timeouts: Timeouts
) -> None:
    """Make the settings of a new session. Raises as `connect`."""
    version = connection.get_server_version()
    if version.major < OLDEST_POSTGRES:
        raise StorageFault(f"PostgreSQL {version.major} is too old: {OLDEST_POSTGRES} or newer is needed")
    await connection.execute(
        _SETUP.format(
            lock_ms=_ms(timeouts.lock_seconds),
            statement_ms=_ms(timeouts.statement_seconds),
            locked_ms=_ms(timeouts.locked_seconds),
            idle_ms=_ms(timeouts.idle_seconds),
        )
    )
    # Sums of whole numbers come as `numeric`, and are whole numbers here.
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=int, format="text")


FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What talking to a server can raise. TimeoutError is what asyncio and asyncpg raise for no answer.

InternalClientError is what asyncpg raises for a connection on which a server's last words have come unasked.
"""


def is_taken(error: BaseException) -> bool:
    """Whether an id was taken: if just now, by another process, the rules will say so the next time."""
    return _code(error) == _UNIQUE_VIOLATION


def is_constraint(error: BaseException) -> bool:
    """Whether a value is what the schema does not allow, or what the driver cannot even send."""
    return _code(error)[:2] in _CONSTRAINT_CLASSES or isinstance(error, ValueError)


def is_undone(error: BaseException) -> bool:
    """Whether the server has certainly undone the statement, and the connection is well."""
    return is_constraint(error) or _code(error) in _UNDONE_CODES


def is_passing(error: BaseException) -> bool:
    """Whether the server has ended a statement that took too long, and the connection is well."""
    return _code(error) == _QUERY_CANCELED


def is_cut(error: BaseException) -> bool:
    """Whether the connection was broken, so that another one may do."""
    if isinstance(error, TimeoutError) or is_passing(error):
        return False
    ended = asyncpg.PostgresConnectionError | asyncpg.OperatorInterventionError
    return isinstance(error, ended | asyncpg.InterfaceError | asyncpg.InternalClientError | OSError)


@contextmanager
def as_faults(location: str) -> Iterator[None]:
    """Turn errors of the driver into those of a store."""
    try:
        yield
    except FAILURES as error:
        raise fault_of(error, location) from error


def fault_of(error: BaseException, location: str) -> ConstraintFault | LedgerUnavailable:
    """The fault that a store raises for an error."""
    text = f"{shown(location)}: {reason(error)}"
    return ConstraintFault(text) if is_constraint(error) else LedgerUnavailable(text)


def reason(error: BaseException) -> str:
    """The message of an error, or its kind when it has none."""
    return str(error) or (
        "the server does not answer" if isinstance(error, TimeoutError) else type(error).__name__
    )


def shown(location: str) -> str:
    """A location for messages: without user, password and options."""
    found = _SHOWN.fullmatch(location)
    return f"{found[1]}{found[2]}" if found else f"{location.partition('://')[0]}://..."


def _code(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
