"""The demo upstream as a web application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from proxy.clock import Clock, SystemClock
from proxy.demo.asks import (
    DEFAULT_COMPLETION_TOKENS,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    Json,
    SearchRequest,
)
from proxy.demo.invention import findings, prose, vector
from proxy.demo.replies import (
    Reply,
    chat_chunks,
    chat_completion,
    embedding_list,
    text_chunks,
    text_completion,
)
from proxy.demo.speech import ENCODING, chat_choice, spoken
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.metering.prompts import chat_items, input_items
from proxy.metering.tokens import COUNTER
from proxy.metering.vocabulary import SHARED

CHAT_MODEL: Final = "demo-chat"
EMBEDDING_MODEL: Final = "demo-embedding"
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
EVENT_PAUSE_SECONDS: Final = 0.02

_CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Shape = TypeVar("_Shape", bound=msgspec.Struct)


def build_demo(
    *, pause_seconds: float = 0.0, key: str | None = None, clock: Clock | None = None
) -> web.Application:
    """The demo upstream as an application, to be served by a runner.

    Between two events of a stream it waits `pause_seconds`. With a `key` it answers 401 to whoever does not
    send that as its bearer key.
    """
    demo = Demo(pause_seconds=pause_seconds, clock=clock or SystemClock())
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_guard(key, demo.new_id)])
    app.add_routes(
        [
            web.post("/v1/chat/completions", demo.chat),
            web.post("/v1/completions", demo.completions),
            web.post("/v1/embeddings", demo.embeddings),
            web.get("/v1/models", demo.models, allow_head=False),
            web.get("/v1/search", demo.search, allow_head=False),
            web.post("/v1/search", demo.search),
        ]
    )
    app.on_startup.append(_load_vocabulary)
    app.on_response_prepare.append(demo.sign)
    return app


class Demo:
    """The handlers of the demo upstream."""

    def __init__(self, *, pause_seconds: float, clock: Clock) -> None:
        self._pause_seconds = pause_seconds
        self._clock = clock

    def new_id(self, prefix: str) -> str:
        """An id of the present moment."""
        return new_id(prefix, self._clock.now_us())

    async def sign(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Give each answer the id of its request."""
        response.headers.setdefault("x-request-id", self.new_id("req"))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions. Raises Refusal."""
        body = await request.read()
        ask = _decoded(body, ChatRequest)
        _check_model(ask.model, CHAT_MODEL)
        items = chat_items(msgspec.json.decode(body), ask.model)
        prompt_tokens = await COUNTER.total_off_loop(items, len(body), ask.model)
        said = tuple(chat_choice(ask, index) for index in range(ask.n or 1))
        reply = Reply(self.new_id("chatcmpl"), self._now_seconds(), ask.model, prompt_tokens, said)
        if ask.stream:
            return await self._stream(request, chat_chunks(reply, wants_usage=ask.wants_usage))
        return _json(chat_completion(reply))

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/completions. Raises Refusal."""
        body = await request.read()
        ask = _decoded(body, CompletionRequest)
        _check_model(ask.model, CHAT_MODEL)
        prompt_tokens = await COUNTER.total_off_loop(input_items(ask.prompt), len(body), ask.model)
        # Every prompt has its `n` choices, numbered through.
        prompts = [text for text in _texts(ask.prompt) for _ in range(ask.n or 1)]
        max_tokens = ask.max_tokens or DEFAULT_COMPLETION_TOKENS
        said = tuple(spoken(prose(text, at), max_tokens, ask.stops) for at, text in enumerate(prompts))
        reply = Reply(self.new_id("cmpl"), self._now_seconds(), ask.model, prompt_tokens, said)
        echoes = prompts if ask.echo else [""] * len(prompts)
        if ask.stream:
            return await self._stream(request, text_chunks(reply, echoes, wants_usage=ask.wants_usage))
        return _json(text_completion(reply, echoes))

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/embeddings. Raises Refusal."""
        body = await request.read()
        ask = _decoded(body, EmbeddingRequest)
        _check_model(ask.model, EMBEDDING_MODEL)
        tokens = await COUNTER.total_off_loop(input_items(ask.input), len(body), ask.model)
        texts = _texts(ask.input)
        # Thousands of inputs take seconds, and the loop may be Farebox's own.
        vectors = await asyncio.to_thread(lambda: [vector(text, ask.dimensions) for text in texts])
        return _json(embedding_list(ask.model, vectors, tokens, ask.encoding_format))

    async def models(self, _request: web.Request) -> web.StreamResponse:
        """GET /v1/models."""
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "demo"}
            for name in (CHAT_MODEL, EMBEDDING_MODEL)
        ]
        return _json({"object": "list", "data": listed})

    async def search(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/search?q=...&limit=..., or POST with `query` and `limit`. Raises Refusal."""
        if request.method == "GET":
            fields = {"query": request.query.get("q", ""), "limit": request.query.get("limit", "5")}
            ask = _checked(lambda: msgspec.convert(fields, SearchRequest, strict=False))
        else:
            ask = _decoded(await request.read(), SearchRequest)
        return _json({"query": ask.query, "results": findings(ask.query, ask.limit)})

    async def _stream(self, request: web.Request, events: Iterator[Json]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for event in events:
            await response.write(b"data: " + msgspec.json.encode(event) + b"\n\n")
            if self._pause_seconds:
                await asyncio.sleep(self._pause_seconds)
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _now_seconds(self) -> int:
        return self._clock.now_us() // 1_000_000


def _guard(key: str | None, new_id: Callable[[str], str]) -> Any:
    """Ask for the key, and answer every refusal in OpenAI's shape."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if key is not None and request.headers.get("Authorization") != f"Bearer {key}":
                raise Refusal("invalid_api_key", "The demo upstream does not know this key.")
            return await handler(request)
        except web.HTTPException as error:
            refusal = Refusal(_CODES.get(error.status, "invalid_request"), error.reason)
        except Refusal as error:
            refusal = error
        request_id = new_id("req")
        return web.Response(
            status=refusal.kind.status,
            body=refusal.body(request_id),
            content_type="application/json",
            headers={"x-request-id": request_id},
        )

    return guard


async def _load_vocabulary(_app: web.Application) -> None:
    """Load it before the first request, in a thread: it takes some tenths of a second."""
    await asyncio.to_thread(SHARED.preload, [ENCODING])


def _decoded(body: bytes, shape: type[_Shape]) -> _Shape:
    return _checked(lambda: msgspec.json.decode(body, type=shape))


def _checked(read: Callable[[], _Shape]) -> _Shape:
    """What `read` gives. Raises Refusal for what is no JSON or of the wrong shape."""
    try:
        return read()
    except msgspec.ValidationError as error:
        raise Refusal("invalid_value", str(error)) from error
    except msgspec.DecodeError as error:
        raise Refusal("invalid_json", str(error)) from error


def _check_model(model: str, served: str) -> None:
    if model != served:
        raise Refusal("model_not_found", f"The demo upstream serves {served!r} here.", param="model")


def _texts(value: str | list[object]) -> list[str]:
    """The inputs in a value of any of the four shapes; token ids as their numbers."""
    if isinstance(value, str):
        return [value]
    if all(isinstance(member, int) for member in value):
        return [_as_text(value)]
    return [_as_text(member) for member in value]


def _as_text(member: object) -> str:
    return " ".join(map(str, member)) if isinstance(member, list) else str(member)


def _json(reply: Json) -> web.Response:
    return web.Response(body=msgspec.json.encode(reply), content_type="application/json")


@asynccontextmanager
async def demo_upstream(port: int) -> AsyncIterator[None]:
    """Serve the demo upstream for as long as the context is open. Raises OSError for a taken port."""
    runner = web.AppRunner(build_demo(pause_seconds=EVENT_PAUSE_SECONDS), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()
