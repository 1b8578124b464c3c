"""The ledger alone: pairs of authorize and settle on a SQLite file, each step durable before the next.

Run as `python -m tests.bench.ledger FOLDER SECONDS CALLERS...`; the `Pace`s come as JSON on its output.
"""

import asyncio
import sys
from pathlib import Path
from time import perf_counter

import msgspec
import uvloop

from proxy.clock import SystemClock
from proxy.ids import new_id
from proxy.ledger.ledger import Ledger
from proxy.ledger.model import (
    Authorize,
    Call,
    CreateKey,
    Grant,
    Granted,
    Limits,
    OpenAccount,
    Outcome,
    Settle,
    Settled,
)
from proxy.money import NANO_PER_USD, parse_amount
from proxy.pricing.charge import price, worst_nano
from proxy.pricing.rates import Rate, RateCard
from proxy.storage.sqlite import SqliteStore
from proxy.tasks import Tasks

ACCOUNT, KEY = "acct_bench", "key_bench"
USAGE = {"input_tokens": 38, "output_tokens": 24}
CEILING = {"input_tokens": 250, "output_tokens": 64}
LIMITS = Limits(day_nano=10**15)
CARD = RateCard(
    "bench",
    ("bench",),
    (
        Rate("input_tokens", parse_amount("0.15"), 1_000_000),
        Rate("output_tokens", parse_amount("0.60"), 1_000_000),
    ),
)


class Pace(msgspec.Struct, frozen=True):
    """How many pairs a second `callers` at once got through, and how many commands a batch had on average."""

    callers: int
    pairs_per_second: float
    commands_per_batch: float


class Desk:
    """A ledger on a file of its own, and callers at it."""

    def __init__(self, file: Path) -> None:
        self._clock = SystemClock()
        self._tasks = Tasks(self._fault)
        self._store = SqliteStore(file)
        self._batches: list[int] = []
        self._ledger = Ledger(self._store, self._tasks, on_batch=lambda size, _: self._batches.append(size))

    async def open(self) -> None:
        """Open the file, and an account with money and a key."""
        await self._store.open()
        self._ledger.start()
        now_us = self._clock.now_us()
        for command in (
            OpenAccount(ACCOUNT, "bench", now_us, limits=LIMITS),
            CreateKey(ACCOUNT, KEY, "bench", "digest", "hint", now_us),
            Grant(ACCOUNT, "grant", "lot_bench", 10**6 * NANO_PER_USD, now_us),
        ):
            await self._ledger.command(command)

    async def close(self) -> None:
        """Let go of everything."""
        await self._ledger.close()
        await self._store.close()

    async def pace(self, callers: int, seconds: float) -> Pace:
        """Have `callers` do one pair after the other, each for itself, for so long."""
        self._batches.clear()
        began = perf_counter()
        pairs = await asyncio.gather(*(self._pairs(began + seconds) for _ in range(callers)))
        took_seconds = perf_counter() - began
        return Pace(callers, sum(pairs) / took_seconds, sum(self._batches) / len(self._batches))

    async def _pairs(self, until: float) -> int:
        pairs = 0
        while perf_counter() < until:
            await self._pair()
            pairs += 1
        return pairs

    async def _pair(self) -> None:
        at_us = self._clock.now_us()
        call = Call(
            new_id("req", at_us),
            ACCOUNT,
            KEY,
            "chat.completions",
            "bench",
            "up",
            "bench",
            False,
            at_us,
        )
        ceiling_nano = worst_nano(CARD, CEILING)
        granted = await self._ledger.authorize(
            Authorize(call, ceiling_nano, ceiling_nano, 314, at_us, self._store.owner)
        )
        assert isinstance(granted, Granted), granted
        done_us = self._clock.now_us()
        outcome = Outcome("complete", 200, "reported", USAGE, done_us)
        settled = await self._ledger.settle(Settle(call, at_us, done_us, outcome, price(CARD, USAGE)))
        assert isinstance(settled, Settled), settled

    @staticmethod
    def _fault(name: str, error: BaseException) -> None:
        print(f"{name}: {error!r}", file=sys.stderr)  # noqa: T201 - the process that started this one reads it.


async def paces(folder: Path, seconds: float, callers: list[int]) -> list[Pace]:
    """The pace for each number of callers, on one file."""
    desk = Desk(folder / "ledger.db")
    await desk.open()
    try:
        return [await desk.pace(each, seconds) for each in callers]
    finally:
        await desk.close()


if __name__ == "__main__":
    found = uvloop.run(paces(Path(sys.argv[1]), float(sys.argv[2]), [int(each) for each in sys.argv[3:]]))
    sys.stdout.buffer.write(msgspec.json.encode(found))
