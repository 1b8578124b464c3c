"""A history that fails is made small, and is told so that it can be seen again."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.simulation.__main__ import main
from tests.simulation.memory_stage import MemoryStage
from tests.simulation.mutants import charges_twice, keeps_the_hold
from tests.simulation.shrink import Shrinker
from tests.simulation.simulation import Outcome, replay, simulate
from tests.simulation.stages import Stage
from tests.simulation.steps import Batch, Step
from tests.simulation.world import Extent

DAYS = Extent(hours=72, accounts=12)


def faulty() -> Stage:
    return MemoryStage(charges_twice)


async def shrunk(outcome: Outcome, late: Callable[[], bool]) -> list[Step]:
    violation = outcome.violation
    assert violation is not None

    async def fails(steps: Sequence[Step]) -> bool:
        found = (await replay(faulty(), steps)).violation
        return found is not None and found.rule == violation.rule

    return await Shrinker(fails, late).shrink(outcome.steps, violation.account_id)


async def test_a_failing_history_is_made_as_small_as_it_can_be() -> None:
    """To be charged twice takes an account, a key, a call, its end, its end once more, and mostly credit."""
    outcome = await simulate(faulty(), 2, DAYS)
    steps = await shrunk(outcome, lambda: False)
    assert all(isinstance(step, Batch) for step in steps)
    commands = [type(each).__name__ for step in steps if isinstance(step, Batch) for each in step.commands]
    assert commands[-2:] == ["Settle", "Settle"]
    assert sorted({*commands[:-2], "Grant"}) == ["Authorize", "CreateKey", "Grant", "OpenAccount"]
    assert len(commands) <= 6
    assert (await replay(faulty(), steps)).violation is not None


async def test_shrinking_ends_when_it_is_late() -> None:
    """Whatever is left then still fails."""
    outcome = await simulate(faulty(), 1, DAYS)
    assert await shrunk(outcome, lambda: True) == outcome.steps


def test_a_failing_seed_is_told_and_can_be_seen_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The seed, the step, the rule, the commands that break it, and how to carry them out again."""
    file = tmp_path / "steps"
    stages = {"memory": lambda _: MemoryStage(keeps_the_hold), "whole": lambda _: MemoryStage()}
    assert main(["--engine", "memory", "--seed", "3", "--hours", "30", "--write", str(file)], stages) == 1
    told = capsys.readouterr().out
    assert "seed 3 on memory breaks a rule at step" in told
    assert "Authorize(" in told
    assert f"--engine memory --replay {file}" in told
    assert main(["--engine", "memory", "--replay", str(file)], stages) == 1
    assert main(["--engine", "whole", "--replay", str(file)], stages) == 0
    assert "every rule holds" in capsys.readouterr().out


def test_seeds_are_carried_out_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Each seed has its line, with a digest by which engines can be compared."""
    assert main(["--engine", "memory", "--seeds", "2", "--hours", "3", "--accounts", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" on ")[0] for line in lines] == ["seed 1", "seed 2"]
    assert all("digest " in line for line in lines)
