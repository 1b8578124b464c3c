"""Anthropic's official SDK works with only base_url and key changed, and receives what the upstream sent."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import pytest

from tests.acceptance.harness import HELLO, Account, Server
from tests.acceptance.scripted_upstream import Behaviour, ScriptedUpstream, answers, break_off, streams
from tests.endpoints.anthropic.replies import THOUGHTFUL, event, message, usage

FUNCTION: Any = {"name": "look_up", "description": "Looks up", "input_schema": {"type": "object"}}


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=account.secret, max_retries=0) as sync:
        yield sync


@pytest.fixture
async def async_client(server: Server, account: Account) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """This one sends its key as a bearer."""
    async with anthropic.AsyncAnthropic(
        base_url=server.url, auth_token=account.secret, api_key=None
    ) as asynchronous:
        yield asynchronous


def test_a_message_arrives_and_is_charged(
    client: anthropic.Anthropic, upstream: ScriptedUpstream, account: Account
) -> None:
    """What was read from a cache has its own rate; the upstream gets no key of ours."""
    reply = message({"type": "text", "text": "Hello there"}, usage=usage(5, 7, cache_read_input_tokens=100))
    named: Any = {"request-id": "req_upstream"}
    upstream.behaviours["a-whole"] = answers(reply, **named)
    raw = client.messages.with_raw_response.create(model="a-whole", max_tokens=50, messages=HELLO)
    answer = raw.parse()
    assert answer.content[0].to_dict() == {"type": "text", "text": "Hello there"}
    assert answer.usage.cache_read_input_tokens == 100
    assert raw.headers["x-farebox-cost"] == "0.000044"
    assert raw.headers["request-id"] == raw.headers["x-request-id"] == answer._request_id
    assert raw.headers["x-upstream-request-id"] == "req_upstream"
    row = account.last()
    assert (row["id"], row["endpoint"], row["basis"]) == (answer._request_id, "messages", "reported")
    assert row["usage"] == {"input_tokens": 105, "cached_input_tokens": 100, "output_tokens": 7}
    assert "x-api-key" not in {name.lower() for name in upstream.headers[-1]}
    assert upstream.headers[-1]["anthropic-version"]


def test_a_stream_with_thoughts_and_tools_arrives_whole(
    client: anthropic.Anthropic, upstream: ScriptedUpstream, account: Account
) -> None:
    upstream.behaviours["a-stream"] = streams(*THOUGHTFUL)
    with client.messages.stream(
        model="a-stream",
        max_tokens=50_000,
        messages=HELLO,
        tools=[FUNCTION],
        thinking={"type": "enabled", "budget_tokens": 1_024},
    ) as stream:
        assert "".join(stream.text_stream) == "Hello"
        whole = stream.get_final_message()
    assert [block.type for block in whole.content] == ["thinking", "text", "tool_use"]
    assert whole.content[2].to_dict()["input"] == {"place": "Rome"}
    assert (whole.stop_reason, whole.usage.output_tokens) == ("tool_use", 50)
    row = account.last()
    assert (row["outcome"], row["usage"]) == ("complete", {"input_tokens": 25, "output_tokens": 50})
    assert row["charged"] == "0.000125"


async def test_the_async_client_works(
    async_client: anthropic.AsyncAnthropic, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["a-async"] = streams(*THOUGHTFUL)
    async with async_client.messages.stream(model="a-async", max_tokens=50, messages=HELLO) as stream:
        assert [text async for text in stream.text_stream] == ["Hel", "lo"]


def test_a_count_costs_nothing(
    client: anthropic.Anthropic, upstream: ScriptedUpstream, account: Account
) -> None:
    upstream.behaviours["a-count"] = answers({"input_tokens": 14})
    counted = client.messages.count_tokens(model="a-count", messages=HELLO, tools=[FUNCTION])
    assert counted.input_tokens == 14
    row = account.last()
    assert (row["endpoint"], row["outcome"], row["charged"]) == ("messages.count_tokens", "complete", "0.00")
    assert account.nano("balance") == 10**9


def test_a_call_without_funds_is_a_billing_error_that_is_not_tried_again(
    server: Server, upstream: ScriptedUpstream
) -> None:
    """It has our code and figures in it."""
    poor = server.account("0.000001")
    upstream.behaviours["a-poor"] = answers(message())
    sent = len(upstream.received)
    with (
        anthropic.Anthropic(base_url=server.url, api_key=poor.secret) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        client.messages.create(model="a-poor", max_tokens=50, messages=HELLO)
    error = caught.value
    assert error.status_code == 402
    body: Any = error.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "billing_error"
    assert body["error"]["code"] == "request_exceeds_balance"
    assert body["error"]["available"] == "0.000001"
    assert body["request_id"] == error.request_id
    assert len(upstream.received) == sent


@pytest.mark.parametrize(
    ("key", "path", "raised"),
    [
        ("sk-fbx-unknown", "/v1/messages", anthropic.AuthenticationError),
        (None, "/v1/messages/batches", anthropic.PermissionDeniedError),
        (None, "/v1/messages/unheard_of", anthropic.NotFoundError),
        (None, "/v1/messages", anthropic.BadRequestError),
    ],
)
def test_every_refusal_is_of_the_class_that_the_sdk_has_for_it(
    server: Server, account: Account, key: str | None, path: str, raised: type[anthropic.APIStatusError]
) -> None:
    with (
        anthropic.Anthropic(base_url=server.url, api_key=key or account.secret, max_retries=0) as client,
        pytest.raises(raised) as caught,
    ):
        client.post(path, cast_to=object, body={"model": "a-refused"})
    body: Any = caught.value.body
    assert (body["type"], body["request_id"]) == ("error", caught.value.request_id)


def test_an_error_of_the_upstream_arrives_as_it_is(
    client: anthropic.Anthropic, upstream: ScriptedUpstream, account: Account
) -> None:
    """And costs nothing."""
    failed = {"type": "error", "error": {"type": "invalid_request_error", "message": "Too many images"}}
    upstream.behaviours["a-bad"] = answers(failed, status=400)
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="a-bad", max_tokens=50, messages=HELLO)
    assert caught.value.body == failed
    assert (account.last()["basis"], account.last()["charged"]) == ("void", "0.00")


@pytest.mark.parametrize(
    "behaviour",
    [
        streams(*THOUGHTFUL[:9], then=break_off),
        streams(*THOUGHTFUL[:9]),
        streams(*THOUGHTFUL[:9], event("error", error={"type": "overloaded_error", "message": "Overloaded"})),
    ],
    ids=["broken off", "not complete", "an error within"],
)
def test_a_stream_that_fails_raises_and_is_charged_for_what_came(
    client: anthropic.Anthropic, upstream: ScriptedUpstream, account: Account, behaviour: Behaviour
) -> None:
    """No client takes it for whole."""
    upstream.behaviours["a-broken"] = behaviour
    texts = []
    with (  # noqa: PT012 - the stream raises while it is read.
        pytest.raises(anthropic.APIStatusError),
        client.messages.stream(model="a-broken", max_tokens=50, messages=HELLO) as stream,
    ):
        for text in stream.text_stream:
            texts.append(text)  # noqa: PERF402 - what came before the fault counts.
    assert "".join(texts) == "Hello"
    row = account.last()
    assert (row["basis"], row["outcome"] == "complete") == ("counted", False)
    assert row["usage"]["input_tokens"] == 25
    assert 0 < row["usage"]["output_tokens"] < 20


def test_the_cost_is_in_the_usage_if_it_is_asked_for(
    client: anthropic.Anthropic, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["a-cost"] = streams(*THOUGHTFUL)
    asked = {"x-farebox-include": "cost"}
    with client.messages.stream(model="a-cost", max_tokens=50, messages=HELLO, extra_headers=asked) as stream:
        costs = [part.usage.to_dict().get("cost") for part in stream if part.type == "message_delta"]
    assert costs == ["0.000125"]
