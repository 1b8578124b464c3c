"""A framework works with only base URL and key changed: Vercel's AI SDK."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.acceptance.harness import WAIT_SECONDS, Server, config_for, running
from tests.acceptance.scripted_upstream import (
    Behaviour,
    ScriptedUpstream,
    answers,
    completion,
    streams,
)
from tests.endpoints.anthropic.replies import THOUGHTFUL, message
from tests.endpoints.openai.responses.replies import CALL, REASONING, STREAM, response, text

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


@pytest.fixture
def server(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Server]:
    """One whose rate card has an allowance: the AI SDK refers to items that an earlier answer had."""
    hello = text("Hello there")
    upstream.behaviours |= {
        "f-chat": answers(completion()),
        "f-response": answers(response(hello)),
        "f-response-stream": streams(*STREAM),
        "f-message": answers(message({"type": "text", "text": "Hello there"})),
        "f-message-stream": streams(*THOUGHTFUL),
        "f-steps": one_after_the_other(
            answers(response(REASONING, CALL, id="resp_a")), answers(response(hello, id="resp_b"))
        ),
    }
    config = config_for(upstream.port, tmp_path, rate_cards={"chat": CARD})
    with running(config, tmp_path) as started:
        yield started


def one_after_the_other(*behaviours: Behaviour) -> Behaviour:
    """Each request gets the next answer."""
    left = iter(behaviours)

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await next(left)(request, body)

    return behaviour


def printed(command: list[str], folder: Path, environ: dict[str, str]) -> dict[str, Any]:
    """The JSON that a program prints."""
    run = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def test_vercels_ai_sdk_works(
    require: Callable[[str], str], missing: Callable[[str], None], server: Server, tmp_path: Path
) -> None:
    """Its second step refers to the reasoning that the first one's answer had."""
    npm, node = require("npm"), require("node")
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    packages = ("ai@6", "@ai-sdk/openai@3", "@ai-sdk/anthropic@3", "zod@4")
    run = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--no-fund", *packages],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        missing(f"npm could not install the AI SDK: {run.stderr[-300:]}")
    account = server.account()
    (tmp_path / "client.mjs").write_text(AI_SDK)
    environ = {"URL": server.url, "KEY": account.secret}
    assert printed([node, "client.mjs"], tmp_path, environ) == {
        "chat": "Hello there",
        "response": "Hello there",
        "response_stream": "Hello there.",
        "message": "Hello there",
        "message_stream": "Hello",
        "steps": 2,
        "last": "Hello there",
    }
    assert {(row["outcome"], row["basis"]) for row in account.requests()} == {("complete", "reported")}
