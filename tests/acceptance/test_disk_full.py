"""The disk of the database is full: nothing is forwarded unheld, no close gets lost, and it passes by itself.

The system lets no file of the server grow, which its writes meet as they meet a disk that is full.
"""

import asyncio
import contextlib
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.callers import all_calls, assert_all_there, audited, hammered, progress, unavailable
from tests.acceptance.harness import WAIT_SECONDS, Account, Server, config_for, eventually, nano, running
from tests.acceptance.raw_upstream import Streaming
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)

STREAMS = 8
PROBE: Any = {"model": "d-probe", "messages": [{"role": "user", "content": "Say hello"}]}


@pytest.fixture(autouse=True, scope="module")
def behaviours(upstream: ScriptedUpstream) -> None:
    upstream.behaviours["d-probe"] = answers(completion())


@pytest.fixture
def server(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Server]:
    with running(config_for(upstream.port, tmp_path), tmp_path) as started:
        yield started


@contextlib.contextmanager
def full_disk(server: Server) -> Iterator[None]:
    """For the length of a block no file of the server can grow beyond what the database's log has now."""
    assert server.process is not None
    pid, log = server.process.pid, server.folder / "farebox.db-wal"
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def probe(account: Account) -> tuple[int, str | None]:
    status, _, answer = account.api.ask("POST", "/v1/chat/completions", PROBE)
    return status, (answer.get("error") or {}).get("code")


def probes_in(upstream: ScriptedUpstream) -> int:
    return [body.get("model") for body in upstream.received].count("d-probe")


def test_a_full_disk_refuses_calls_and_keeps_the_closes_of_those_in_flight(
    upstream: ScriptedUpstream, server: Server
) -> None:
    """503, not ready, nothing forwarded; streams get their ends, and their charges, when there is room."""
    account, gate, ended = server.account("1.00"), threading.Event(), threading.Semaphore(0)

    async def rest(response: Any) -> None:
        await asyncio.to_thread(gate.wait, 20)
        await response.write(chunk(finish="stop") + usage_chunk(10, 5) + DONE)
        ended.release()

    upstream.behaviours["d-gated"] = streams(chunk("hello"), then=rest)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Streaming(account, "d-gated")) for _ in range(STREAMS)]
        assert [client.event() + b"\n" for client in clients] == [chunk("hello")] * STREAMS
        with full_disk(server):
            eventually(lambda: probe(account) == (503, "ledger_unavailable"))
            forwarded = probes_in(upstream)
            assert {probe(account) for _ in range(20)} == {(503, "ledger_unavailable")}
            assert probes_in(upstream) == forwarded
            assert server.admin.ask("GET", "/readyz")[0] == 503
            assert account.nano("balance") == 10**9, "the books can be read"
            gate.set()
            assert all(ended.acquire(timeout=WAIT_SECONDS) for _ in range(STREAMS))
            assert {probe(account) for _ in range(20)} == {(503, "ledger_unavailable")}
            assert account.nano("held") > 0
            assert account.requests() == []
        assert all(client.rest().endswith(DONE) for client in clients)
    eventually(lambda: probe(account) == (200, None))
    eventually(lambda: bool(server.admin.ask("GET", "/readyz")[0] == 200))
    rows = account.requests()
    of_streams = [(row["outcome"], nano(row["charged"])) for row in rows if row["model"] == "d-gated"]
    assert of_streams == [("complete", 20_000)] * STREAMS
    assert probes_in(upstream) == forwarded + len(rows) - STREAMS
    assert account.nano("balance") == 10**9 - sum(nano(row["charged"]) for row in rows)
    assert account.nano("held") == 0
    assert audited(server) == []


def test_a_client_gets_an_end_while_the_disk_stays_full(upstream: ScriptedUpstream, server: Server) -> None:
    """A stream is broken off, another answer is 503; both holds are closed when there is room again."""
    account, gate = server.account("1.00"), threading.Event()

    async def rest(response: Any) -> None:
        await asyncio.to_thread(gate.wait, WAIT_SECONDS)
        await response.write(chunk(finish="stop") + usage_chunk(10, 5) + DONE)

    def gated(request: Any, body: Any) -> Any:
        return asyncio.to_thread(gate.wait, WAIT_SECONDS)

    async def whole(request: Any, body: dict[str, Any]) -> Any:
        await gated(request, body)
        return await answers(completion())(request, body)

    upstream.behaviours |= {"d-gated": streams(chunk("hello"), then=rest), "d-whole": whole}
    told: list[tuple[int, Any]] = []

    def ask_whole() -> None:
        status, _, answer = account.api.ask("POST", "/v1/chat/completions", {**PROBE, "model": "d-whole"})
        told.append((status, answer["error"]["code"]))

    asking = threading.Thread(target=ask_whole)
    with Streaming(account, "d-gated") as client:
        assert client.event() + b"\n" == chunk("hello")
        asking.start()
        eventually(lambda: len(server.admin.get("/admin/v1/holds?state=open")["data"]) == 2)
        with full_disk(server):
            eventually(lambda: probe(account) == (503, "ledger_unavailable"))
            gate.set()
            end = client.rest()
            asking.join(WAIT_SECONDS)
            assert b"ledger_unavailable" in end
            assert not end.endswith(DONE)
            assert told == [(503, "ledger_unavailable")]
            assert account.nano("held") > 0
    eventually(lambda: account.nano("held") == 0)
    rows = {row["model"]: (row["outcome"], nano(row["charged"])) for row in account.requests()}
    assert rows.pop("d-gated") == ("complete", 20_000)
    assert rows.pop("d-whole") == ("ledger_unavailable", 0)
    assert audited(server) == []
    assert "task failed" not in server.log_text()


async def test_a_disk_that_is_full_now_and_then_under_load_loses_and_doubles_nothing(
    upstream: ScriptedUpstream, server: Server
) -> None:
    """A complete call is charged once; a refused one was never forwarded."""
    account, before = server.account("1000.00"), len(upstream.received)
    seen: list[str] = []
    async with hammered([server], account.secret, seen):
        for _ in range(4):
            await progress(seen)
            with full_disk(server):
                await asyncio.to_thread(eventually, lambda: unavailable(server, account.secret))
        await progress(seen)
    await assert_all_there(server, account, seen, 1_000 * 10**9)
    assert len(upstream.received) - before <= len(all_calls(server, account.id))


async def test_a_server_killed_on_a_full_disk_recovers_when_there_is_room(
    upstream: ScriptedUpstream, server: Server
) -> None:
    """What was complete before is there; what could not be closed any more is closed by the next server."""
    account = server.account("1000.00")
    seen: list[str] = []
    async with hammered([server], account.secret, seen):
        await progress(seen)
        with full_disk(server):
            await asyncio.to_thread(eventually, lambda: unavailable(server, account.secret))
            await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await progress(seen)
    await assert_all_there(server, account, seen, 1_000 * 10**9)
