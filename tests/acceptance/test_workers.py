"""Several workers on one port behave as one process, also when one of them dies."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2 as httpx
import psutil
import pytest
import yaml

from proxy.money import usd_string
from proxy.storage.locations import database_at
from tests.acceptance.crowd import AFFORDABLE, CALLERS, SEARCH_NANO, exhaust
from tests.acceptance.harness import (
    HELLO,
    WAIT_SECONDS,
    Account,
    Api,
    Server,
    config_for,
    eventually,
    nano,
    running,
    spawned,
)
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)
from tests.storage.whole import differences

WORKERS = 4
BODY = {"model": "w-whole", "messages": HELLO, "max_tokens": 8}


@pytest.fixture(scope="module")
def crew(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Farebox of several workers."""
    upstream.behaviours["w-whole"] = answers(completion(prompt=10, output=5))
    folder = tmp_path_factory.mktemp("crew")
    config = config_for(upstream.port, folder, server={"workers": WORKERS})
    with running(config, folder) as server:
        eventually(lambda: "all workers serve" in server.log_text())
        yield server


def workers_of(server: Server) -> dict[int, psutil.Process]:
    """The workers that live, by process id."""
    assert server.process is not None
    children = psutil.Process(server.process.pid).children()
    return {child.pid: child for child in children if child.status() != psutil.STATUS_ZOMBIE}


def statuses(account: Account, times: int = 8 * WORKERS) -> list[int]:
    """The statuses of so many calls, each over a connection of its own, so that every worker gets some."""
    return [account.api.ask("POST", "/v1/chat/completions", BODY)[0] for _ in range(times)]


def test_every_worker_serves_and_charges(crew: Server) -> None:
    """Calls spread over the workers, and one ledger has them all."""
    account = crew.account("1.00")
    before = {pid: sum(worker.cpu_times()[:2]) for pid, worker in workers_of(crew).items()}
    assert len(before) == WORKERS
    assert set(statuses(account, 200)) == {200}
    busy = [pid for pid, worker in workers_of(crew).items() if sum(worker.cpu_times()[:2]) > before[pid]]
    assert len(busy) > 1
    assert account.nano("balance") == 10**9 - 200 * 20_000
    assert account.nano("held") == 0


def test_what_one_worker_is_told_holds_on_all_at_the_next_call(crew: Server) -> None:
    """A limit, a grant, a suspended account and a disabled key: no worker goes on by what it remembers."""
    account = crew.account("")
    admin, path = crew.admin, f"/admin/v1/accounts/{account.id}"
    assert set(statuses(account)) == {402}
    admin.post(f"{path}/grants", {"amount": "1.00"}, {"Idempotency-Key": "one"})
    assert set(statuses(account)) == {200}
    patched(admin, path, {"limits": {"day": "0.000001"}})
    assert set(statuses(account)) == {402}
    patched(admin, path, {"limits": {"day": "1.00"}})
    assert set(statuses(account)) == {200}
    patched(admin, path, {"status": "suspended"})
    assert set(statuses(account)) == {402}
    patched(admin, path, {"status": "active"})
    assert set(statuses(account)) == {200}
    patched(admin, f"/admin/v1/keys/{account.key_id}", {"status": "disabled"})
    assert set(statuses(account)) == {401}


def patched(admin: Api, path: str, change: dict[str, Any]) -> None:
    """Change something that is there."""
    status, _, body = admin.ask("PATCH", path, change)
    assert status == 200, body


def test_rate_limits_are_of_the_account_and_not_of_a_worker(crew: Server) -> None:
    """With 10 calls a minute allowed, 10 of many pass, however many workers there are."""
    account = crew.account("1.00", limits={"rpm": 10})
    began = time.monotonic()
    told = statuses(account, 40)
    refilled = int((time.monotonic() - began) / 6) + 1
    assert 10 <= told.count(200) <= 10 + refilled
    assert set(told) == {200, 429}


async def test_1000_calls_of_300_callers_when_the_balance_pays_for_1000(crew: Server) -> None:
    """One hot account, four workers: exactly 1,000 calls succeed, and nothing is left or held."""
    account = await asyncio.to_thread(crew.account, usd_string(AFFORDABLE * SEARCH_NANO))
    found = await exhaust([crew.url], account.secret)
    assert (found.count(200), found.count(402)) == (AFFORDABLE, CALLERS)
    assert (account.nano("balance"), account.nano("held")) == (0, 0)
    shown = crew.admin.get(f"/admin/v1/usage?account_id={account.id}")
    assert shown["data"][0]["requests"] == AFFORDABLE
    assert differences(database_at(crew.config["storage"])) == []


async def test_a_killed_worker_is_replaced_and_its_calls_are_closed(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """`kill -9` of a worker: the others serve on, its stream is charged as observed, nothing stays held."""
    upstream.behaviours["w-slow"] = streams(chunk("Hello there"), then=drip)
    upstream.behaviours["w-whole"] = answers(completion(prompt=10, output=5))
    config = config_for(upstream.port, tmp_path, server={"workers": 2}, streams={"observe_seconds": 0.05})
    with running(config, tmp_path) as server:
        eventually(lambda: "all workers serve" in server.log_text())
        account = await asyncio.to_thread(server.account, "1.00")
        before = workers_of(server)
        headers = {"Authorization": f"Bearer {account.secret}"}
        body = {"model": "w-slow", "messages": HELLO, "stream": True}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{server.url}/v1/chat/completions", json=body) as answer,
        ):
            for _ in range(20):
                await answer.content.readline()
            assert answer.connection is not None
            assert answer.connection.transport is not None
            ours = answer.connection.transport.get_extra_info("sockname")[1]
            [victim] = [pid for pid, worker in before.items() if serves(worker, ours)]
            os.kill(victim, signal.SIGKILL)
            psutil.wait_procs([before[victim]], timeout=WAIT_SECONDS)
            # From now on the system gives the dead one no connection.
            assert set(statuses(account, 4)) == {200}
        eventually(lambda: len(workers_of(server)) == 2 and victim not in workers_of(server))
        eventually(lambda: account.nano("held") == 0)
        rows = server.admin.get(f"/admin/v1/receipts?account_id={account.id}&limit=100")["data"]
        [crashed] = [row for row in rows if row["model"] == "w-slow"]
        assert (crashed["basis"], crashed["outcome"]) == ("recovered", "crashed")
        assert account.nano("balance") == 10**9 - sum(nano(row["charged"]) for row in rows)
        assert "a worker ended and is replaced" in server.log_text()


async def drip(response: Any) -> None:
    """An event every 20 ms."""
    while True:
        await response.write(chunk(" more"))
        await asyncio.sleep(0.02)


def serves(worker: psutil.Process, client_port: int) -> bool:
    """Whether the worker has the other end of a client's connection."""
    connections = worker.net_connections("tcp")
    return any(connection.raddr and connection.raddr.port == client_port for connection in connections)


def test_sigterm_lets_the_streams_of_all_workers_finish(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """Every stream in flight ends whole and is settled, and the exit is clean."""

    async def slowly(response: Any) -> None:
        await asyncio.sleep(0.5)
        await response.write(chunk(finish="stop") + usage_chunk(2, 1) + DONE)

    upstream.behaviours["w-drain"] = streams(chunk("one"), then=slowly)
    config = config_for(upstream.port, tmp_path, server={"workers": 2, "drain_seconds": WAIT_SECONDS})
    server = Server(config, tmp_path).start()
    account = server.account("1.00")
    body = {"model": "w-drain", "messages": HELLO, "stream": True}
    headers = {"Authorization": f"Bearer {account.secret}"}
    with contextlib.ExitStack() as stack:
        in_flight = []
        for _ in range(8):
            stream = stack.enter_context(
                httpx.stream(
                    "POST",
                    f"{server.url}/v1/chat/completions",
                    json=body,
                    headers=headers,
                    timeout=WAIT_SECONDS,
                )
            )
            in_flight.append(stream.iter_raw())
        read = [next(pieces) for pieces in in_flight]
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        whole = [first + b"".join(pieces) for first, pieces in zip(read, in_flight, strict=True)]
    assert all(text.endswith(DONE) for text in whole)
    assert server.stop() == 0
    server.start()
    try:
        assert account.nano("balance") == 10**9 - 8 * 4_000
        assert account.nano("held") == 0
    finally:
        server.stop()


def test_workers_end_with_their_supervisor(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """`kill -9` of the supervisor: its workers drain and end, and leave the port to the next one."""
    upstream.behaviours["w-whole"] = answers(completion(prompt=10, output=5))
    server = Server(config_for(upstream.port, tmp_path, server={"workers": 2}), tmp_path).start()
    account = server.account("1.00")
    orphans = workers_of(server)
    server.kill()
    psutil.wait_procs(orphans.values(), timeout=WAIT_SECONDS)
    assert not any(worker.is_running() for worker in orphans.values())
    server.start()
    try:
        assert set(statuses(account, 4)) == {200}
    finally:
        server.stop()


def test_sighup_reloads_every_worker_and_a_bad_file_none(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """New settings are in force on all workers; a bad file changes nothing, also for a worker that is new."""
    upstream.behaviours["w-whole"] = answers(completion(prompt=10, output=5))
    config = config_for(upstream.port, tmp_path, server={"workers": 2})
    with running(config, tmp_path) as server:
        eventually(lambda: "all workers serve" in server.log_text())
        account, file = server.account(""), tmp_path / "farebox.yaml"
        assert set(statuses(account)) == {402}
        text = file.read_text()
        file.write_text(text.replace("port:", "payment_status: 429\n  port:", 1))
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.log_text().count('"reloaded"') == 2)
        assert set(statuses(account)) == {429}
        file.write_text("nonsense: true\n")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "reload refused" in server.log_text())
        victim = next(iter(workers_of(server)))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(workers_of(server)) == 2 and victim not in workers_of(server))
        assert set(statuses(account)) == {429}


def test_a_taken_port_is_told_and_nothing_stays(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """Somebody else listens there, shared or not: an error that says so, exit code 1, and no process left."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, errors = start_in_vain(
            config_for(upstream.port, tmp_path, server={"workers": 2, "port": port}), tmp_path
        )
    assert code == 1
    assert "Farebox cannot run" in errors
    assert "in use" in errors


def test_a_database_that_no_worker_can_open_ends_them_all(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """Another try would not help: the reason is printed, and the exit code is 1."""
    (tmp_path / "farebox.db").write_text("this is no database, and longer than a header " * 10)
    code, errors = start_in_vain(config_for(upstream.port, tmp_path, server={"workers": 2}), tmp_path)
    assert code == 1
    assert "Farebox cannot run" in errors


def start_in_vain(config: dict[str, Any], folder: Path) -> tuple[int, str]:
    """The exit code and the errors of a server that cannot start."""
    file = folder / "farebox.yaml"
    file.write_text(yaml.safe_dump(config))
    process = spawned(file, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _, errors = process.communicate(timeout=WAIT_SECONDS)
    return process.returncode, str(errors)


def test_metrics_are_of_all_workers(crew: Server) -> None:
    """Each worker shows the sum of all, a second late at most."""
    account = crew.account("1.00", limits={"rpm": 1})
    before = refused(crew)
    told = statuses(account, 30)
    eventually(lambda: refused(crew) - before >= told.count(429))


def refused(server: Server) -> float:
    """How many calls were refused for their rate."""
    text = httpx.get(f"{server.url}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith('farebox_refusals_total{code="rate_limit')]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
