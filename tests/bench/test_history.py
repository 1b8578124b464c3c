"""The made-up ledger is one that Farebox could have written, on both engines, with what is asked of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.ids import new_id
from proxy.ledger.audit.accounts import audit
from proxy.storage.audit import ledger_of
from proxy.storage.locations import database_at
from tests.bench.engines import SQLITE, DurableServer, Engine, PostgresEngine, SqliteEngine
from tests.bench.history import ACCOUNTS, OPENED_US, RARE_CALLS, RARE_KEY, History, account_id, key_id
from tests.bench.pairs import Writers, growth_samples
from tests.bench.reads import asks_of, timings
from tests.conftest import end_missing
from tests.storage.postgres.server import Missing

NOON_US = 1_800_014_400_000_000
CALLS = 3_000


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Each engine in turn."""
    if request.param == "sqlite":
        yield SqliteEngine(tmp_path)
        return
    try:
        server = DurableServer()
    except (Missing, OSError) as error:
        end_missing(f"needs PostgreSQL: {error}")
    try:
        server.start()
        yield PostgresEngine(server)
    finally:
        server.remove()


def test_a_filled_ledger_is_audited_read_and_written(engine: Engine) -> None:
    """An audit finds nothing, every read is answered and has a plan, and pairs go on from there."""
    location = engine.new(
        "filled",
        History(CALLS, NOON_US),
    )
    with database_at(location).snapshot() as scan:
        assert list(audit(ledger_of(scan, lambda _: None))) == []
        assert (scan.count("receipts"), scan.count("holds"), scan.count("accounts")) == (
            CALLS,
            CALLS,
            ACCOUNTS,
        )
    found = {each.title: each for each in timings(engine.name, location, History(CALLS, NOON_US))}
    assert all(each.plan and not each.failed for each in found.values())
    for who in ("the busy account", "all accounts"):
        for what in ("key", "model"):
            assert found[f"log of {who}: a {what} of long ago"].rows == RARE_CALLS
    assert found["one call by its id"].rows == 1
    assert found["log of the busy account: another's key"].rows == 0
    assert found["usage by account, all accounts, 90 days"].rows > ACCOUNTS // 2
    with Writers(engine, location, 2) as writers:
        writers.warm_up(0.05)
        sample = writers.sample(3, ACCOUNTS, 0.05, 0)
    assert sample.pairs >= 3
    assert sample.cpu_us > 0
    assert (sample.server_cpu_us == 0) or engine.name != SQLITE
    with database_at(location).snapshot() as scan:
        assert scan.count("receipts") > CALLS
        assert list(audit(ledger_of(scan, lambda _: None))) == []
    assert engine.disk_bytes(location) > 10**6
    engine.drop(location)


def test_growth_is_measured_side_by_side(tmp_path: Path) -> None:
    """Each round has all ledgers, whichever comes first."""
    engine = SqliteEngine(tmp_path)
    empty = engine.new("empty", History(0, NOON_US))
    grown = engine.new("grown", History(CALLS, NOON_US))
    samples = list(growth_samples(engine, {0: empty, CALLS: grown}, rounds=2, seconds=0.05))
    assert [(s.by_rows[CALLS].accounts, s.by_rows[CALLS].round) for s in samples] == [
        *((1, 0), (ACCOUNTS, 0), (1, 1), (ACCOUNTS, 1))
    ]
    with database_at(empty).snapshot() as scan:
        assert scan.count("receipts") > 0


def test_ids_are_as_farebox_makes_them() -> None:
    """As long, and in order."""
    assert account_id(7)[:-16] == new_id("acct", OPENED_US)[:-16]
    assert account_id(7) < account_id(8)
    assert len(account_id(7)) == len("acct_") + 26
    assert key_id(*RARE_KEY) < key_id(1, 0)


def test_a_history_is_the_same_each_time() -> None:
    """What was filled with one of equal seed can be asked about with another."""
    first, second = (dict(History(50, NOON_US).chunks()) for _ in range(2))
    assert first["usage_days"] == second["usage_days"]
    assert {ask.title for ask in asks_of(History(50, NOON_US), "")} >= {"holds, all accounts"}
