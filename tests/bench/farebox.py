"""The Farebox of the bench: everything on, one account with money on it, and its books read afterwards."""

import contextlib
import json
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from proxy.money import usd_string
from tests.bench.processes import Server, free_port, server
from tests.bench.wire import INPUT_NANO, MODEL, OUTPUT_NANO, PAINTER, PICTURE_NANO, TOOL_NANO, TOOL_PATH

ADMIN_KEY = secrets.token_hex(24)
GRANTED_USD = 100_000
BODY_MEMORY_BYTES = 2**28
"""What request bodies may take of its memory together."""


class Books(msgspec.Struct, frozen=True):
    """What the account has been charged, and how many of its calls are still open."""

    charged_nano: int
    open_holds: int


class Till:
    """A running Farebox, and its account seen through the admin API."""

    def __init__(self, running: Server, account: str) -> None:
        self.server = running
        self._account = account

    def books(self) -> Books:
        """Read the account."""
        account = _call(self.server.port, f"/admin/v1/accounts/{self._account}")
        charged_nano = (GRANTED_USD - Decimal(account["balance"])) * 10**9
        return Books(int(charged_nano), account["open_holds"])

    def key_without_funds(self) -> str:
        """The secret of a key of an account that was never granted anything."""
        account = _call(self.server.port, "/admin/v1/accounts", {"name": "broke"})["id"]
        return _key_of(self.server.port, account)

    def another_key(self) -> str:
        """The secret of a key of another account with money on it."""
        return _key_of(self.server.port, _granted(self.server.port, "another"))


@contextlib.contextmanager
def farebox(folder: Path, upstream_port: int, storage: str | None = None) -> Iterator[Till]:
    """Farebox with everything on: a daily limit, and a key with money on it.

    `storage` is the location of its database, by default a file in `folder`.
    """
    port = free_port()
    storage = storage or f"sqlite:///{(folder / 'bench.db').resolve()}"
    config = folder / f"farebox-{port}.yaml"
    # JSON is YAML, so what is written here needs no quoting of its own.
    config.write_text(json.dumps(_config(storage, port, upstream_port)))
    command = Path(sys.executable).with_name("farebox")
    with server([str(command), "serve", str(config)], port, folder) as running:
        account = _granted(port, "bench")
        running.key = _key_of(port, account)
        yield Till(running, account)


def _granted(port: int, name: str) -> str:
    account = str(_call(port, "/admin/v1/accounts", {"name": name})["id"])
    path = f"/admin/v1/accounts/{account}/grants"
    _call(port, path, {"amount": str(GRANTED_USD)}, {"Idempotency-Key": name})
    return account


def _key_of(port: int, account: str) -> str:
    return str(_call(port, f"/admin/v1/accounts/{account}/keys", {"name": "bench"})["secret"])


def _config(storage: str, port: int, upstream_port: int) -> dict[str, Any]:
    upstream = {
        "base_url": f"http://127.0.0.1:{upstream_port}/v1",
        "credential": {"value": "sk-upstream"},
    }
    card = {
        "match": [MODEL],
        "rates": {
            "input_tokens": {"per_1m": str(INPUT_NANO / 1000)},
            "output_tokens": {"per_1m": str(OUTPUT_NANO / 1000)},
        },
        "max_output_tokens": 4096,
    }
    return {
        "server": {"host": "127.0.0.1", "port": port, "body_memory_bytes": BODY_MEMORY_BYTES},
        "storage": storage,
        "admin": {"key": ADMIN_KEY},
        "accounts": {"limits": {"day": "1000000"}},
        "upstreams": {"canned": upstream},
        "routes": [
            {"models": [MODEL, PAINTER], "targets": [{"upstream": "canned"}]},
            {
                "name": "tool",
                "path": TOOL_PATH,
                "methods": ["POST"],
                "rate_card": "tool",
                "targets": [{"upstream": "canned", "path": "/tool"}],
            },
        ],
        "rate_cards": {
            "bench": card,
            "painter": {"match": [PAINTER], "rates": {"images": {"per_unit": usd_string(PICTURE_NANO)}}},
            "tool": {"rates": {"requests": {"per_unit": usd_string(TOOL_NANO)}}},
        },
    }


def _call(
    port: int, path: str, body: dict[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Any:
    """One call of the admin API: a POST if there is a body. Raises RuntimeError with what it answered."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {ADMIN_KEY}",
            "Content-Type": "application/json",
            **(headers or {}),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{path}: {error.status} {error.read().decode()}") from error
