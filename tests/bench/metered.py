"""The same metered calls over HTTP on each engine, with everything on."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.bench import processes, wire
from tests.bench.engines import Engine
from tests.bench.farebox import Books, Till, farebox
from tests.bench.loads import Load, Spread

CONNECTIONS: Final = 64
WARM_UP_SECONDS: Final = 2.0


class MeteredSample(msgspec.Struct, frozen=True):
    """One load on the Farebox of one engine. `cpu_us` is of its process alone, for each call."""

    engine: str
    round: int
    calls_per_second: float
    cpu_us: float
    server_cpu_us: float
    waits: Spread


class Metered(msgspec.Struct, frozen=True):
    """All samples, and what the callers of each engine were charged beside what they should have been."""

    samples: list[MeteredSample]
    books: dict[str, Books]
    expected: dict[str, Books]


def metered(
    engines: Sequence[Engine], locations: Sequence[str], folder: Path, *, rounds: int, seconds: float
) -> Metered:
    """Load one Farebox on each engine, round by round, so that all see the same weather."""
    owed_nano = dict.fromkeys((engine.name for engine in engines), 0)
    samples: list[MeteredSample] = []
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(processes.canned_upstream(folder, 1))
        tills = [stack.enter_context(farebox(folder, upstream.port, location)) for location in locations]
        for engine, till, location in zip(engines, tills, locations, strict=True):
            _, calls = _sample(engine, till, 0, WARM_UP_SECONDS)
            owed_nano[engine.name] += calls * wire.price_nano(wire.WHOLE_OUTPUT_TOKENS)
            engine.tidy(location)
        for number in range(rounds):
            for engine, till in zip(engines, tills, strict=True):
                sample, calls = _sample(engine, till, number, seconds)
                owed_nano[engine.name] += calls * wire.price_nano(wire.WHOLE_OUTPUT_TOKENS)
                samples.append(sample)
        books = {engine.name: till.books() for engine, till in zip(engines, tills, strict=True)}
    return Metered(samples, books, {name: Books(nano, 0) for name, nano in owed_nano.items()})


def _sample(engine: Engine, till: Till, number: int, seconds: float) -> tuple[MeteredSample, int]:
    server = till.server
    began, server_began = server.cpu_seconds(), engine.cpu_seconds()
    outcome = processes.load_from_outside(Load(server.port, server.key, CONNECTIONS, seconds))
    cpu_seconds, server_seconds = server.cpu_seconds() - began, engine.cpu_seconds() - server_began
    sample = MeteredSample(
        engine=engine.name,
        round=number,
        calls_per_second=outcome.calls / outcome.seconds,
        cpu_us=cpu_seconds * 1e6 / outcome.calls,
        server_cpu_us=server_seconds * 1e6 / outcome.calls,
        waits=outcome.total,
    )
    return sample, outcome.calls
