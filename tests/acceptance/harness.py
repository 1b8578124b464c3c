"""What acceptance tests stand on: a real process, its configuration, and accounts made for each test."""

import contextlib
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml

from tests.fork_server import LOADED, LOADED_APART, Child, fork_server
from tests.sources import ROOT

ADMIN_KEY = "acceptance-admin-key-0123456789"
NANO = Decimal(1_000_000_000)
HELLO: Any = [{"role": "user", "content": "Say hello"}]
"""The messages of an everyday call."""
WAIT_SECONDS: Final = 60.0
"""How long is waited for what has to come. It bounds a test that hangs, and not a slow machine."""
PORTS_OF_A_WORKER: Final = 1_000


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
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:
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


def eventually(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait for what another process does in its own time; fail when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


def spawned(
    path: Path,
    environ: dict[str, str] | None = None,
    command: tuple[str, ...] = ("proxy.cli", "serve"),
    **options: Any,
) -> "subprocess.Popen[bytes]":
    """A new interpreter that serves the configuration at a path. `options` are those of Popen."""
    return subprocess.Popen(
        [sys.executable, "-m", *command, str(path)], env=_environ(environ or {}), cwd=ROOT, **options
    )


def _environ(extra: dict[str, str]) -> dict[str, str]:
    keys = {"FAREBOX_ADMIN_KEY": ADMIN_KEY, "UPSTREAM_KEY": "upstream-secret-credential"}
    return {**os.environ, **keys, **extra}


@dataclass
class Server:
    """A `farebox serve` process."""

    config: dict[str, Any]
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    process: "Child | subprocess.Popen[bytes] | None" = None
    port: int = 0
    command: tuple[str, ...] = ("proxy.cli", "serve")
    is_new: bool = False
    """Whether it runs in an interpreter of its own from the start, and is not forked."""

    def start(self) -> "Server":
        """Start it on a free port and wait until it is ready."""
        self.port = self.port or free_port()
        self.config["server"]["port"] = self.port
        path = self.folder / "farebox.yaml"
        path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        self.log = (self.folder / "farebox.log").open("ab")
        self.process = self._process(path)
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(self.log_text())
            time.sleep(0.02)
        return self

    def _process(self, path: Path) -> "Child | subprocess.Popen[bytes]":
        if self.is_new:
            return spawned(path, self.environ, self.command, stdout=self.log, stderr=self.log)
        # Workers count in shared files only if nothing that counts was loaded before they were told so.
        loaded = LOADED if self.config["server"].get("workers", 1) == 1 else LOADED_APART
        return fork_server(loaded).fork(
            *self.command, str(path), environ=_environ(self.environ), output=self.log, errors=self.log
        )

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
        status = self.process.wait(WAIT_SECONDS)
        self.log.close()
        return status


def _ports() -> Iterator[int]:
    """Ports from a range that no test process beside this one uses.

    They are below those that a system gives to whoever asks for any port. So nobody takes one between the
    moment it is found free and the moment a server listens there.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 10_000 + PORTS_OF_A_WORKER * (worker % 20)
    return itertools.cycle(
        secrets.SystemRandom().sample(range(first, first + PORTS_OF_A_WORKER), PORTS_OF_A_WORKER)
    )


_PORTS: Final = _ports()


def free_port() -> int:
    """A port that nobody listens on and that no other test gets for a long while."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


@contextlib.contextmanager
def running(config: dict[str, Any], folder: Path, **environ: str) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(config, folder, environ).start()
    try:
        yield server
    finally:
        server.stop()
