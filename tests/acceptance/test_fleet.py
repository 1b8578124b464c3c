"""Two machines of Farebox on one PostgreSQL: one behaviour, whichever of them, or the database, dies."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2 as httpx
import pytest

from proxy.money import usd_string
from proxy.storage.locations import database_at
from tests.acceptance.crowd import AFFORDABLE, CALLERS, SEARCH_NANO, exhaust
from tests.acceptance.harness import Api, Server, config_for, eventually, nano, running
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)
from tests.acceptance.test_concurrency import NaiveGate
from tests.acceptance.test_crash import all_calls
from tests.storage.engines import apart
from tests.storage.postgres.server import Server as Postgres
from tests.storage.postgres.server import new_schema, new_schema_at, own_server
from tests.storage.whole import differences

MACHINES = 2
WORKERS = 2
HELLO: Any = [{"role": "user", "content": "Say hello"}]


@pytest.fixture(autouse=True, scope="module")
def behaviours(upstream: ScriptedUpstream) -> None:
    upstream.behaviours["/v1/search"] = answers({"results": []})
    upstream.behaviours["f-whole"] = answers(completion(prompt=10, output=5))
    upstream.behaviours["f-stream"] = streams(chunk("Hi"), chunk(finish="stop"), usage_chunk(10, 5), DONE)


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


def audited(server: Server) -> list[Any]:
    """What an audit of the database finds wrong."""
    return differences(database_at(server.config["storage"]))


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


async def hammer(url: str, secret: str, model: str, seen: list[str], ending: asyncio.Event) -> None:
    """Call again and again, whatever comes; note the id of every call whose answer was complete."""
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"model": model, "messages": HELLO, "stream": model == "f-stream", "max_tokens": 8}
    async with aiohttp.ClientSession(headers=headers) as session:
        while not ending.is_set():
            try:
                async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
                    data = await answer.read()
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.02)
                continue
            whole = data.endswith(DONE) if model == "f-stream" else b'"usage"' in data
            if answer.status == 200 and whole:
                seen.append(answer.headers["x-request-id"])
            elif answer.status != 200:
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def hammered(machines: list[Server], secret: str, seen: list[str]) -> Any:
    """Callers of all machines for the length of a block."""
    ending = asyncio.Event()
    callers = [
        asyncio.ensure_future(hammer(machine.url, secret, model, seen, ending))
        for machine in machines
        for model in ("f-whole", "f-stream")
        for _ in range(8)
    ]
    try:
        yield
    finally:
        ending.set()
        await asyncio.gather(*callers)


async def progress(seen: list[str], calls: int = 100) -> None:
    """Wait until so many more calls have been complete."""
    wanted = len(seen) + calls
    async with asyncio.timeout(30):
        while len(seen) < wanted:
            await asyncio.sleep(0.01)


async def assert_all_there(machine: Server, account: Any, seen: list[str], granted_nano: int) -> None:
    """No complete call is missing, none is charged twice, nothing is held, and the audit is clean."""
    rows = await asyncio.to_thread(all_calls, machine, account.id)
    receipts = {row["id"]: row for row in rows}
    assert len(receipts) == len(rows)
    assert [call for call in seen if call not in receipts] == []
    assert {receipts[call]["charged"] for call in seen} == {"0.00002"}
    await asyncio.to_thread(eventually, lambda: account.nano("held") == 0)
    assert account.nano("balance") == granted_nano - sum(nano(row["charged"]) for row in rows)
    assert machine.admin.get("/admin/v1/holds?state=open")["data"] == []
    assert await asyncio.to_thread(audited, machine) == []


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


def unavailable(machine: Server, secret: str) -> bool:
    """Whether a call is refused because of the ledger. One that was let in before waits for the ledger."""
    body = {"model": "f-whole", "messages": HELLO}
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        answer = httpx.post(f"{machine.url}/v1/chat/completions", json=body, headers=headers, timeout=4)
    except httpx.TimeoutException:
        return False
    return (answer.status_code, (answer.json().get("error") or {}).get("code")) == (503, "ledger_unavailable")
