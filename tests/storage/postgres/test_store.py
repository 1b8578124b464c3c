"""What is particular to PostgreSQL: the schema, what a batch says to the server, and many at once."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from proxy.ledger.commands import CreateKey, OpenAccount
from proxy.ledger.rows import Call, Limits
from proxy.ledger.store import LedgerUnavailable
from proxy.ledger.windows import DAY_US
from proxy.storage.faults import StorageFault
from proxy.storage.locations import store_for
from proxy.storage.postgres.database import PostgresDatabase
from proxy.storage.postgres.migrate import REVISION
from proxy.storage.postgres.read import READS, Read
from proxy.storage.postgres.session import Timeouts
from proxy.storage.postgres.store import PostgresStore
from proxy.storage.postgres.write import write_of
from proxy.storage.queries import load
from proxy.storage.sqlite.store import READS as SQLITE_READS
from proxy.storage.sqlite.store import SqliteStore
from proxy.tasks import Tasks
from tests.sources import ROOT
from tests.storage.engines import Postgres, opened
from tests.storage.teller import (
    ACCOUNT,
    KEY,
    NOON_US,
    account,
    authorize,
    call,
    done,
    grant,
    granted,
    opening,
    settle,
    settled,
)

TASKS = Tasks(lambda _name, _error: None)
VERSION = REVISION.functions.version


@pytest.fixture
async def store(database: Postgres) -> AsyncIterator[PostgresStore]:
    async with opened(database.location) as store:
        yield store


@asynccontextmanager
async def session(database: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """A connection beside those of stores."""
    connection = await asyncpg.connect(database.location)
    try:
        yield connection
    finally:
        await connection.close()


def start(location: str, *words: object) -> subprocess.Popen[str]:
    """Another process that works on the database."""
    command = [sys.executable, "-m", "tests.storage.other_process", location, *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def said(store: PostgresStore) -> list[str]:
    """The messages of the store's writing connection from here on; each is one round trip."""
    queries: list[str] = []
    writer_of(store).add_query_logger(lambda record: queries.append(record.query))
    return queries


def writer_of(store: PostgresStore) -> asyncpg.Connection:
    """The connection that the store has for batches."""
    assert store._batches is not None
    assert store._batches._connection is not None
    return store._batches._connection


# --- which engine ---


def test_the_location_tells_the_engine() -> None:
    assert isinstance(store_for("farebox.db", tasks=TASKS), SqliteStore)
    assert isinstance(store_for("sqlite:///farebox.db", tasks=TASKS), SqliteStore)
    for scheme in ("postgresql", "postgres"):
        assert isinstance(store_for(f"{scheme}://db/farebox", tasks=TASKS), PostgresStore)


def test_without_its_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "proxy.storage.postgres.store", None)
    with pytest.raises(StorageFault, match=r"install farebox\[postgres\]"):
        store_for("postgresql://db/farebox", tasks=TASKS)


async def test_a_database_that_cannot_be_reached_is_named_without_the_password() -> None:
    location = "postgresql://ada:secret@127.0.0.1:9/books?sslmode=disable"
    with pytest.raises(StorageFault, match=r"^postgresql://127\.0\.0\.1:9/books: ") as caught:
        await PostgresStore(location, tasks=TASKS).open()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "rest",
    [
        "ada:sec/ret@127.0.0.1:9/books",
        "ada:1/secret@127.0.0.1:9/books",
        "ada:sec?ret@127.0.0.1:9/books",
        "ada:sec#ret@127.0.0.1:9/books",
        "ada:sec[ret@127.0.0.1:9/books",
        "ada:sec@ret@127.0.0.1:9/books",
        "127.0.0.1:9/books?user=a@b&password=secret",
    ],
)
async def test_a_password_that_is_written_wrongly_is_not_told_either(rest: str) -> None:
    """Where it is not escaped, what looks like a host or a port is a piece of it."""
    location = f"postgresql://{rest}"

    def look() -> None:
        with PostgresDatabase(location).snapshot():
            pass

    for attempt in (PostgresStore(location, tasks=TASKS).open(), asyncio.to_thread(look)):
        with pytest.raises(StorageFault, match=r"^postgresql://(\.\.\.|127\.0\.0\.1:9/books): ") as caught:
            await attempt
        assert "sec" not in str(caught.value)
        assert "ret@" not in str(caught.value)


# --- what the schema does not allow ---


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET amount_nano = 1",
        "UPDATE entries SET note = note",
        "DELETE FROM entries",
        "TRUNCATE entries",
    ],
)
async def test_entries_are_immutable(store: PostgresStore, database: Postgres, statement: str) -> None:
    await store.apply(opening(1_000))
    async with session(database) as other:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="entries are immutable"):
            await other.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts SET balance_nano = -1",
        "UPDATE accounts SET held_nano = balance_nano + 1",
        "UPDATE accounts SET held_nano = -1",
        "UPDATE accounts SET debt_nano = balance_nano + 1",
        "UPDATE accounts SET open_holds = -1",
        "UPDATE lots SET remaining_nano = amount_nano + 1",
        "UPDATE lots SET remaining_nano = -1",
        "UPDATE buckets SET held_nano = -1",
        "UPDATE buckets SET spent_nano = -1",
        "UPDATE accounts SET spending = '[1,[[-1,0]]]'",
        "UPDATE keys SET spending = '[1,[[0,-1]]]'",
        "UPDATE throttles SET level = -1",
        "UPDATE accounts SET spending = ''",
        "UPDATE holds SET state = 'lost'",
        "UPDATE holds SET state = 'open'",
        "UPDATE receipts SET charged_nano = charged_nano - 1",
        "UPDATE receipts SET shortfall_nano = -1",
        "INSERT INTO keys SELECT 'k', account_id, '', digest, '', 0, status, 0, '', '', 0, '', '' FROM keys",
        "INSERT INTO keys SELECT 'k2', 'none', '', 'other', hint, 0, status, 0, '', '', 0, '', '' FROM keys",
    ],
)
async def test_the_schema_refuses_what_the_rules_never_do(
    store: PostgresStore, database: Postgres, statement: str
) -> None:
    await store.apply(opening(1_000, limits=Limits(rpm=5)))
    await granted(store, call("call_1"), 100)
    await settled(store, call("call_1"), 100)
    await granted(store, call("call_2", at_us=NOON_US + DAY_US), 100)
    async with session(database) as other:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await other.execute(statement)


async def test_text_that_is_sorted_or_paged_by_sorts_by_its_bytes(
    store: PostgresStore, database: Postgres
) -> None:
    """Whatever language the database was made for: reads compare ids, and put '~' after all of them."""
    indexed = """
        SELECT c.relname || '.' || a.attname FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indrelid AND c.relnamespace = current_schema()::REGNAMESPACE
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE a.atttypid = 'text'::REGTYPE AND a.attcollation <> '"C"'::REGCOLLATION
    """
    async with session(database) as other:
        assert await other.fetch(indexed) == []


# --- what a batch says ---


async def test_a_batch_of_any_size_takes_two_round_trips(store: PostgresStore) -> None:
    await store.apply(opening(1_000_000))
    for size in (1, 255):
        calls = [call(f"call_{size}_{number:03}", at_us=NOON_US + number) for number in range(size)]
        queries = said(store)
        await store.apply([authorize(made, 10, owner=store.owner) for made in calls])
        await store.apply([settle(made, 10) for made in calls])
        await asyncio.sleep(0)  # Queries are reported in the loop's next turn.
        assert [query.partition("(")[0] for query in queries] == [
            f"SELECT ledger_load_v{VERSION}",
            f"SELECT ledger_write_v{VERSION}",
        ] * 2


async def test_a_batch_that_changes_nothing_writes_nothing(store: PostgresStore) -> None:
    await store.apply(opening(1_000, limits=Limits(rpm=100, day_nano=900)))
    await granted(store, call("call_1"), 100)
    queries = said(store)
    await granted(store, call("call_1"), 100)
    await asyncio.sleep(0)
    assert [query.partition("(")[0] for query in queries] == [
        f"SELECT ledger_load_v{VERSION}",
        "COMMIT; BEGIN ISOLATION LEVEL READ COMMITTED",
    ]


NASTY = (
    "O'Hara",
    "'; DROP TABLE accounts; --",
    "\\",
    "\\'",
    "'' \\''",
    "$$ $1 ${x} %s",
    "\x01\t\n\x7f",
    "ü'☃\U0001f600",
)


@pytest.mark.parametrize("name", NASTY)
async def test_whatever_a_name_is_it_stays_one(store: PostgresStore, name: str) -> None:
    await store.apply(
        [OpenAccount(ACCOUNT, name, NOON_US), CreateKey(ACCOUNT, KEY, name, name, name, NOON_US)]
    )
    await store.apply([grant(1_000)])
    made = Call("call_1", ACCOUNT, KEY, name, name, name, name, False, NOON_US)
    await granted(store, made, 100)
    await settled(store, made, 10)
    (row,) = await store.query("receipt_by_id", {"call_id": "call_1"})
    assert [row[column] for column in ("endpoint", "model", "upstream", "upstream_model")] == [name] * 4
    assert (await account(store))["name"] == name
    caller = await store.caller_by_digest(name)
    assert caller is not None
    assert (caller.key.name, caller.key.hint) == (name, name)


@pytest.mark.parametrize("name", NASTY)
def test_no_value_can_end_the_literal_that_it_is_in(name: str) -> None:
    statement = write_of(REVISION.functions, {"entries": [(name,)]}, owner=name, batch=1)
    assert statement.startswith(f"{REVISION.functions.write}'")
    assert statement.endswith("')")
    assert "'" not in statement[len(f"{REVISION.functions.write}'") : -2]


async def test_the_servers_defaults_change_nothing(database: Postgres) -> None:
    """A session is set up for how text is quoted, what is visible, and what a commit promises."""
    defaults = (
        "standard_conforming_strings=off&synchronous_commit=off&default_transaction_isolation=serializable"
    )
    location = f"{database.location}&{defaults}"
    async with opened(location) as store:
        await store.apply([OpenAccount(ACCOUNT, "back\\slash's", NOON_US)])
        assert (await account(store))["name"] == "back\\slash's"
        writer = writer_of(store)
        assert await writer.fetchval("SHOW synchronous_commit") == "on"
        assert await writer.fetchval("SHOW transaction_isolation") == "read committed"


# --- reads ---


def test_every_read_there_is_can_be_asked() -> None:
    assert READS.keys() == SQLITE_READS.keys()
    for name, read in READS.items():
        assert set(read.names) == SQLITE_READS[name].params


def test_named_parameters_become_numbered_ones() -> None:
    read = Read.of(load("postgres/sql/read.sql")["receipt_by_id"])
    assert (read.names, "$1" in read.sql, ":call_id" in read.sql) == (("call_id",), True, False)


async def test_sums_come_as_whole_numbers(store: PostgresStore) -> None:
    await store.apply(opening(1_000))
    (sums,) = await store.query("account_sums", {"account_id": ""})
    assert {type(value) for name, value in sums.items() if name != "id"} == {int}


async def test_a_read_goes_by_an_index(database: Postgres) -> None:
    """No table is gone through from end to end where there is another way."""
    scans: dict[str, list[str]] = {}
    async with session(database) as other:
        await other.execute("SET enable_seqscan = off")
        for name, read in READS.items():
            asked = (await other.prepare(read.sql)).get_parameters()
            plan = await other.fetch(
                f"EXPLAIN {read.sql}", *("x" if each.name == "text" else 5 for each in asked)
            )
            scans[name] = [line for (line,) in plan if "Seq Scan" in line]
    assert {name: lines for name, lines in scans.items() if lines} == {}


# --- many at once ---


async def test_stores_with_the_same_accounts_never_wait_for_one_another_in_a_circle(
    database: Postgres,
) -> None:
    """Accounts are locked in one order, whatever the order of the commands: nothing has to be tried again."""
    ids = [f"acct_{number}" for number in range(6)]
    async with (
        opened(database.location, patience_seconds=0) as one,
        opened(database.location, patience_seconds=0) as two,
    ):
        for id_ in ids:
            await one.apply(opening(100_000, account_id=id_, key_id=f"key_of_{id_}"))

        async def work(store: PostgresStore, order: list[str], name: str) -> None:
            for turn in range(12):
                calls = [
                    call(f"call_{name}_{turn}_{id_}", account_id=id_, key_id=f"key_of_{id_}") for id_ in order
                ]
                await store.apply([authorize(made, 10, owner=store.owner) for made in calls])
                await store.apply([settle(made, 10) for made in calls])

        await asyncio.gather(work(one, ids, "one"), work(two, ids[::-1], "two"))
        for id_ in ids:
            assert (await account(one, id_))["balance_nano"] == 100_000 - 24 * 10


async def test_an_account_opened_by_two_at_once_is_one(database: Postgres) -> None:
    async with opened(database.location) as one, opened(database.location) as two:
        for number in range(5):
            command = OpenAccount(f"acct_{number}", "Ada", NOON_US)
            results = await asyncio.gather(one.apply([command]), two.apply([command]))
            assert sorted(type(result).__name__ for (result,) in results) == ["Done", "Refused"]


async def test_of_200_calls_from_two_processes_as_many_pass_as_can_be_paid(
    store: PostgresStore, database: Postgres
) -> None:
    await store.apply(opening(3_700))
    others = [start(database.location, "spend", 100, 100) for _ in range(2)]
    answers = await asyncio.gather(*(asyncio.to_thread(other.communicate) for other in others))
    assert [other.returncode for other in others] == [0, 0]
    assert sum(int(answer) for answer, _ in answers) == 37
    row = await account(store)
    assert (row["balance_nano"], row["held_nano"], row["open_holds"], row["entries"]) == (0, 0, 0, 38)


async def test_a_batch_waits_for_another_one_and_gives_up_in_the_end(database: Postgres) -> None:
    timeouts = Timeouts(lock_seconds=0.05)
    async with (
        opened(database.location, patience_seconds=0.0, timeouts=timeouts) as store,
        session(database) as other,
    ):
        await store.apply(opening(1_000))
        await other.execute("BEGIN; SELECT FROM accounts FOR UPDATE")
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            await store.apply([grant(5, command_id="grant_2")])
        assert (await account(store))["balance_nano"] == 1_000, "reading waits for nobody"
        await other.execute("ROLLBACK")
        await done(store, grant(5, command_id="grant_2"))
