"""Pairs of authorize and settle by some writers on one database, each step durable before the next.

A writer is a process with a ledger of its own, as a worker of Farebox is.
"""

import contextlib
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Final, Self

import msgspec

from tests.bench.engines import Engine
from tests.bench.history import ACCOUNTS
from tests.bench.ledger import READY, Bout, Pace

IN_FLIGHT: Final = (1, 16, 64, 256)
WRITERS: Final = (1, 2, 4)
STOP_SECONDS: Final = 30.0


class PairSample(msgspec.Struct, frozen=True):
    """What all writers did together in one round. `server_cpu_seconds` is of the engine's own processes."""

    engine: str
    writers: int
    in_flight: int
    accounts: int
    round: int
    pairs: int
    pairs_per_second: float
    cpu_us: float
    server_cpu_us: float
    commands_per_batch: float


class Writers:
    """Some writers on one database; use as a context manager."""

    def __init__(self, engine: Engine, location: str, count: int) -> None:
        self._engine = engine
        self._location = location
        self._count = count
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the writers.
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.bench.ledger", self._location]
        pipe = subprocess.PIPE
        for _ in range(self._count):
            self._processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors))
        try:
            for process in self._processes:
                if self._line(process) != READY:
                    raise RuntimeError(self._told())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def warm_up(self, seconds: float) -> None:
        """One round that nobody looks at, and the engine's figures of the tables as they are then."""
        self.sample(64, ACCOUNTS, seconds, 0)
        self._engine.tidy(self._location)

    def sample(self, in_flight: int, accounts: int, seconds: float, number: int) -> PairSample:
        """One round with so many calls at once, spread over the writers. Raises RuntimeError if one fails."""
        server_began = self._engine.cpu_seconds()
        for process, callers in zip(self._processes, shares(in_flight, self._count), strict=True):
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(Bout(callers, accounts, seconds)) + b"\n")
            process.stdin.flush()
        paces = [msgspec.json.decode(self._line(process), type=Pace) for process in self._processes]
        server_seconds = self._engine.cpu_seconds() - server_began
        return joined(paces, self._engine.name, in_flight, accounts, number, server_seconds)

    def _line(self, process: "subprocess.Popen[bytes]") -> bytes:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a writer has ended:\n{self._told()}")
        return line

    def _told(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode()

    def _stop(self) -> None:
        """The end of its input ends a writer."""
        for process in self._processes:
            with contextlib.suppress(BrokenPipeError):
                process.communicate(timeout=STOP_SECONDS)
        self._errors.close()


def joined(
    paces: Sequence[Pace], engine: str, in_flight: int, accounts: int, number: int, server_cpu_seconds: float
) -> PairSample:
    """The sample of writers that worked side by side."""
    pairs = sum(pace.pairs for pace in paces)
    return PairSample(
        engine=engine,
        writers=len(paces),
        in_flight=in_flight,
        accounts=accounts,
        round=number,
        pairs=pairs,
        pairs_per_second=sum(pace.pairs / pace.seconds for pace in paces),
        cpu_us=sum(pace.cpu_seconds for pace in paces) * 1e6 / pairs,
        server_cpu_us=server_cpu_seconds * 1e6 / pairs,
        commands_per_batch=2 * pairs / sum(pace.batches for pace in paces),
    )


def shares(total: int, parts: int) -> list[int]:
    """A number as equal whole parts as can be, the greater ones first."""
    each, more = divmod(total, parts)
    return [each + (place < more) for place in range(parts)]


def pair_samples(engine: Engine, location: str, *, rounds: int, seconds: float) -> Iterator[PairSample]:
    """Every number of writers and of calls in flight, on one account and on all; no writer is without."""
    for number in range(rounds):
        for count in WRITERS:
            with Writers(engine, location, count) as writers:
                writers.warm_up(seconds)
                for accounts in (1, ACCOUNTS):
                    for in_flight in IN_FLIGHT:
                        if in_flight >= count:
                            yield writers.sample(in_flight, accounts, seconds, number)


class GrowthSample(msgspec.Struct, frozen=True):
    """The same round on several ledgers, one after the other, by how many calls each was filled with."""

    by_rows: dict[int, PairSample]


def growth_samples(
    engine: Engine, ledgers: Mapping[int, str], *, rounds: int, seconds: float
) -> Iterator[GrowthSample]:
    """One writer on each database in turn, with 64 calls in flight, on one account and on all.

    `ledgers` are the locations of databases by how many calls they have.
    """
    with contextlib.ExitStack() as stack:
        writers = {
            rows: stack.enter_context(Writers(engine, location, 1)) for rows, location in ledgers.items()
        }
        for each in writers.values():
            # The first calls of an account fetch its pages from the disk.
            each.warm_up(3 * seconds)
        for number in range(rounds):
            for accounts in (1, ACCOUNTS):
                # Whoever is first finds another's work still being written out, so that they take turns.
                turns = deque(writers.items())
                turns.rotate(number)
                found = {rows: each.sample(64, accounts, seconds, number) for rows, each in turns}
                yield GrowthSample({rows: found[rows] for rows in writers})
