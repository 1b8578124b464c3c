"""An upstream that does what a test says, and the answers it can give."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Behaviour = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


class ScriptedUpstream:
    """An upstream that does what a test says for each model, in its own thread; it records what it got."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.received: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.dropped = 0
        self.served = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=200 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        self.port: int = self._runner.addresses[0][1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await _body_of(request)
        self.received.append(body)
        self.headers.append(dict(request.headers))
        behaviour = self.behaviours[str(body.get("model", request.path))]
        try:
            response = await behaviour(request, body)
        except (asyncio.CancelledError, ConnectionResetError):
            self.dropped += 1
            raise
        self.served += 1
        return response

    def stop(self) -> None:
        """Stop the loop and wait for the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


async def _body_of(request: web.Request) -> dict[str, Any]:
    """The members of a JSON body, or the fields of a form; of a file its name and its bytes."""
    if request.content_type != "multipart/form-data":
        raw = await request.read()
        return json.loads(raw) if raw else {}
    body: dict[str, Any] = {}
    for name, value in (await request.post()).items():
        told = (value.filename, value.file.read()) if isinstance(value, web.FileField) else value
        body[name] = [*body[name], told] if name.endswith("[]") and name in body else told
        if name.endswith("[]") and not isinstance(body[name], list):
            body[name] = [told]
    return body


def completion(
    text: str = "Hello there", prompt: int = 11, output: int = 7, **more: object
) -> dict[str, Any]:
    """A chat completion as OpenAI shapes it; `prompt=-1` leaves usage out."""
    reply: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "upstream-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        **more,
    }
    if prompt >= 0:
        reply["usage"] = usage_of(prompt, output)
    return reply


def usage_of(prompt: int, output: int) -> dict[str, Any]:
    """A usage object."""
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def chunk(text: str | None = None, finish: str | None = None, **more: object) -> bytes:
    """One streamed event."""
    delta = {} if text is None else {"content": text}
    event = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "upstream-model",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def usage_chunk(prompt: int, output: int) -> bytes:
    """The usage-only event before the end."""
    return chunk(choices=[], usage=usage_of(prompt, output))


DONE = b"data: [DONE]\n\n"


def answers(reply: dict[str, Any] | bytes, status: int = 200, **headers: str) -> Behaviour:
    """Answer with this body."""

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        return web.Response(body=data, status=status, content_type="application/json", headers=headers)

    return behaviour


def streams(*events: bytes, then: Callable[[web.StreamResponse], Awaitable[None]] | None = None) -> Behaviour:
    """Stream these pieces, then do `then`; without it end properly."""

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(event)
        if then is not None:
            await then(response)
        await response.write_eof()
        return response

    return behaviour


async def break_off(response: web.StreamResponse) -> None:
    """Cut the connection in the middle of an answer."""
    transport = response._req.transport if response._req else None
    assert transport is not None
    transport.abort()
