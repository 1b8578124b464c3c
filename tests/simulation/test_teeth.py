"""The auditor has teeth: a simulation finds each deliberate fault, and finds nothing where there is none."""

import pytest

from tests.simulation.memory_stage import MemoryStage
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.player import CARRIED_OUT
from tests.simulation.simulation import Outcome, simulate
from tests.simulation.world import Extent

SEEDS = range(1, 4)
DAYS = Extent(hours=48, accounts=8)


async def first_violation(mutant: Mutant) -> Outcome | None:
    """The first seed's outcome that is a violation, if there is any."""
    for seed in SEEDS:
        stage = MemoryStage(mutant.carry_out, mutant.defect)
        outcome = await simulate(stage, seed, DAYS, price=mutant.price)
        if outcome.violation is not None:
            return outcome
    return None


@pytest.mark.parametrize("name", sorted(MUTANTS))
async def test_a_deliberate_fault_is_found(name: str) -> None:
    """Each fault breaks a rule within a few simulated days of a few seeds."""
    outcome = await first_violation(MUTANTS[name])
    assert outcome is not None
    assert outcome.violation is not None
    assert outcome.violation.rule != CARRIED_OUT, "it is a rule that has to be broken, not the simulation"


async def test_no_fault_is_found_where_there_is_none() -> None:
    """The same seeds break no rule when nothing is wrong."""
    outcome = await first_violation(Mutant())
    assert outcome is None, outcome.violation
