"""Migrations: each once, in order, undone when it fails, and never another one under the same number."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.storage.faults import StorageFault
from proxy.storage.migrate import Migration, bundled, migrate, statements
from proxy.storage.postgres.migrate import REVISION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "farebox.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def migration(number: int, sql: str) -> Migration:
    return Migration(number, f"{number:03}_step", sql, hashlib.sha256(sql.encode()).hexdigest())


SONGS = migration(1, "CREATE TABLE songs (title TEXT);\nINSERT INTO songs VALUES ('One; two');\n")
YEARS = migration(2, "ALTER TABLE songs ADD COLUMN year INTEGER;\n")


def schema(connection: sqlite3.Connection) -> list[Any]:
    return connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()


def test_each_migration_is_applied_once_and_in_order(connection: sqlite3.Connection) -> None:
    assert migrate(connection, [SONGS]) == [1]
    assert migrate(connection, [SONGS, YEARS]) == [2]
    assert migrate(connection, [SONGS, YEARS]) == []
    assert connection.execute("SELECT * FROM songs").fetchall() == [("One; two", None)]


def test_step_by_step_or_all_at_once_makes_the_same_schema(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    known = (
        *bundled("sqlite"),
        migration(len(bundled("sqlite")) + 1, "CREATE TABLE later (id TEXT) STRICT;\n"),
    )
    for count in range(1, len(known) + 1):
        migrate(connection, known[:count])
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db", isolation_level=None)) as other:
        migrate(other, known)
        assert schema(other) == schema(connection)


def test_every_table_is_strict(connection: sqlite3.Connection) -> None:
    migrate(connection, bundled("sqlite"))
    strict = {row[1]: row[5] for row in connection.execute("PRAGMA table_list") if row[1][:7] != "sqlite_"}
    assert strict == dict.fromkeys(strict, 1)


def test_a_step_that_fails_leaves_nothing_of_itself(connection: sqlite3.Connection) -> None:
    migrate(connection, [SONGS])
    before = schema(connection)
    broken = migration(2, "ALTER TABLE songs ADD COLUMN year;\nCREATE TABLE songs (title);\n")
    with pytest.raises(StorageFault, match="002_step failed: table songs already exists"):
        migrate(connection, [SONGS, broken])
    assert schema(connection) == before
    assert migrate(connection, [SONGS, YEARS]) == [2]


def test_steps_before_one_that_fails_stay(connection: sqlite3.Connection) -> None:
    with pytest.raises(StorageFault, match="003_step"):
        migrate(connection, [SONGS, YEARS, migration(3, "CREATE NONSENSE;\n")])
    assert migrate(connection, [SONGS, YEARS]) == []


def test_an_edited_migration_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, [SONGS])
    edited = migration(1, SONGS.sql + "-- A word more.\n")
    with pytest.raises(StorageFault, match="001_step is not the 001_step of this version"):
        migrate(connection, [edited, YEARS])


def test_a_database_of_a_newer_version_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, [SONGS, YEARS])
    with pytest.raises(StorageFault, match="made by a newer Farebox: it has the migration 002_step"):
        migrate(connection, [SONGS])


def test_another_programs_database_is_refused_and_left_alone(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE films (title)")
    before = schema(connection)
    with pytest.raises(StorageFault, match="another program: it has the tables films"):
        migrate(connection, [SONGS])
    assert schema(connection) == before


FROZEN = {
    "sqlite": [
        "9b9d82e2bd55eebab2aa301bd82d1b3ef1ea4e027374e3d5e33e3af8fcba3936",
        "5674033fbca22005b64715d7c0b6efe897639b6211c04f2d0a1c6a60ec8d35f7",
        "89bc54310424ff41d5d270335369224917b1b136dc878aa1f4792cfeb0587144",
        "aacf6fa2571ba0990720b9fd8f9aa8102b7dc1efdf21fccf5c331028be6050fa",
        "916478e4df931c4bf0f3b8035f3646c7792c944f0e08e655875226c8c80c9e57",
        "0a1e652ae6aa845f17040bb9deaa978cb10bdd445797293c16822e6de927ec4a",
        "a502521c7298f9cf3c142f60c8d25c954e97ad8ecc898a251107693494299417",
        "a627e856102d7ec7bce92d7e1c1975440ce203ab4c97be517bf1f478046c5d06",
        "8b4cf9e4ae7fa73a61293c39dbeafc51b383376694d43a7ff83239e22333aac4",
        "53c6c537d7d23a8cedd119d198023e39ca5cc82ce203beb28efca3e6541107f3",
        "279dba6d04e2399fbc4f9b7e0bf87297fc18e404b9b0728768e1bf693578d9f3",
        "03b8ad138fc469dafb4db30498c38935978b266c73a60ac20ebbdaaf612c232e",
        "bb94a2e116ba1a4df3d09a64714417df60db02d4212d29e61016618dc6f161ab",
        "27668fbd44a0f24a698c492e37c9a5b26129c1e7b9dce89c4892ead2f9b07cdf",
        "d5b306057e2ba6c612671031c034cddfbe3867875828a48b29c638b11d034813",
        "289560ae177f264d47870bad3eb080669fa61031965e30bce81542ee856ae0e9",
        "caebc50460f853bcb4d97d8e241c8e6abd75131b5809f39af43974056456fb26",
        "94e64e755bce91e7dc9059c00bbc468c38ecdc6651127edc3923e0f310a929f0",
        "a93d3a8a6e7d156ed8b39c2ae9ed5c60e5dbdcc42d8c3d47973e04aa1ca7d5ab",
        "e7de0b507497f2b8a389d7e3c71e88d12aa49a45508a6189ec4f18226f99e74c",
        "e30ac5d1eecc8d912126fdf2f253738aa2587ca8367bdb48ceea23eaabcee736",
        "fa82d430a1abec7ace8d97c9045d9fc9424546feb3c6d037ee474981ae1a7d70",
        "25bc3703b68dddfb7c4c5d316b9e7dc9cc4072a2dec1fa3489b5b1da95f2b1c2",
        "6b72f8e8420f3be5307513384e2a8863fad7fb11d7681ee58f5fdb326de45f27",
        "207a17b269f4e40bed38d9956c002ddc111d0f9fb672928dd8ec003915809e96",
        "c022c5a926cf4454c528fd7527f2d9bbb7b3e46f09bd98436d7b8e587fb22e5a",
        "7f1a7164189388514dc0dbd900a97b4fe933153cd106d628d21056322c553e2a",
        "79535017f422cbb8338470594ee0ec691b6b2abc8987ce8c4b168b3890755d90",
    ],
    "postgres": [
        "0f6b410b73c02ae1c9883135e796194b7e531b761ca95d45bf1e7b1569692f54",
        "5674033fbca22005b64715d7c0b6efe897639b6211c04f2d0a1c6a60ec8d35f7",
        "89bc54310424ff41d5d270335369224917b1b136dc878aa1f4792cfeb0587144",
        "aacf6fa2571ba0990720b9fd8f9aa8102b7dc1efdf21fccf5c331028be6050fa",
        "9a6400ee70b5b8bcd43609f6931d3a86f6f109a7db44f33069b367630ac488cd",
        "5813a188facec206c470ae6408b46e0997610589fde9d6ca9474cbc4039e5af0",
        "a408eeec8bd8e5ab52ed3475ab5a3db024b2f929ee1bf4b3f5ba93f519487404",
        "ffa125efc69afcff69cdc05c5645810a53f8eb44208c19091fd3bcd124e88081",
        "f9b902701c472fa27a86ddafb02acb6027846ecbefc78154d7aa744a6b673aeb",
        "ef2cd1ddb8693f82a2d83725a6120be6a86c40f473e57301f7c29d241fbefbc3",
        "6e77f88a4a46c79e984c6db9194c56a7e4e699c8cb8df7bbd6364a8ac42b6433",
        "e5f790575cdbe6e6162c7d553aea9e4779e76ac1448a7bc7652b86d99f496c48",
        "55f0965fa72f4b8e3e61df1974de0513aafa69d5d636aed1be3e2b1745921bdb",
        "5b319b11e0a5a4f1f123108bac0b52d9fb0e101d59b5a2f99725f4e3afe0ce00",
        "70277d034af2b4d71adde268ec4d0ba42a9f56cf3aca519119660a0c00cacce3",
        "8949b6b09c39959f224364a0152f24c5adf2d18f445ac6eb82dc17bb6d64d768",
        "1b9cddc34be37a72ae73b6d61f9f6eb6257aba01b27a302159703f514b2b9c41",
        "000cecc875e823f42400c80500ccec89f48671bf0ca65692326e4fdd652da0a4",
        "9a5908ba4675de16b02937cb4af7ad045dc084f618f441264197155aaa0d823d",
        "2e1995504d50e1a89d09aac5f44a149b59ce8cbfb8ad604fd50c17d306ab88a8",
        "e30ac5d1eecc8d912126fdf2f253738aa2587ca8367bdb48ceea23eaabcee736",
        "ac3625e6f5d83b863e0d2d0a5cd82337570b2444fe3229ffa1a2ec81a031e270",
        "4385deef9085f131fcd1169480a96ddf7ea4e33316dcb10c39b071827c83ec98",
        "45912b47aafe40f1a9f05aef21002c01103516cba019663d9ccd138b499145af",
        "207a17b269f4e40bed38d9956c002ddc111d0f9fb672928dd8ec003915809e96",
        "a5a8c37da12486056e8ae21a0e07a36a6d153e454d7883146ad45cc24c124a3c",
        "ce123b36e4c8df482b095c07a56222f1c663b27e2b66012e5b4f82a657a172df",
        "4c704dccdbb107c181b6f21c05cfa80282dbdcc6b5d5e7cd94d5c99ccc4226ce",
    ],
}
"""The digests of the migrations that databases have been made with. This list only ever grows."""
FROZEN_FUNCTIONS = {
    7: "23d7feb5b66d1554002b498d0571fb57e70df2bec3e743888c8a4ea9cc40723a",
    8: "3725bd436bf88d9a205313b638cf3db64765c7c2e5bfd7ed7ca5e37c99f5d55c",
    9: "0c70ee5e459f0dbfe9607b88ca2c4176ef84c17ab3f23097a62ef70547a646e1",
    10: "1d48bcdf8c657fa8be332141a336825b9c460e942da4af495f47b47447e2f388",
    11: "83cd7bb3a4ce2da6fd8738d36d2ff763d94880924d4ac347fb80bbb426de7e1c",
    12: "a87879da36c2c48ef2a4912d6bf6d07d59443b8446d00339bc6778ad5417f993",
    13: "e1c8e533a8ed87a7e20d3d84600cc4d655652d4d080c7199d75be8bc231fc199",
    14: "ed6bff1d835dda51bd055c281a70ca99c4f01bfaee74f621fd66cfa0338fa2ce",
    15: "0ca2d91697c906a46470e889c6924c4c01d00b7f0164aa9a688ee14f5fc89dd8",
    16: "42db8879e12aaa88caf886fe3675a6dfda41d709d763c7c7545211477fab3c40",
    17: "9fdda903581fea13d41ac05636bef4222e120343a6f41bebaa90953a32a05934",
    18: "ee2cd41ceca98b0288daca03b6df595cb56441e1b50d4f110a8aef79629bdb02",
    19: "bd9b70cc6e9d24a3dc98f29c4425d8f5ce465744c772783b7bb14281410b8931",
    20: "15543a997608ede909517b9b4d72a1ff18a46f00efc692f2ee811908b4978382",
    21: "6e89141df5ad910232ea31babe6b774fd0f10adb5ddfbcf04549502dc923fb09",
    22: "f47ffbb777a429c18f85a869af5f4f8d52f3eaafe2f5f2615751fe2a9139a16f",
    23: "fd6cbc4eb9762f350eec74d3c2409bc0a61db3239c294bae863d885fdc00ec4a",
    24: "27c7b8eaef3c4aa4cd01372849d17fddb8ff009de868b947fc89c9503f36d679",
    25: "755281047398787f06ba6b16bfed74e4948ebb0040d4647b611cd51cd913feae",
    26: "30c3903ff162a53a13a01d8fb972ac7a2126fb668e71901e48b60e71406dc1bc",
    27: "54125f4270c217c26ec9b3e0976e53b13776a8a0fc30bf32813c97c2e413126f",
    28: "64a26ad09735fd71b139283e1b3333a90e28ddc7d502d2acdc06c7228c2aabf9",
}
"""Those of PostgreSQL's batch functions, by the schema's version: another text takes another migration."""


@pytest.mark.parametrize("engine", FROZEN)
def test_a_migration_is_never_edited(engine: str) -> None:
    """A database that it was applied to would be refused. What is to change takes a new migration."""
    assert [migration.sha256 for migration in bundled(engine)] == FROZEN[engine]


def test_functions_change_with_a_migration_only() -> None:
    """A list of columns that changes is such a change; so is a word in a comment."""
    functions = REVISION.functions
    assert functions.version == len(FROZEN["postgres"])
    assert functions.sha256 == FROZEN_FUNCTIONS[functions.version]


def test_a_gap_in_the_numbers_is_found(tmp_path: Path) -> None:
    for name in ("001_one.sql", "003_three.sql", "named.sql"):
        file = tmp_path / "x" / "sql" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("SELECT 1;\n")
    with pytest.raises(StorageFault, match=r"003_three\.sql comes where migration 002 should"):
        bundled("x", tmp_path)


def test_a_script_is_split_at_semicolons_that_end_statements() -> None:
    script = (
        "-- About; this.\nSELECT 'a;\nb';\n"
        "CREATE TRIGGER t AFTER INSERT ON x\nBEGIN\n    SELECT 1;\n    SELECT 2;\nEND;\n\n-- The end.\n"
    )
    first, second = statements(script)
    assert first.endswith("SELECT 'a;\nb';\n")
    assert second.startswith("CREATE TRIGGER")
    assert second.endswith("END;\n")
    assert list(statements("SELECT 1")) == ["SELECT 1"]
