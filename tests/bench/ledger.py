"""One writer: a process with a ledger of its own, and callers who do pairs of authorize and settle.

Run as `python -m tests.bench.ledger LOCATION`, on a database that has a history. Once it says `ready`, each
`Bout` that comes as a line of JSON on its input is answered with a `Pace` as a line on its output.
"""

import asyncio
import random
import sys
from time import perf_counter, process_time

import msgspec
import uvloop

from proxy.clock import SystemClock
from proxy.ids import new_id
from proxy.ledger.commands import Authorize, Granted, Settle, Settled
from proxy.ledger.ledger import Ledger
from proxy.ledger.rows import Call, Outcome
from proxy.pricing.charge import price, worst_nano
from proxy.storage.locations import store_for
from proxy.tasks import Tasks
from tests.bench.history import CARD, ENDPOINT, MODELS, account_id, keys_of

USAGE = {"input_tokens": 38, "output_tokens": 24}
CEILING = {"input_tokens": 250, "output_tokens": 64}
READY = b"ready\n"
DRAWN = 10_007


class Bout(msgspec.Struct, frozen=True):
    """What to do: `callers` at once, one pair after the other each, for `seconds`, on some `accounts`."""

    callers: int
    accounts: int
    seconds: float


class Pace(msgspec.Struct, frozen=True):
    """What came of it; `cpu_seconds` is of the writer's process, all threads together."""

    pairs: int
    seconds: float
    cpu_seconds: float
    batches: int


class Writer:
    """A ledger on the database at a location, and callers at it."""

    def __init__(self, location: str) -> None:
        self._clock = SystemClock()
        self._tasks = Tasks(_fault)
        self._store = store_for(location, tasks=self._tasks)
        self._batches = 0
        self._ledger = Ledger(self._store, self._tasks, on_batch=self._count)

    async def open(self) -> None:
        """Open the database."""
        await self._store.open()
        self._ledger.start()

    async def close(self) -> None:
        """Let go of everything."""
        await self._ledger.close()
        await self._store.close()

    async def pace(self, bout: Bout) -> Pace:
        """Do what a bout says."""
        self._batches = 0
        # Turns are drawn beforehand: callers go round the same keys, and each begins at his own place.
        drawn = [random.randrange(bout.accounts) for _ in range(DRAWN)]
        keys = [(account_id(number), key) for number in drawn for key in keys_of(number)]
        began, cpu_began = perf_counter(), process_time()
        until = began + bout.seconds
        places = range(0, len(keys), len(keys) // bout.callers)
        pairs = await asyncio.gather(*(self._pairs(keys, n, until) for n in places[: bout.callers]))
        return Pace(sum(pairs), perf_counter() - began, process_time() - cpu_began, self._batches)

    async def _pairs(self, keys: list[tuple[str, str]], place: int, until: float) -> int:
        pairs = 0
        while perf_counter() < until:
            await self._pair(*keys[(place + pairs) % len(keys)])
            pairs += 1
        return pairs

    async def _pair(self, account: str, key: str) -> None:
        at_us = self._clock.now_us()
        id_, model = new_id("req", at_us), MODELS[0]
        call = Call(id_, account, key, ENDPOINT, model, "upstream", model, False, at_us)
        ceiling_nano = worst_nano(CARD, CEILING)
        granted = await self._ledger.authorize(
            Authorize(call, ceiling_nano, ceiling_nano, 314, at_us, self._store.owner)
        )
        assert isinstance(granted, Granted), granted
        done_us = self._clock.now_us()
        outcome = Outcome("complete", 200, "reported", USAGE, done_us)
        settled = await self._ledger.settle(Settle(call, at_us, done_us, outcome, price(CARD, USAGE)))
        assert isinstance(settled, Settled), settled

    def _count(self, size: int, seconds: float) -> None:
        del size, seconds
        self._batches += 1


def _fault(name: str, error: BaseException) -> None:
    print(f"{name}: {error!r}", file=sys.stderr)  # noqa: T201 - the process that started this one reads it.


async def serve(location: str) -> None:
    """Answer every line of the input; its end is the end."""
    writer = Writer(location)
    await writer.open()
    loop = asyncio.get_running_loop()
    try:
        _say(READY)
        while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
            pace = await writer.pace(msgspec.json.decode(line, type=Bout))
            _say(msgspec.json.encode(pace) + b"\n")
    finally:
        await writer.close()


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
