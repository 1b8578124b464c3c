"""`farebox audit`, `backup`, `migrate` and `copy` as real processes on real databases."""

import asyncio
import json
import os
import pty
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from proxy.storage.sqlite.database import SqliteDatabase
from tests.storage.engines import Postgres, Sqlite
from tests.storage.sqlite.test_backup import writing
from tests.storage.whole import differences, filled, location_of, tamper
from tests.test_cli import CONFIG, FAREBOX, farebox

WRONG = "UPDATE lots SET remaining_nano = remaining_nano - 1 WHERE id = 'lot_of_acct_2_grant_1'"
READ = r"2 accounts, \d+ entries, 25 receipts: "


@pytest.fixture
async def engine(tmp_path: Path) -> Sqlite:
    """A ledger in a file, with a call in flight of a process that is gone."""
    engine = Sqlite(tmp_path)
    await filled(engine, in_flight=True)
    return engine


# --- audit ---


async def test_an_audit_tells_what_it_has_read_and_that_all_is_well(engine: Sqlite) -> None:
    ran = await farebox("audit", "--storage", f"sqlite:///{engine.path}")
    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(rf"{engine.path}: {READ}no difference\.\n", ran.out)


async def test_an_audit_finds_the_database_by_the_configuration(engine: Sqlite, tmp_path: Path) -> None:
    file = tmp_path / "farebox.yaml"
    file.write_text(CONFIG.replace("sqlite:///farebox.db", f"sqlite:///{engine.path}"))
    assert re.search(f"{READ}no difference", (await farebox("audit", str(file))).out)


async def test_differences_are_a_table_and_the_exit_code_is_1(engine: Sqlite) -> None:
    tamper(engine, WRONG)
    ran = await farebox("audit", "--storage", f"sqlite:///{engine.path}")
    assert (ran.code, ran.err) == (1, "")
    for text in ("lots", "lot_of_acct_2_grant_1", "remaining_nano", f"{READ}1 difference\\."):
        assert re.search(text, ran.out)


async def test_people_are_told_some_and_machines_all(engine: Sqlite) -> None:
    """However many there are: each of the calls is wrong in more than one place here."""
    tamper(
        engine,
        "UPDATE receipts SET charge_nano = charge_nano + 1, shortfall_nano = shortfall_nano + 2, day = 3",
    )
    for_people = await farebox("audit", "--storage", f"sqlite:///{engine.path}")
    told = re.search(r"There are (\d+) more: --json prints all\.", for_people.err)
    assert told
    for_machines = await farebox("audit", "--storage", f"sqlite:///{engine.path}", "--json")
    assert for_machines.code == for_people.code == 1
    found = json.loads(for_machines.out)
    assert found["count"] == len(found["differences"]) == 50 + int(told[1])
    assert found["differences"][0].keys() == {"table", "id", "column", "expected", "found"}
    assert found["rows"]["receipts"] == 25


async def test_a_ledger_is_audited_and_backed_up_while_a_process_writes(
    engine: Sqlite, tmp_path: Path
) -> None:
    """What comes out is one instant each time."""
    url, counts = f"sqlite:///{engine.path}", []
    with writing(engine.path) as process:
        for number in range(2):
            backed = await farebox("backup", "--storage", url, str(tmp_path / f"{number}.backup"))
            assert backed.code == 0, backed.err
            for one in (url, f"sqlite:///{tmp_path}/{number}.backup"):
                ran = (await farebox("audit", "--storage", one, "--json")).json
                assert ran["differences"] == []
                counts.append(ran["rows"]["receipts"])
        assert process.poll() is None
    assert counts[::2] == sorted(counts[::2])
    assert counts[0] < counts[-2]


def test_a_terminal_shows_a_bar_and_a_pipe_none(engine: Sqlite) -> None:
    command = [str(FAREBOX), "audit", "--storage", f"sqlite:///{engine.path}"]
    assert on_a_terminal(command).count("Auditing") >= 1
    assert "Auditing" not in on_a_terminal([*command, "--json"])
    piped = subprocess.run(command, capture_output=True, text=True)
    assert "Auditing" not in piped.stdout + piped.stderr


def on_a_terminal(command: list[str]) -> str:
    """What a command writes on standard error where that is a terminal; it is no more than a pipe takes."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL, env=environ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            pass  # A terminal reports its end so.
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


# --- backup ---


async def test_a_backup_is_made_and_told(engine: Sqlite, tmp_path: Path) -> None:
    file = tmp_path / "farebox.yaml"
    file.write_text(CONFIG.replace("sqlite:///farebox.db", f"sqlite:///{engine.path}"))
    destination = tmp_path / "backup.db"
    ran = await farebox("backup", str(file), str(destination))
    assert ran.code == 0, ran.err
    assert re.fullmatch(rf"{engine.path} is backed up to {destination}: \d+ bytes, \d+ rows\.\n", ran.out)
    again = await farebox("backup", str(file), str(destination))
    assert (again.code, again.out) == (2, "")
    assert f"{destination}: it exists already; --force replaces it" in again.err
    forced = (await farebox("backup", str(file), str(destination), "--force", "--json")).json
    assert (forced["bytes"], forced["rows"]["receipts"]) == (destination.stat().st_size, 25)


# --- migrate ---


async def test_a_database_is_made_and_told_of(tmp_path: Path) -> None:
    url, latest = f"sqlite:///{tmp_path}/new.db", SqliteDatabase(tmp_path / "new.db").latest_version()
    behind = await farebox("migrate", "--check", "--storage", url)
    assert (behind.code, list(tmp_path.iterdir())) == (1, [])
    assert f"is at version 0 of {latest}" in behind.out
    assert (
        f"was at version 0 and is at version {latest} now" in (await farebox("migrate", "--storage", url)).out
    )
    assert f"is at version {latest}, the latest" in (await farebox("migrate", "--storage", url)).out
    check = (await farebox("migrate", "--check", "--storage", url, "--json")).json
    assert check == {"object": "migration", "from": latest, "to": latest, "latest": latest}


async def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "films.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE films (title)")
    before = file.read_bytes()
    for options in ((), ("--check",)):
        ran = await farebox("migrate", "--storage", f"sqlite:///{file}", *options)
        assert (ran.code, ran.out) == (2, "")
        assert f"{file}: " in ran.err
    assert file.read_bytes() == before


# --- copy ---


async def test_a_ledger_is_copied_there_and_back(tmp_path: Path) -> None:
    """From a file to PostgreSQL and to a file again: the rows are the same."""
    first, last = Sqlite(tmp_path), Sqlite(tmp_path / "last", empty=True)
    await filled(first)
    middle = await asyncio.to_thread(Postgres, tmp_path)
    for source, target in ((first, middle), (middle, last)):
        ran = await farebox("copy", "--from", location_of(source), "--to", location_of(target))
        assert ran.code == 0, ran.err
        assert re.search(r"receipts +25", ran.out)
        assert "the audit there finds no difference" in ran.out
    assert first.dump() == middle.dump() == last.dump()
    audited = await farebox("audit", "--storage", location_of(middle))
    assert re.search(f"{READ}no difference", audited.out)


async def test_a_copy_of_what_is_wrong_is_not_kept(tmp_path: Path) -> None:
    engine, other = Sqlite(tmp_path), Sqlite(tmp_path / "other", empty=True)
    await filled(engine)
    tamper(engine, WRONG)
    ran = await farebox("copy", "--from", location_of(engine), "--to", location_of(other))
    assert ran.code == 1
    assert "lot_of_acct_2_grant_1" in ran.out
    assert f"Nothing was copied: 1 difference, as `farebox audit` finds in {engine.path}." in ran.err
    assert not any(other.dump().values())
    for_machines = await farebox("copy", "--from", location_of(engine), "--to", location_of(other), "--json")
    assert (for_machines.code, json.loads(for_machines.out)["count"]) == (1, 1)


async def test_open_holds_and_a_target_with_rows_are_refused(engine: Sqlite, tmp_path: Path) -> None:
    other = Sqlite(tmp_path / "other", empty=True)
    ran = await farebox("copy", "--from", location_of(engine), "--to", location_of(other))
    assert (ran.code, ran.out) == (2, "")
    assert f"{engine.path}: holds that are open: 1" in ran.err
    assert not other.path.exists()
    await filled(other)
    third = Sqlite(tmp_path / "third", empty=True)
    await filled(third)
    ran = await farebox("copy", "--from", location_of(other), "--to", location_of(third))
    assert (ran.code, ran.out) == (2, "")
    assert f"{third.path}: it is not empty (rows: accounts 2" in ran.err


async def test_a_ledger_is_not_copied_into_itself(tmp_path: Path) -> None:
    """By no other name either: it would wait for itself."""
    await filled(Sqlite(tmp_path))
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "farebox.db")
    ran = await farebox("copy", "--from", f"sqlite:///{tmp_path}/farebox.db", "--to", f"sqlite:///{link}")
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be copied into itself" in ran.err


# --- what cannot be done ---

NOWHERE = "postgresql://farebox:a-password-of-mine@127.0.0.1:1/ledger"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("audit",), "Name a configuration, or a database with --storage"),
        (("audit", "here.yaml", "--storage", "sqlite:///x.db"), "Name a configuration, or a database"),
        (("audit", "none.yaml"), "none.yaml"),
        (("audit", "--storage", "sqlite:///none.db"), "none.db: there is no such file"),
        (("audit", "--storage", "sqlite://"), "write a path, or sqlite:///path"),
        (("audit", "--storage", NOWHERE), "postgresql://127.0.0.1:1/ledger: "),
        (("audit", "--storage", "mysql://u:a-password-of-mine@h/d"), "mysql:// is none of ours"),
        (("backup", "--storage", NOWHERE, "x.db"), "back up PostgreSQL with pg_dump"),
        (("backup", "farebox.yaml"), "Name a configuration and a destination"),
        (("backup", "a.yaml", "x.db", "--storage", "sqlite:///x.db"), "or --storage and a destination"),
        (("migrate", "--storage", NOWHERE), "postgresql://127.0.0.1:1/ledger: "),
        (("copy", "--from", "sqlite:///none.db"), "--to"),
        (("copy", "--from", "sqlite:///none.db", "--to", NOWHERE), "none.db: there is no such file"),
        (("copy", "--from", NOWHERE, "--to", "sqlite:///none.db"), "postgresql://127.0.0.1:1/ledger: "),
    ],
)
async def test_what_cannot_be_done_is_said_with_exit_code_2(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never with a password, nor with a file made on the way."""
    monkeypatch.chdir(tmp_path)
    ran = await farebox(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "a-password-of-mine" not in ran.err
    assert "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []


async def test_a_backup_has_no_difference(engine: Sqlite, tmp_path: Path) -> None:
    destination = tmp_path / "backup.db"
    assert (await farebox("backup", "--storage", location_of(engine), str(destination))).code == 0
    assert differences(SqliteDatabase(destination)) == []
