"""The official Node SDK works with only base_url and key changed."""

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
const vectors = await client.embeddings.create({ model: "embed-n", input: "hi", encoding_format: "float" });
let refused;
try {
  const broke = new OpenAI({ baseURL: process.env.URL, apiKey: process.env.BROKE });
  await broke.chat.completions.create({ model: "n-whole", messages });
} catch (error) {
  refused = { status: error.status, code: error.code, type: error.type };
}
console.log(JSON.stringify({
  whole: whole.choices[0].message.content, text, vector: vectors.data[0].embedding, refused,
}));
"""


@pytest.fixture(scope="session")
def node_folder(
    require: Callable[[str], str], missing: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the SDK installed from npm."""
    npm = require("npm")
    require("node")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    run = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--no-fund", "openai@6"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        missing(f"npm could not install the SDK: {run.stderr[-300:]}")
    return folder


def test_the_node_sdk_works(
    node_folder: Path, require: Callable[[str], str], server: Server, upstream: ScriptedUpstream
) -> None:
    """Whole, streamed, embeddings, and a 402 that is raised without a retry."""
    upstream.behaviours["n-whole"] = answers(completion())
    upstream.behaviours["n-stream"] = streams(
        chunk("Hel"), chunk("lo"), chunk(finish="stop"), usage_chunk(5, 2), DONE
    )
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    upstream.behaviours["embed-n"] = answers(
        {"object": "list", "data": [vector], "model": "e", "usage": usage}
    )
    account, broke = server.account(), server.account(amount="")
    (node_folder / "client.mjs").write_text(SCRIPT)
    environ = {
        "URL": f"{server.url}/v1",
        "KEY": account.secret,
        "BROKE": broke.secret,
        "PATH": "/usr/bin:/bin",
    }
    node = require("node")
    run = subprocess.run(
        [node, "client.mjs"],
        cwd=node_folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {
        "whole": "Hello there",
        "text": "Hello",
        "vector": [0.5, -0.25],
        "refused": {"status": 402, "code": "credit_balance_exhausted", "type": "insufficient_quota"},
    }
    assert [row["charged"] for row in account.requests()] == ["0.000025", "0.000009", "0.000003"]
