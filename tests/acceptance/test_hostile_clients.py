"""What clients can make Farebox spend that do not pay for it: each bound, with a real process."""

import contextlib
import http.client
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import HELLO, WAIT_SECONDS, Account, Server, config_for, eventually, running
from tests.acceptance.hostile import (
    CHAT,
    MB,
    connected,
    connections_of,
    crowd,
    head,
    large_body,
    memory_of,
    status_of,
)
from tests.acceptance.scripted_upstream import ScriptedUpstream
from tests.bench.attackers import Attack, attacked

EVERYDAY = {"model": "f-whole", "messages": HELLO}
UPLOADS = 20
BUDGET = 100 * MB
FORK_BYTES = 60 * MB
"""What a process may grow by beside the budget: buffers of connections, and what Python keeps."""


@pytest.fixture(scope="module")
def tight(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with little memory for bodies, and little patience with those that do not read."""
    folder = tmp_path_factory.mktemp("tight")
    bounds = {"body_memory_bytes": BUDGET, "max_body_bytes": 60 * MB}
    with running(
        config_for(upstream.port, folder, server=bounds, streams={"write_seconds": 1}), folder
    ) as started:
        yield started


def send_all_but_the_last_byte(client: socket.socket, secret: str) -> None:
    """Upload as much as the server takes."""
    body = large_body(50 * MB)
    client.settimeout(0.3)
    with contextlib.suppress(OSError):
        client.sendall(head(secret, len(body)) + body[:-1])
    client.settimeout(WAIT_SECONDS)


def test_uploads_without_an_end_pin_no_more_than_the_budget(tight: Server) -> None:
    """20 uploads whose last byte never comes: memory stays in its bound, and others get through meanwhile."""
    account = tight.account()
    account.api.post(CHAT, EVERYDAY)
    before = memory_of(tight)
    with crowd(tight, UPLOADS) as clients:
        for client in clients:
            send_all_but_the_last_byte(client, account.secret)
            assert memory_of(tight) - before < BUDGET + FORK_BYTES
        assert account.api.post(CHAT, EVERYDAY)["choices"]
        whole = large_body(10 * MB)
        status, _, body = account.api.ask("POST", CHAT, whole)
        assert status == 200, body
        assert memory_of(tight) - before < BUDGET + FORK_BYTES
    status, _, body = account.api.ask("POST", CHAT, large_body(50 * MB))
    assert status == 200, body


def refused_unread(server: Server, secret: str, path: str = CHAT) -> int:
    """The status that comes although nothing of the body is ever sent."""
    with connected(server) as client:
        client.sendall(head(secret, 50 * MB, path=path))
        return status_of(client)


def test_who_cannot_pay_is_refused_before_the_body_is_read(server: Server) -> None:
    """Unknown, disabled, suspended or broke: the answer comes while the body is still to be sent."""
    broke = server.account(amount="")
    assert refused_unread(server, "") == 401
    assert refused_unread(server, "sk-fbx-nobody") == 401
    assert refused_unread(server, broke.secret) == 402
    assert refused_unread(server, broke.secret, "/v1/search") == 402
    account = server.account("1.00")
    account.api.post(CHAT, EVERYDAY)
    server.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"status": "suspended"})
    assert refused_unread(server, account.secret) == 402
    server.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"status": "active"})
    server.admin.ask("PATCH", f"/admin/v1/keys/{account.key_id}", {"status": "disabled"})
    assert refused_unread(server, account.secret) == 401


def test_a_small_body_that_is_withheld_is_no_way_around(server: Server) -> None:
    """A key without funds does not keep a connection by sending less than it announced."""
    broke = server.account(amount="")
    with connected(server) as client:
        client.sendall(head(broke.secret, 100) + b"{")
        assert status_of(client) == 402
    with connected(server) as client:
        client.sendall(head(broke.secret, None) + b"1\r\n{\r\n")
        assert status_of(client) == 402


def never_read(clients: list[socket.socket], request: bytes) -> None:
    """Ask again and again, as long as the server takes it, and read no answer."""
    for client in clients:
        client.settimeout(0.05)
        with contextlib.suppress(OSError):
            for _ in range(100):
                client.sendall(request)


@pytest.mark.parametrize("path", ["/openapi.json", "/metrics"])
def test_clients_that_never_read_lose_their_connections(tight: Server, path: str) -> None:
    """However they ask and whatever for, a client that takes nothing for `write_seconds` is let go."""
    with crowd(tight, 5, receives_bytes=4_096) as clients:
        never_read(clients, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 20)
        account = tight.account()
        assert account.api.post(CHAT, EVERYDAY)["choices"]
        eventually(lambda: connections_of(tight) < 3)


def test_clients_that_never_read_do_not_hold_up_the_end(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """A process with a minute for its drain ends long before, though nobody reads what it has sent."""
    config = config_for(upstream.port, tmp_path, server={"drain_seconds": 60})
    with running(config, tmp_path) as server:
        account = server.account()
        with crowd(server, 20, receives_bytes=4_096) as clients:
            never_read(clients[:10], b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            body = json.dumps({"model": "f-whole", "messages": HELLO}).encode()
            never_read(clients[10:], (head(account.secret, len(body)) + body) * 20)
            assert server.process is not None
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(WAIT_SECONDS) == 0
            assert time.monotonic() - began < 30


def test_requests_in_a_row_are_not_taken_before_their_turn(tight: Server) -> None:
    """While one is answered, the bodies behind it stay with their sender, who need not have a key."""
    before = memory_of(tight)
    with crowd(tight, 60, receives_bytes=4_096) as clients:
        body = b"x" * 200_000
        never_read(clients, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 40)
        never_read(clients, head("", len(body)) + body)
        assert memory_of(tight) - before < FORK_BYTES


def test_new_clients_displace_those_that_ask_for_nothing(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """A crowd that takes every connection and says nothing keeps no caller out."""
    config = config_for(upstream.port, tmp_path, server={"max_connections": 50})
    with running(config, tmp_path) as server:
        account = server.account()
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS)
        with contextlib.closing(kept):
            statuses = [kept_call(kept, account)]
            sock = kept.sock
            with crowd(server, 200):
                for _ in range(20):
                    assert account.api.post(CHAT, EVERYDAY)["choices"]
                assert connections_of(server) <= 50
                statuses.append(kept_call(kept, account))
            assert kept.sock is sock
            assert statuses == [200, 200]


def kept_call(client: http.client.HTTPConnection, account: Account) -> int:
    """The status of a call over a connection that is kept."""
    client.request("POST", CHAT, json.dumps(EVERYDAY), {"Authorization": f"Bearer {account.secret}"})
    with client.getresponse() as answer:
        answer.read()
        return answer.status


CALLS = 100


def test_a_paying_caller_is_served_beside_attackers_of_every_kind(tight: Server) -> None:
    """No key, a key without funds, and a funded key, flat out: each of its calls succeeds, memory is bounded.

    `make bench PARTS=attacks` measures how much longer its calls take.
    """
    payer, broke, foe = tight.account("10.00"), tight.account(amount=""), tight.account("1000.00")
    before = memory_of(tight)
    with attacked(
        Attack("stranger", tight.port, "", "f-whole"),
        Attack("broke", tight.port, broke.secret, "f-whole"),
        Attack("payer", tight.port, foe.secret, "f-whole"),
    ):
        eventually(lambda: bool(foe.requests()))
        for _ in range(CALLS):
            assert payer.api.post(CHAT, EVERYDAY)["choices"]
            assert memory_of(tight) - before < BUDGET + FORK_BYTES
    assert len(foe.requests()) > 1
    assert broke.requests() == []
    assert payer.nano("balance") == 10_000_000_000 - CALLS * 20_000
