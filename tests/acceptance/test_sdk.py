"""The official OpenAI SDK works with only base_url and key changed, and receives what the upstream sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
from aiohttp import web

from tests.acceptance.harness import HELLO, WAIT_SECONDS, Account, Server, nano
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)

STREAM = (b": a comment\n\n", chunk("Hel"), chunk("lo"), chunk(finish="stop"))


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret) as sync:
        yield sync


@pytest.fixture
async def async_client(server: Server, account: Account) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=account.secret) as asynchronous:
        yield asynchronous


def test_a_completion_arrives_byte_for_byte(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """A whole body is the upstream's own bytes, odd spacing and unknown members included."""
    sent = json.dumps(completion(extra={"odd": [1, 2.50, None]}), indent=3).encode() + b"\n"
    upstream.behaviours["bytes"] = answers(sent)
    raw = client.chat.completions.with_raw_response.create(model="bytes", messages=HELLO)
    assert raw.http_response.content == sent
    assert raw.parse().choices[0].message.content == "Hello there"
    assert raw.headers["x-farebox-cost"] == "0.000025"
    assert raw.headers["x-farebox-balance"] == "0.999975"
    assert raw.headers["x-request-id"].startswith("req_")


async def test_the_async_client_works(async_client: openai.AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    """The asynchronous client gets whole bodies and streams alike."""
    upstream.behaviours["async"] = answers(completion())
    upstream.behaviours["async-stream"] = streams(*STREAM, usage_chunk(5, 2), DONE)
    whole = await async_client.chat.completions.create(model="async", messages=HELLO)
    assert whole.choices[0].message.content == "Hello there"
    stream = await async_client.chat.completions.create(model="async-stream", messages=HELLO, stream=True)
    assert "".join([part.choices[0].delta.content or "" async for part in stream]) == "Hello"


def test_a_stream_is_the_upstreams_bytes_without_the_chunk_nobody_asked_for(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """The usage-only chunk is swallowed when the client did not ask for it; all else passes untouched."""
    upstream.behaviours["swallow"] = streams(*STREAM, usage_chunk(5, 2), DONE)
    body = {"model": "swallow", "messages": HELLO, "stream": True}
    received = httpx.post(
        f"{server.url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {account.secret}"}
    )
    assert received.content == b"".join((*STREAM, DONE))
    assert upstream.received[-1]["stream_options"] == {"include_usage": True}
    assert account.last()["charged"] == "0.000009"


def test_a_client_that_asks_for_usage_gets_it(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """With include_usage the final chunk arrives with the upstream's usage."""
    upstream.behaviours["asked"] = streams(*STREAM, usage_chunk(5, 2), DONE)
    parts = list(
        client.chat.completions.create(
            model="asked", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert parts[-1].choices == []
    assert parts[-1].usage is not None
    assert parts[-1].usage.total_tokens == 7


def test_the_cost_comes_in_the_final_usage_when_asked_for(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    """`x-farebox-include: cost` puts the exact charge into the usage object, streamed or not."""
    upstream.behaviours["cost"] = answers(completion(prompt=5, output=2))
    upstream.behaviours["cost-stream"] = streams(*STREAM, usage_chunk(5, 2), DONE)
    asked = {"x-farebox-include": "cost"}
    whole = client.chat.completions.create(model="cost", messages=HELLO, extra_headers=asked)
    *_, last = client.chat.completions.create(
        model="cost-stream",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers=asked,
    )
    assert whole.usage is not None
    assert last.usage is not None
    assert whole.usage.model_dump()["cost"] == last.usage.model_dump()["cost"] == "0.000009"


def test_events_pass_at_once(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """The client has an event in hand before the upstream writes the next one."""
    gate = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        loops.append(asyncio.get_running_loop())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(chunk("first"))
        await asyncio.wait_for(gate.wait(), WAIT_SECONDS)
        await response.write(chunk(finish="stop") + usage_chunk(1, 1) + DONE)
        return response

    upstream.behaviours["gated"] = behaviour
    with client.chat.completions.create(model="gated", messages=HELLO, stream=True) as stream:
        first = next(iter(stream))
        assert first.choices[0].delta.content == "first"
        loops[0].call_soon_threadsafe(gate.set)
        assert [part.choices[0].finish_reason for part in stream] == ["stop"]


def test_tools_pass_both_ways(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """Tool definitions reach the upstream as sent, and tool calls come back."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    reply = completion()
    reply["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    upstream.behaviours["tools"] = answers(reply)
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    answer = client.chat.completions.create(model="tools", messages=HELLO, tools=[tool])
    assert upstream.received[-1]["tools"] == [tool]
    assert answer.choices[0].message.tool_calls is not None
    assert answer.choices[0].message.tool_calls[0].id == "call_1"


@pytest.mark.parametrize("given", ["text", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_embeddings_take_all_four_shapes(
    client: openai.OpenAI, account: Account, upstream: ScriptedUpstream, given: Any
) -> None:
    """A string, strings, token ids and lists of token ids; charged by the reported input."""
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    upstream.behaviours["embed-a"] = answers(
        {"object": "list", "data": [vector], "model": "e", "usage": usage}
    )
    answer = client.embeddings.create(model="embed-a", input=given, encoding_format="float")
    assert answer.data[0].embedding == [0.5, -0.25]
    assert upstream.received[-1]["input"] == given
    assert account.last()["charged"] == "0.000003"


def test_legacy_completions_work(client: openai.OpenAI, account: Account, upstream: ScriptedUpstream) -> None:
    """POST /v1/completions, whole and streamed."""
    choice = {"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}
    reply = {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
    }
    upstream.behaviours["legacy"] = answers(reply)
    assert client.completions.create(model="legacy", prompt="Say").choices[0].text == "Hi"
    assert account.last()["charged"] == "0.000004"


def test_without_funds_the_sdk_raises_at_once(server: Server, upstream: ScriptedUpstream) -> None:
    """402 is raised as APIStatusError after exactly one request, with code, type and every figure."""
    upstream.behaviours["broke"] = answers(completion())
    account = server.account(amount="")
    before = len(upstream.received)
    sent: list[httpx.Request] = []
    http = httpx.Client(event_hooks={"request": [sent.append]})
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, http_client=http) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(model="broke", messages=HELLO)
    assert caught.value.status_code == 402
    assert caught.value.code == "credit_balance_exhausted"
    assert caught.value.type == "insufficient_quota"
    assert len(sent) == 1
    assert len(upstream.received) == before
    error: Any = caught.value.body
    assert error["available"] == "0.00"
    assert error["affordable_output_tokens"] == 0
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_models_lists_what_the_key_may_use_with_prices(server: Server, account: Account) -> None:
    """The listing is the SDK's own shape, with price and billing type."""
    narrow = server.key_of(account.id, models=["mine-*"])
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=narrow.secret) as client:
        assert client.models.list().object == "list"
        model = client.models.retrieve("mine-1").model_dump()
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("theirs")
    assert model["billing_type"] == "per_token"
    assert model["pricing"]["output_tokens"] == {"price": "2.00", "per": 1_000_000, "currency": "USD"}
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(("callers", "retries"), [(2, openai.DEFAULT_MAX_RETRIES), (5, 30)])
@pytest.mark.parametrize("limits", [{}, {"limits": {"day": "0.004"}}], ids=["balance", "daily limit"])
async def test_calls_that_race_for_the_same_money_succeed_by_the_sdks_own_retries(
    server: Server, upstream: ScriptedUpstream, limits: dict[str, Any], callers: int, retries: int
) -> None:
    """The first call holds all there is, clamped. The others are told to wait, do so, and succeed."""

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return web.json_response(completion(prompt=9, output=16))

    upstream.behaviours["racing"] = behaviour
    # The money pays for all of them, but for the ceiling of not even one.
    account = server.account("1.00" if limits else "0.004", **limits)
    refused: list[Any] = []

    async def remember(response: httpx.Response) -> None:
        if response.status_code != 200:
            refused.append(
                (response.status_code, json.loads(await response.aread())["error"], response.headers)
            )

    http = httpx.AsyncClient(event_hooks={"response": [remember]}, timeout=WAIT_SECONDS)
    async with openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key=account.secret, http_client=http, max_retries=retries
    ) as client:
        calls = (client.chat.completions.create(model="racing", messages=HELLO) for _ in range(callers))
        replies = await asyncio.gather(*calls)
    assert len(replies) == len(account.requests()) == callers
    assert refused, "nobody raced"
    for status, error, headers in refused:
        assert (status, error["code"]) == (402, "in_flight_budget_exhausted"), error
        assert (headers["x-should-retry"], headers["retry-after"]) == ("true", "1")
        assert nano(error["required"]) <= 100_000, "it is the least, and not the unclamped ceiling"
    assert account.nano("held") == 0
