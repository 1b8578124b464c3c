"""What every answer of ours has in common: the way of errors to clients, and of refusals to the log."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from proxy.clock import SystemClock
from proxy.edge.middleware import FACTS, SHOWN_LENGTH, Edge, Handler
from proxy.errors import CODES, Refusal
from proxy.ledger.store import LedgerUnavailable


async def answer_of(handler: Handler, *, path: str = "/x") -> tuple[int, dict[str, str], list[Any]]:
    """Status, headers and log lines of what a handler comes to behind the middleware."""
    edge = Edge(clock=SystemClock(), payment_status=lambda: 402, on_refusal=lambda _: None)
    app = web.Application(middlewares=[edge.middleware()])
    app.router.add_get("/{rest:.*}", handler)
    with capture_logs() as lines:
        async with TestClient(TestServer(app)) as client, asyncio.timeout(30):
            answer = await client.get(path)
            return answer.status, {name.lower(): text for name, text in answer.headers.items()}, lines


def raising(error: Exception) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise error

    return handler


async def not_ready(request: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "draining"}, status=503)


UNAVAILABLE = {
    **{code: raising(Refusal(code, "No.")) for code, kind in CODES.items() if kind.status == 503},
    "an unreadable ledger": raising(LedgerUnavailable("no")),
    "a probe": not_ready,
}


@pytest.mark.parametrize("kind", UNAVAILABLE)
async def test_every_503_sends_its_client_elsewhere(kind: str) -> None:
    """It says when to try again, and ends the connection: behind a balancer the next one leads elsewhere."""
    status, headers, _ = await answer_of(UNAVAILABLE[kind])
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert headers["connection"] == "close"


@pytest.mark.parametrize("code", [code for code, kind in CODES.items() if kind.status != 503])
async def test_no_other_refusal_ends_the_connection(code: str) -> None:
    """What another process would say as well is no reason to connect anew."""
    status, headers, _ = await answer_of(raising(Refusal(code, "No.")))
    assert (status, headers.get("connection")) == (CODES[code].status, None)


async def test_a_refusal_says_when_to_try_again_itself() -> None:
    """The header of a refusal stands before the one that every 503 has."""
    refusal = Refusal("ledger_unavailable", "No.", headers={"Retry-After": "7"})
    _, headers, _ = await answer_of(raising(refusal))
    assert headers["retry-after"] == "7"


async def test_a_refusal_in_the_log_says_whose_it_is() -> None:
    """The line has what is known of the request, and where it came from; none of it at any length."""

    async def handler(request: web.Request) -> web.StreamResponse:
        request[FACTS] = {"account_id": "acct_1", "key_id": "key_1", "model": "m" * 10_000, "route": "all"}
        raise Refusal("credit_balance_exhausted", "No.")

    _, headers, (line,) = await answer_of(handler, path="/" + "p" * 1_000)
    assert {name: line[name] for name in ("account_id", "key_id", "route", "client", "request_id")} == {
        "account_id": "acct_1",
        "key_id": "key_1",
        "route": "all",
        "client": "127.0.0.1",
        "request_id": headers["x-request-id"],
    }
    assert len(line["model"]) <= SHOWN_LENGTH + 3
    assert len(line["path"]) <= SHOWN_LENGTH + 3


async def test_a_refusal_of_which_nothing_is_known_is_logged_too() -> None:
    _, _, (line,) = await answer_of(raising(Refusal("not_found", "No.")))
    assert (line["code"], line["client"], "account_id" in line) == ("not_found", "127.0.0.1", False)
