"""Attackers of each kind, flat out: connections that send the costliest request of their kind over and over.

Run as `python -m tests.bench.attackers`, with an `Attack` as JSON on its input; it goes on until it is ended.
"""

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Final, Literal

import msgspec
import uvloop

CHAT: Final = "/v1/chat/completions"
Kind = Literal["stranger", "broke", "payer"]
KINDS: Final[dict[Kind, str]] = {
    "stranger": "no key",
    "broke": "a key without funds",
    "payer": "a funded key",
}
PAUSE_SECONDS: Final = 0.001
"""How long an attacker whose connection was refused waits before the next."""


class Attack(msgspec.Struct, frozen=True):
    """Who attacks what: so many connections at once, with the key of its kind and a model that is served."""

    kind: Kind
    port: int
    key: str
    model: str
    connections: int = 4


def requests_of(attack: Attack) -> list[bytes]:
    """What an attacker sends in turn."""
    if attack.kind == "stranger":
        probes = [b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"/openapi.json", b"/metrics")]
        return [*probes, _post("", b"x" * 1_000_000), _post("sk-fbx-nobody", _chat(attack.model, "hi"))]
    bodies = [_chat(attack.model, "hi"), _chat(attack.model, "word " * 10_000)]
    if attack.kind == "payer":
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4_000_000}}
        bodies += [_chat(attack.model, [picture]), _chat(attack.model, "\u00e9\u20ac" * 100_000)]
    return [_post(attack.key, body) for body in bodies]


def _chat(model: str, content: object) -> bytes:
    ask = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": content}]}
    return json.dumps(ask, ensure_ascii=False).encode()


def _post(key: str, body: bytes) -> bytes:
    bearer = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\n{bearer}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def strike(attack: Attack) -> None:
    """Attack over one connection at a time until cancelled; whatever comes back, it goes on."""
    requests = itertools.cycle(requests_of(attack))
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            reader, writer = await asyncio.open_connection("127.0.0.1", attack.port)
            try:
                while True:
                    writer.write(next(requests))
                    await writer.drain()
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                    await reader.readexactly(int(length))
                    if b"connection: close" in head.lower():
                        break
            finally:
                writer.transport.abort()
        await asyncio.sleep(PAUSE_SECONDS)


async def attack_on(attack: Attack) -> None:
    """All connections of an attacker."""
    await asyncio.gather(*(strike(attack) for _ in range(attack.connections)))


@contextlib.contextmanager
def attacked(*attacks: Attack) -> Iterator[None]:
    """Attackers at work for the length of a block, each in a process of its own."""
    with contextlib.ExitStack() as stack:
        for attack in attacks:
            command = [sys.executable, "-m", "tests.bench.attackers"]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(attack))
            process.stdin.close()
        yield


if __name__ == "__main__":
    uvloop.run(attack_on(msgspec.json.decode(sys.stdin.buffer.read(), type=Attack)))
