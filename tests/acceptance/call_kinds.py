"""Kinds of calls that a test cuts short at a step, and what a client sees of one."""

import asyncio
import contextlib
import http.client
import json
from dataclasses import dataclass, replace
from typing import Any

from tests.acceptance.harness import HELLO, WAIT_SECONDS, Account
from tests.acceptance.scripted_upstream import (
    DONE,
    Behaviour,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)


async def in_pieces(response: Any) -> None:
    """The rest of a stream, in chunks of which each is read alone."""
    for piece in (chunk(" there"), chunk(finish="stop") + usage_chunk(10, 5) + DONE):
        await asyncio.sleep(0.02)
        await response.write(piece)


async def for_long(response: Any) -> None:
    """Nothing more comes."""
    await asyncio.sleep(60)


@dataclass(frozen=True)
class Kind:
    """A kind of call, what it costs once it is closed, and the end of what its client sees of it."""

    name: str
    behaviour: Behaviour
    charge_nano: int
    outcome: str = "complete"
    ending: bytes | None = b"}"
    path: str = "/v1/chat/completions"
    stream: bool = False

    @property
    def body(self) -> dict[str, Any]:
        return {"model": f"s-{self.name}", "messages": HELLO, "stream": self.stream, "max_tokens": 50}


WHOLE = Kind("whole", answers(completion()), 25_000)
STREAM = Kind("stream", streams(chunk("hello"), then=in_pieces), 20_000, ending=DONE, stream=True)
TOOL = Kind("tool", answers({"results": []}), 20_000_000, path="/v1/search")
REFUSED = Kind("refused", answers({"error": {}}, status=500), 0, "upstream_refused")
LEFT = Kind("left", streams(chunk("hello"), then=for_long), 11_000, "client_left", None, stream=True)
OBSERVED = replace(LEFT, name="observed", outcome="crashed")
"""A stream that the client stays with. Its checkpoint is what it would have cost had the client left."""


def seen_by(account: Account, kind: Kind) -> bytes:
    """What the client of a call has got of the body when it ends, or when it leaves."""
    client = http.client.HTTPConnection(account.api.url.removeprefix("http://"), timeout=WAIT_SECONDS)
    headers = {"Authorization": f"Bearer {account.secret}", "Content-Type": "application/json"}
    with contextlib.closing(client):
        try:
            client.request("POST", kind.path, json.dumps(kind.body), headers)
            with client.getresponse() as response:
                return response.readline() if kind is LEFT else response.read()
        except http.client.IncompleteRead as error:
            return error.partial
        except ConnectionError:
            return b""
