"""What faulty upstreams cost and what clients see of them. Rates: 1,000 nano-USD a token in, 2,000 out."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.acceptance.harness import (
    HELLO,
    WAIT_SECONDS,
    Account,
    Server,
    config_for,
    eventually,
    nano,
    running,
)
from tests.acceptance.raw_upstream import (
    LAST_CHUNK,
    DiesOnce,
    RawUpstream,
    Streaming,
    answer,
    begins,
    hang_up,
    http_chunk,
    reset,
    says,
    until_left,
)
from tests.acceptance.scripted_upstream import DONE, chunk, completion, usage_chunk, usage_of

PROMPT_NANO = 9_000
"""What the input of HELLO costs when it is counted: 9 tokens."""
LONG = "hello" + " hello" * 99
LONG_NANO = 100 * 2_000
WHOLE = (chunk("hello"), chunk(finish="stop"), usage_chunk(11, 7), DONE)
WHOLE_NANO = 11_000 + 7 * 2_000


@pytest.fixture(scope="module")
def raw() -> Iterator[RawUpstream]:
    upstream = RawUpstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def server(raw: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("faults")
    routes = [{"models": ["org/model", "*"], "targets": [{"upstream": "scripted"}]}]
    config = config_for(raw.port, folder)
    config["routes"] = routes + config["routes"][2:]
    with running(config, folder) as started:
        yield started


@pytest.fixture(scope="module")
def lenient(raw: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives broken streams away and reads on when a client leaves."""
    folder = tmp_path_factory.mktemp("lenient")
    streams = {"on_upstream_failure": "free", "on_disconnect": "drain"}
    with running(config_for(raw.port, folder, streams=streams), folder) as started:
        yield started


def chat(account: Account, model: str, **more: Any) -> tuple[int, dict[str, str], Any]:
    body = {"model": model, "messages": HELLO, "max_tokens": 50, **more}
    return account.api.ask("POST", "/v1/chat/completions", body)


def closed(account: Account, charge_nano: int, outcome: str = "complete") -> dict[str, Any]:
    """The one receipt says this, and the money moved accordingly."""
    receipt = account.last()
    assert (nano(receipt["charged"]), receipt["outcome"]) == (charge_nano, outcome)
    assert len(account.requests()) == 1
    assert account.nano("balance") == 1_000_000_000 - charge_nano
    return receipt


@pytest.mark.parametrize("control", [b"\x01", b"\x1b", b"\x7f"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_header_with_a_control_byte_is_dropped(
    raw: RawUpstream, account: Account, control: bytes, stream: bool
) -> None:
    """What cannot be sent on is left out; the rest of the answer arrives and is charged once."""
    odd, good = b"X-Odd: a" + control + b"b", b"X-Good: fine"
    head, _, body = begins(*WHOLE).partition(b"\r\n\r\n")
    streamed = b"\r\n".join((head, odd, good)) + b"\r\n\r\n" + body + LAST_CHUNK
    raw.acts["odd-header"] = says(streamed if stream else answer(completion(), odd, good))
    status, headers, reply = chat(account, "odd-header", stream=stream)
    assert status == 200
    assert headers["X-Good"] == "fine"
    assert "X-Odd" not in headers
    assert reply.endswith(DONE) if stream else reply == completion()
    closed(account, WHOLE_NANO)


def test_a_tool_call_is_never_sent_twice(raw: RawUpstream, account: Account) -> None:
    """A kept connection that dies once the request was read: it may have been acted on; 502, no charge."""
    raw.acts["/v1/search"] = act = DiesOnce()
    assert account.api.ask("POST", "/v1/search", {"pay": 1})[0] == 200
    status, _, refusal = account.api.ask("POST", "/v1/search", {"pay": 2})
    assert (status, refusal["error"]["code"]) == (502, "upstream_failed")
    assert act.numbers[1] > 1, "the connection was not a kept one"
    assert raw.bodies("/v1/search") == [b'{"pay": 1}', b'{"pay": 2}']
    assert account.last()["charged"] == "0.00"
    assert account.nano("balance") == 980_000_000


def test_a_completion_is_sent_once_more(raw: RawUpstream, account: Account) -> None:
    """A completion that meets the same is harmless to repeat: it is, once, and charged once."""
    raw.acts["kept"] = act = DiesOnce()
    assert [chat(account, "kept")[0] for _ in range(2)] == [200, 200]
    assert act.numbers[1] > 1, "the connection was not a kept one"
    assert len(act.numbers) == 3
    assert [nano(row["charged"]) for row in account.requests()] == [WHOLE_NANO, WHOLE_NANO]
    assert account.nano("balance") == 1_000_000_000 - 2 * WHOLE_NANO


EARLY = [(1, LONG, 11_000 + LONG_NANO), (300, "Hi", 11_000 + 300 * 2_000)]
"""Output reported early, text that follows, and what the larger of both costs."""


@pytest.mark.parametrize(("reported", "text", "charge_nano"), EARLY)
def test_a_broken_stream_costs_the_larger_of_reported_and_counted(
    raw: RawUpstream, account: Account, reported: int, text: str, charge_nano: int
) -> None:
    """Usage reported before the end is the least that was used; what was delivered since counts as well."""
    raw.acts["early"] = says(begins(chunk("", usage=usage_of(11, reported)), chunk(text)), hang_up)
    with Streaming(account, "early") as streaming:
        got = streaming.rest()
    assert b'"upstream_failed"' in got
    assert DONE not in got
    closed(account, charge_nano, "upstream_failed")


@pytest.mark.parametrize(("reported", "text", "charge_nano"), EARLY)
def test_a_client_that_leaves_pays_the_larger_of_reported_and_counted(
    raw: RawUpstream, account: Account, reported: int, text: str, charge_nano: int
) -> None:
    """As for a stream that breaks off."""
    raw.acts["left"] = says(begins(chunk("", usage=usage_of(11, reported)), chunk(text)), until_left)
    with Streaming(account, "left") as streaming:
        streaming.event()
        streaming.event()
    closed(account, charge_nano, "client_left")


@pytest.mark.parametrize("usage", [usage_of(0, 7), {"completion_tokens": 7}])
@pytest.mark.parametrize("stream", [False, True])
def test_input_that_is_not_reported_is_counted(
    raw: RawUpstream, account: Account, usage: dict[str, int], stream: bool
) -> None:
    """No call has no input: a prompt_tokens of 0, or none, is replaced by the count."""
    whole = begins(chunk("hello"), chunk(finish="stop", usage=usage), DONE) + LAST_CHUNK
    raw.acts["no-input"] = says(whole if stream else answer(completion(prompt=-1, usage=usage)))
    assert chat(account, "no-input", stream=stream)[0] == 200
    closed(account, PROMPT_NANO + 7 * 2_000)


@pytest.mark.parametrize("finish", ["absent", None, "stop"])
def test_a_whole_body_may_answer_a_streaming_call(
    raw: RawUpstream, account: Account, finish: str | None
) -> None:
    """One JSON body in place of a stream passes untouched, with or without finish_reason, as reported."""
    reply = completion()
    reply["choices"][0]["finish_reason"] = finish
    if finish == "absent":
        del reply["choices"][0]["finish_reason"]
    raw.acts["json"] = says(answer(reply))
    status, _, got = chat(account, "json", stream=True)
    assert (status, got) == (200, reply)
    assert closed(account, WHOLE_NANO)["basis"] == "reported"


@pytest.mark.parametrize("ending", [until_left, hang_up, reset])
def test_nothing_after_done_can_spoil_a_stream(raw: RawUpstream, account: Account, ending: Any) -> None:
    """After [DONE] the upstream may stay, hang up without the last chunk or reset: all arrives, and soon."""
    passed = threading.Event()

    def then(connection: socket.socket) -> None:
        passed.wait(WAIT_SECONDS)
        ending(connection)

    raw.acts["done"] = says(begins(b"".join(WHOLE)), then)
    started = time.monotonic()
    with Streaming(account, "done") as streaming:
        got = streaming.event() + b"\n"
        passed.set()
        got += streaming.rest()
    assert time.monotonic() - started < 2
    assert got.startswith(chunk("hello"))
    assert got.endswith(DONE)
    assert b"error" not in got
    assert closed(account, WHOLE_NANO)["basis"] == "reported"


@pytest.mark.parametrize("member", ["MAX_TOKENS", "Model", "\u017ftream", "N"])
def test_members_that_differ_only_by_case_are_refused(
    raw: RawUpstream, account: Account, member: str
) -> None:
    """Some upstreams fold case, so they would read past what was checked: 400, and nothing is forwarded."""
    raw.acts["folded"] = says(answer(completion()))
    status, _, refusal = chat(account, "folded", **{member: 8})
    assert (status, refusal["error"]["code"]) == (400, "invalid_value")
    assert refusal["error"]["param"] == member
    assert raw.bodies("folded") == []
    assert account.nano("balance") == 1_000_000_000
    assert account.requests() == []


def test_a_broken_stream_is_free_where_the_policy_says_so(raw: RawUpstream, lenient: Server) -> None:
    """on_upstream_failure: free. The client still sees that the stream broke."""
    account = lenient.account("1.00")
    raw.acts["free"] = says(begins(chunk("", usage=usage_of(11, 5)), chunk(LONG)), hang_up)
    with Streaming(account, "free") as streaming:
        assert b'"upstream_failed"' in streaming.rest()
    assert closed(account, 0, "upstream_failed")["basis"] == "void"


def test_draining_charges_a_client_that_left_as_reported(raw: RawUpstream, lenient: Server) -> None:
    """on_disconnect: drain. The upstream is read to its end, and its own figures are charged."""
    account, left = lenient.account("1.00"), threading.Event()

    def then(connection: socket.socket) -> None:
        left.wait(WAIT_SECONDS)
        time.sleep(0.1)  # Farebox is to see that the client is gone before the rest comes.
        connection.sendall(http_chunk(b"".join(WHOLE[1:])) + LAST_CHUNK)

    raw.acts["drained"] = says(begins(WHOLE[0]), then)
    with Streaming(account, "drained") as streaming:
        streaming.event()
    left.set()
    assert closed(account, WHOLE_NANO, "client_left")["basis"] == "reported"


def test_draining_does_not_wait_for_what_never_comes(raw: RawUpstream, lenient: Server) -> None:
    """on_disconnect: drain. When the upstream breaks off meanwhile, what is known is charged."""
    account, left = lenient.account("1.00"), threading.Event()

    def then(connection: socket.socket) -> None:
        left.wait(WAIT_SECONDS)
        time.sleep(0.1)  # Farebox is to see that the client is gone before the upstream is.
        hang_up(connection)

    raw.acts["undrained"] = says(begins(chunk(LONG)), then)
    with Streaming(account, "undrained") as streaming:
        streaming.event()
    left.set()
    eventually(lambda: account.nano("held") == 0)
    closed(account, PROMPT_NANO + LONG_NANO, "client_left")


def test_the_sdk_finds_a_model_with_a_slash(server: Server, account: Account) -> None:
    """Names like org/model are one name, whether the client encodes the slash or not."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret) as client:
        assert client.models.retrieve("org/model").id == "org/model"
        assert "org/model" in [model.id for model in client.models.list()]
    assert account.api.get("/v1/models/org/model")["id"] == "org/model"
    assert account.api.get("/v1/models/org%2Fmodel")["id"] == "org/model"
