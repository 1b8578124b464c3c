"""Two machines of Farebox on one PostgreSQL: one behaviour, whichever of them, or the database, dies."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.money import usd_string
from tests.acceptance.callers import all_calls, assert_all_there, audited, hammered, progress, unavailable
from tests.acceptance.crowd import AFFORDABLE, CALLERS, SEARCH_NANO, NaiveGate, exhaust
from tests.acceptance.harness import HELLO, Api, Server, config_for, eventually, running
from tests.acceptance.scripted_upstream import (
    ScriptedUpstream,
)
from tests.storage.engines import apart
from tests.storage.postgres.server import Server as Postgres
from tests.storage.postgres.server import new_schema, new_schema_at, own_server

MACHINES = 2
WORKERS = 2


@contextlib.contextmanager
def fleet(location: str, upstream: ScriptedUpstream, folder: Path) -> Iterator[list[Server]]:
    """Machines with workers, all on the database at a location."""
    with contextlib.ExitStack() as stack:
        machines = []
        for number in range(MACHINES):
            place = folder / f"machine-{number}"
            place.mkdir()
            config = config_for(upstream.port, place, server={"workers": WORKERS}, storage=location)
            machines.append(stack.enter_context(running(config, place)))
        yield machines


@pytest.fixture(scope="module")
def machines(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """A fleet on a schema of the shared server."""
    with fleet(apart(new_schema()), upstream, tmp_path_factory.mktemp("fleet")) as started:
        yield started


async def test_1000_calls_of_300_callers_when_the_balance_pays_for_1000(machines: list[Server]) -> None:
    """One hot account on two machines: exactly 1,000 succeed, balance and held are 0, with 1,000 receipts."""
    account = await asyncio.to_thread(machines[0].account, usd_string(AFFORDABLE * SEARCH_NANO))
    found = await exhaust([machine.url for machine in machines], account.secret)
    assert (found.count(200), found.count(402)) == (AFFORDABLE, CALLERS)
    assert (account.nano("balance"), account.nano("held")) == (0, 0)
    rows = await asyncio.to_thread(all_calls, machines[1], account.id)
    assert [row["charged"] for row in rows] == ["0.02"] * AFFORDABLE
    assert audited(machines[0]) == []


async def test_check_then_charge_fails_the_same_test(upstream: ScriptedUpstream) -> None:
    """A gate that looks first and charges afterwards lets more than 1,000 through."""
    gate = NaiveGate(upstream, AFFORDABLE * SEARCH_NANO)
    async with gate.serving() as url:
        found = await exhaust([url], "any")
    assert found.count(200) > AFFORDABLE
    assert gate.balance_nano < 0


def test_what_one_machine_is_told_holds_on_the_other_at_the_next_call(machines: list[Server]) -> None:
    """A grant, a limit and a disabled key: nothing that was remembered lets a call through."""
    here, there = machines
    account = here.account("")
    body = {"model": "f-whole", "messages": HELLO}

    def called() -> set[int]:
        asked = [Api(there.url, account.secret).ask("POST", "/v1/chat/completions", body) for _ in range(8)]
        return {status for status, _, _ in asked}

    assert called() == {402}
    here.admin.post(f"/admin/v1/accounts/{account.id}/grants", {"amount": "1.00"}, {"Idempotency-Key": "1"})
    assert called() == {200}
    here.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"limits": {"day": "0.000001"}})
    assert called() == {402}
    here.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"limits": {"day": "none"}})
    assert called() == {200}
    here.admin.ask("PATCH", f"/admin/v1/keys/{account.key_id}", {"status": "disabled"})
    assert called() == {401}


async def test_kill_9_of_a_machine_under_load_loses_and_doubles_nothing(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """The other goes on; the one that comes back closes what was left, at once and not at a lease's end."""
    location = await new_schema()
    with fleet(location, upstream, tmp_path) as machines:
        account = await asyncio.to_thread(machines[0].account, "1000.00")
        seen: list[str] = []
        async with hammered(machines, account.secret, seen):
            for machine in machines:
                await progress(seen)
                await asyncio.to_thread(machine.kill)
                await progress(seen)
                await asyncio.to_thread(machine.start)
            await progress(seen)
        await assert_all_there(machines[0], account, seen, 1_000 * 10**9)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server of the test's own, which it may kill."""
    server = own_server()
    yield server
    server.remove()


async def test_kill_9_of_the_database_under_load_loses_and_doubles_nothing(
    postgres: Postgres, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """While it is away calls get 503 and none is forwarded unheld; when it is back all goes on."""
    location = await new_schema_at(postgres.location())
    with fleet(location, upstream, tmp_path) as machines:
        account = await asyncio.to_thread(machines[0].account, "1000.00")
        seen: list[str] = []
        async with hammered(machines, account.secret, seen):
            await progress(seen)
            await asyncio.to_thread(postgres.kill)
            await asyncio.to_thread(eventually, lambda: unavailable(machines[0], account.secret), 30)
            await asyncio.to_thread(postgres.start)
            await progress(seen)
        await assert_all_there(machines[0], account, seen, 1_000 * 10**9)
