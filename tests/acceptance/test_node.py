"""The official Node SDKs work with only base_url and key changed."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import Server, running
from tests.acceptance.packages import Runner
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)
from tests.acceptance.studio import MP4, Studio, videos_config
from tests.acceptance.test_conversations import Forum
from tests.acceptance.test_images import CARDS
from tests.acceptance.test_moderations import VERDICT
from tests.acceptance.test_stored_chats import Archive
from tests.endpoints.anthropic.replies import THOUGHTFUL, message
from tests.endpoints.openai.images.answers import PICTURE, png, usage
from tests.endpoints.openai.images.answers import STREAM as DRAWING
from tests.endpoints.openai.images.answers import whole as pictures
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
const tools = [{ name: "look_up", description: "Looks up", input_schema: { type: "object" } }];
const whole = await client.messages.create({ model: "a-node", ...asked });
let text = "", thought = "";
const thoughtful = { ...asked, max_tokens: 2000, tools, thinking: { type: "enabled", budget_tokens: 1024 } };
const stream = client.messages.stream({ model: "a-node-stream", ...thoughtful });
stream.on("text", (delta) => { text += delta; });
stream.on("thinking", (delta) => { thought += delta; });
const last = await stream.finalMessage();
const counted = await client.messages.countTokens({ model: "a-node-count", messages: asked.messages, tools });
let refused;
try {
  const broke = new Anthropic({ baseURL: process.env.URL, apiKey: process.env.BROKE });
  await broke.messages.create({ model: "a-node", ...asked });
} catch (error) {
  refused = { status: error.status, type: error.error.error.type, code: error.error.error.code };
}
console.log(JSON.stringify({
  whole: whole.content[0].text, text, thought, called: last.content[2].input, used: last.usage.output_tokens,
  counted: counted.input_tokens, refused,
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

CONVERSATION_SCRIPT = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.env.URL, apiKey: process.env.KEY, maxRetries: 0 });
const { conversations } = client;
const message = { type: "message", role: "user", content: "Say hello" };
const made = await conversations.create({ items: [message], metadata: { topic: "a" } });
const updated = (await conversations.update(made.id, { metadata: { topic: "b" } })).metadata;
const put = await conversations.items.create(made.id, { items: [message] });
const asked = { model: "talks", input: "More", conversation: made.id };
const answer = await client.responses.create(asked);
const listed = [];
for await (const item of conversations.items.list(made.id, { limit: 10 })) listed.push(item.type);
const one = await conversations.items.retrieve(put.data[0].id, { conversation_id: made.id });
const left = await conversations.items.delete(put.data[0].id, { conversation_id: made.id });
const deleted = (await conversations.delete(made.id)).deleted;
let refused;
try {
  await client.responses.create(asked);
} catch (error) {
  refused = error.status;
}
console.log(JSON.stringify({
  updated, said: answer.output_text, where: answer.conversation.id === made.id, listed: listed.length,
  one: one.id === put.data[0].id, left: left.id === made.id, deleted, refused,
}));
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


STUDIO_SCRIPT = """
import OpenAI, { toFile } from "openai";
const client = new OpenAI({ baseURL: process.env.URL, apiKey: process.env.KEY, maxRetries: 0 });
const drawn = await client.images.generate({ model: "gpt-image-node", prompt: "A cat" });
const parts = [];
const asked = { model: "gpt-image-node-stream", prompt: "A cat", stream: true, partial_images: 2 };
for await (const part of await client.images.generate(asked)) parts.push(part.type);
const image = await toFile(Buffer.from(process.env.PICTURE, "base64"), "a.png", { type: "image/png" });
const edited = await client.images.edit({
  model: "gpt-image-node", image: [image, image], prompt: "A dog of Node's",
});
let video = await client.videos.create({ model: "sora-2", prompt: "A cat", seconds: "4" });
const first = video.status;
while (video.status !== "completed") video = await client.videos.retrieve(video.id);
const film = await client.videos.downloadContent(video.id);
const listed = await client.videos.list();
const verdict = await client.moderations.create({ model: "n-moderation", input: "Is this bad?" });
console.log(JSON.stringify({
  drawn: drawn.data[0].b64_json, parts, edited: edited.data[0].b64_json, first, seconds: video.seconds,
  bytes: (await film.arrayBuffer()).byteLength, listed: listed.data.length,
  flagged: verdict.results[0].flagged,
}));
"""


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has prices for pictures and videos, too."""
    folder: Path = tmp_path_factory.mktemp("node")
    config = videos_config(upstream.port, folder)
    config["rate_cards"] = {**CARDS, **config["rate_cards"]}
    config["rate_cards"]["chat"]["input_allowance_tokens"] = 1_000
    with running(config, folder) as started:
        yield started


def test_the_node_sdk_works(node: Runner, server: Server, upstream: ScriptedUpstream) -> None:
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
    assert node(SCRIPT, environ) == {
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
    node: Runner, server: Server, upstream: ScriptedUpstream
) -> None:
    Archive(upstream)
    account = server.account()
    environ = {"URL": f"{server.url}/v1", "KEY": account.secret}
    assert node(STORED_SCRIPT, environ) == {
        "same": True,
        "found": "Hello there",
        "updated": {"topic": "c"},
        "asked": ["Say hello"],
        "deleted": True,
    }
    assert sorted(row["charged"] for row in account.requests()) == ["0.00"] * 4 + ["0.000025"] * 2


def test_the_node_sdk_goes_on_in_a_conversation(
    node: Runner, server: Server, upstream: ScriptedUpstream
) -> None:
    Forum(upstream)
    account = server.account()
    assert node(CONVERSATION_SCRIPT, {"URL": f"{server.url}/v1", "KEY": account.secret}) == {
        "updated": {"topic": "b"},
        "said": "3 items",
        "where": True,
        "listed": 3,
        "one": True,
        "left": True,
        "deleted": True,
        "refused": 404,
    }
    assert sorted(row["charged"] for row in account.requests()) == ["0.00"] * 7 + ["0.00021"]


def test_anthropics_node_sdk_works(node: Runner, server: Server, upstream: ScriptedUpstream) -> None:
    """Whole, streamed with thoughts and the call of a tool, a count, and a 402 without a retry."""
    upstream.behaviours["a-node"] = answers(message({"type": "text", "text": "Hello there"}))
    upstream.behaviours["a-node-stream"] = streams(*THOUGHTFUL)
    upstream.behaviours["a-node-count"] = answers({"input_tokens": 14})
    account, broke = server.account(), server.account(amount="")
    environ = {"URL": server.url, "KEY": account.secret, "BROKE": broke.secret}
    sent = len(upstream.received)
    assert node(MESSAGES_SCRIPT, environ) == {
        "whole": "Hello there",
        "text": "Hello",
        "thought": "Let me see. ",
        "called": {"place": "Rome"},
        "used": 50,
        "counted": 14,
        "refused": {"status": 402, "type": "billing_error", "code": "credit_balance_exhausted"},
    }
    assert len(upstream.received) == sent + 3
    assert [row["charged"] for row in account.requests()] == ["0.000049", "0.000125", "0.00"]


def test_the_node_sdk_hears_and_speaks(node: Runner, server: Server, upstream: ScriptedUpstream) -> None:
    """The form is as the SDK writes it; all three are charged by their tokens."""
    upstream.behaviours["n-heard"] = answers({"text": "Hello", "usage": TOKENS})
    upstream.behaviours["n-heard-stream"] = streams(*EVENTS)
    upstream.behaviours["n-spoken"] = answers(b"\xff\xfb\x90" + bytes(1_597))
    account, sound = server.account(), wav(1)
    environ = {"URL": f"{server.url}/v1", "KEY": account.secret, "SOUND": base64.b64encode(sound).decode()}
    told = node(SOUND_SCRIPT, environ)
    assert told == {"heard": "Hello", "text": "Hello there", "bytes": 1_600}
    assert upstream.received[-3] == {
        "model": "n-heard",
        "file": ("h\u00e4llo.wav", sound),
        "timestamp_granularities[]": ["word", "segment"],
        "chunking_strategy[type]": "server_vad",
        "chunking_strategy[threshold]": "0.5",
    }
    assert [row["charged"] for row in account.requests()] == ["0.000104", "0.000104", "0.000005"]


def test_the_node_sdk_draws_edits_films_and_moderates(
    node: Runner, server: Server, upstream: ScriptedUpstream
) -> None:
    """Each is charged by its own meter; a video that is asked for until it is there is charged once."""
    studio = Studio(upstream)
    studio.course = {"queued": "in_progress", "in_progress": "completed"}
    upstream.behaviours["gpt-image-node"] = answers(pictures({"b64_json": PICTURE}, usage=usage(10, 272)))
    upstream.behaviours["gpt-image-node-stream"] = streams(*DRAWING)
    judged = {**VERDICT, "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    upstream.behaviours["n-moderation"] = answers(judged)
    account, picture = server.account("10.00"), png(1_024, 1_024)
    environ = {
        "URL": f"{server.url}/v1",
        "KEY": account.secret,
        "PICTURE": base64.b64encode(picture).decode(),
    }
    assert node(STUDIO_SCRIPT, environ) == {
        "drawn": PICTURE,
        "parts": [*["image_generation.partial_image"] * 2, "image_generation.completed"],
        "edited": PICTURE,
        "first": "queued",
        "seconds": "4",
        "bytes": len(MP4),
        "listed": 1,
        "flagged": False,
    }
    edits = next(body for body in upstream.received if body.get("prompt") == "A dog of Node's")
    assert edits["image[]"] == [("a.png", picture), ("a.png", picture)]
    assert [(row["endpoint"], row["charged"]) for row in account.requests() if row["charged"] != "0.00"] == [
        ("images.generations", "0.00821"),
        ("images.generations", "0.03793"),
        ("images.edits", "0.00821"),
        ("videos", "0.40"),
        ("moderations", "0.000007"),
    ]
