"""Named queries: each has a description, gives pages newest first, and finds its rows by an index."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Mapping

import pytest

from proxy.ledger.commands import CreateKey
from proxy.ledger.store import Row, Store
from proxy.storage.postgres.read import READS as POSTGRES_READS
from proxy.storage.postgres.read import Read
from proxy.storage.queries import FOLDER, Query, Rows, load, parse
from proxy.storage.sqlite.file import prepare
from proxy.storage.sqlite.store import READS
from tests.storage.teller import ACCOUNT, KEY, NOON_US, call, done, grant, granted, opening, settled, void

ENGINE_QUERIES = load("sqlite/sql/load.sql", "sqlite/sql/write.sql")


def values_for(query: Query) -> dict[str, str] | list[None]:
    """Something to bind to each parameter of a query that is only explained."""
    return dict.fromkeys(query.params, "") or [None] * query.sql.count("?")


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """An empty database with the schema in force, that tests only explain queries on."""
    path = tmp_path_factory.mktemp("queries") / "farebox.db"
    with contextlib.closing(prepare(path, busy_timeout_seconds=1)) as connection:
        yield connection


# --- files of queries ---


def test_a_query_is_a_name_a_description_and_one_statement() -> None:
    text = "-- About the file.\n\n-- name: one\n-- The first\n-- of all.\nSELECT :a, ':b', x::text, :a;\n"
    (query,) = parse(text, "x.sql")
    assert (query.name, query.description) == ("one", "The first of all.")
    assert query.sql == "SELECT :a, ':b', x::text, :a"
    assert query.params >= {"a"}


@pytest.mark.parametrize(
    "text",
    [
        "-- name: one\nSELECT 1;\n",
        "-- name: one\n-- About.\n",
        "-- name:\n-- About.\nSELECT 1;\n",
        "-- name: two words\n-- About.\nSELECT 1;\n",
        "-- name: one\n-- About.\nSELECT 1; SELECT 2;\n",
    ],
)
def test_a_query_without_one_of_them_is_found(text: str) -> None:
    with pytest.raises(ValueError, match=r"x\.sql"):
        list(parse(text, "x.sql"))


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="two queries named"):
        load("portable/usage.sql", "portable/usage.sql")


def test_every_file_is_of_queries_or_functions_or_a_migration() -> None:
    for file in FOLDER.rglob("*.sql"):
        other = re.match(r"\d{3}_", file.name) or file.name == "functions.sql"
        assert other or load(str(file.relative_to(FOLDER))), file.name


def test_every_query_is_sql(connection: sqlite3.Connection) -> None:
    """All of them are prepared: a name that is misspelt in the SQL is found here."""
    for query in (*READS.values(), *ENGINE_QUERIES.values()):
        connection.execute(f"EXPLAIN {query.sql}", values_for(query))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 127, 128, 129, 400])
def test_a_statement_takes_any_number_of_rows(count: int) -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE pairs (a INTEGER PRIMARY KEY, b INTEGER)")
        rows = Rows("INSERT INTO pairs (a, b) VALUES (?, ?) ON CONFLICT (a) DO UPDATE SET b = excluded.b")
        for factor in (1, 2):
            pairs = [(number, factor * number) for number in range(count)]
            rows.run(connection, [value for pair in pairs for value in pair])
            assert connection.execute("SELECT a, b FROM pairs ORDER BY a").fetchall() == pairs


def test_a_statement_without_a_row_is_none_for_rows() -> None:
    with pytest.raises(ValueError, match="no row"):
        Rows("SELECT ?")


# --- how they are run ---


async def test_an_unknown_query_and_wrong_parameters_are_refused(store: Store) -> None:
    with pytest.raises(KeyError, match="secrets"):
        await store.query("secrets", {})
    with pytest.raises(ValueError, match=r"key_by_id takes \['key_id'\], not \['id'\]"):
        await store.query("key_by_id", {"id": "key_1"})


@pytest.mark.parametrize("reads", [READS, POSTGRES_READS], ids=["sqlite", "postgres"])
@pytest.mark.parametrize("name", sorted(READS))
def test_no_query_tells_a_digest(name: str, reads: Mapping[str, Query | Read]) -> None:
    assert not re.search(r"\bdigest\b", reads[name].sql)


async def all_pages(store: Store, name: str, params: Mapping[str, object], by: str = "id") -> list[Row]:
    """The rows of all pages of two, each page asked for with the last row of the one before."""
    rows: list[Row] = []
    cursor: object = 0 if by == "seq" else ""
    while page := await store.query(name, {**params, "cursor": cursor, "limit": 2}):
        rows += page
        cursor = page[-1][by]
    return rows


async def stocked(store: Store) -> None:
    """Two accounts, keys, and calls of every end."""
    await store.apply([*opening(10_000), *opening(10_000, account_id="acct_2", key_id="key_2")])
    await done(store, CreateKey(ACCOUNT, "key_3", "", "digest 3", "", NOON_US))
    for number in range(7):
        key_id = (KEY, "key_3")[number % 2]
        made = call(f"call_{number}", key_id=key_id, model=("small", "large")[number % 3 == 0])
        await granted(store, made, 100)
        if number < 4:
            await settled(store, made, 10)
        elif number == 4:
            await store.apply([void(made)])
    await granted(store, call("call_9", account_id="acct_2", key_id="key_2"), 100)


async def test_pages_are_newest_first_and_meet_without_a_gap(store: Store) -> None:
    await stocked(store)
    expected: list[tuple[str, dict[str, object], list[str]]] = [
        ("accounts_page", {}, ["acct_2", "acct_1"]),
        ("keys_of_account", {"account_id": ACCOUNT}, ["key_3", "key_1"]),
        (
            "receipts_page",
            {"account_id": ACCOUNT, "key_id": "", "model": "", "down_to": ""},
            [f"call_{n}" for n in (4, 3, 2, 1, 0)],
        ),
        (
            "receipts_page",
            {"account_id": ACCOUNT, "key_id": "key_3", "model": "", "down_to": ""},
            ["call_3", "call_1"],
        ),
        (
            "receipts_page",
            {"account_id": ACCOUNT, "key_id": "", "model": "large", "down_to": ""},
            ["call_3", "call_0"],
        ),
        (
            "receipts_page",
            {"account_id": ACCOUNT, "key_id": "", "model": "", "down_to": "call_2"},
            ["call_4", "call_3", "call_2"],
        ),
        ("receipts_page", {"account_id": "acct_2", "key_id": "", "model": "", "down_to": ""}, []),
        ("holds_page", {"account_id": "", "state": ""}, [f"call_{n}" for n in (9, 6, 5, 4, 3, 2, 1, 0)]),
        ("holds_page", {"account_id": "", "state": "open"}, ["call_9", "call_6", "call_5"]),
        ("holds_page", {"account_id": ACCOUNT, "state": ""}, [f"call_{n}" for n in (6, 5, 4, 3, 2, 1, 0)]),
        ("holds_page", {"account_id": ACCOUNT, "state": "open"}, ["call_6", "call_5"]),
        ("holds_page", {"account_id": ACCOUNT, "state": "voided"}, ["call_4"]),
        ("holds_page", {"account_id": "", "state": "settled"}, [f"call_{n}" for n in (3, 2, 1, 0)]),
        ("holds_page", {"account_id": "acct_2", "state": "settled"}, []),
    ]
    for name, params, ids in expected:
        assert [row["id"] for row in await all_pages(store, name, params)] == ids, (name, params)
    entries = await all_pages(store, "entries_page", {"account_id": ACCOUNT}, by="seq")
    assert [(row["seq"], row["kind"]) for row in entries] == [
        *((seq, "charge") for seq in (5, 4, 3, 2)),
        (1, "grant"),
    ]


async def test_an_object_is_found_by_its_id_or_not_at_all(store: Store) -> None:
    await stocked(store)
    for name, param, id_ in (
        ("account_by_id", "account_id", ACCOUNT),
        ("key_by_id", "key_id", KEY),
        ("receipt_by_id", "call_id", "call_1"),
    ):
        assert [row["id"] for row in await store.query(name, {param: id_})] == [id_]
        assert await store.query(name, {param: "none"}) == []


async def test_lots_come_in_draw_order_and_without_spent_ones(store: Store) -> None:
    await store.apply(
        [
            *opening(100),
            grant(100, command_id="grant_2", expires_at_us=NOON_US + 10**9),
            grant(100, command_id="grant_3", expires_at_us=NOON_US + 10**8),
        ]
    )
    await granted(store, call("call_1"), 120)
    await settled(store, call("call_1"), 120)
    lots = await store.query("lots_of_account", {"account_id": ACCOUNT})
    assert [(lot["id"], lot["remaining_nano"]) for lot in lots] == [
        ("lot_of_acct_1_grant_2", 80),
        ("lot_of_acct_1_grant_1", 100),
    ]


# --- what they cost ---


def scanned(connection: sqlite3.Connection, query: Query) -> tuple[list[str], int]:
    """What a query goes through from end to end, and how many times it sorts."""
    plan = connection.execute(f"EXPLAIN QUERY PLAN {query.sql}", values_for(query)).fetchall()
    steps = [step for *_, step in plan]
    return [step for step in steps if step.startswith("SCAN")], sum("TEMP B-TREE" in step for step in steps)


@pytest.mark.parametrize("name", sorted(READS))
def test_a_read_goes_by_an_index_and_a_page_ends_when_it_is_full(
    name: str, connection: sqlite3.Connection
) -> None:
    """No table is gone through from end to end, and no page is sorted but of open holds and of sums."""
    scans, sorts = scanned(connection, READS[name])
    assert set(scans) <= {"SCAN now", "SCAN 4 CONSTANT ROWS", "SCAN p"}
    if "limit" in READS[name].params:
        assert bool(sorts) == (name in {"holds_page", "run_components"})


@pytest.mark.parametrize("name", sorted(ENGINE_QUERIES))
def test_a_batch_finds_its_rows_by_an_index(name: str, connection: sqlite3.Connection) -> None:
    """What is gone through is the list of ids that a batch asks for, or the index of what is open."""
    scans, _ = scanned(connection, ENGINE_QUERIES[name])
    assert set(scans) <= {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SCAN j VIRTUAL TABLE INDEX 1:",
        "SCAN holds USING INDEX holds_open",
    }
