"""The charge table: what each way a call can end costs. Rates: 1,000 nano-USD a token in, 2,000 out."""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import pytest
from aiohttp import web

from tests.acceptance.harness import (
    HELLO,
    WAIT_SECONDS,
    Account,
    Server,
    eventually,
    nano,
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

PROMPT_TOKENS = 9
"""What the cookbook's rule counts for HELLO: 3 + 1 (user) + 2 (Say hello) + 3."""


def chat(server: Server, account: Account, model: str, **more: Any) -> httpx.Response:
    body = {"model": model, "messages": HELLO, **more}
    headers = {"Authorization": f"Bearer {account.secret}"}
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=WAIT_SECONDS)


async def reset(response: web.StreamResponse) -> None:
    """Break the connection off."""
    transport = response._req.transport  # type: ignore[union-attr]
    assert transport is not None
    transport.abort()


def closed(account: Account, charge: str, basis: str, outcome: str) -> None:
    """The one receipt says this, and the money moved accordingly."""
    receipt = account.last()
    assert (receipt["charged"], receipt["basis"], receipt["outcome"]) == (charge, basis, outcome)
    assert len(account.requests()) == 1
    assert account.nano("balance") == 1_000_000_000 - nano(charge)
    assert account.nano("held") == 0
    assert sum(nano(line["amount"]) for line in receipt["lines"]) == nano(charge)


def test_complete_with_reported_usage(server: Server, account: Account, upstream: ScriptedUpstream) -> None:
    """Reported usage is charged to the nano-dollar."""
    upstream.behaviours["o-ok"] = answers(completion(prompt=1_234, output=567))
    assert chat(server, account, "o-ok").status_code == 200
    closed(account, "0.002368", "reported", "complete")


def test_streamed_or_not_equal_usage_costs_the_same(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """A stream with the same usage is charged the same."""
    upstream.behaviours["o-stream"] = streams(
        chunk("Hi"), chunk(finish="stop"), usage_chunk(1_234, 567), DONE
    )
    chat(server, account, "o-stream", stream=True)
    closed(account, "0.002368", "reported", "complete")


def test_complete_without_usage_is_counted(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """An upstream that reports nothing: request and reply are counted."""
    upstream.behaviours["o-none"] = answers(completion("Hello there", prompt=-1))
    chat(server, account, "o-none")
    closed(account, "0.000013", "counted", "complete")


def test_a_stream_without_usage_is_counted(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """The text of all events is counted as one."""
    upstream.behaviours["o-sn"] = streams(chunk("Hel"), chunk("lo there"), chunk(finish="stop"), DONE)
    chat(server, account, "o-sn", stream=True)
    closed(account, "0.000013", "counted", "complete")


@pytest.mark.parametrize(
    ("usage", "charge", "basis"),
    [
        ({"prompt_tokens": -5, "completion_tokens": 4, "total_tokens": 4}, None, None),
        ({"prompt_tokens": "many", "completion_tokens": None}, "0.000013", "counted"),
        ({"prompt_tokens": 10**15, "completion_tokens": 10**15}, "0.000013", "counted"),
        (
            {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 99}},
            None,
            None,
        ),
    ],
)
def test_absurd_usage_never_costs_less_than_nothing_nor_more_than_the_hold(
    server: Server,
    account: Account,
    upstream: ScriptedUpstream,
    usage: Any,
    charge: str | None,
    basis: str | None,
) -> None:
    """Negative, absurd and missing fields are clamped and counted as anomalies."""
    upstream.behaviours["o-odd"] = answers(completion("Hello there", prompt=-1, usage=usage))
    chat(server, account, "o-odd")
    receipt = account.last()
    assert receipt["anomalies"] > 0
    assert 0 <= nano(receipt["charged"]) <= nano(receipt["hold"])
    if charge:
        assert (receipt["charged"], receipt["basis"]) == (charge, basis)


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
def test_an_upstreams_error_costs_nothing_and_passes(
    server: Server, account: Account, upstream: ScriptedUpstream, status: int
) -> None:
    """The upstream's own error reaches the client as it is; the hold is voided."""
    error = {"error": {"message": "no", "type": "t", "param": None, "code": "c"}}
    upstream.behaviours["o-err"] = answers(error, status=status)
    answer = chat(server, account, "o-err")
    assert (answer.status_code, answer.json()) == (status, error)
    closed(account, "0.00", "void", "upstream_refused")


@pytest.mark.parametrize("status", [401, 402, 403])
def test_trouble_with_our_own_credential_is_not_the_clients(
    server: Server, account: Account, upstream: ScriptedUpstream, status: int
) -> None:
    """An upstream that refuses Farebox's credential is a 502 that says nothing of it."""
    upstream.behaviours["o-cred"] = answers({"error": {"message": "bad key upstream-secret"}}, status=status)
    answer = chat(server, account, "o-cred")
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_denied"
    assert "upstream-secret" not in answer.text
    closed(account, "0.00", "void", "upstream_failed")


def test_a_403_about_the_content_is_the_clients(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """Moderation refuses the call, and not Farebox: its error reaches the client as it is."""
    error = {"error": {"message": "This model requires moderation: your input was flagged", "code": 403}}
    upstream.behaviours["o-flag"] = answers(error, status=403)
    answer = chat(server, account, "o-flag")
    assert (answer.status_code, answer.json()) == (403, error)
    closed(account, "0.00", "void", "upstream_refused")


def test_an_upstream_that_drops_the_call_costs_nothing(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """No byte of an answer: 502, void."""

    async def drop(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    upstream.behaviours["o-drop"] = drop
    answer = chat(server, account, "o-drop")
    assert answer.status_code == 502
    assert answer.json()["error"]["type"] == "upstream_error"
    closed(account, "0.00", "void", "unreachable")


def test_an_upstream_that_dies_mid_stream(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """What was delivered is charged; the client gets an error event and never a clean end."""
    upstream.behaviours["o-die"] = streams(chunk("Hello"), chunk(" there"), then=reset)
    answer = chat(server, account, "o-die", stream=True)
    assert b'"code":"upstream_failed"' in answer.content
    assert DONE not in answer.content
    closed(account, "0.000013", "counted", "upstream_failed")


def test_a_stream_that_ends_without_its_end(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """Neither [DONE] nor a finish reason: an error event, and what was delivered is charged."""
    upstream.behaviours["o-short"] = streams(chunk("Hello there"))
    answer = chat(server, account, "o-short", stream=True)
    assert b'"code":"upstream_failed"' in answer.content
    closed(account, "0.000013", "counted", "upstream_failed")


def test_an_error_event_mid_stream_passes(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """The upstream's own error event reaches the client; [DONE] after it does not make it a success."""
    event = (
        b'data: {"error": {"message": "overloaded", "type": "server_error", "code": "x", "param": null}}\n\n'
    )
    upstream.behaviours["o-event"] = streams(chunk("Hello there"), event, DONE)
    answer = chat(server, account, "o-event", stream=True)
    assert event in answer.content
    closed(account, "0.000013", "counted", "upstream_failed")


def test_a_client_that_leaves_mid_stream(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """The upstream is stopped at once; what was produced until then is charged."""
    stopped = asyncio.Event()

    async def endless(response: web.StreamResponse) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    upstream.behaviours["o-left"] = streams(chunk("Hello"), chunk(" there"), then=endless)
    dropped = upstream.dropped
    body = {"model": "o-left", "messages": HELLO, "stream": True}
    headers = {"Authorization": f"Bearer {account.secret}"}
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, headers=headers) as answer:
        lines = answer.iter_lines()
        while "there" not in next(lines):
            pass
    eventually(lambda: upstream.dropped == dropped + 1)
    closed(account, "0.000013", "counted", "client_left")


def test_a_client_that_leaves_when_all_is_said_pays_for_the_reasoning_too(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """Hanging up between the last word and the usage does not make hidden output free."""

    async def late(response: web.StreamResponse) -> None:
        await asyncio.sleep(0.3)
        await response.write(usage_chunk(9, 5_000) + DONE)

    upstream.behaviours["o-said"] = streams(chunk("Hello"), chunk(finish="stop"), then=late)
    body = {"model": "o-said", "messages": HELLO, "stream": True, "max_tokens": 6_000}
    headers = {"Authorization": f"Bearer {account.secret}"}
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, headers=headers) as answer:
        lines = answer.iter_lines()
        while "stop" not in next(lines):
            pass
    closed(account, "0.010009", "reported", "client_left")


def test_a_tool_costs_its_price_on_success_only(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """A fixed price on 2xx, whatever the size; nothing otherwise; its own credential goes up."""
    upstream.behaviours["/v1/search"] = answers({"results": ["x"] * 1_000})
    get = account.api.ask("GET", "/v1/search?q=a%20b&n=1")
    assert get[0] == 200
    assert get[1]["x-farebox-cost"] == "0.02"
    assert upstream.headers[-1]["Authorization"] == "Bearer upstream-secret-credential"
    upstream.behaviours["/v1/search"] = answers({"error": "no"}, status=500)
    assert account.api.ask("POST", "/v1/search", {"q": "a"})[0] == 500
    upstream.behaviours["/v1/search"] = answers(b"", status=204)
    assert account.api.ask("GET", "/v1/search")[0] == 204
    eventually(lambda: len(account.requests()) == 3)
    assert [row["charged"] for row in account.requests()] == ["0.02", "0.00", "0.02"]
    assert account.nano("balance") == 960_000_000


def test_a_stream_that_outgrows_its_hold_is_cut(server: Server, upstream: ScriptedUpstream) -> None:
    """An upstream that ignores its bound: the stream is cut, and the balance is never negative."""

    async def forever(response: web.StreamResponse) -> None:
        while True:
            await response.write(chunk(" word"))
            await asyncio.sleep(0)

    upstream.behaviours["o-grow"] = streams(chunk("Hello"), then=forever)
    account = server.account("0.001")
    answer = chat(server, account, "o-grow", stream=True)
    assert answer.headers["x-farebox-output-clamped-to"] == str((1_000_000 - PROMPT_TOKENS * 1_000) // 2_000)
    assert upstream.received[-1]["max_completion_tokens"] == 495
    assert b'"code":"hold_outgrown"' in answer.content
    assert account.last()["outcome"] == "cut"
    assert account.nano("balance") == 0


def test_a_reply_of_several_megabytes_in_one_event(server: Server, upstream: ScriptedUpstream) -> None:
    """One event of 4 MB, split anywhere on its way, arrives whole."""
    event = chunk("x" * 4_000_000)
    upstream.behaviours["o-big"] = streams(event, chunk(finish="stop"), usage_chunk(1, 1), DONE)
    answer = chat(server, server.account("100.00"), "o-big", stream=True)
    assert answer.content == event + chunk(finish="stop") + DONE


@pytest.mark.parametrize("ending", [b"\r\n\r\n", b"\r\r"])
def test_other_line_ends_work(
    server: Server, account: Account, upstream: ScriptedUpstream, ending: bytes
) -> None:
    """CRLF and CR events pass untouched and are metered."""
    events = [event.removesuffix(b"\n\n") + ending for event in (chunk("Hi"), chunk(finish="stop"))]
    events += [usage_chunk(3, 4).removesuffix(b"\n\n") + ending, b"data: [DONE]" + ending]
    upstream.behaviours["o-crlf"] = streams(*events)
    answer = chat(server, account, "o-crlf", stream=True)
    assert answer.content == events[0] + events[1] + events[3]
    closed(account, "0.000011", "reported", "complete")


def test_a_client_that_stops_reading_is_let_go(
    server: Server,
    account: Account,
    upstream: ScriptedUpstream,
    record_property: Callable[[str, object], None],
) -> None:
    """A connection reset by the client in the middle of a large stream closes the hold."""
    upstream.behaviours["o-reset"] = streams(*[chunk("x" * 1_000)] * 500, then=lambda _: asyncio.sleep(60))
    body = json.dumps({"model": "o-reset", "messages": HELLO, "stream": True}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.secret}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        client.recv(1_000)
    receipt = account.last()
    assert receipt["outcome"] == "client_left"
    assert nano(receipt["charged"]) > 0


@pytest.mark.parametrize(("user", "shown"), [("jane@example.com", "jane@example.com"), (None, None)])
def test_a_receipt_says_for_whom_the_call_was_made(
    server: Server, account: Account, upstream: ScriptedUpstream, user: str | None, shown: str | None
) -> None:
    """OpenAI's `user` goes upstream as it is, and stands on the receipt."""
    upstream.behaviours["o-user"] = answers(completion())
    chat(server, account, "o-user", **({"user": user} if user else {}))
    assert account.last()["end_user"] == shown
    assert upstream.received[-1].get("user") == user
