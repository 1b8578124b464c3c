"""Frameworks work with only base URL and key changed: LangChain and Vercel's AI SDK."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from tests.acceptance.harness import Server, config_for, running
from tests.acceptance.packages import Runner
from tests.acceptance.scripted_upstream import (
    DONE,
    Behaviour,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)
from tests.endpoints.anthropic.replies import THOUGHTFUL, message
from tests.endpoints.openai.responses.replies import CALL, REASONING, STREAM, response, text

LANGCHAIN = """
import json, os
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

@tool
def look_up(place: str) -> str:
    "Looks up a place."
    return "found"

def asked(message):
    calls = [call["args"] for call in message.tool_calls]
    return [message.text, calls, message.usage_metadata["output_tokens"]]

def told(chat, name):
    whole, streamed = (chat(model).bind_tools([look_up]) for model in (name, name + "-stream"))
    parts = list(streamed.stream("Say hello"))
    return [asked(whole.invoke("Say hello")), asked(sum(parts[1:], parts[0]))]

url, key = os.environ["URL"], os.environ["KEY"]

def openai(model, **more):
    return ChatOpenAI(model=model, base_url=url + "/v1", api_key=key, max_retries=0, **more)

def anthropic(model):
    return ChatAnthropic(model=model, base_url=url, api_key=key, max_retries=0)

print(json.dumps({
    "chat": told(lambda model: openai(model, stream_usage=True), "l-chat"),
    "responses": told(lambda model: openai(model, use_responses_api=True), "l-response"),
    "messages": told(anthropic, "l-message"),
}))
"""
CALLED: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"place": "Rome"}'},
}

TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"place": "Rome"}}

AI_SDK = """
import { generateText, streamText, tool, stepCountIs } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { z } from "zod";
globalThis.AI_SDK_LOG_WARNINGS = false;
const asked = { prompt: "Say hello", maxRetries: 0 };
const openai = createOpenAI({ baseURL: process.env.URL + "/v1", apiKey: process.env.KEY });
const anthropic = createAnthropic({ baseURL: process.env.URL + "/v1", apiKey: process.env.KEY });
const streamed = async (model) => {
  let text = "";
  for await (const part of streamText({ model, ...asked }).textStream) text += part;
  return text;
};
const look_up = tool({
  description: "Looks up", inputSchema: z.object({ q: z.number() }), execute: async () => "found",
});
const loop = await generateText({
  model: openai.responses("f-steps"), tools: { look_up }, stopWhen: stepCountIs(3), ...asked,
});
console.log(JSON.stringify({
  chat: (await generateText({ model: openai.chat("f-chat"), ...asked })).text,
  response: (await generateText({ model: openai.responses("f-response"), ...asked })).text,
  response_stream: await streamed(openai.responses("f-response-stream")),
  message: (await generateText({ model: anthropic("f-message"), ...asked })).text,
  message_stream: await streamed(anthropic("f-message-stream")),
  steps: loop.steps.length, last: loop.text,
}));
"""

CARD: dict[str, Any] = {
    "match": ["*"],
    "rates": {"input_tokens": {"per_1m": "1.00"}, "output_tokens": {"per_1m": "2.00"}},
    "max_output_tokens": 4096,
    "input_allowance_tokens": 1000,
}


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose rate card has an allowance: the AI SDK refers to items that an earlier answer had."""
    hello = text("Hello there")
    upstream.behaviours |= {
        "f-chat": answers(completion()),
        "l-chat": answers(completion(choices=[_choice("message", content="", tool_calls=[CALLED])])),
        "l-chat-stream": streams(
            chunk("Hel"),
            chunk("lo"),
            chunk(choices=[_choice("delta", tool_calls=[{**CALLED, "index": 0}])]),
            usage_chunk(11, 7),
            DONE,
        ),
        "f-response": answers(response(hello)),
        "f-response-stream": streams(*STREAM),
        "f-message": answers(message({"type": "text", "text": "Hello there"})),
        "f-message-stream": streams(*THOUGHTFUL),
        "l-response": answers(response(hello, CALL)),
        "l-response-stream": streams(*STREAM),
        "l-message": answers(message({"type": "text", "text": "Hello there"}, TOOL_USE)),
        "l-message-stream": streams(*THOUGHTFUL),
        "f-steps": one_after_the_other(
            answers(response(REASONING, CALL, id="resp_a")), answers(response(hello, id="resp_b"))
        ),
    }
    folder = tmp_path_factory.mktemp("frameworks")
    config = config_for(upstream.port, folder, rate_cards={"chat": CARD})
    with running(config, folder) as started:
        yield started


def one_after_the_other(*behaviours: Behaviour) -> Behaviour:
    """Each request gets the next answer."""
    left = iter(behaviours)

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await next(left)(request, body)

    return behaviour


def _choice(part: str, **said: object) -> dict[str, Any]:
    return {"index": 0, part: {"role": "assistant", **said}, "finish_reason": "tool_calls"}


def test_langchain_works(langchain: Runner, server: Server) -> None:
    """Chats, responses and messages, whole and streamed, with tools and their usage."""
    account = server.account()
    assert langchain(LANGCHAIN, {"URL": server.url, "KEY": account.secret}) == {
        "chat": [["", [{"place": "Rome"}], 7], ["Hello", [{"place": "Rome"}], 7]],
        "responses": [["Hello there", [{"q": 1}], 87], ["Hello there.", [{"q": 1}], 87]],
        "messages": [["Hello there", [{"place": "Rome"}], 12], ["Hello", [{"place": "Rome"}], 50]],
    }
    rows = account.requests()
    assert {(row["outcome"], row["basis"]) for row in rows} == {("complete", "reported")}
    assert [row["endpoint"] for row in rows] == [
        *["chat.completions"] * 2,
        *["responses"] * 2,
        *["messages"] * 2,
    ]


def test_vercels_ai_sdk_works(node: Runner, server: Server) -> None:
    """Its second step refers to the reasoning that the first one's answer had."""
    account = server.account()
    assert node(AI_SDK, {"URL": server.url, "KEY": account.secret}) == {
        "chat": "Hello there",
        "response": "Hello there",
        "response_stream": "Hello there.",
        "message": "Hello there",
        "message_stream": "Hello",
        "steps": 2,
        "last": "Hello there",
    }
    assert {(row["outcome"], row["basis"]) for row in account.requests()} == {("complete", "reported")}
