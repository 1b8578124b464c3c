"""The demo upstream, driven by the official SDK over a real socket: its words are made up, not its form."""

import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from openai import AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionToolParam

from proxy.demo import CHAT_MODEL, EMBEDDING_MODEL, build_demo
from proxy.metering.prompts import chat_tokens
from proxy.metering.tokens import count_text

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer"},
            },
            "required": ["city"],
        },
    },
}


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    server = TestServer(build_demo())
    async with server:
        yield server


@pytest.fixture
async def sdk(server: TestServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=str(server.make_url("/v1")), api_key="any", max_retries=0) as sdk:
        yield sdk


def _asked(wanted: dict[str, object]) -> dict[str, Any]:
    return {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Trains"}], **wanted}


async def _reply(sdk: AsyncOpenAI, **wanted: object) -> ChatCompletion:
    reply = await sdk.chat.completions.create(**_asked(wanted))
    assert isinstance(reply, ChatCompletion)
    return reply


async def _chunks(sdk: AsyncOpenAI, **wanted: object) -> list[ChatCompletionChunk]:
    stream = await sdk.chat.completions.create(**_asked(wanted), stream=True)
    return [chunk async for chunk in stream]


def _user(text: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": text}]


async def test_a_chat_is_answered_and_counted(sdk: AsyncOpenAI) -> None:
    """Prose on the prompt's words, with the usage that a tokenizer gives."""
    messages = _user("Why do whales sing at night?")
    reply = await _reply(sdk, messages=messages)
    text = reply.choices[0].message.content or ""
    assert "whales" in text
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == chat_tokens({"messages": messages}, CHAT_MODEL)
    assert reply.usage.completion_tokens == count_text(text, CHAT_MODEL)
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply._request_id


async def test_a_stream_says_what_a_whole_reply_says(sdk: AsyncOpenAI) -> None:
    """Equal requests have equal texts, whole or token by token, and equal usage if it is asked for."""
    whole = await _reply(sdk, n=2)
    chunks = await _chunks(sdk, n=2, stream_options={"include_usage": True})
    for index in (0, 1):
        parts = [chunk.choices[0] for chunk in chunks if chunk.choices and chunk.choices[0].index == index]
        assert "".join(part.delta.content or "" for part in parts) == whole.choices[index].message.content
        assert [part.finish_reason for part in parts if part.finish_reason] == ["stop"]
        assert parts[0].delta.role == "assistant"
    assert whole.choices[0].message.content != whole.choices[1].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_a_stream_has_no_usage_unless_asked(sdk: AsyncOpenAI) -> None:
    """Without include_usage no chunk speaks of usage, and every chunk has a choice."""
    chunks = await _chunks(sdk)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_bound_on_output_is_kept_to_the_token(sdk: AsyncOpenAI, field: str) -> None:
    """The text ends after that many tokens, and the finish reason tells."""
    chunks = await _chunks(sdk, **{field: 5, "stream_options": {"include_usage": True}})
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) == 5
    assert chunks[-2].choices[0].finish_reason == "length"


async def test_a_prompt_may_ask_for_a_length(sdk: AsyncOpenAI) -> None:
    """`N words` and `N sentences` are kept."""
    for prompt, separator, length in (("Write 50 words", " ", 50), ("7 sentences, please", ". ", 7)):
        reply = await _reply(sdk, messages=[{"role": "user", "content": [{"type": "text", "text": prompt}]}])
        assert len((reply.choices[0].message.content or "").split(separator)) == length


async def test_a_stop_text_ends_the_reply(sdk: AsyncOpenAI) -> None:
    """Nothing from the first stop text on is said."""
    reply = await _reply(sdk, stop=["zebra", "."])
    assert "." not in (reply.choices[0].message.content or ".")
    assert reply.choices[0].finish_reason == "stop"


async def test_a_tool_is_called_and_its_result_is_used(sdk: AsyncOpenAI) -> None:
    """The prompt names a tool's matter: it is called with arguments that fit its schema, then quoted."""
    messages: list[object] = [
        {"role": "user", "content": "What is the weather in Paris for 3 days, fahrenheit?"}
    ]
    reply = await _reply(sdk, messages=messages, tools=[WEATHER])
    choice = reply.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    [call] = choice.message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris", "unit": "fahrenheit", "days": 3}
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    after = await _reply(sdk, messages=messages, tools=[WEATHER])
    assert "sunny" in (after.choices[0].message.content or "")
    assert after.choices[0].finish_reason == "stop"


async def test_a_tool_call_is_streamed_in_parts(sdk: AsyncOpenAI) -> None:
    """Id and name come first, then the arguments piece by piece."""
    chunks = await _chunks(sdk, tools=[WEATHER], tool_choice="required")
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].id is not None
    functions = [call.function for call in calls if call.function]
    assert functions[0].name == "get_weather"
    assert len(functions) > 2
    arguments = json.loads("".join(function.arguments or "" for function in functions))
    assert set(arguments) == {"city", "unit", "days"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", False),
        ("none", False),
        ("required", True),
        ({"type": "function", "function": {"name": "get_weather"}}, True),
    ],
)
async def test_tool_choice_is_honoured(sdk: AsyncOpenAI, choice: object, called: bool) -> None:
    """A call can be forced and forbidden; left to itself the demo calls what the prompt speaks of."""
    chunks = await _chunks(sdk, tools=[WEATHER], tool_choice=choice)
    assert any(chunk.choices[0].delta.tool_calls for chunk in chunks) == called


async def test_replies_may_have_to_be_json(sdk: AsyncOpenAI) -> None:
    """`json_object` gives an object, `json_schema` one that fits."""
    schema = {
        "type": "object",
        "properties": {
            "ok": {"type": "boolean"},
            "count": {"type": "number"},
            "tags": {"type": "array", "items": {"type": ["string", "null"]}},
            "kind": {"const": "demo"},
            "nested": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
    }
    formats = (
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    replies = [
        await _reply(sdk, messages=_user("Trains, 2.5 of them"), response_format=wanted) for wanted in formats
    ]
    free, fitting = (json.loads(reply.choices[0].message.content or "") for reply in replies)
    assert list(free) == ["answer"]
    assert fitting == {"ok": True, "count": 2.5, "tags": ["tags"], "kind": "demo", "nested": None}


@pytest.mark.parametrize("prompt", ["Trains", ["Trains", "Boats"], [1, 2, 3], [[1, 2], [3]]])
async def test_completions_take_all_shapes_of_prompt(sdk: AsyncOpenAI, prompt: Any) -> None:
    """Every prompt has its choices, whole and streamed alike; sixteen tokens unless told otherwise."""
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    whole = await sdk.completions.create(model=CHAT_MODEL, prompt=prompt, n=2)
    stream = await sdk.completions.create(
        model=CHAT_MODEL,
        prompt=prompt,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert len(whole.choices) == 2 * prompts
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 16 * 2 * prompts
    for index, choice in enumerate(whole.choices):
        parts = [chunk.choices[0] for chunk in chunks if chunk.choices and chunk.choices[0].index == index]
        assert "".join(part.text for part in parts) == choice.text
        assert parts[-1].finish_reason == choice.finish_reason == "length"
    assert chunks[-1].usage == whole.usage


async def test_echo_puts_the_prompt_before_the_text(sdk: AsyncOpenAI) -> None:
    """The prompt is in the text, and not in the count of the completion."""
    reply = await sdk.completions.create(model=CHAT_MODEL, prompt="Trains", echo=True, max_tokens=3)
    stream = await sdk.completions.create(
        model=CHAT_MODEL, prompt="Trains", echo=True, max_tokens=3, stream=True
    )
    assert reply.choices[0].text.startswith("Trains")
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 3
    assert "".join([chunk.choices[0].text async for chunk in stream]) == reply.choices[0].text


async def test_embeddings_are_unit_vectors_and_the_same_in_both_encodings(sdk: AsyncOpenAI) -> None:
    """Base64, which the SDK asks for by itself, and plain floats stand for the same vectors."""
    inputs = ["night trains", "night boats", "arithmetic"]
    packed = await sdk.embeddings.create(model=EMBEDDING_MODEL, input=inputs, dimensions=64)
    plain = await sdk.embeddings.create(
        model=EMBEDDING_MODEL, input=inputs, dimensions=64, encoding_format="float"
    )
    assert [item.index for item in plain.data] == [0, 1, 2]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert len(one.embedding) == 64
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert sum(value * value for value in other.embedding) == pytest.approx(1)
    first, second, third = (item.embedding for item in plain.data)
    likeness = [sum(a * b for a, b in zip(first, other, strict=True)) for other in (second, third)]
    assert likeness[0] > likeness[1] + 0.2
    tokens = sum(count_text(text, EMBEDDING_MODEL) for text in inputs)
    assert plain.usage.prompt_tokens == plain.usage.total_tokens == tokens


async def test_base64_is_little_endian_floats(server: TestServer, sdk: AsyncOpenAI) -> None:
    """Four bytes for each dimension."""
    async with ClientSession() as session:
        ask = {"model": EMBEDDING_MODEL, "input": [1, 2], "encoding_format": "base64", "dimensions": 3}
        async with session.post(server.make_url("/v1/embeddings"), json=ask) as response:
            reply = await response.json()
    plain = await sdk.embeddings.create(
        model=EMBEDDING_MODEL, input=[1, 2], encoding_format="float", dimensions=3
    )
    packed = struct.unpack("<3f", base64.b64decode(reply["data"][0]["embedding"]))
    assert list(packed) == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert reply["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


async def test_models_are_listed(sdk: AsyncOpenAI) -> None:
    """Both of them."""
    assert [model.id async for model in sdk.models.list()] == [CHAT_MODEL, EMBEDDING_MODEL]


async def test_search_answers_alike_by_get_and_post(server: TestServer) -> None:
    """The tool API has as many results as are asked for, and refuses an empty query."""
    url = server.make_url("/v1/search")
    async with ClientSession() as session:
        async with session.get(url, params={"q": "fares", "limit": "2"}) as response:
            got = await response.json()
        async with session.post(url, json={"query": "fares", "limit": 2}) as response:
            assert await response.json() == got
        async with session.get(url) as response:
            assert response.status == 400
    assert got["query"] == "fares"
    assert [sorted(result) for result in got["results"]] == [["snippet", "title", "url"]] * 2


async def test_what_it_does_not_understand_is_refused_in_openais_shape(sdk: AsyncOpenAI) -> None:
    """The SDK raises its own errors, with a message that names the field."""
    with pytest.raises(NotFoundError) as unknown:
        await _reply(sdk, model="gpt-9")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(BadRequestError, match=r"\$.n"):
        await sdk.chat.completions.create(model=CHAT_MODEL, messages=[{"role": "user", "content": "x"}], n=0)
    with pytest.raises(NotFoundError) as no_route:
        await sdk.moderations.create(input="x")
    assert no_route.value.code == "not_found"
    assert no_route.value.request_id


async def test_a_key_can_be_asked_for() -> None:
    """With a key configured, others are refused."""
    async with TestServer(build_demo(key="sk-demo")) as server:
        base_url = str(server.make_url("/v1"))
        async with AsyncOpenAI(base_url=base_url, api_key="sk-demo") as sdk:
            await sdk.models.list()
        async with AsyncOpenAI(base_url=base_url, api_key="other", max_retries=0) as sdk:
            with pytest.raises(AuthenticationError):
                await sdk.models.list()
