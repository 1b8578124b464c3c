"""The demo upstream as a web application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from proxy.clock import Clock, SystemClock
from proxy.demo.replies import (
    MODELS,
    RESULTS,
    EmbeddingRequest,
    GenerationRequest,
    Json,
    chunks,
    completion,
    embeddings,
)
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.metering.prompts import chat_items, input_items
from proxy.metering.tokens import COUNTER
from proxy.metering.vocabulary import SHARED

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
EVENT_PAUSE_SECONDS: Final = 0.02
ENCODING: Final = "o200k_base"

_Wanted = TypeVar("_Wanted", GenerationRequest, EmbeddingRequest)


def build_demo(pause_seconds: float = 0.0) -> web.Application:
    """The demo upstream as an application. It waits `pause_seconds` after each event of a stream."""
    demo = Demo(pause_seconds, SystemClock())
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes(
        [
            web.post("/v1/chat/completions", demo.generate),
            web.post("/v1/completions", demo.generate),
            web.post("/v1/embeddings", demo.embed),
            web.get("/v1/models", _canned(MODELS)),
            web.route("*", "/v1/search", _canned(RESULTS)),
        ]
    )
    app.on_startup.append(_load_vocabulary)
    return app


class Demo:
    """The handlers of the demo upstream."""

    def __init__(self, pause_seconds: float, clock: Clock) -> None:
        self._pause_seconds = pause_seconds
        self._clock = clock

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """Answer a chat or a text completion. Whatever the model, its tokens are counted."""
        body = await request.read()
        wanted = _decoded(body, GenerationRequest)
        is_chat = request.path.startswith("/v1/chat/")
        items = chat_items(msgspec.json.decode(body), wanted.model) if is_chat else input_items(wanted.prompt)
        prompt_tokens = await COUNTER.total_off_loop(items, len(body), wanted.model)
        encoding, choices = SHARED.encoding(ENCODING), wanted.choices
        ids = encoding.encode_ordinary(wanted.answer)
        sent = ids[: wanted.max_completion_tokens or wanted.max_tokens]
        pieces = [encoding.decode([token]) for token in sent]
        finish = "stop" if sent == ids else "length"
        completion_tokens = len(sent) * choices
        usage: Json = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        }
        now_us = self._clock.now_us()
        head: Json = {
            "id": new_id("chatcmpl" if is_chat else "cmpl", now_us),
            "object": "chat.completion" if is_chat else "text_completion",
            "created": now_us // 1_000_000,
            "model": wanted.model,
        }
        if not wanted.stream:
            return _json(completion(head, pieces, choices, finish, usage))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        wants_usage = (wanted.stream_options or {}).get("include_usage")
        for event in chunks(head, pieces, choices, finish, usage if wants_usage else None):
            await response.write(b"data: " + msgspec.json.encode(event) + b"\n\n")
            await asyncio.sleep(self._pause_seconds)
        await response.write(b"data: [DONE]\n\n")
        return response

    async def embed(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for embeddings."""
        body = await request.read()
        wanted = _decoded(body, EmbeddingRequest)
        tokens = await COUNTER.total_off_loop(input_items(wanted.input), len(body), wanted.model)
        return _json(embeddings(wanted, tokens))


def _canned(reply: Json) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that answers every request alike."""

    async def answer(_request: web.Request) -> web.Response:
        return _json(reply)

    return answer


def _decoded(body: bytes, schema: type[_Wanted]) -> _Wanted:
    """The request in a body. Raises HTTPBadRequest with an error in OpenAI's shape."""
    try:
        return msgspec.json.decode(body, type=schema)
    except msgspec.DecodeError as error:
        text = Refusal("invalid_value", str(error)).body("req_demo").decode()
        raise web.HTTPBadRequest(text=text, content_type="application/json") from error


def _json(reply: Json) -> web.Response:
    return web.Response(body=msgspec.json.encode(reply), content_type="application/json")


async def _load_vocabulary(_app: web.Application) -> None:
    """Load it before the first request, in a thread: it takes some tenths of a second."""
    await asyncio.to_thread(SHARED.preload, [ENCODING])


@asynccontextmanager
async def demo_upstream(port: int) -> AsyncIterator[None]:
    """Serve the demo upstream for as long as the context is open. Raises OSError for a taken port."""
    runner = web.AppRunner(build_demo(EVENT_PAUSE_SECONDS), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()
