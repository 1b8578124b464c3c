"""The audit of a database: what an engine has written has no difference, and what was changed there has."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings

from proxy.storage.audit import count_rows, ledger_of
from proxy.storage.faults import StorageFault
from proxy.storage.sqlite.database import SqliteDatabase
from tests.storage.conftest import OpenStore
from tests.storage.engines import ENGINES, Engine, Postgres, Sqlite
from tests.storage.teller import authorize, call
from tests.storage.test_store_histories import BATCHES, MIDNIGHT_US, Step, commands_of
from tests.storage.test_store_histories import opening as accounts
from tests.storage.whole import database_of, differences, fill, filled, honest, tamper


async def carry_out(engine: Engine, batches: Sequence[tuple[int, Sequence[Step]]]) -> None:
    stores = [engine.store(), engine.store()]
    try:
        for store in stores:
            await store.open()
        await stores[0].apply(accounts())
        at_us = MIDNIGHT_US - 5
        for turn, steps in batches:
            await stores[turn].apply(list(map(honest, commands_of(steps, at_us))))
            at_us += sum(later_us for *_, later_us in steps)
    finally:
        for store in stores:
            await store.close()


@pytest.mark.parametrize("name", sorted(ENGINES))
@given(batches=BATCHES)
@settings(max_examples=15)
def test_any_history_that_processes_have_written_in_turns_has_no_difference(
    name: str, batches: list[tuple[int, list[Step]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = ENGINES[name](Path(folder))
        asyncio.run(carry_out(engine, batches))
        assert differences(database_of(engine)) == []


async def test_a_server_may_be_running_with_calls_in_flight(engine: Engine, open_store: OpenStore) -> None:
    await fill(await open_store(), in_flight=True)
    assert differences(database_of(engine)) == []


TAMPERINGS = {
    "UPDATE accounts SET balance_nano = balance_nano + 1 WHERE id = 'acct_2'": ("accounts", "acct_2"),
    "UPDATE accounts SET entries = entries - 1 WHERE id = 'acct_1'": ("accounts", "acct_1"),
    "UPDATE keys SET open_holds = 2 WHERE id = 'key_1'": ("keys", "key_1"),
    "DELETE FROM key_digests WHERE key_id = 'key_1'": ("keys", "key_1"),
    "UPDATE key_digests SET account_id = 'acct_1' WHERE key_id = 'key_2'": ("keys", "key_2"),
    "UPDATE lots SET remaining_nano = 0 WHERE id = 'lot_of_acct_2_grant_1'": (
        "lots",
        "lot_of_acct_2_grant_1",
    ),
    "DELETE FROM lots WHERE id = 'lot_of_acct_1_grant_2'": ("lots", "lot_of_acct_1_grant_2"),
    "UPDATE buckets SET spent_nano = 0 WHERE scope_id = 'key_2' AND start_day = 20000": (
        "buckets",
        "key_2/day/20000",
    ),
    "DELETE FROM buckets WHERE scope_id = 'acct_1' AND start_day = 20001": ("buckets", "acct_1/day/20001"),
    "UPDATE keys SET spending = '[20002,[[0,0],[0,0],[0,0],[0,0]]]' WHERE id = 'key_2'": (
        "keys",
        "key_2/total/0",
    ),
    "UPDATE accounts SET spending = replace(spending, ',0]]]', ',1]]]') WHERE id = 'acct_2'": (
        "accounts",
        "acct_2/total/0",
    ),
    "UPDATE holds SET amount_nano = amount_nano + 1 WHERE id = 'call_02'": ("receipts", "call_02"),
    "DELETE FROM holds WHERE id = 'call_03'": ("holds", "call_03"),
    "UPDATE holds SET call = '[]' WHERE id = 'call_99'": ("holds", "call_99"),
    "UPDATE entries SET amount_nano = -7 WHERE account_id = 'acct_1' AND seq = 4": ("entries", "acct_1/4"),
    "DELETE FROM entries WHERE account_id = 'acct_2' AND seq = 3": ("entries", "acct_2/4"),
    "UPDATE commands SET at_us = 1 WHERE command_id = 'adjust_1'": ("commands", "adjust_1"),
    "UPDATE receipts SET charge_nano = charge_nano-1, charged_nano = charged_nano-1 WHERE id = 'call_06'": (
        "receipts",
        "call_06",
    ),
    "UPDATE receipts SET lines = '{' WHERE id = 'call_08'": ("receipts", "call_08"),
    "DELETE FROM receipts WHERE id = 'call_04'": ("receipts", "call_04"),
    "UPDATE usage_days SET output_tokens = 1 WHERE account_id = 'acct_2' AND day = 20000": (
        "usage_days",
        "acct_2/20000/key_2/small",
    ),
}


async def test_rows_that_were_changed_by_hand_are_found_and_named(engine: Engine) -> None:
    """All at once: that each is found without the others, books in memory show."""
    database = await filled(engine, in_flight=True)
    assert differences(database) == []
    tamper(engine, *TAMPERINGS)
    found = {(one.table, one.id) for one in differences(database)}
    assert set(TAMPERINGS.values()) - found == set()


async def test_sums_over_all_accounts_that_were_changed_by_hand_are_found_and_named(tmp_path: Path) -> None:
    engine = Sqlite(tmp_path)
    database = await filled(engine)
    tamper(
        engine,
        "UPDATE usage_totals SET output_tokens = output_tokens + 1 WHERE day = 20000 AND id = 'key_1'",
        "UPDATE usage_totals SET charged_nano = 0 WHERE day = 20001 AND \"group\" = 'model'",
        "DELETE FROM usage_totals WHERE day = 20002 AND id = 'acct_2'",
        "INSERT INTO usage_totals VALUES ('key', 20001, 'key_3', 0, 0, 0, 0, 0)",
    )
    found = {(one.table, one.id, one.column) for one in differences(database)}
    assert found == {
        ("usage_totals", "key/20000/key_1", "output_tokens"),
        ("usage_totals", "model/20001/small", "charged_nano"),
        ("usage_totals", "account/20002/acct_2", "row"),
        ("usage_totals", "key/20001/key_3", "row"),
    }


async def test_a_usage_day_that_was_changed_is_not_what_the_sums_over_all_accounts_have(
    tmp_path: Path,
) -> None:
    """A wrong sum and a wrong part of it are two differences."""
    engine = Sqlite(tmp_path)
    database = await filled(engine)
    tamper(engine, "UPDATE usage_days SET requests = 9 WHERE account_id = 'acct_2' AND day = 20000")
    found = {(one.table, one.id, one.column) for one in differences(database)}
    assert found == {
        ("usage_days", "acct_2/20000/key_2/small", "requests"),
        *(
            ("usage_totals", id_, "requests")
            for id_ in ("account/20000/acct_2", "key/20000/key_2", "model/20000/small")
        ),
    }


async def test_rows_of_an_account_that_is_gone_are_found(engine: Engine) -> None:
    database = await filled(engine)
    tamper(engine, "DELETE FROM accounts WHERE id = 'acct_2'")
    strays = {one.id: one.expected for one in differences(database)}
    tables = "keys, lots, entries, commands, holds, receipts, memberships, usage_days, buckets, events"
    assert strays == {"acct_2": f"one, as there are rows of it: {tables}"}


async def test_an_audit_sees_one_instant(engine: Engine, open_store: OpenStore) -> None:
    """What is committed after its first read is not in it."""
    store = await open_store()
    await fill(store)
    loop = asyncio.get_running_loop()

    def read_meanwhile() -> list[int]:
        counts = []
        with database_of(engine).snapshot() as scan:
            for number in (0, 1):
                counts.append(scan.count("holds"))
                held = [authorize(call(f"call_x{number}"), 500, owner=store.owner)]
                asyncio.run_coroutine_threadsafe(store.apply(held), loop).result(10)
            counts.append(len(list(ledger_of(scan, lambda _: None).holds)))
        return counts

    assert set(await asyncio.to_thread(read_meanwhile)) == {25}


async def test_progress_is_told_by_rows(engine: Engine) -> None:
    database = await filled(engine)
    read: list[int] = []

    def audited() -> int:
        with database.snapshot() as scan:
            ledger = ledger_of(scan, read.append)
            for stream in (*ledger.entries, *ledger.charges, *ledger.puts, *ledger.holds, *ledger.receipts):
                assert stream
            if ledger.totals is not None:
                assert list(ledger.totals.sums)
                assert list(ledger.totals.parts)
            return count_rows(scan)

    # Those that were not read here are few: accounts, keys, lots, commands, buckets, days.
    assert sum(read) < await asyncio.to_thread(audited) < sum(read) + 100


async def test_receipts_that_were_let_go_of_are_not_missed(tmp_path: Path) -> None:
    """Nor are the entries without one taken for charges of no call; sums still have to agree."""
    engine = Postgres(tmp_path)
    database, store = await filled(engine, in_flight=True), engine.store()
    await store.open()
    assert await store.retain(0) == 25
    await store.close()
    assert differences(database) == []
    tamper(
        engine,
        "UPDATE usage_days SET charged_nano = charged_nano + 1 WHERE account_id = 'acct_2' AND day = 20000",
    )
    assert {one.table for one in differences(database)} == {"accounts", "keys", "buckets"}


async def test_an_audit_beside_the_letting_go_of_receipts_finds_nothing(tmp_path: Path) -> None:
    """Their holds go first, and then a month's receipts all at once."""
    engine = Postgres(tmp_path)
    database = await filled(engine)
    tamper(engine, "INSERT INTO retention (receipts_since_day) VALUES (20100)")
    tamper(engine, "DELETE FROM holds WHERE id < 'call_12'")
    assert differences(database) == []
    tamper(engine, "DELETE FROM retention")
    assert {(one.table, one.expected) for one in differences(database)} == {
        ("holds", "one, as the call has a receipt")
    }


# --- what is no ledger ---


async def test_an_audit_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    engine = Sqlite(tmp_path)
    database = await filled(engine)
    before = sorted(tmp_path.iterdir()), engine.path.read_bytes()
    assert differences(database) == []
    assert (sorted(tmp_path.iterdir()), engine.path.read_bytes()) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        (b"no database at all " * 100, "file is not a database"),
        (b"", "its schema is at version 0 of"),
    ],
)
def test_a_file_that_is_no_ledger_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "farebox.db"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StorageFault, match=f"{file}: {said}"), SqliteDatabase(file).snapshot():
        pass


async def test_a_database_of_another_version_is_told_and_left_alone(engine: Engine) -> None:
    database = await filled(engine)
    tamper(engine, "UPDATE migrations SET sha256 = 'edited' WHERE number = 1")
    with pytest.raises(StorageFault, match="a migration must never be edited"):
        differences(database)
    tamper(engine, "DELETE FROM migrations")
    with pytest.raises(StorageFault, match=r"at version 0 of \d+; run `farebox migrate`"):
        differences(database)
    tamper(
        engine,
        "INSERT INTO migrations (number, name, sha256) SELECT 99, '099_later', '' FROM accounts LIMIT 1",
    )
    with pytest.raises(StorageFault):
        differences(database)
