"""The demo upstream, driven by the official SDK over a real socket: canned words, real counts."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from openai import AsyncOpenAI, BadRequestError
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from proxy.demo import build_demo
from proxy.metering.prompts import chat_tokens
from proxy.metering.tokens import count_text

MODEL = "demo-chat"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello"}]


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    server = TestServer(build_demo())
    async with server:
        yield server


@pytest.fixture
async def sdk(server: TestServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=str(server.make_url("/v1")), api_key="any", max_retries=0) as sdk:
        yield sdk


async def chat(sdk: AsyncOpenAI, **wanted: Any) -> ChatCompletion:
    reply = await sdk.chat.completions.create(**{"model": MODEL, "messages": HELLO, **wanted})
    assert isinstance(reply, ChatCompletion)
    return reply


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Say hello", "Hello!"),
        ([{"type": "text", "text": "Tell me about fares"}], "A fare"),
        ("Why do whales sing?", "This is the demo upstream"),
    ],
)
async def test_an_answer_is_chosen_by_a_word_and_counted_by_the_tokenizer(
    sdk: AsyncOpenAI, asked: Any, answered: str
) -> None:
    """The usage is what a tokenizer gives for prompt and answer, so that the quickstart's charge is real."""
    messages = [{"role": "user", "content": asked}]
    reply = await chat(sdk, messages=messages)
    text = reply.choices[0].message.content or ""
    assert text.startswith(answered)
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == chat_tokens({"messages": messages}, MODEL)
    assert reply.usage.completion_tokens == count_text(text, MODEL)
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


async def test_a_stream_says_what_a_whole_reply_says(sdk: AsyncOpenAI) -> None:
    """Token by token, for every choice, with the same usage at its end if that is asked for."""
    whole = await chat(sdk, n=2)
    stream = await sdk.chat.completions.create(
        model=MODEL, messages=HELLO, n=2, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    for index in (0, 1):
        parts = [chunk.choices[0] for chunk in chunks if chunk.choices and chunk.choices[0].index == index]
        assert "".join(part.delta.content or "" for part in parts) == whole.choices[index].message.content
        assert [part.finish_reason for part in parts if part.finish_reason] == ["stop"]
    assert whole.usage is not None
    assert whole.usage.completion_tokens == sum(
        bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks
    )
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_a_stream_has_no_usage_unless_asked(sdk: AsyncOpenAI) -> None:
    """Every chunk has a choice then, and none speaks of usage."""
    stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    assert all([chunk.choices and "usage" not in chunk.model_fields_set async for chunk in stream])


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_bound_on_output_is_kept_to_the_token(sdk: AsyncOpenAI, field: str) -> None:
    """Farebox may have lowered it to what the balance pays for."""
    reply = await chat(sdk, **{field: 5})
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 5
    assert count_text(reply.choices[0].message.content or "", MODEL) == 5
    assert reply.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("prompt", "prompts"), [("hello", 1), (["hello", "you"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)]
)
async def test_completions_take_all_shapes_of_prompt(sdk: AsyncOpenAI, prompt: Any, prompts: int) -> None:
    """Every prompt has its choices, whole and streamed alike."""
    whole = await sdk.completions.create(model=MODEL, prompt=prompt, n=2, max_tokens=4)
    stream = await sdk.completions.create(model=MODEL, prompt=prompt, n=2, max_tokens=4, stream=True)
    chunks = [chunk async for chunk in stream]
    assert [choice.index for choice in whole.choices] == list(range(2 * prompts))
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 4 * 2 * prompts
    for choice in whole.choices:
        parts = [chunk.choices[0].text for chunk in chunks if chunk.choices[0].index == choice.index]
        assert "".join(parts) == choice.text


@pytest.mark.parametrize(("inputs", "vectors"), [("fares", 1), (["fares", "rides"], 2), ([1, 2], 1)])
async def test_embeddings_are_the_same_in_both_encodings(sdk: AsyncOpenAI, inputs: Any, vectors: int) -> None:
    """Base64, which the SDK asks for by itself, and plain floats: a unit vector for each input."""
    model = "demo-embedding"
    packed = await sdk.embeddings.create(model=model, input=inputs, dimensions=64)
    plain = await sdk.embeddings.create(model=model, input=inputs, dimensions=64, encoding_format="float")
    assert [item.index for item in plain.data] == list(range(vectors))
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert sum(value * value for value in other.embedding) == pytest.approx(1)
    tokens = 2 if inputs == [1, 2] else sum(count_text(text, model) for text in plain_texts(inputs))
    assert plain.usage.prompt_tokens == plain.usage.total_tokens == tokens


def plain_texts(inputs: str | list[str]) -> list[str]:
    return [inputs] if isinstance(inputs, str) else inputs


async def test_models_are_listed(sdk: AsyncOpenAI) -> None:
    """Those that the quickstart serves."""
    assert [model.id async for model in sdk.models.list()] == ["demo-chat", "demo-embedding"]


async def test_search_answers_alike_by_get_and_post(server: TestServer) -> None:
    """The tool API has the same results for everything."""
    url = server.make_url("/v1/search")
    async with ClientSession() as session:
        async with session.get(url, params={"q": "fares"}) as response:
            got = await response.json()
        async with session.post(url, json={"query": "rides"}) as response:
            assert await response.json() == got
    assert [sorted(result) for result in got["results"]] == [["snippet", "title", "url"]] * 2


async def test_what_it_cannot_read_is_refused_in_openais_shape(sdk: AsyncOpenAI) -> None:
    """The SDK raises its own error, with a message that names the field."""
    with pytest.raises(BadRequestError, match=r"\$.n") as refused:
        await chat(sdk, n=0)
    assert refused.value.code == "invalid_value"
