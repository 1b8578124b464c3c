"""What an upstream bills is what its caller pays, or an incident that is told: with the real process."""

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.acceptance.callers import audited
from tests.acceptance.harness import (
    HELLO,
    WAIT_SECONDS,
    Server,
    config_for,
    eventually,
    nano,
    running,
)
from tests.acceptance.raw_upstream import (
    LAST_CHUNK,
    RawUpstream,
    Streaming,
    answer,
    begins,
    http_chunk,
    reset,
    says,
    until_left,
)
from tests.acceptance.scripted_upstream import DONE, chunk, completion, usage_chunk

PROMPT_NANO = 9_000
REPORTED_NANO = 11_000 + 2_000_000 * 2_000
PICTURE_BYTES = 40 * 1024
PICTURE = "data:image/png;base64," + base64.b64encode(bytes(PICTURE_BYTES)).decode()
IMAGES = [{"type": "image_url", "index": 0, "image_url": {"url": PICTURE}}]


@pytest.fixture(scope="module")
def raw() -> Iterator[RawUpstream]:
    upstream = RawUpstream()
    upstream.acts["greedy"] = says(answer(completion("Hi", output=2_000_000)))
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def forgiving(raw: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("forgiving")
    with running(config_for(raw.port, folder), folder) as started:
        yield started


@pytest.fixture(scope="module")
def invoiced(raw: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("invoiced")
    with running(config_for(raw.port, folder, accounts={"on_shortfall": "owe"}), folder) as started:
        yield started


def warning_of(server: Server, account_id: str) -> dict[str, object]:
    """The line of the log about what an account's call cost beyond its hold."""
    lines = [json.loads(line) for line in server.log_text().splitlines() if "charge exceeds ceiling" in line]
    (line,) = (line for line in lines if line["account_id"] == account_id)
    return dict(line)


def shortfalls(server: Server) -> float:
    """What no funds covered, in nano-USD."""
    text = httpx.get(f"{server.url}/metrics").text
    name = 'farebox_shortfall_nano_usd_total{model="greedy",upstream="scripted"} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize("on_shortfall", ["forgive", "owe"])
def test_what_is_reported_beyond_the_ceiling_is_told_and_forgiven_or_owed(
    forgiving: Server, invoiced: Server, on_shortfall: str
) -> None:
    """The log, a figure, the receipt and the books say the same, and the audit can explain it."""
    server = invoiced if on_shortfall == "owe" else forgiving
    account, before = server.account("1.00"), shortfalls(server)
    body = {"model": "greedy", "messages": HELLO, "max_tokens": 5}
    assert account.api.ask("POST", "/v1/chat/completions", body)[0] == 200
    receipt, missing = account.last(), REPORTED_NANO - 10**9
    balance = account.api.get("/v1/billing/balance")
    line = warning_of(server, account.id)
    assert (line["level"], line["upstream"], line["model"]) == ("warning", "scripted", "greedy")
    assert (line["hold_nano"], line["charge_nano"]) == (nano(receipt["hold"]), REPORTED_NANO)
    assert shortfalls(server) - before == missing
    if on_shortfall == "owe":
        assert (nano(receipt["charged"]), nano(receipt["shortfall"])) == (REPORTED_NANO, 0)
        assert nano(receipt["owed"]) == nano(balance["debt"]) == -nano(balance["available"]) == missing
        status, _, refusal = account.api.ask("POST", "/v1/chat/completions", body)
        assert (status, refusal["error"]["code"]) == (402, "credit_balance_exhausted")
        grants = f"/admin/v1/accounts/{account.id}/grants"
        account.admin.post(grants, {"amount": "5.00"}, {"Idempotency-Key": f"repay-{account.id}"})
        balance = account.api.get("/v1/billing/balance")
        assert (nano(balance["debt"]), nano(balance["balance"])) == (0, 5 * 10**9 - missing)
    else:
        assert (nano(receipt["charged"]), nano(receipt["shortfall"])) == (10**9, missing)
        assert (receipt["owed"], balance["debt"], balance["balance"]) == ("0.00", "0.00", "0.00")
    assert audited(server) == []


def test_a_picture_that_a_reset_follows_is_charged_by_its_size(raw: RawUpstream, forgiving: Server) -> None:
    got = threading.Event()

    def then(connection: socket.socket) -> None:
        got.wait(WAIT_SECONDS)
        reset(connection)

    raw.acts["painter"] = says(begins(chunk(choices=[{"index": 0, "delta": {"images": IMAGES}}])), then)
    account = forgiving.account("1.00")
    with Streaming(account, "painter") as streaming:
        assert PICTURE.encode() in streaming.event()
        got.set()
        streaming.rest()
    receipt = account.last()
    assert (receipt["outcome"], receipt["basis"]) == ("upstream_failed", "counted")
    assert nano(receipt["charged"]) == PROMPT_NANO + 40 * 2_000


def test_leaving_a_model_that_reasons_is_no_discount(raw: RawUpstream, forgiving: Server) -> None:
    """Once it has reported reasoning, whoever leaves it pays for what it goes on to report."""
    usage = {"prompt_tokens": 9, "completion_tokens": 900}
    hidden = {**usage, "completion_tokens_details": {"reasoning_tokens": 880}}
    end = (chunk(finish="stop"), chunk(choices=[], usage=hidden), DONE)
    left = threading.Event()

    def then(connection: socket.socket) -> None:
        left.wait(WAIT_SECONDS)
        time.sleep(0.1)  # Farebox is to see that the client is gone before the rest comes.
        connection.sendall(http_chunk(b"".join(end)) + LAST_CHUNK)

    raw.acts["thinker"] = says(begins(chunk("So"), *end) + LAST_CHUNK)
    account = forgiving.account("1.00")
    with Streaming(account, "thinker") as streaming:
        assert b"[DONE]" in streaming.rest()
    account.last()
    raw.acts["thinker"] = says(begins(chunk("So")), then)
    with Streaming(account, "thinker") as streaming:
        streaming.event()
    left.set()
    eventually(lambda: len(account.requests()) == 2)
    receipt = account.last()
    assert (receipt["outcome"], receipt["basis"]) == ("client_left", "reported")
    assert nano(receipt["charged"]) == 9_000 + 900 * 2_000


def test_a_model_that_does_not_reason_is_stopped_at_once(raw: RawUpstream, forgiving: Server) -> None:
    stopped = threading.Event()

    def then(connection: socket.socket) -> None:
        until_left(connection)
        stopped.set()

    plain = (chunk("So"), chunk(finish="stop"), usage_chunk(9, 1), DONE)
    raw.acts["talker"] = says(begins(*plain) + LAST_CHUNK)
    account = forgiving.account("1.00")
    with Streaming(account, "talker") as streaming:
        streaming.rest()
    account.last()
    raw.acts["talker"] = says(begins(chunk("So")), then)
    with Streaming(account, "talker") as streaming:
        streaming.event()
    assert stopped.wait(5), "the upstream was read on"
    eventually(lambda: len(account.requests()) == 2)
    assert (account.last()["basis"], nano(account.last()["charged"])) == ("counted", PROMPT_NANO + 2_000)
