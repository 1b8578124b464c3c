"""Clients that leave a real process before their answer: their calls go on, and are charged."""

import asyncio
import http.client
import json
import threading
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.acceptance.harness import HELLO, Account, Server, config_for, eventually, running
from tests.acceptance.scripted_upstream import (
    Behaviour,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
)


def ended_as(account: Account, charge: str, basis: str, outcome: str) -> None:
    """The one receipt says this, and nothing is held any more."""
    receipt = account.last()
    assert (receipt["charged"], receipt["basis"], receipt["outcome"]) == (charge, basis, outcome)
    assert (len(account.requests()), account.nano("held")) == (1, 0)


def when_gone(gone: threading.Event, then: Behaviour) -> Behaviour:
    """What an upstream does that answers when a client has gone."""

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        while not gone.is_set():
            await asyncio.sleep(0.01)
        return await then(request, body)

    return behaviour


def leave(server: Server, account: Account, upstream: ScriptedUpstream, body: dict[str, Any]) -> None:
    """Send a call, and close the connection when the upstream has it."""
    received = len(upstream.received)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    headers = {"Authorization": f"Bearer {account.secret}"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    eventually(lambda: len(upstream.received) > received)
    connection.close()


def test_a_client_that_leaves_before_the_answer(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """The upstream bills what it was sent: the answer is waited for, and charged as if somebody read it."""
    gone = threading.Event()
    upstream.behaviours["o-early"] = when_gone(gone, answers(completion()))
    served = upstream.served
    leave(server, account, upstream, {"model": "o-early", "messages": HELLO})
    assert account.nano("held") > 0
    gone.set()
    eventually(lambda: upstream.served == served + 1)
    ended_as(account, "0.000025", "reported", "client_left")
    assert "internal_error" not in server.log_text()


def test_a_client_that_leaves_before_a_stream_begins(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """It is stopped as soon as its upstream answers, and pays for its input and what had come."""
    gone = threading.Event()

    async def forever(_: web.StreamResponse) -> None:
        await asyncio.sleep(60)

    upstream.behaviours["o-early"] = when_gone(gone, streams(chunk("Hello"), then=forever))
    dropped = upstream.dropped
    leave(server, account, upstream, {"model": "o-early", "messages": HELLO, "stream": True})
    gone.set()
    eventually(lambda: upstream.dropped == dropped + 1)
    ended_as(account, "0.000011", "counted", "client_left")


def test_a_process_that_stops_does_not_wait_for_what_nobody_reads(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """The hold of such a call is closed, not left to the next process."""
    gone = threading.Event()
    upstream.behaviours["o-late"] = when_gone(gone, answers(completion()))
    config = config_for(upstream.port, tmp_path, server={"drain_seconds": 0.2})
    with running(config, tmp_path) as server:
        account = server.account("1.00")
        leave(server, account, upstream, {"model": "o-late", "messages": HELLO})
        assert server.stop() == 0
        server.start()
        ended_as(account, "0.00", "void", "client_left")
        assert account.nano("held") == 0
    gone.set()
