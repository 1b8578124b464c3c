"""Days of simulated life on every engine: no rule is broken, and one seed leaves the same rows on each."""

from pathlib import Path
from typing import get_args

import pytest

from proxy.ledger.commands import COMMANDS
from proxy.ledger.events import EVENT_TYPES
from tests.simulation.kinds import KINDS
from tests.simulation.memory_stage import MemoryStage
from tests.simulation.simulation import Outcome, replay, simulate
from tests.simulation.stages import STAGES
from tests.simulation.steps import Fault, Step, read_steps, write_steps
from tests.simulation.world import Extent
from tests.storage.engines import ENGINES

SEEDS = (1, 2, 3)
DAYS = Extent(hours=30, accounts=10)
WEEK = Extent(hours=168, accounts=30)

REFUSALS = {
    *("invalid_api_key", "api_key_disabled", "api_key_expired", "model_not_allowed", "account_suspended"),
    *("credit_balance_exhausted", "request_exceeds_balance", "in_flight_budget_exhausted"),
    *("daily_limit_exceeded", "weekly_limit_exceeded", "monthly_limit_exceeded", "total_limit_exceeded"),
    *("key_limit_exceeded", "rate_limit_exceeded", "concurrency_limit_exceeded"),
    *("quota_exceeded", "end_user_required"),
    *("voucher_unknown", "voucher_expired", "voucher_used_up"),
    *("conflict", "idempotency_conflict", "not_found", "invalid_value"),
}
"""Every code that the rules refuse with."""


JOBS = ("overdue", "outlived")
"""A call that is recovered because its deadline has passed, and one that is closed after its process."""


async def in_memory(seed: int, extent: Extent = DAYS) -> Outcome:
    return await simulate(MemoryStage(), seed, extent)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("engine", sorted(ENGINES))
async def test_an_engine_keeps_every_rule_and_holds_what_books_in_memory_do(
    engine: str, seed: int, tmp_path: Path
) -> None:
    """Whatever happens, each step leaves what the auditor says, and all of them the rows of every engine."""
    outcome = await simulate(STAGES[engine](tmp_path), seed, DAYS)
    assert outcome.violation is None, outcome.violation
    assert outcome.digest == (await in_memory(seed)).digest


def test_every_command_of_the_ledger_is_simulated() -> None:
    """Whoever adds a command says how it is made up and what becomes of it."""
    assert KINDS.keys() == set(COMMANDS)


async def test_a_week_meets_everything_there_is() -> None:
    """Every command, refusal, fault, repeat, shortfall and recovery occurs, so that none is left unproven."""
    kinds = {type_.__name__ for type_ in (*COMMANDS, *get_args(Step))}
    seen = {"orphans", "replayed", "shortfall", "owed", *JOBS, *EVENT_TYPES}
    unseen = kinds | REFUSALS | set(get_args(Fault)) | seen
    for seed in SEEDS:
        if unseen:
            outcome = await in_memory(seed, WEEK)
            assert outcome.violation is None, outcome.violation
            unseen -= outcome.seen.keys()
    assert not unseen


async def test_a_seed_is_one_history() -> None:
    """The same seed makes the same steps and rows, another seed others."""
    first, again, other = await in_memory(5), await in_memory(5), await in_memory(6)
    assert (first.steps, first.digest) == (again.steps, again.digest)
    assert first.digest != other.digest


async def test_a_history_can_be_written_down_and_carried_out_again(tmp_path: Path) -> None:
    """A file of steps is all it takes to come to the same rows."""
    outcome = await in_memory(7)
    write_steps(tmp_path / "steps", outcome.steps)
    steps = read_steps(tmp_path / "steps")
    assert steps == outcome.steps
    assert (await replay(MemoryStage(), steps)).digest == outcome.digest
