"""What acceptance tests stand on: a real process, a scripted upstream, accounts made for each test."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

ADMIN_KEY = "acceptance-admin-key-0123456789"
NANO = Decimal(1_000_000_000)
START_SECONDS = 30.0

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
        raw = await request.read()
        body: dict[str, Any] = json.loads(raw) if raw else {}
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


def config_for(upstream_port: int, folder: Path, **overrides: Any) -> dict[str, Any]:
    """A configuration that serves every model at 1,000 nano-USD a token in and 2,000 out, and one tool."""
    config: dict[str, Any] = {
        "server": {"host": "127.0.0.1", "port": 0, "drain_seconds": 5},
        "storage": f"sqlite:///{folder}/farebox.db",
        "admin": {"key": "${FAREBOX_ADMIN_KEY}"},
        "log": {"level": "info"},
        "upstreams": {
            "scripted": {
                "base_url": f"http://127.0.0.1:{upstream_port}/v1",
                "credential": {"value": "${UPSTREAM_KEY}"},
            }
        },
        "routes": [
            {"models": ["embed-*"], "endpoints": ["embeddings"], "targets": [{"upstream": "scripted"}]},
            {"models": ["*"], "targets": [{"upstream": "scripted"}]},
            {
                "name": "search",
                "path": "/v1/search",
                "methods": ["GET", "POST"],
                "rate_card": "search",
                "targets": [{"upstream": "scripted", "path": "/search"}],
            },
        ],
        "rate_cards": {
            "embed": {"match": ["embed-*"], "rates": {"input_tokens": {"per_1m": "1.00"}}},
            "search": {"rates": {"requests": {"per_unit": "0.02"}}},
            "chat": {
                "match": ["*"],
                "rates": {
                    "input_tokens": {"per_1m": "1.00"},
                    "cached_input_tokens": {"per_1m": "0.25"},
                    "output_tokens": {"per_1m": "2.00"},
                },
                "max_output_tokens": 4096,
            },
        },
    }
    for key, value in overrides.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            config[key] = {**config[key], **value}
        else:
            config[key] = value
    return config


@dataclass
class Api:
    """A JSON client for one bearer key; answers are (status, headers, body)."""

    url: str
    key: str

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Send one request."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, dict(reply.headers), _decoded(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), _decoded(error.read())

    def get(self, path: str) -> Any:
        """The body of a GET that must succeed."""
        status, _, body = self.ask("GET", path)
        assert status == 200, (status, body)
        return body

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> Any:
        """The body of a POST that must succeed."""
        status, _, answer = self.ask("POST", path, body, headers)
        assert 200 <= status < 300, (status, answer)
        return answer


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data


@dataclass
class Account:
    """An account made for a test, with one key."""

    id: str
    key_id: str
    secret: str
    api: Api
    admin: Api

    def nano(self, field_name: str) -> int:
        """A figure of the balance in nano-USD: `balance`, `held`, `available`."""
        return nano(self.api.get("/v1/billing/balance")[field_name])

    def requests(self) -> list[dict[str, Any]]:
        """The per-call log, oldest first."""
        rows: list[dict[str, Any]] = self.api.get("/v1/billing/receipts?limit=100")["data"]
        return rows[::-1]

    def last(self) -> dict[str, Any]:
        """The receipt of the newest call, once it is there and nothing is held."""
        eventually(lambda: self.nano("held") == 0 and bool(self.requests()))
        return self.requests()[-1]


def nano(text: str) -> int:
    """A money string in nano-USD."""
    value = Decimal(text) * NANO
    assert value == int(value)
    return int(value)


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what another process does in its own time; fail when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


@dataclass
class Server:
    """A `farebox serve` process."""

    config: dict[str, Any]
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    command: tuple[str, ...] = ("proxy.cli", "serve")

    def start(self) -> "Server":
        """Start it on a free port and wait until it is ready."""
        self.port = self.port or free_port()
        self.config["server"]["port"] = self.port
        path = self.folder / "farebox.yaml"
        path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        environ = {
            **os.environ,
            "FAREBOX_ADMIN_KEY": ADMIN_KEY,
            "UPSTREAM_KEY": "upstream-secret-credential",
            **self.environ,
        }
        self.log = (self.folder / "farebox.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self.command, str(path)],
            env=environ,
            stdout=self.log,
            stderr=self.log,
            cwd=Path(__file__).parents[2],
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(self.log_text())
            time.sleep(0.02)
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=1) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin(self) -> Api:
        """Its admin API."""
        return Api(self.url, ADMIN_KEY)

    def log_text(self) -> str:
        """Everything it has logged."""
        return (self.folder / "farebox.log").read_text()

    def account(self, amount: str = "1.00", **settings: Any) -> Account:
        """A fresh account with that much money and a key."""
        account = self.admin.post("/admin/v1/accounts", {"name": f"test {secrets.token_hex(4)}", **settings})
        if amount:
            headers = {"Idempotency-Key": secrets.token_hex(8)}
            self.admin.post(f"/admin/v1/accounts/{account['id']}/grants", {"amount": amount}, headers)
        return self.key_of(account["id"])

    def key_of(self, account_id: str, **settings: Any) -> Account:
        """Another key of an account."""
        key = self.admin.post(f"/admin/v1/accounts/{account_id}/keys", {"name": "test", **settings})
        return Account(account_id, key["id"], key["secret"], Api(self.url, key["secret"]), self.admin)

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self) -> int:
        """SIGTERM, and wait; gives the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self.log.close()
        return status


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(config: dict[str, Any], folder: Path, **environ: str) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(config, folder, environ).start()
    try:
        yield server
    finally:
        server.stop()
