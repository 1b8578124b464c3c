"""`python -m tests.simulation`: weeks of simulated life on a real engine, audited after every batch.

A seed makes up a history: accounts, keys, grants, limits, calls and their ends, processes that come and go,
crash within and between batches, and have clocks that are wrong. The real rules carry it out on a real
engine. An auditor with exact fractions and arithmetic of its own works out what every caller must be told and
what every row must say. One seed always makes the same history and the same rows, on every engine: the digest
is over all of them.

When a rule is broken, the history is shrunk for as long as it breaks the same rule, printed, and written to a
file that `--replay` carries out again.

    steps.py          a history as a list of steps, and how it is written down
    world.py          chance, clocks, prices: all that is made up comes from here
    make_*.py         how each command is made up
    author.py         which step comes next
    stages.py         the engines, how they are looked into and made to fail; memory_stage.py is one of them
    player.py         carries steps out and has each audited
    model.py          what the ledger should hold: an `Auditor` for each account; gauges.py for rate limits
    follow_*.py       what becomes of each command in the model, and what its caller must be told
    rows.py           which rows are looked at after a step
    checks.py         the rules that hold of an account's rows; whole.py: those of all rows together
    shrink.py         makes a failing history small
    mutants.py        deliberate faults, each of which must be found

A new command takes three things: a function that makes it up from a `World`, one that follows it in a
`Model` in the auditor's own terms, and the line with both in `kinds.py`; a test fails until every command of
the ledger has its line. A new table takes a line in `rows.py` and the rule that holds of it in `checks.py`. A
new deliberate fault in `mutants.py` shows that the new rule has teeth.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from tests.simulation.shrink import Shrinker
from tests.simulation.simulation import Outcome, replay, simulate
from tests.simulation.stages import STAGES, Stage
from tests.simulation.steps import Step, described, read_steps, write_steps
from tests.simulation.world import HOUR_US, START_US, Extent

Stages = Mapping[str, Callable[[Path], Stage]]


def whole(text: str) -> int:
    """A number of at least one. Raises ValueError, which `argparse` tells of."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def parse(words: Sequence[str] | None, engines: Sequence[str]) -> argparse.Namespace:
    """The options of a run."""
    extent = Extent()
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate and audit.")
    parser.add_argument("--seed", type=int, default=1, help="what the history is made up from (1)")
    parser.add_argument("--seeds", type=whole, default=1, help="how many seeds, from that one on (1)")
    parser.add_argument("--hours", type=whole, default=extent.hours, help=f"simulated ({extent.hours})")
    parser.add_argument("--accounts", type=whole, default=extent.accounts, help=f"({extent.accounts})")
    parser.add_argument("--processes", type=whole, default=extent.processes, help=f"({extent.processes})")
    parser.add_argument("--engine", choices=engines, default="sqlite", help="(sqlite)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="carry out a history from a file instead")
    parser.add_argument("--write", type=Path, metavar="FILE", help="where a history that fails is written")
    parser.add_argument("--shrink-seconds", type=int, default=60, help="how long to make that smaller (60)")
    return parser.parse_args(words)


class Run:
    """One run by its options: carries histories out on an engine, and tells what came of them."""

    def __init__(self, options: argparse.Namespace, make_stage: Callable[[Path], Stage]) -> None:
        self._options = options
        self._make_stage = make_stage
        self._console = Console(highlight=False, soft_wrap=True)

    def carried_out(self) -> bool:
        """Carry out the replay, or one seed after the other until a rule is broken; whether none was."""
        options = self._options
        if options.replay is not None:
            return self._told(f"{options.replay}", asyncio.run(self._replay(read_steps(options.replay))))
        seeds = range(options.seed, options.seed + options.seeds)
        return all(self._told(f"seed {seed}", self._simulated(seed)) for seed in seeds)

    def _simulated(self, seed: int) -> Outcome:
        options = self._options
        extent = Extent(options.hours, options.accounts, options.processes)
        columns = (*Progress.get_default_columns(), TimeElapsedColumn())
        with (
            Progress(
                *columns, console=self._console, transient=True, disable=not self._console.is_terminal
            ) as progress,
            tempfile.TemporaryDirectory(prefix="farebox-simulation-") as folder,
        ):
            bar = progress.add_task(f"seed {seed}", total=extent.hours)

            def on_time(now_us: int) -> None:
                progress.update(bar, completed=(now_us - START_US) // HOUR_US)

            return asyncio.run(simulate(self._make_stage(Path(folder)), seed, extent, on_time=on_time))

    async def _replay(self, steps: Sequence[Step]) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="farebox-simulation-") as folder:
            return await replay(self._make_stage(Path(folder)), steps)

    def _told(self, what: str, outcome: Outcome) -> bool:
        """Print what came of a history; one that failed is shrunk and written down."""
        options = self._options
        if outcome.violation is None:
            self._say(
                f"{what} on {options.engine}: every rule holds in {len(outcome.steps)} steps of "
                f"{outcome.commands} commands, with {outcome.seen['orphans']} calls recovered; "
                f"digest {outcome.digest}"
            )
            return True
        self._say(f"{what} on {options.engine} breaks a rule at step {len(outcome.steps)}:")
        self._say(str(outcome.violation))
        small = asyncio.run(self._shrunk(outcome))
        self._say(f"\nThese {len(small.steps)} steps of {small.commands} commands break it:")
        for step in small.steps:
            self._say("\n".join(described(step)))
        self._say(str(small.violation))
        path = options.write or Path(tempfile.gettempdir()) / f"farebox-{options.engine}.jsonl"
        write_steps(path, small.steps)
        self._say(f"\nSee it again: python -m tests.simulation --engine {options.engine} --replay {path}")
        return False

    async def _shrunk(self, outcome: Outcome) -> Outcome:
        """The smallest history found in time that breaks the same rule, carried out once more."""
        assert outcome.violation is not None
        rule, deadline = outcome.violation.rule, time.monotonic() + self._options.shrink_seconds

        async def fails(steps: Sequence[Step]) -> bool:
            violation = (await self._replay(steps)).violation
            return violation is not None and violation.rule == rule

        shrinker = Shrinker(fails, lambda: time.monotonic() >= deadline)
        small = await shrinker.shrink(outcome.steps, outcome.violation.account_id)
        return await self._replay(small) if len(small) < len(outcome.steps) else outcome

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)


def main(words: Sequence[str] | None = None, stages: Stages = STAGES) -> int:
    """Run one or several seeds, or a replay; 1 when a rule was broken."""
    options = parse(words, sorted(stages))
    return 0 if Run(options, stages[options.engine]).carried_out() else 1


if __name__ == "__main__":
    sys.exit(main())
