"""One value has the columns of a table: both schemas and the ledger's values agree with it."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import fields

from proxy.ledger.kinds import COMMAND, ENDED_BUCKET, ENTRY, KINDS
from proxy.ledger.rows import (
    Account,
    Call,
    Hold,
    Key,
    Lot,
    Outcome,
    Receipt,
    Throttle,
)
from proxy.ledger.spending import Bucket
from proxy.storage.database import TABLES
from proxy.storage.placeholders import filled
from proxy.storage.postgres.migrate import bring_up_to_date
from proxy.storage.sqlite.file import prepare
from proxy.storage.tables import BY_NAME, COMMANDS, USAGE_DAYS, Column, Table
from tests.storage.engines import Postgres

VALUES: dict[str, Any] = {
    "accounts": Account,
    "keys": Key,
    "lots": Lot,
    "holds": Hold,
    **{kind.name: kind.value for kind in KINDS},
}
"""The values whose fields are the columns of a table."""
SEALED = ("holds", *(kind.name for kind in KINDS if kind not in (COMMAND, ENDED_BUCKET, ENTRY)))
"""Those of them whose rows end with a seal."""
SCOPED: dict[str, Any] = {"buckets": Bucket, "throttles": Throttle}
"""Those that name an account or one of its keys, and whose rows begin with the account."""
PLAIN = {int: "integer", int | None: "integer", bool: "boolean", str: "text"}
"""The kinds of columns for plain types. A `Literal` is text, and every other type is JSON."""


def names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


@pytest.mark.parametrize("table", VALUES)
def test_a_table_has_a_column_for_each_field_of_its_value(table: str) -> None:
    """In the order of the fields, as rows are made from values by position."""
    seal = ["seal"] if table in SEALED else []
    assert names(BY_NAME[table]) == [*VALUES[table].__struct_fields__, *seal]


@pytest.mark.parametrize("table", SCOPED)
def test_a_row_of_a_scope_says_first_whose_it_is(table: str) -> None:
    assert names(BY_NAME[table]) == ["account_id", *SCOPED[table].__struct_fields__]


def test_every_row_says_in_its_key_whose_it_is() -> None:
    """But for what leads from something else to an account, and for sums over all of them."""
    keys = {name: {column.name for column in table.key} for name, table in BY_NAME.items()}
    assert {name for name, key in keys.items() if "account_id" not in key} == {
        "accounts",
        "key_digests",
        "usage_totals",
        "vouchers",
        "top_up_references",
    }


def test_a_receipt_is_its_call_and_its_outcome_and_its_charge_in_one_row() -> None:
    """But for what is said of a call only while it is in flight."""
    figures = [name for name in Receipt.__struct_fields__ if name not in ("call", "outcome", "charge")]
    charge = ["charge_nano", "lines", "price_id"]
    call = [name for name in Call.__struct_fields__ if name != "counts_user"]
    expected = [*call, *Outcome.__struct_fields__, *charge, *figures, "day", "seal"]
    assert sorted(names(BY_NAME["receipts"])) == sorted(expected)


def test_sums_of_all_accounts_have_the_figures_of_a_day() -> None:
    assert BY_NAME["usage_totals"].adding == USAGE_DAYS.adding != ()


@pytest.mark.parametrize("table", VALUES)
def test_a_column_holds_what_its_field_is(table: str) -> None:
    for field, column in zip(fields(VALUES[table]), BY_NAME[table].columns, strict=table not in SEALED):
        plain = PLAIN.get(field.type, "text" if "Literal" in repr(field.type) else "json")
        assert (column.name, column.kind) == (field.name, plain)


def test_sqlites_schema_has_these_columns_and_keys(tmp_path: Path) -> None:
    with contextlib.closing(prepare(tmp_path / "farebox.db", busy_timeout_seconds=1)) as connection:
        for table in BY_NAME.values():
            found = connection.execute(f"PRAGMA table_info({table.name})").fetchall()
            assert [(name, kind) for _, name, kind, *_ in found] == [
                (column.name, "TEXT" if column.kind in ("text", "json") else "INTEGER")
                for column in table.columns
            ]
            keyed = {name for _, name, _, _, _, place in found if place}
            # The key of receipts covers a page of one key or model.
            rest = {"key_id", "model"} if table.name == "receipts" else set()
            assert keyed - rest == {column.name for column in table.key}


async def test_postgresqls_schema_has_these_columns_and_keys(database: Postgres) -> None:
    connection = await asyncpg.connect(database.location)
    await bring_up_to_date(connection)
    for name in TABLES:
        found = await connection.fetch(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
            name,
        )
        assert [tuple(row) for row in found] == [
            (column.name, "text" if column.kind in ("text", "json") else "bigint")
            for column in BY_NAME[name].columns
        ]
        keyed = await connection.fetch(
            "SELECT a.attname FROM pg_index AS i "
            "JOIN pg_attribute AS a ON a.attrelid = i.indrelid "
            "AND a.attnum = ANY (i.indkey[:i.indnkeyatts - 1]) "
            "WHERE i.indrelid = $1::TEXT::REGCLASS AND i.indisprimary",
            name,
        )
        # The key of a partitioned table has in it what it is parted by.
        rest = {"day"} if name == "receipts" else set()
        assert {attribute for (attribute,) in keyed} - rest == {column.name for column in BY_NAME[name].key}
    await connection.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT {commands.columns}", "SELECT account_id, command_id, digest, at_us, seq"),
        ("SELECT {commands.columns:c}", "SELECT c.account_id, c.command_id, c.digest, c.at_us, c.seq"),
        ("SELECT {commands.shown}", "SELECT account_id, command_id, at_us, seq"),
        ("SELECT {holds.without_id:h}", "SELECT h.account_id, h.key_id, h.amount_nano, "),
        ("ORDER BY {commands.key}", "ORDER BY account_id, command_id"),
        ("VALUES {commands.parameters}", "VALUES (?, ?, ?, ?, ?)"),
        ("SET {throttles.upsert}", "SET level = excluded.level, at_us = excluded.at_us"),
        ("SET {usage_days.upsert}", "SET requests = usage_days.requests + excluded.requests, "),
        (
            "SELECT {commands.from_json:r}",
            "SELECT r ->> 0, r ->> 1, r ->> 2, (r ->> 3)::BIGINT, (r ->> 4)::BIGINT",
        ),
        ("SET {throttles.set_from_row:j.value}", "SET level = j.value ->> 3, at_us = j.value ->> 4"),
        ("= {commands.names}", """= '["account_id", "command_id", "digest", "at_us", "seq"]'::JSONB"""),
        ("SELECT {buckets.key}", 'SELECT account_id, scope_id, "window", start_day'),
        ("'^[0-9]{4}$'", "'^[0-9]{4}$'"),
    ],
)
def test_a_list_is_put_in_where_a_text_names_it(text: str, expected: str) -> None:
    found = filled(text)
    assert found.startswith(expected) if expected.endswith(", ") else found == expected


def test_an_update_takes_what_changes_from_the_key_and_what_changes() -> None:
    """Which is all that is sent of a changed row."""
    assert [column.name for column in BY_NAME["lots"].changed][-1:] == ["remaining_nano"]
    key = len(BY_NAME["lots"].key)
    assert filled("{lots.set_from_json:r}") == f"remaining_nano = (r ->> {key})::BIGINT"
    assert filled("{lots.match:r}").startswith("lots.")


@pytest.mark.parametrize("text", ["{songs.columns}", "{keys.songs}"])
def test_a_list_that_there_is_none_of_is_found(text: str) -> None:
    with pytest.raises(ValueError, match="no list"):
        filled(text)


def test_a_new_column_comes_into_every_list_by_itself() -> None:
    wider = Table(COMMANDS.name, (*COMMANDS.columns, Column("note", "text", "fixed")))
    assert (
        filled("{commands.columns}", {"commands": wider})
        == "account_id, command_id, digest, at_us, seq, note"
    )


def test_what_a_primary_key_is_made_of_never_changes() -> None:
    for table in BY_NAME.values():
        assert table.key
        assert not set(table.key) & set(table.changing)


def test_a_row_of_sqlite_is_changed_by_position() -> None:
    """A JSON array of a whole row updates what can change of it and leaves the rest alone."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE throttles (account_id, scope_id, kind, level, at_us)")
        connection.execute("INSERT INTO throttles VALUES ('a', 'a', 'tokens', 1, 2)")
        update = "UPDATE throttles SET {throttles.set_from_row:j.value} FROM json_each(?) AS j"
        connection.execute(filled(update), ('[["b", "b", "requests", 3, 4]]',))
        assert connection.execute("SELECT * FROM throttles").fetchall() == [("a", "a", "tokens", 3, 4)]


def test_the_key_of_a_kind_is_that_of_its_table() -> None:
    """In the same order, as rows are asked for and deleted by position."""
    for kind in KINDS:
        assert kind.key == tuple(column.name for column in BY_NAME[kind.name].key)


def test_kinds_are_written_in_the_order_of_the_tables() -> None:
    """Each after those that it refers to."""
    kinds = [kind.name for kind in KINDS]
    assert kinds == [name for name in BY_NAME if name in kinds]
