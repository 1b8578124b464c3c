"""What simulations have found broken, in the fewest commands: it holds, and has to go on holding."""

from pathlib import Path

import pytest

from proxy.ledger.commands import Authorize, Command, Grant, OpenAccount
from proxy.money import MAX_NANO
from tests.ledger.desk import ACCOUNT, NOON_US, Desk, call_of
from tests.ledger.memory import MemoryStore
from tests.simulation.simulation import replay
from tests.simulation.stages import STAGES
from tests.simulation.steps import Batch
from tests.storage.engines import ENGINES

HOUR_US = 3_600_000_000


def available_nano(*, at_once: bool) -> int:
    """What is left after a lot of 10 is due, with a call of 5 in flight that a clock an hour ahead began."""
    desk = Desk(MemoryStore())
    desk.grant(100)
    now_us = desk.now_us
    desk.now_us += HOUR_US
    desk.hold(5, "ahead")
    grant = Grant(ACCOUNT, "command", "lot", 10, now_us, expires_at_us=now_us + 1)
    call = call_of("call", now_us + 2)
    authorize = Authorize(call, 1, 1, 0, now_us + 2, desk.store.owner)
    batches: list[list[Command]] = [[grant, authorize]] if at_once else [[grant], [authorize]]
    for batch in batches:
        desk.store.commit(batch)
    return desk.account.available_nano


def test_how_commands_are_batched_changes_nothing() -> None:
    """A batch comes to what its commands come to one by one, whatever the clocks of other processes say."""
    assert available_nano(at_once=True) == available_nano(at_once=False)


@pytest.mark.parametrize("engine", sorted(ENGINES))
async def test_the_greatest_balance_may_have_the_greatest_credit_limit(engine: str, tmp_path: Path) -> None:
    """What the rules allow, every engine can store, and tells as a whole number."""
    stage = STAGES[engine](tmp_path)
    account = OpenAccount(ACCOUNT, "An account", NOON_US, MAX_NANO)
    grant = Grant(ACCOUNT, "command", "lot", MAX_NANO, NOON_US)
    outcome = await replay(stage, [Batch(0, (account, grant))])
    assert outcome.violation is None, outcome.violation
    store = stage.store()
    await store.open()
    try:
        (row,) = await store.query("account_by_id", {"account_id": ACCOUNT})
    finally:
        await store.close()
    assert isinstance(row["available_nano"], int)
