"""The official Node SDKs work with only base_url and key changed."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.harness import WAIT_SECONDS, Server
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)
from tests.acceptance.test_stored_chats import Archive
from tests.endpoints.anthropic.replies import THOUGHTFUL, message
from tests.endpoints.openai.responses.replies import STREAM, response
from tests.endpoints.openai.responses.replies import text as said
from tests.endpoints.openai.test_transcripts import EVENTS, TOKENS
from tests.metering.test_sounds import wav

SCRIPT = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.env.URL, apiKey: process.env.KEY });
const messages = [{ role: "user", content: "Say hello" }];
const whole = await client.chat.completions.create({ model: "n-whole", messages });
let text = "";
const stream = await client.chat.completions.create({ model: "n-stream", messages, stream: true });
for await (const part of stream) {
  text += part.choices[0].delta.content ?? "";
}
const response = await client.responses.create({ model: "n-response", input: "Say hello" });
let answered = "";
const responses = client.responses.stream({ model: "n-response-stream", input: "Say hello" });
for await (const part of responses) {
  if (part.type === "response.output_text.delta") answered += part.delta;
}
const final = await responses.finalResponse();
const vectors = await client.embeddings.create({ model: "embed-n", input: "hi", encoding_format: "float" });
let refused;
try {
  const broke = new OpenAI({ baseURL: process.env.URL, apiKey: process.env.BROKE });
  await broke.chat.completions.create({ model: "n-whole", messages });
} catch (error) {
  refused = { status: error.status, code: error.code, type: error.type };
}
console.log(JSON.stringify({
  response: response.output_text, answered, items: final.output.length,
  whole: whole.choices[0].message.content, text, vector: vectors.data[0].embedding, refused,
}));
"""

MESSAGES_SCRIPT = """
import Anthropic from "@anthropic-ai/sdk";
const client = new Anthropic({ baseURL: process.env.URL, apiKey: process.env.KEY });
const asked = { max_tokens: 50, messages: [{ role: "user", content: "Say hello" }] };
const whole = await client.messages.create({ model: "a-node", ...asked });
let text = "";
const stream = client.messages.stream({ model: "a-node-stream", ...asked });
stream.on("text", (delta) => { text += delta; });
const last = await stream.finalMessage();
const counted = await client.messages.countTokens({ model: "a-node-count", messages: asked.messages });
let refused;
try {
  const broke = new Anthropic({ baseURL: process.env.URL, apiKey: process.env.BROKE });
  await broke.messages.create({ model: "a-node", ...asked });
} catch (error) {
  refused = { status: error.status, type: error.error.error.type, code: error.error.error.code };
}
console.log(JSON.stringify({
  whole: whole.content[0].text, text, called: last.content[2].input, counted: counted.input_tokens, refused,
}));
"""

STORED_SCRIPT = """
import OpenAI from "openai";
const { completions } = new OpenAI({ baseURL: process.env.URL, apiKey: process.env.KEY }).chat;
const messages = [{ role: "user", content: "Say hello" }];
const made = [];
for (const topic of ["a", "b"]) {
  const chat = await completions.create({ model: "stored", messages, store: true, metadata: { topic } });
  made.push(chat.id);
}
const listed = [];
for await (const chat of completions.list({ limit: 1, order: "asc" })) listed.push(chat.id);
const found = (await completions.retrieve(made[0])).choices[0].message.content;
const updated = (await completions.update(made[0], { metadata: { topic: "c" } })).metadata;
const asked = [];
for await (const message of completions.messages.list(made[0])) asked.push(message.content);
const deleted = (await completions.delete(made[0])).deleted;
console.log(JSON.stringify({ same: made.join() === listed.join(), found, updated, asked, deleted }));
"""

SOUND_SCRIPT = """
import OpenAI, { toFile } from "openai";
const client = new OpenAI({ baseURL: process.env.URL, apiKey: process.env.KEY });
const sound = await toFile(Buffer.from(process.env.SOUND, "base64"), "h\u00e4llo.wav");
const heard = await client.audio.transcriptions.create({
  model: "n-heard", file: sound, timestamp_granularities: ["word", "segment"],
  chunking_strategy: { type: "server_vad", threshold: 0.5 },
});
let text = "";
const asked = { model: "n-heard-stream", file: sound, stream: true };
for await (const part of await client.audio.transcriptions.create(asked)) {
  if (part.type === "transcript.text.delta") text += part.delta;
}
const spoken = await client.audio.speech.create({ model: "n-spoken", voice: "alloy", input: "Hello" });
const bytes = (await spoken.arrayBuffer()).byteLength;
console.log(JSON.stringify({ heard: heard.text, text, bytes }));
"""


@pytest.fixture(scope="session")
def node_folder(
    require: Callable[[str], str], missing: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the SDKs installed from npm."""
    npm = require("npm")
    require("node")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    run = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--no-fund", "openai@6", "@anthropic-ai/sdk@1"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        missing(f"npm could not install the SDKs: {run.stderr[-300:]}")
    return folder


def test_the_node_sdk_works(
    node_folder: Path, require: Callable[[str], str], server: Server, upstream: ScriptedUpstream
) -> None:
    """Whole, streamed, responses, embeddings, and a 402 that is raised without a retry."""
    upstream.behaviours["n-whole"] = answers(completion())
    upstream.behaviours["n-response"] = answers(response(said("Hello there")))
    upstream.behaviours["n-response-stream"] = streams(*STREAM)
    upstream.behaviours["n-stream"] = streams(
        chunk("Hel"), chunk("lo"), chunk(finish="stop"), usage_chunk(5, 2), DONE
    )
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    upstream.behaviours["embed-n"] = answers(
        {"object": "list", "data": [vector], "model": "e", "usage": usage}
    )
    account, broke = server.account(), server.account(amount="")
    environ = {"URL": f"{server.url}/v1", "KEY": account.secret, "BROKE": broke.secret}
    assert printed(require("node"), node_folder, SCRIPT, environ) == {
        "whole": "Hello there",
        "text": "Hello",
        "response": "Hello there",
        "answered": "Hello there.",
        "items": 3,
        "vector": [0.5, -0.25],
        "refused": {"status": 402, "code": "credit_balance_exhausted", "type": "insufficient_quota"},
    }
    assert [row["charged"] for row in account.requests()] == [
        *("0.000025", "0.000009", "0.00021", "0.00021", "0.000003"),
    ]


def test_the_node_sdk_has_the_chats_that_it_stored(
    node_folder: Path, require: Callable[[str], str], server: Server, upstream: ScriptedUpstream
) -> None:
    Archive(upstream)
    account = server.account()
    environ = {"URL": f"{server.url}/v1", "KEY": account.secret}
    assert printed(require("node"), node_folder, STORED_SCRIPT, environ) == {
        "same": True,
        "found": "Hello there",
        "updated": {"topic": "c"},
        "asked": ["Say hello"],
        "deleted": True,
    }
    assert sorted(row["charged"] for row in account.requests()) == ["0.00"] * 4 + ["0.000025"] * 2


def test_anthropics_node_sdk_works(
    node_folder: Path, require: Callable[[str], str], server: Server, upstream: ScriptedUpstream
) -> None:
    """Whole, streamed with the call of a tool, a count, and a 402 that is raised without a retry."""
    upstream.behaviours["a-node"] = answers(message({"type": "text", "text": "Hello there"}))
    upstream.behaviours["a-node-stream"] = streams(*THOUGHTFUL)
    upstream.behaviours["a-node-count"] = answers({"input_tokens": 14})
    account, broke = server.account(), server.account(amount="")
    environ = {"URL": server.url, "KEY": account.secret, "BROKE": broke.secret}
    sent = len(upstream.received)
    assert printed(require("node"), node_folder, MESSAGES_SCRIPT, environ) == {
        "whole": "Hello there",
        "text": "Hello",
        "called": {"place": "Rome"},
        "counted": 14,
        "refused": {"status": 402, "type": "billing_error", "code": "credit_balance_exhausted"},
    }
    assert len(upstream.received) == sent + 3
    assert [row["charged"] for row in account.requests()] == ["0.000049", "0.000125", "0.00"]


def test_the_node_sdk_hears_and_speaks(
    node_folder: Path, require: Callable[[str], str], server: Server, upstream: ScriptedUpstream
) -> None:
    """The form is as the SDK writes it; all three are charged by their tokens."""
    upstream.behaviours["n-heard"] = answers({"text": "Hello", "usage": TOKENS})
    upstream.behaviours["n-heard-stream"] = streams(*EVENTS)
    upstream.behaviours["n-spoken"] = answers(b"\xff\xfb\x90" + bytes(1_597))
    account, sound = server.account(), wav(1)
    environ = {"URL": f"{server.url}/v1", "KEY": account.secret, "SOUND": base64.b64encode(sound).decode()}
    told = printed(require("node"), node_folder, SOUND_SCRIPT, environ)
    assert told == {"heard": "Hello", "text": "Hello there", "bytes": 1_600}
    assert upstream.received[-3] == {
        "model": "n-heard",
        "file": ("h\u00e4llo.wav", sound),
        "timestamp_granularities[]": ["word", "segment"],
        "chunking_strategy[type]": "server_vad",
        "chunking_strategy[threshold]": "0.5",
    }
    assert [row["charged"] for row in account.requests()] == ["0.000104", "0.000104", "0.000005"]


def printed(node: str, folder: Path, script: str, environ: dict[str, str]) -> object:
    """The JSON that a script prints."""
    (folder / "client.mjs").write_text(script)
    run = subprocess.run(
        [node, "client.mjs"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)
