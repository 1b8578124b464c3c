"""OpenAI's official SDK has its responses with only base_url and key changed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from pydantic import BaseModel

from tests.acceptance.harness import Account, Server, config_for, nano, running
from tests.acceptance.scripted_upstream import Behaviour, ScriptedUpstream, answers, break_off, streams
from tests.endpoints.openai.responses.replies import CALL, STREAM, event, response, text, usage

FUNCTION: Any = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": False}


class Place(BaseModel):
    """What a model is asked to fill in."""

    name: str


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as sync:
        yield sync


@pytest.fixture
async def async_client(server: Server, account: Account) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=account.secret) as asynchronous:
        yield asynchronous


def test_a_response_arrives_and_is_charged(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """What was read from a cache has its own rate."""
    used = usage(105, 7, input_tokens_details={"cached_tokens": 100}, total_tokens=112)
    upstream.behaviours["r-whole"] = answers(response(text("Hello there"), usage=used))
    raw = client.responses.with_raw_response.create(model="r-whole", input="Say hello", tools=[FUNCTION])
    answer = raw.parse()
    assert answer.output_text == "Hello there"
    assert raw.headers["x-farebox-cost"] == "0.000044"
    row = account.last()
    assert (row["endpoint"], row["basis"]) == ("responses", "reported")
    assert row["usage"] == {"input_tokens": 105, "cached_input_tokens": 100, "output_tokens": 7}


def test_a_stream_with_reasoning_and_a_function_arrives_whole(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    upstream.behaviours["r-stream"] = streams(*STREAM)
    with client.responses.stream(
        model="r-stream", input="Say hello", tools=[FUNCTION], reasoning={"summary": "auto"}
    ) as stream:
        texts = [part.delta for part in stream if part.type == "response.output_text.delta"]
        whole = stream.get_final_response()
    assert texts == ["Hello ", "there."]
    assert [item.type for item in whole.output] == ["reasoning", "message", "function_call"]
    row = account.last()
    assert (row["outcome"], row["usage"]) == ("complete", {"input_tokens": 36, "output_tokens": 87})
    assert row["charged"] == "0.00021"


async def test_the_async_client_works(async_client: openai.AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.behaviours["r-async"] = streams(*STREAM)
    kinds = []
    async with async_client.responses.stream(model="r-async", input="Say hello") as stream:
        async for part in stream:
            kinds.append(part.type)  # noqa: PERF401 - a comprehension would not close it in time.
    assert kinds[-1] == "response.completed"


def test_what_is_to_have_a_form_is_parsed(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.behaviours["r-parse"] = answers(response(text('{"name":"Rome"}')))
    answer = client.responses.parse(model="r-parse", input="Where?", text_format=Place)
    assert answer.output_parsed == Place(name="Rome")


def test_counts_are_free_and_what_is_made_shorter_is_not(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    upstream.behaviours["r-count"] = answers({"object": "response.input_tokens", "input_tokens": 14})
    compaction = {"id": "cmp_1", "type": "compaction", "encrypted_content": "QUJD"}
    upstream.behaviours["r-compact"] = answers(
        {
            "id": "c",
            "object": "response.compaction",
            "created_at": 1,
            "output": [compaction],
            "usage": usage(),
        }
    )
    assert client.responses.input_tokens.count(model="r-count", input="Say hello").input_tokens == 14
    assert account.last()["charged"] == "0.00"
    shorter: Any = client.responses.compact(model="r-compact", input="Say hello")
    assert shorter.usage.output_tokens == 87
    assert (account.last()["endpoint"], account.last()["charged"]) == ("responses.compact", "0.00021")


@pytest.mark.parametrize(
    "members",
    [
        {"background_options": {"completion_window": "1h"}},
        {"tools": [{"type": "web_search"}]},
    ],
)
def test_what_has_no_price_is_refused_before_it_is_forwarded(
    client: openai.OpenAI, upstream: ScriptedUpstream, members: Any
) -> None:
    sent = len(upstream.received)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.responses.create(**{"model": "r-refused", "input": "Hi", **members})
    assert caught.value.code == "unpriced_feature"
    assert len(upstream.received) == sent


def test_a_call_without_funds_raises_and_is_not_tried_again(
    server: Server, upstream: ScriptedUpstream
) -> None:
    poor = server.account("0.000001")
    upstream.behaviours["r-poor"] = answers(response())
    sent = len(upstream.received)
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=poor.secret) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.responses.create(model="r-poor", input="Say hello", max_output_tokens=50)
    assert (caught.value.status_code, caught.value.code) == (402, "request_exceeds_balance")
    assert len(upstream.received) == sent


def test_funds_that_pay_for_less_lower_the_bound(server: Server, upstream: ScriptedUpstream) -> None:
    """It goes up as `max_output_tokens`, whatever the upstream's chats have for it."""
    poor = server.account("0.0002")
    upstream.behaviours["r-clamped"] = answers(response(text("Hello")))
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=poor.secret) as client:
        client.responses.create(model="r-clamped", input="Say hello")
    body = upstream.received[-1]
    assert 50 < body["max_output_tokens"] < 100
    assert "max_completion_tokens" not in body


@pytest.mark.parametrize(
    "behaviour",
    [
        streams(*STREAM[:11], then=break_off),
        streams(*STREAM[:11]),
        streams(*STREAM[:11], b'data: {"error":{"message":"Overloaded","type":"server_error"}}\n\n'),
    ],
    ids=["broken off", "not complete", "an error within"],
)
def test_a_stream_that_fails_raises_and_is_charged_for_what_came(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account, behaviour: Behaviour
) -> None:
    """No client takes it for whole."""
    upstream.behaviours["r-broken"] = behaviour
    texts = []
    with pytest.raises(openai.APIError):  # noqa: PT012 - the stream raises while it is read.
        for part in client.responses.create(model="r-broken", input="Say hello", stream=True):
            if part.type == "response.output_text.delta":
                texts.append(part.delta)  # noqa: PERF401 - what came before the fault counts.
    assert "".join(texts) == "Hello there."
    row = account.last()
    assert (row["basis"], row["outcome"] == "complete") == ("counted", False)
    assert 0 < row["usage"]["output_tokens"] < 20


def test_a_response_that_failed_arrives_as_one(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """What the upstream bills of it is charged."""
    error = {"code": "server_error", "message": "x"}
    failed = event("response.failed", response=response(status="failed", error=error, usage=usage(36, 5)))
    upstream.behaviours["r-failed"] = streams(*STREAM[:11], failed)
    stream = client.responses.create(model="r-failed", input="Say hello", stream=True)
    assert [part.type for part in stream][-1] == "response.failed"
    assert account.last()["usage"]["input_tokens"] == 36


def test_the_cost_is_in_the_usage_if_it_is_asked_for(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["r-cost"] = streams(*STREAM)
    upstream.behaviours["r-cost-whole"] = answers(response(CALL))
    asked = {"x-farebox-include": "cost"}
    stream = client.responses.create(model="r-cost", input="Hi", stream=True, extra_headers=asked)
    *_, last = stream
    whole = client.responses.create(model="r-cost-whole", input="Hi", extra_headers=asked)
    for answer in (last.to_dict()["response"], whole.to_dict()):
        assert isinstance(answer, dict)
        assert answer["usage"]["cost"] == "0.00021"


@pytest.fixture
def kept(server: Server, upstream: ScriptedUpstream) -> Iterator[tuple[openai.OpenAI, openai.OpenAI]]:
    """Clients of two accounts, of which the first has made `resp_kept` with the item `msg_1`."""
    upstream.behaviours["k-model"] = answers(response(text("Hello"), id="resp_kept"))
    mine, other = server.account(), server.account()
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=mine.secret, max_retries=0) as first,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=other.secret, max_retries=0) as second,
    ):
        first.responses.create(model="k-model", input="Say hello")
        yield first, second


def test_a_response_is_there_for_the_account_that_made_it(
    kept: tuple[openai.OpenAI, openai.OpenAI], upstream: ScriptedUpstream
) -> None:
    """To be retrieved, listed, cancelled and deleted, for free; to all others it never was."""
    mine, other = kept
    items: dict[str, Any] = {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    upstream.behaviours["/v1/responses/resp_kept"] = answers(response(text("Hello"), id="resp_kept"))
    upstream.behaviours["/v1/responses/resp_kept/input_items"] = answers(items)
    upstream.behaviours["/v1/responses/resp_kept/cancel"] = answers(response(id="resp_kept"))
    asked: list[Callable[[openai.OpenAI], object]] = [
        lambda client: client.responses.retrieve("resp_kept"),
        lambda client: client.responses.input_items.list("resp_kept"),
        lambda client: client.responses.cancel("resp_kept"),
    ]
    for ask in asked:
        ask(mine)
        with pytest.raises(openai.NotFoundError):
            ask(other)
    upstream.behaviours["/v1/responses/resp_kept"] = answers({"id": "resp_kept", "deleted": True})
    with pytest.raises(openai.NotFoundError):
        other.responses.delete("resp_kept")
    mine.responses.delete("resp_kept")
    with pytest.raises(openai.NotFoundError):
        mine.responses.retrieve("resp_kept")


@pytest.mark.parametrize(
    "members",
    [
        {"previous_response_id": "resp_kept"},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
)
def test_nobody_goes_on_with_what_another_account_has_made(
    kept: tuple[openai.OpenAI, openai.OpenAI], upstream: ScriptedUpstream, members: Any
) -> None:
    """The answer is that of a response that never was; the account itself only lacks the card's allowance."""
    mine, other = kept
    sent = len(upstream.received)
    with pytest.raises(openai.NotFoundError):
        other.responses.create(**{"model": "k-model", "input": "Go on", **members})
    with pytest.raises(openai.NotFoundError):
        other.responses.input_tokens.count(**{"model": "k-model", "input": "Go on", **members})
    with pytest.raises(openai.PermissionDeniedError, match="input_allowance_tokens"):
        mine.responses.create(**{"model": "k-model", "input": "Go on", **members})
    assert len(upstream.received) == sent


def test_what_was_found_for_one_account_is_no_others_although_nothing_is_stored(
    server: Server, upstream: ScriptedUpstream
) -> None:
    """A search stands for what it found: who sends it back has to be who had it made."""
    search: Any = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search"},
    }
    upstream.behaviours["u-model"] = answers(response(search, text("Found it")))
    asked: Any = [{"role": "user", "content": "And then?"}, search]
    mine, other = server.account(), server.account()
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=mine.secret, max_retries=0) as first,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=other.secret, max_retries=0) as second,
    ):
        made = first.responses.create(model="u-model", input="Find it", store=False)
        first.responses.create(model="u-model", input=asked, store=False)
        sent = len(upstream.received)
        with pytest.raises(openai.NotFoundError):
            second.responses.create(model="u-model", input=asked, store=False)
        with pytest.raises(openai.NotFoundError):
            first.responses.retrieve(made.id)
    assert len(upstream.received) == sent


def test_a_streamed_response_is_kept_as_well(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """It can be streamed again; one that was not to be stored is not there."""
    upstream.behaviours["r-again"] = streams(*STREAM)
    upstream.behaviours["/v1/responses/resp_1"] = streams(*STREAM)
    list(client.responses.create(model="r-again", input="Say hello", stream=True, store=False))
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_1")
    list(client.responses.create(model="r-again", input="Say hello", stream=True))
    again = [part.type for part in client.responses.retrieve("resp_1", stream=True, starting_after=0)]
    assert again[-1] == "response.completed"
    assert account.last()["charged"] == "0.00"


def test_a_background_response_is_charged_when_it_has_ended(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    begun = response(status="queued", usage=None, id="resp_job", background=True)
    upstream.behaviours["r-job"] = answers(begun)
    upstream.behaviours["/v1/responses/resp_job"] = answers(begun | {"status": "in_progress"})
    job = client.responses.create(model="r-job", input="Say hello", background=True)
    assert job.status == "queued"
    assert account.nano("held") > 0
    assert client.responses.retrieve("resp_job").status == "in_progress"
    upstream.behaviours["/v1/responses/resp_job"] = answers(response(text("Hello"), id="resp_job"))
    assert client.responses.retrieve("resp_job").output_text == "Hello"
    assert account.nano("held") == 0
    assert "0.00021" in [row["charged"] for row in account.requests()]


def test_a_cancelled_response_without_usage_costs_its_input_and_the_time_it_took(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """As OpenAI's do, which say nothing of what they used."""
    begun = response(status="queued", usage=None, id="resp_cut", background=True)
    upstream.behaviours["r-cut"] = answers(begun)
    upstream.behaviours["/v1/responses/resp_cut/cancel"] = answers(begun | {"status": "cancelled"})
    client.responses.create(model="r-cut", input="Say hello", background=True, max_output_tokens=50)
    held = account.nano("held")
    assert client.responses.cancel("resp_cut").status == "cancelled"
    (row,) = [row for row in account.requests() if row["endpoint"] == "responses"]
    assert (row["outcome"], row["basis"], row["inferred"]) == (
        "complete",
        "counted",
        {"output_tokens": "assumed"},
    )
    assert row["usage"]["output_tokens"] > 0
    assert 0 < nano(row["charged"]) <= held
    assert account.nano("held") == 0


def test_a_streamed_background_response_goes_on_without_its_client(
    client: openai.OpenAI, account: Account, upstream: ScriptedUpstream
) -> None:
    """The SDK leaves it, retrieves it by its id, and pays for it once."""
    members: dict[str, Any] = {"id": "resp_on", "background": True}
    begun = response(status="queued", usage=None, **members)
    ended = response(text("Hello"), usage=usage(36, 87), **members)
    stayed = asyncio.Event()

    async def wait(_: web.StreamResponse) -> None:
        await asyncio.wait_for(stayed.wait(), 60)

    upstream.behaviours["r-on"] = streams(event("response.created", response=begun), then=wait)
    upstream.behaviours["/v1/responses/resp_on"] = answers(
        response(status="in_progress", usage=None, **members)
    )
    with client.responses.create(model="r-on", input="Say hello", background=True, stream=True) as stream:
        first: Any = next(iter(stream))
    assert first.response.id == "resp_on"
    assert client.responses.retrieve("resp_on").status == "in_progress"
    assert account.nano("held") > 0
    upstream.behaviours["/v1/responses/resp_on"] = answers(ended)
    assert client.responses.retrieve("resp_on").output_text == "Hello"
    charged = [row for row in account.requests() if row["endpoint"] == "responses"]
    assert [(row["outcome"], row["basis"]) for row in charged] == [("complete", "reported")]
    assert account.nano("held") == 0


def test_a_background_response_is_made_once(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """A target that breaks the connection may have begun it; any other response goes to the next target."""

    async def breaks(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    config = config_for(upstream.port, tmp_path)
    config["upstreams"]["spare"] = config["upstreams"]["scripted"]
    config["routes"] = [
        {"models": ["*"], "targets": [{"upstream": "scripted"}, {"upstream": "spare", "model": "r-spare"}]}
    ]
    upstream.behaviours["r-once"] = breaks
    upstream.behaviours["r-spare"] = answers(response(text("Hello")))
    with running(config, tmp_path) as server:
        account = server.account("1.00")
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as client:
            assert client.responses.create(model="r-once", input="Say hello").output_text == "Hello"
            received = len(upstream.received)
            with pytest.raises(openai.APIStatusError) as failed:
                client.responses.create(model="r-once", input="Say hello", background=True)
            assert (failed.value.code, len(upstream.received) - received) == ("upstream_failed", 1)
        assert account.nano("held") == 0
