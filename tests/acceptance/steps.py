"""The steps of a call, numbered, and parts of a server that end its process at one of them.

Nothing here is a mock: each class is the real one, or passes everything on to it.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import psutil

from proxy.call.base import InboundRequest
from proxy.call.relay import ClientReply, Relay
from proxy.errors import Refusal
from proxy.ledger.alerts import Alerts
from proxy.ledger.commands import (
    Authorize,
    Command,
    Detach,
    Done,
    Granted,
    Observe,
    Refused,
    Regrouped,
    Result,
    Settle,
    Settled,
    Void,
)
from proxy.ledger.ledger import Ledger
from proxy.ledger.rows import Caller, Hold
from proxy.ledger.store import Row, Store
from proxy.upstream.base import Answer, UpstreamRequest
from proxy.upstream.client import HttpUpstreams
from proxy.upstream.routes import Target


class Step(IntEnum):
    """Where a call can be cut short, in the order in which it gets there."""

    AUTHORIZE = 1
    """The hold has not been asked for."""
    AUTHORIZING = 2
    """Its batch is under way."""
    AUTHORIZED = 3
    """It is committed, and nobody has the result."""
    SEND = 4
    """The call's task knows of the hold; nothing has gone upstream."""
    ANSWERED = 5
    """The head of the answer has come, and nothing has gone to the client."""
    FIRST_CHUNK = 6
    """One chunk of the answer has been passed on."""
    SECOND_CHUNK = 7
    """Two have."""
    OBSERVED = 8
    """What a stream has used so far is committed."""
    CLOSE = 9
    """All is known, and the ledger has no command yet."""
    CLOSING = 10
    """The batch with the close is under way."""
    CLOSED = 11
    """It is committed, and nobody has the result."""
    END = 12
    """The call's task knows of it; the client does not have the end of its answer."""
    ENDED = 13
    """All of the answer has left."""


UNDER_WAY: Mapping[type[Command], Step] = {
    Authorize: Step.AUTHORIZING,
    Detach: Step.CLOSING,
    Settle: Step.CLOSING,
    Void: Step.CLOSING,
}
COMMITTED: Mapping[type[Command], Step] = {
    Authorize: Step.AUTHORIZED,
    Observe: Step.OBSERVED,
    Detach: Step.CLOSED,
    Settle: Step.CLOSED,
    Void: Step.CLOSED,
}


class Trap:
    """Kills a process when this one gets to a step. `file` has the step's number, and whose process it is.

    That is a process id, whose children die with it, or 0 for this very process. The file goes first, so that
    what comes after is in no danger.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def is_set(self, step: Step) -> bool:
        """Whether this is the step."""
        return self._read()[0] == step

    def spring(self) -> None:
        """End the process at once: nothing is flushed or closed."""
        _, victim = self._read()
        self._file.unlink(missing_ok=True)
        if not victim:
            os.kill(os.getpid(), signal.SIGKILL)
        # A test that sees the file go may kill the same process, and be there first.
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(victim)
            for process in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def _read(self) -> tuple[int, int]:
        try:
            step, _, victim = self._file.read_text().partition(" ")
        except FileNotFoundError:
            return 0, 0
        return int(step or 0), int(victim or 0)

    async def reach(self, step: Step) -> None:
        """Get to a step, after what was written before it has left; a cancel does not help any more."""
        if not self.is_set(step):
            return
        if self._read()[1]:
            self.spring()
        else:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.spring)
            await loop.create_future()


class MortalStore:
    """A `Store` that may end its process in the middle of a batch, or before anybody knows of its commit."""

    def __init__(self, trap: Trap, store: Store) -> None:
        self._trap = trap
        self._store = store

    @property
    def owner(self) -> str:
        return self._store.owner

    @property
    def alerts(self) -> Alerts:
        return self._store.alerts

    @alerts.setter
    def alerts(self, alerts: Alerts) -> None:
        self._store.alerts = alerts

    async def open(self) -> None:
        await self._store.open()

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        kinds = {type(command) for command in commands}
        if any(self._trap.is_set(step) for kind, step in UNDER_WAY.items() if kind in kinds):
            # The batch gets as far as it does before it has to wait for the first time.
            asyncio.get_running_loop().call_soon(self._trap.spring)
        results = await self._store.apply(commands)
        for step in {step for kind, step in COMMITTED.items() if kind in kinds}:
            await self._trap.reach(step)
        return results

    async def probe(self) -> None:
        await self._store.probe()

    async def loss(self) -> str:
        return await self._store.loss()

    async def orphans(self, now_us: int) -> list[Hold]:
        return await self._store.orphans(now_us)

    async def take_lease(self, name: str, seconds: float) -> bool:
        return await self._store.take_lease(name, seconds)

    async def caller_by_digest(self, digest: str) -> Caller | None:
        return await self._store.caller_by_digest(digest)

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        return await self._store.query(name, params)

    async def close(self) -> None:
        await self._store.close()


class MortalLedger(Ledger):
    """A ledger whose process may end just before a hold is asked for or closed."""

    def __init__(self, trap: Trap, store: Store, **options: Any) -> None:
        super().__init__(store, **options)
        self._trap = trap

    async def authorize(self, command: Authorize) -> Granted | Regrouped | Refused:
        await self._trap.reach(Step.AUTHORIZE)
        return await super().authorize(command)

    def settle(self, command: Settle) -> "asyncio.Future[Settled | Refused]":
        self._reach_close()
        return super().settle(command)

    def void(self, command: Void) -> "asyncio.Future[Settled | Refused]":
        self._reach_close()
        return super().void(command)

    def detach(self, command: Detach) -> "asyncio.Future[Done | Refused]":
        self._reach_close()
        return super().detach(command)

    def _reach_close(self) -> None:
        if self._trap.is_set(Step.CLOSE):
            self._trap.spring()


class MortalUpstreams(HttpUpstreams):
    """The way to upstreams, of a process that may end before an answer has come, or within it."""

    def __init__(self, trap: Trap, **options: Any) -> None:
        super().__init__(**options)
        self._trap = trap

    async def send(self, target: Target, upstream_request: UpstreamRequest) -> Any:
        await self._trap.reach(Step.SEND)
        answer = await super().send(target, upstream_request)
        await self._trap.reach(Step.ANSWERED)
        return MortalAnswer(self._trap, answer)


class MortalAnswer:
    """An answer. A caller that asks for its next chunk has passed on those before."""

    def __init__(self, trap: Trap, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.close = answer.close
        self._trap = trap
        self._chunks = answer.chunks()
        self._passed = -1

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._passed += 1
        if self._passed in (1, 2):
            await self._trap.reach(Step.FIRST_CHUNK if self._passed == 1 else Step.SECOND_CHUNK)
        return await anext(self._chunks)


class MortalRelay(Relay):
    """The relay, of a process that may end before or after the end of a reply."""

    def __init__(self, trap: Trap, **parts: Any) -> None:
        super().__init__(**parts)
        self._trap = trap

    async def relay(self, request: InboundRequest, reply: ClientReply) -> None:
        await super().relay(request, MortalReply(self._trap, reply))


class MortalReply:
    """A `ClientReply`, with a step before its end and one after it."""

    def __init__(self, trap: Trap, reply: ClientReply) -> None:
        self._trap = trap
        self._reply = reply
        self.head = reply.head
        self.on_left = reply.on_left
        self.add_headers = reply.add_headers

    @property
    def started(self) -> bool:
        return self._reply.started

    async def write(self, data: bytes) -> None:
        await self._reply.write(data)

    async def end(self, data: bytes = b"") -> None:
        await self._trap.reach(Step.END)
        await self._reply.end(data)
        await self._trap.reach(Step.ENDED)

    async def break_off(self, refusal: Refusal) -> None:
        await self._reply.break_off(refusal)
