"""Limits over HTTP: rates, money short in each way, expiry, and how long a client may take to read."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
from aiohttp import web

from tests.acceptance.harness import HELLO, WAIT_SECONDS, Account, Server, config_for, eventually, running
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)

CHAT = "/v1/chat/completions"
LARGE_BYTES = 12_000_000
"""More than the buffers of a connection on one machine hold."""


@pytest.fixture(scope="module")
def strict(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that answers 429 where others say 402, gives readers half a second, and has a free model."""
    folder = tmp_path_factory.mktemp("strict")
    config = config_for(upstream.port, folder, server={"payment_status": 429}, streams={"write_seconds": 0.5})
    free = {"match": ["l-free"], "rates": {"input_tokens": {"per_1m": "0"}, "output_tokens": {"per_1m": "0"}}}
    config["rate_cards"] = {"free": {**free, "max_output_tokens": 100}, **config["rate_cards"]}
    with running(config, folder) as started:
        yield started


@pytest.fixture(autouse=True)
def behaviours(upstream: ScriptedUpstream) -> None:
    upstream.behaviours["l-ok"] = answers(completion())
    upstream.behaviours["l-free"] = answers(completion())


def chat(account: Account, model: str = "l-ok", **more: Any) -> tuple[int, dict[str, str], Any]:
    """One call; gives status, headers by lower-case name, and body."""
    status, headers, body = account.api.ask("POST", CHAT, {"model": model, "messages": HELLO, **more})
    return status, {name.lower(): value for name, value in headers.items()}, body


def seconds(text: str) -> float:
    """A duration as OpenAI's headers give it."""
    assert text.endswith("s")
    return float(text[:-1])


def waits(headers: dict[str, str]) -> int:
    """What a refusal asks to wait, in ms: its seconds are the milliseconds rounded up."""
    wait_ms = int(headers["retry-after-ms"])
    assert wait_ms > 0
    assert int(headers["retry-after"]) == -(-wait_ms // 1_000)
    return wait_ms


def test_requests_a_minute(server: Server) -> None:
    """Both families of headers tell where the caller stands; the call too many gets 429 and when to come."""
    account = server.account("1.00", limits={"rpm": 2})
    for left in (1, 0):
        status, headers, _ = chat(account)
        assert status == 200
        names = ("limit-requests", "remaining-requests", "limit", "remaining")
        assert [headers[f"x-ratelimit-{name}"] for name in names] == ["2", str(left), "2", str(left)]
        drained = 30 * (2 - left)
        assert drained - 15 < seconds(headers["x-ratelimit-reset-requests"]) <= drained
        assert drained - 15 < int(headers["x-ratelimit-reset"]) <= drained
    status, headers, body = chat(account)
    assert (status, body["error"]["type"]) == (429, "rate_limit_error")
    assert (body["error"]["code"], body["error"]["limit_source"]) == ("rate_limit_exceeded", "account_rpm")
    assert headers["x-should-retry"] == "true"
    assert 15_000 < waits(headers) <= 30_000
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-remaining"]) == ("0", "0")
    assert len(account.requests()) == 2


def test_tokens_a_minute(server: Server, upstream: ScriptedUpstream) -> None:
    """Before a call its ceiling counts, after it what it used; tokens have no plain headers."""
    upstream.behaviours["l-tokens"] = answers(completion(prompt=90, output=900))
    account = server.account("1.00", limits={"tpm": 1_000})
    status, headers, _ = chat(account, "l-tokens", max_tokens=900)
    assert (status, headers["x-ratelimit-limit-tokens"]) == (200, "1000")
    assert 0 <= int(headers["x-ratelimit-remaining-tokens"]) <= 1_000 - 900
    assert 0 < seconds(headers["x-ratelimit-reset-tokens"]) <= 60
    assert "x-ratelimit-limit" not in headers
    status, headers, body = chat(account, max_tokens=400)
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
    assert body["error"]["limit_source"] == "account_tpm"
    assert int(headers["x-ratelimit-remaining-tokens"]) < 400
    assert 0 < waits(headers) <= 60_000


def test_the_keys_own_rate_comes_first(server: Server) -> None:
    """A key's limit stops that key alone."""
    account = server.account("1.00")
    key = server.key_of(account.id, limits={"rpm": 1})
    assert chat(key)[0] == 200
    status, _, body = chat(key)
    assert (status, body["error"]["limit_source"]) == (429, "key_rpm")
    assert chat(account)[0] == 200


def test_calls_at_once(server: Server, upstream: ScriptedUpstream) -> None:
    """While one call runs the next gets 429; when it has ended another may begin."""
    gate = threading.Event()

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(chunk("Hi"))
        await in_flight(gate)
        await response.write(chunk(finish="stop") + usage_chunk(2, 1) + DONE)
        return response

    upstream.behaviours["l-slow"] = behaviour
    account = server.account("1.00", limits={"concurrency": 1})
    body = {"model": "l-slow", "messages": HELLO, "stream": True}
    bearer = {"Authorization": f"Bearer {account.secret}"}
    with httpx.stream("POST", server.url + CHAT, json=body, headers=bearer, timeout=WAIT_SECONDS) as stream:
        lines = stream.iter_lines()
        assert "Hi" in next(lines)
        status, headers, refused = chat(account)
        assert (status, refused["error"]["code"]) == (429, "concurrency_limit_exceeded")
        assert refused["error"]["limit_source"] == "account_concurrency"
        assert waits(headers) == 1_000
        gate.set()
        assert list(lines)[-2:] == ["data: [DONE]", ""]
    assert chat(account)[0] == 200


async def in_flight(gate: threading.Event) -> None:
    """Wait for another thread's event without stopping the upstream's loop."""
    await asyncio.to_thread(gate.wait, 10)


def test_429_for_clients_that_know_no_402(strict: Server) -> None:
    """`payment_status: 429` changes the status alone; the SDK is asked not to retry, and sends it once."""
    account = strict.account("")
    status, headers, body = chat(account)
    assert (status, headers["x-should-retry"]) == (429, "false")
    assert body["error"]["code"] == "credit_balance_exhausted"
    before = refusals(strict, "credit_balance_exhausted")
    with (
        openai.OpenAI(base_url=f"{strict.url}/v1", api_key=account.secret, max_retries=3) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(model="l-ok", messages=HELLO)
    assert caught.value.code == "credit_balance_exhausted"
    assert refusals(strict, "credit_balance_exhausted") == before + 1


def refusals(server: Server, code: str) -> int:
    """How many requests were refused for this."""
    return int(figure(server, f'farebox_refusals_total{{code="{code}"}}'))


def figure(server: Server, name: str) -> float:
    """One figure of the metrics."""
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def test_what_is_affordable_is_affordable(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """With `when_short: refuse` a 402 names the output that fits, and asking for just that succeeds."""
    config = config_for(upstream.port, tmp_path, accounts={"when_short": "refuse"})
    with running(config, tmp_path) as server:
        account = server.account("0.001")
        received = len(upstream.received)
        status, headers, body = chat(account, max_tokens=4_000)
        error = body["error"]
        assert (status, error["code"], headers["x-should-retry"]) == (402, "request_exceeds_balance", "false")
        assert len(upstream.received) == received
        fits = error["affordable_output_tokens"]
        assert chat(account, max_tokens=fits + 1)[0] == 402
        upstream.behaviours["l-fits"] = answers(completion(prompt=9, output=fits))
        status, headers, _ = chat(account, "l-fits", max_tokens=fits)
        assert status == 200
        assert "x-farebox-output-clamped-to" not in headers
        assert 0 <= account.nano("balance") < 2_000


def test_a_keys_spending_limit(server: Server) -> None:
    """What a key may spend a day bounds that key alone, and the refusal says which limit it was."""
    account = server.account("1.00")
    key = server.key_of(account.id, limits={"day": "0.03"})
    assert key.api.ask("POST", "/v1/search", {})[0] == 200
    status, _, body = key.api.ask("POST", "/v1/search", {})
    error = body["error"]
    assert (status, error["code"], error["limit_source"]) == (402, "key_limit_exceeded", "key_day")
    assert (error["limit"], error["spent"], error["available"]) == ("0.03", "0.02", "0.01")
    assert account.api.ask("POST", "/v1/search", {})[0] == 200


@pytest.mark.parametrize(
    ("window", "code"),
    [
        ("day", "daily_limit_exceeded"),
        ("week", "weekly_limit_exceeded"),
        ("month", "monthly_limit_exceeded"),
        ("total", "total_limit_exceeded"),
    ],
)
def test_each_spending_window_has_its_code(server: Server, window: str, code: str) -> None:
    """The account's limit of each window is refused under its own code; only a total never resets."""
    account = server.account("1.00", limits={window: "0.02"})
    assert account.api.ask("POST", "/v1/search", {})[0] == 200
    status, _, body = account.api.ask("POST", "/v1/search", {})
    error = body["error"]
    assert (status, error["code"], error["limit_source"]) == (402, code, f"account_{window}")
    assert (error["resets_at"] is None) == (window == "total")
    assert account.nano("balance") == 980_000_000


def test_a_free_model_needs_no_money(strict: Server) -> None:
    """Rates of 0 are a price: the call passes with an empty balance, and its receipt says 0."""
    account = strict.account("")
    status, headers, _ = chat(account, "l-free")
    assert (status, headers["x-farebox-cost"], headers["x-farebox-balance"]) == (200, "0.00", "0.00")
    assert account.last()["charged"] == "0.00"


def test_a_key_ends_at_its_expiry(server: Server) -> None:
    """A key that is in use, and so remembered, is refused from the instant it expires."""
    account = server.account("1.00")
    expiry = datetime.now(UTC) + timedelta(seconds=1)
    key = server.key_of(account.id, expires_at=expiry.isoformat())
    codes = set()

    def is_over() -> bool:
        late = datetime.now(UTC) > expiry
        status, _, body = chat(key)
        assert status == 401 or not late
        codes.add((status, body.get("error", {}).get("code")))
        return status == 401

    eventually(is_over)
    assert codes == {(200, None), (401, "api_key_expired")}
    assert datetime.now(UTC) >= expiry
    assert account.api.ask("POST", "/v1/search", {})[0] == 200


@pytest.mark.parametrize("stream", [True, False], ids=["one event", "one body"])
def test_a_client_that_stops_reading(strict: Server, upstream: ScriptedUpstream, stream: bool) -> None:
    """After `write_seconds` without progress the client is let go and the hold closed; nothing goes on."""
    padding = "x" * LARGE_BYTES
    upstream.behaviours["l-large"] = (
        streams(chunk("Hello there", padding=padding), then=lambda _: asyncio.sleep(60))
        if stream
        else answers(completion(padding=padding))
    )
    account = strict.account("1.00")
    body = json.dumps({"model": "l-large", "messages": HELLO, "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", strict.port), timeout=WAIT_SECONDS) as client:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.secret}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        receipt = account.last()
        eventually(lambda: figure(strict, "farebox_calls_in_flight") == 0)
        assert received_bytes(client) < LARGE_BYTES
    assert receipt["outcome"] == ("client_left" if stream else "complete")
    assert receipt["charged"] == ("0.000013" if stream else "0.000025")
    assert (account.nano("held"), len(account.requests())) == (0, 1)


def received_bytes(client: socket.socket) -> int:
    """What still comes until the connection ends; fails when it stays open."""
    size = 0
    try:
        while data := client.recv(1_000_000):
            size += len(data)
    except ConnectionResetError:
        return size
    return size
