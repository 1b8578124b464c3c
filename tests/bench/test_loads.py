"""What the bench measures with is right: its upstream, its pass-through, its load and its ledger."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from tests.bench import wire
from tests.bench.loads import Load, LoadError, run_load
from tests.bench.passthrough import build
from tests.bench.processes import canned_upstream, load_from_outside
from tests.bench.upstream import serve


@pytest.fixture
async def upstream_port() -> AsyncIterator[int]:
    server = await serve(0, 0.001)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def passthrough_port(upstream_port: int) -> AsyncIterator[int]:
    server = TestServer(build(upstream_port))
    async with server:
        assert server.port is not None
        yield server.port


async def received(port: int, *, events: int | None) -> bytes:
    head, _, body = wire.request_bytes(port, "sk-any", events=events).partition(b"\r\n\r\n")
    assert head.startswith(b"POST ")
    url = f"http://127.0.0.1:{port}{wire.PATH}"
    async with ClientSession() as session, session.post(url, data=body) as response:
        assert response.status == 200
        return await response.read()


@pytest.mark.parametrize("events", [None, 3])
async def test_the_passthrough_hands_on_what_the_upstream_sends(
    upstream_port: int, passthrough_port: int, events: int | None
) -> None:
    """Byte for byte, whole and streamed."""
    direct = await received(upstream_port, events=events)
    assert await received(passthrough_port, events=events) == direct
    assert direct.count(b"data: ") == (0 if events is None else events + 3)


@pytest.mark.parametrize("through", ["upstream", "passthrough"])
@pytest.mark.parametrize("events", [None, 5])
async def test_every_call_and_every_event_is_counted(
    upstream_port: int, passthrough_port: int, through: str, events: int | None
) -> None:
    """The load reads each answer to its end, on every connection."""
    port = upstream_port if through == "upstream" else passthrough_port
    outcome = await run_load(Load(port, "sk-any", 3, 0.05, events))
    assert outcome.calls >= 3
    assert outcome.events == outcome.calls * (0 if events is None else events + 3)
    assert 0 < outcome.first.p50_us <= outcome.total.p50_us <= outcome.total.p99_us


async def test_a_call_that_fails_ends_the_load() -> None:
    """A figure for calls that were refused would be worth nothing."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 402 Payment Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    with pytest.raises(LoadError, match="402"):
        await run_load(Load(server.sockets[0].getsockname()[1], "sk-any", 1, 0.05))
    server.close()


def test_a_child_is_loaded_from_outside_and_its_time_is_read(tmp_path: Path) -> None:
    """The load is a process of its own, so that the server's time is the server's alone."""
    with canned_upstream(tmp_path, 1) as upstream:
        outcome = load_from_outside(Load(upstream.port, upstream.key, 2, 0.1))
        assert outcome.calls > 0
        assert 0 < upstream.cpu_seconds() < 5
        assert upstream.memory_bytes() > 2**20


def test_prices_are_of_the_canned_usage() -> None:
    """The books are checked against what the canned answers say was used."""
    assert wire.price_nano(wire.WHOLE_OUTPUT_TOKENS) == 38 * 150 + 24 * 600
    assert b'"prompt_tokens": 38, "completion_tokens": 24' in wire.whole_answer()


def test_the_command_explains_itself() -> None:
    """`python -m tests.bench --help` works from the project's folder."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--help"], capture_output=True, text=True, check=True
    )
    assert "--quick" in done.stdout
