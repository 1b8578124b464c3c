"""Failover: one target after the other until one answers. Rates: 1,000 nano-USD a token in, 2,000 out."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.harness import Account, Api, Server, config_for, nano, running
from tests.acceptance.raw_upstream import (
    LAST_CHUNK,
    RawUpstream,
    Streaming,
    answer,
    begins,
    hang_up,
    says,
    until_left,
)
from tests.acceptance.scripted_upstream import DONE, chunk, completion, usage_chunk

DENIED = answer({"error": {"message": "Incorrect API key provided"}}, status=b"401 Unauthorized")
BUSY = answer({"error": {"message": "busy", "code": "busy"}}, status=b"503 Service Unavailable")
CHARGE_NANO = 11_000 + 7 * 2_000
FIRST_BYTE_SECONDS = 0.3


@pytest.fixture(scope="module")
def first() -> Iterator[RawUpstream]:
    """The first target: it does what its models and paths are called after."""
    upstream = RawUpstream()
    upstream.acts["busy"] = upstream.acts["/v1/busy"] = says(BUSY)
    upstream.acts["denied"] = upstream.acts["/v1/denied"] = says(DENIED)
    upstream.acts["stalling"] = upstream.acts["/v1/stalling"] = says(b"", until_left)
    upstream.acts["broken"] = says(begins(chunk("Hel")), hang_up)
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def second() -> Iterator[RawUpstream]:
    """The second target, which answers everything."""
    upstream = RawUpstream()
    upstream.acts["*"] = says(answer(completion()))
    upstream.acts["streamed"] = says(
        begins(chunk("Hi"), chunk(finish="stop"), usage_chunk(11, 7), DONE) + LAST_CHUNK
    )
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def server(
    first: RawUpstream, second: RawUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("failover")
    config = config_for(first.port, folder)
    with socket.socket() as unheard:
        # A port that is bound but not listened on refuses every connection, and nobody else can take it.
        unheard.bind(("127.0.0.1", 0))
        down = unheard.getsockname()[1]
        ports = {"first": first.port, "again": first.port, "second": second.port, "down": down, "gone": down}
        config["upstreams"] = {
            name: {"base_url": f"http://127.0.0.1:{port}/v1", "first_byte_seconds": FIRST_BYTE_SECONDS}
            for name, port in ports.items()
        }
        config["routes"] = [
            models(["busy", "stalling", "broken", "denied"], "first", "second"),
            models(["refusing", "streamed"], "down", "second"),
            models(["gone"], "down", "gone"),
            models(["all-stalling"], "first", "again", model="stalling"),
            models(["all-busy"], "first", "again", model="busy"),
            tool("busy", "first", "second"),
            tool("stalling", "first", "second"),
            tool("denied", "first", "second"),
            tool("refusing", "down", "second"),
        ]
        with running(config, folder) as started:
            yield started


def models(names: list[str], *upstreams: str, **more: str) -> dict[str, Any]:
    """A route of these models to these upstreams in order."""
    return {"models": names, "targets": [{"upstream": name, **more} for name in upstreams]}


def tool(name: str, *upstreams: str) -> dict[str, Any]:
    """A route of a tool at 0.02 to these upstreams in order."""
    targets = [{"upstream": upstream, "path": f"/{name}"} for upstream in upstreams]
    return {"name": name, "path": f"/v1/{name}", "rate_card": "search", "targets": targets}


def chat(account: Account, model: str) -> tuple[int, dict[str, str], Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 50}
    return account.api.ask("POST", "/v1/chat/completions", body)


def closed(account: Account, charge_nano: int, outcome: str) -> dict[str, Any]:
    """The admin's view of the one receipt, which says this; the money moved accordingly."""
    call_id = account.last()["id"]
    receipt: dict[str, Any] = account.admin.get(f"/admin/v1/receipts/{call_id}")
    assert (nano(receipt["charged"]), receipt["outcome"]) == (charge_nano, outcome)
    assert len(account.requests()) == 1
    assert account.nano("balance") == 1_000_000_000 - charge_nano
    return receipt


@pytest.mark.parametrize("model", ["refusing", "busy", "stalling"])
def test_the_next_target_answers(account: Account, second: RawUpstream, model: str) -> None:
    """A target that refuses the connection, answers 503 or is silent is passed over; charged once."""
    before = len(second.bodies(model))
    status, _, reply = chat(account, model)
    assert (status, reply) == (200, completion())
    assert len(second.bodies(model)) == before + 1
    assert closed(account, CHARGE_NANO, "complete")["upstream"] == "second"


def test_a_stream_fails_over_before_its_first_byte(account: Account) -> None:
    """A streamed call goes to the next target in the same way."""
    with Streaming(account, "streamed") as streaming:
        assert streaming.rest().endswith(DONE)
    assert closed(account, CHARGE_NANO, "complete")["upstream"] == "second"


def test_an_answer_that_has_begun_is_not_failed_over(account: Account, second: RawUpstream) -> None:
    """A stream that breaks off is not begun anew elsewhere: what was delivered is charged."""
    with Streaming(account, "broken") as streaming:
        assert b'"upstream_failed"' in streaming.rest()
    assert second.bodies("broken") == []
    receipt = closed(account, 9_000 + 2_000, "upstream_failed")
    assert (receipt["upstream"], receipt["usage"]["output_tokens"]) == ("first", 1)


@pytest.mark.parametrize(
    ("model", "status", "code", "outcome"),
    [
        ("gone", 502, "upstream_unreachable", "unreachable"),
        ("all-stalling", 504, "upstream_timeout", "unreachable"),
        ("all-busy", 503, "busy", "upstream_refused"),
    ],
)
def test_when_no_target_answers_nothing_is_charged(
    account: Account, model: str, status: int, code: str, outcome: str
) -> None:
    """The client gets the last target's fault, and the hold is voided."""
    told, _, refusal = chat(account, model)
    assert (told, refusal["error"]["code"]) == (status, code)
    assert closed(account, 0, outcome)["basis"] == "void"


@pytest.mark.parametrize(
    ("name", "status", "code", "outcome"),
    [("busy", 503, "busy", "upstream_refused"), ("stalling", 504, "upstream_timeout", "unreachable")],
)
def test_a_tool_that_may_have_acted_is_not_failed_over(
    account: Account, first: RawUpstream, second: RawUpstream, name: str, status: int, code: str, outcome: str
) -> None:
    """A tool's 503 and its silence come after it read the request: sent once, to one target, and free."""
    told, _, refusal = account.api.ask("POST", f"/v1/{name}", {"pay": 1})
    assert (told, refusal["error"]["code"]) == (status, code)
    assert (len(first.bodies(f"/v1/{name}")), second.bodies(f"/v1/{name}")) == (1, [])
    assert closed(account, 0, outcome)["upstream"] == "first"


def test_a_tool_that_was_not_reached_is_failed_over(account: Account, second: RawUpstream) -> None:
    """A refused connection cannot have acted: the next target gets the call, charged once."""
    assert account.api.ask("POST", "/v1/refusing", {"pay": 1})[0] == 200
    assert second.bodies("/v1/refusing") == [b'{"pay": 1}']
    assert closed(account, 20_000_000, "complete")["upstream"] == "second"


def test_a_target_that_refuses_fareboxs_credential_is_passed_over(account: Account, server: Server) -> None:
    """Chats and tools: the caller notices nothing. Log and metric say so once, however often it happens."""
    before = server.log_text()
    for _ in range(3):
        assert chat(account, "denied")[0] == 200
        assert account.api.ask("POST", "/v1/denied", {"pay": 1})[0] == 200
    assert [row["outcome"] for row in account.requests()] == ["complete"] * 6
    lines = server.log_text().removeprefix(before).splitlines()
    (line,) = [line for line in lines if "refuses the credential" in line]
    assert ('"upstream": "first"' in line, '"status": 401' in line) == (True, True)
    figures = Api(server.url, "").ask("GET", "/metrics")[2].decode()
    assert 'farebox_upstream_denials_total{upstream="first"} 1.0' in figures


def test_a_receipt_has_each_attempt(account: Account) -> None:
    """Where the call went, what was answered, and how long that took, for the account and for the admin."""
    assert chat(account, "stalling")[0] == 200
    assert chat(account, "refusing")[0] == 200
    assert chat(account, "gone")[0] == 502
    receipts = account.requests()
    attempts = [[(each["target"], each["status"]) for each in row["attempts"]] for row in receipts]
    assert attempts == [
        [("first", None), ("second", 200)],
        [("down", None), ("second", 200)],
        [("down", None), ("gone", None)],
    ]
    seconds = [each["seconds"] for each in receipts[0]["attempts"]]
    assert seconds[0] >= FIRST_BYTE_SECONDS - 0.01  # A timer may come a moment early.
    assert seconds[1] > 0
    for row in receipts:
        seen = account.admin.get(f"/admin/v1/receipts/{row['id']}")
        assert seen["attempts"] == account.api.get(f"/v1/billing/receipts/{row['id']}")["attempts"]
        assert seen["attempts"] == row["attempts"]
