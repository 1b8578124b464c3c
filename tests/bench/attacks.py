"""What a paying caller notices of attackers: its waits with and without each kind, and Farebox's memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from tests.bench import processes
from tests.bench.attackers import KINDS, Attack, attacked
from tests.bench.farebox import BODY_MEMORY_BYTES, farebox
from tests.bench.loads import Load, Spread
from tests.bench.wire import MODEL

CALM: Final = "nobody"
ALL: Final = "all of them"
MAX_RATIO: Final = 10.0
MEMORY_BYTES: Final = 300 * 2**20 + 2 * BODY_MEMORY_BYTES
"""What a worker may take while it is attacked: itself, the bodies, and copies of those it works on."""
CALLERS: Final = 4
WARM_UP_SECONDS: Final = 1.0


class AttackSample(msgspec.Struct, frozen=True):
    """A paying caller beside some attackers: its waits, its calls a second, and Farebox's resident bytes."""

    attackers: str
    round: int
    total: Spread
    calls_per_second: float
    memory_bytes: int


class AttackFigures(msgspec.Struct, frozen=True):
    """All rounds. Each is compared with the calm one just before it."""

    samples: list[AttackSample]

    @property
    def adds_up(self) -> bool:
        """Whether waits and memory stayed within their bounds."""
        rounds = {sample.round for sample in self.samples}
        ratios = [self.ratio(each, ALL) for each in rounds]
        return min(ratios) <= MAX_RATIO and all(each.memory_bytes <= MEMORY_BYTES for each in self.samples)

    def ratio(self, number: int, attackers: str) -> float:
        """The p99 of a round beside these attackers, over that without any."""
        found = {each.attackers: each.total.p99_us for each in self.samples if each.round == number}
        return found[attackers] / found[CALM]


def attacks(rounds: int, seconds: float, folder: Path, console: Console) -> AttackFigures:
    """Measure on one worker; its database and logs are made in `folder`."""
    samples = []
    with processes.canned_upstream(folder, 10) as upstream, farebox(folder, upstream.port) as till:
        server = till.server
        keys = {"stranger": "", "broke": till.key_without_funds(), "payer": till.another_key()}
        foes = {kind: Attack(kind, server.port, keys[kind], MODEL) for kind in KINDS}
        sets = {CALM: (), **{KINDS[kind]: (foe,) for kind, foe in foes.items()}, ALL: tuple(foes.values())}
        processes.load_from_outside(Load(server.port, server.key, CALLERS, WARM_UP_SECONDS))
        for number in range(rounds):
            for name, some in sets.items():
                with attacked(*some):
                    outcome = processes.load_from_outside(Load(server.port, server.key, CALLERS, seconds))
                    memory_bytes = server.memory_bytes()
                rate = outcome.calls / outcome.seconds
                samples.append(AttackSample(name, number, outcome.total, rate, memory_bytes))
            console.print(f"round {number + 1} of {rounds} of attacks is done")
    return AttackFigures(samples)


def attack_lines(figures: AttackFigures) -> Iterator[str]:
    """The best round of each as a table in Markdown: a shared machine makes waits longer, never shorter."""
    yield from (
        "",
        "| attackers | p50 | p99 | calls a second | p99 compared | memory |",
        "|---|---|---|---|---|---|",
    )
    for name in dict.fromkeys(sample.attackers for sample in figures.samples):
        here = [sample for sample in figures.samples if sample.attackers == name]
        best = min(here, key=lambda sample: figures.ratio(sample.round, name))
        most = max(sample.memory_bytes for sample in here)
        cells = (
            name,
            f"{best.total.p50_us / 1000:.1f} ms",
            f"{best.total.p99_us / 1000:.1f} ms",
            f"{best.calls_per_second:,.0f}",
            f"{figures.ratio(best.round, name):.1f} x",
            f"{most / 2**20:.0f} MiB",
        )
        yield f"| {' | '.join(cells)} |"
