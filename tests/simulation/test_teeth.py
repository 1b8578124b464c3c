"""The auditor has teeth: a simulation finds each deliberate fault, and finds nothing where there is none."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from tests.simulation.checks import Violation
from tests.simulation.memory_stage import PLACES, MemoryStage
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.player import CARRIED_OUT
from tests.simulation.simulation import simulate
from tests.simulation.whole import check_whole, totals_sum_up_days
from tests.simulation.world import Extent
from tests.storage.engines import Dump

SEEDS = (1, 12, 10, *range(2, 10))
"""Most faults are found by the first, and those that hide best by the next two.

Which seed finds what changes with all that is simulated. The next ones are for what a change has hidden: then
one that finds it again should be among the first.
"""
DAYS = Extent(hours=48, accounts=8)


async def violations(mutant: Mutant) -> AsyncGenerator[Violation, None]:
    """What is violated, by each seed after the other that violates anything."""
    for seed in SEEDS:
        stage = MemoryStage(mutant.carry_out, mutant.defect)
        outcome = await simulate(stage, seed, DAYS, price=mutant.price)
        if outcome.violation is not None:
            yield outcome.violation


@pytest.mark.parametrize("name", sorted(MUTANTS))
async def test_a_deliberate_fault_is_found(name: str) -> None:
    """Each fault breaks a rule within a few simulated days of a few seeds, and not only the simulation."""
    async with aclosing(violations(MUTANTS[name])) as found:
        async for violation in found:
            if violation.rule != CARRIED_OUT:
                return
    pytest.fail("no rule is broken")


def test_a_total_that_is_not_the_sum_of_its_days_is_found() -> None:
    """Which only some engines keep, so that no fault of the rules shows it."""
    nothing: Dump = {table: [] for table in PLACES}
    days = nothing | {"usage_days": [("acct_1", 20_000, "key_1", "small", 1, 2, 3, 4, 5)]}
    groups = (("account", 20_000, "acct_1"), ("key", 20_000, "key_1"), ("model", 20_000, "small"))
    right = [(*group, 1, 2, 3, 4, 5) for group in groups]
    for place, total in enumerate(right):
        for wrong in ([], [(*total[:-1], 6)], [total, ("key", 20_001, "key_1", 0, 0, 0, 0, 0)]):
            totals = [*right[:place], *wrong, *right[place + 1 :]]
            assert list(totals_sum_up_days(days, totals)), totals
    assert list(totals_sum_up_days(days, right)) == []
    with pytest.raises(Violation, match="the sum of their usage days"):
        check_whole(nothing, right)


async def test_no_fault_is_found_where_there_is_none() -> None:
    """The same seeds break no rule when nothing is wrong."""
    assert [violation async for violation in violations(Mutant())] == []
