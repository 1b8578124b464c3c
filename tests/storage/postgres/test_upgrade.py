"""A fleet is upgraded while it runs: workers of this version and of the next one share a database."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from proxy.ledger.rows import Limits
from proxy.storage.faults import StorageFault
from proxy.storage.migrate import Migration
from proxy.storage.postgres.functions import TEMPLATE
from proxy.storage.postgres.migrate import REVISION, Revision, bring_up_to_date
from proxy.storage.postgres.store import PostgresStore
from tests.storage.engines import Postgres, opened, postgres_at, tell
from tests.storage.teller import KEY, NOON_US, account, call, granted, opening, settle, void
from tests.storage.whole import database_of, differences, honest

VERSION = len(REVISION.migrations)
STEP = "ALTER TABLE receipts ADD COLUMN took_us BIGINT NOT NULL DEFAULT 0;\n"
STEPPED = Migration(VERSION + 1, "next_step", STEP, hashlib.sha256(STEP.encode()).hexdigest())
TOOK = (
    ("INSERT INTO receipts ({receipts.columns})", "INSERT INTO receipts ({receipts.columns}, took_us)"),
    (
        "SELECT {receipts.from_json:r}",
        "SELECT {receipts.from_json:r}, (r ->> 13)::BIGINT - (r ->> 8)::BIGINT",
    ),
)
"""What the next version says otherwise: receipts have a column more, which it fills."""


def next_version() -> Revision:
    template = TEMPLATE
    for before, after in TOOK:
        assert before in template
        template = template.replace(before, after)
    return Revision.of((*REVISION.migrations, STEPPED), template)


@pytest.fixture
def database(tmp_path: Path) -> Postgres:
    """One without tables."""
    return Postgres(tmp_path, empty=True)


@pytest.fixture
async def connection(database: Postgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.location)
    yield connection
    await connection.close()


async def took(database: Postgres) -> list[tuple[Any, ...]]:
    return await tell(database.location, "SELECT id, took_us FROM receipts ORDER BY id")


async def pair(store: PostgresStore, id_: str) -> None:
    await granted(store, call(id_), 300)
    assert (await store.apply([honest(settle(call(id_), 200))]))[0]


async def test_a_worker_that_runs_goes_on_beside_one_of_the_next_version(
    database: Postgres,
) -> None:
    """In turns on one account: each by its own functions, also with calls that the other has begun."""
    async with opened(database.location) as old:
        await old.apply(opening(10_000, limits=Limits(rpm=10_000, day_nano=5_000)))
        await pair(old, "call_1")
        await granted(old, call("call_2"), 300)
        async with opened(database.location, revision=next_version()) as new:
            for turn in range(3):
                await pair(old, f"call_a{turn}")
                await pair(new, f"call_b{turn}")
            await new.apply([honest(settle(call("call_2"), 100))])
            await granted(new, call("call_3"), 300)
            await old.apply([void(call("call_3"))])
            digest = f"digest of {KEY}"
            assert await old.caller_by_digest(digest) == await new.caller_by_digest(digest)
            assert (await account(old)) == (await account(new))
            assert (await account(old))["balance_nano"] == 10_000 - 7 * 200 - 100
    assert dict(await took(database)) == {
        "call_1": 0,
        "call_2": 900,
        "call_3": 0,
        **{f"call_a{turn}": 0 for turn in range(3)},
        **{f"call_b{turn}": 900 for turn in range(3)},
    }


async def test_a_worker_that_runs_sees_to_everything_else_as_well(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    """Orphans, reads and retention, when the schema is ahead of it."""
    async with opened(database.location) as old, opened(database.location, revision=next_version()) as new:
        await old.apply(opening(10_000))
        await pair(old, "call_1")
        await granted(new, call("call_2"), 300)
        await connection.execute("UPDATE owners SET gone = TRUE WHERE name = $1", new.owner)
        assert [hold.id for hold in await old.orphans(NOON_US)] == ["call_2"]
        await old.apply([void(call("call_2"))])
        (receipt,) = await old.query("receipt_by_id", {"call_id": "call_1"})
        assert "took_us" not in receipt
        assert await old.retain(0) == 2


async def test_one_of_this_version_that_starts_afterwards_is_refused(database: Postgres) -> None:
    """It would take part in a schema that it does not know; those that run were there before."""
    async with opened(database.location), opened(database.location, revision=next_version()):
        with pytest.raises(StorageFault, match="made by a newer Farebox: it has the migration next_step"):
            await postgres_at(database.location).open()


async def test_an_upgrade_leaves_no_difference_for_an_audit(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    async with opened(database.location) as old, opened(database.location, revision=next_version()) as new:
        await old.apply(opening(10_000))
        for turn in range(4):
            await pair((old, new)[turn % 2], f"call_{turn}")
    # Commands of this version refuse a schema that is ahead of them; this one is to read its rows.
    await connection.execute("DELETE FROM migrations WHERE number = $1", VERSION + 1)
    assert differences(database_of(database)) == []


async def test_functions_are_made_once_and_stay(connection: asyncpg.Connection) -> None:
    for revision in (REVISION, REVISION, next_version(), next_version()):
        await bring_up_to_date(connection, revision)
    rows = await connection.fetch(
        "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::REGNAMESPACE"
    )
    names = {name for (name,) in rows if "_v" in name}
    assert names == {
        f"ledger_{half}_v{version}" for half in ("load", "write") for version in (VERSION, VERSION + 1)
    }


async def test_functions_that_were_edited_without_a_migration_are_refused(
    connection: asyncpg.Connection,
) -> None:
    """A worker that runs would find that its functions have changed under it."""
    await bring_up_to_date(connection)
    edited = Revision.of(REVISION.migrations, TEMPLATE.replace("IF cardinality", "IF 0 < cardinality"))
    with pytest.raises(StorageFault, match=f"functions of version {VERSION} are not those of this version"):
        await bring_up_to_date(connection, edited)


async def test_rows_with_other_columns_than_a_function_knows_are_not_written(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    """Their names come with them: what is in another place is never taken for what was there."""
    async with opened(database.location) as store:
        await store.apply(opening(1_000))
        rows = '"throttles": {"columns": ["scope_id", "account_id", "kind", "level", "at_us"], "rows": [[]]}'
        change = f'{{"owner": "{store.owner}", "batch": 2, {rows}}}'
        with pytest.raises(asyncpg.AssertError, match="throttles come with other columns"):
            await connection.execute(f"{REVISION.functions.write}'{change}')")
    assert database.dump()["throttles"] == []
