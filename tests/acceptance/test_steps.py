"""`kill -9` at each numbered step of a call: what it costs then, and that nothing is left of it.

A call that was not closed when the server died has its hold closed by the next one, which charges what was
observed of it; a close that was committed counts, even if nobody got its result.
"""

from collections.abc import Callable, Iterator

import pytest

from proxy.storage.locations import database_at
from tests.acceptance.call_kinds import LEFT, OBSERVED, REFUSED, STREAM, TOOL, WHOLE, Kind, seen_by
from tests.acceptance.harness import Account, config_for, nano
from tests.acceptance.scripted_upstream import ScriptedUpstream, chunk
from tests.acceptance.stage import Stage
from tests.acceptance.steps import Step
from tests.storage.engines import new_ledger
from tests.storage.whole import differences

ENGINES = ("sqlite", "postgres")
GRANT_NANO = 1_000_000_000
NEVER = 3600.0
Stages = Callable[..., Stage]

S = Step
BEGINNING = (S.AUTHORIZE, S.AUTHORIZING, S.AUTHORIZED, S.SEND, S.ANSWERED)
CLOSES = (S.CLOSE, S.CLOSING, S.CLOSED)
ENDS = (S.END, S.ENDED)
CASES = [
    *((WHOLE, step) for step in (*BEGINNING, S.FIRST_CHUNK, *CLOSES, *ENDS)),
    *((STREAM, step) for step in (*BEGINNING, S.FIRST_CHUNK, S.SECOND_CHUNK, *CLOSES, *ENDS)),
    *((TOOL, step) for step in (*BEGINNING, S.FIRST_CHUNK, *CLOSES, *ENDS)),
    *((REFUSED, step) for step in (S.ANSWERED, *CLOSES, *ENDS)),
    *((LEFT, step) for step in CLOSES),
]


@pytest.fixture(scope="module")
def stage_of(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """The stage of an engine; it begins when it is first asked for."""
    for kind in (WHOLE, STREAM, TOOL, REFUSED, LEFT, OBSERVED):
        upstream.behaviours[f"s-{kind.name}"] = kind.behaviour
    begun: dict[tuple[str, float], Stage] = {}

    def stage(engine: str, observe_seconds: float = NEVER) -> Stage:
        if (engine, observe_seconds) not in begun:
            folder = tmp_path_factory.mktemp(engine)
            config = config_for(upstream.port, folder, streams={"observe_seconds": observe_seconds})
            if engine == "postgres":
                config["storage"] = new_ledger()
            begun[engine, observe_seconds] = Stage(config, folder)
            begun[engine, observe_seconds].start()
        return begun[engine, observe_seconds]

    yield stage
    for stage_ in begun.values():
        assert stage_.stop() == 0


def possible(kind: Kind, step: Step, engine: str) -> list[list[tuple[str, int]]]:
    """What the ledger may say of the call: outcome and charge of its receipts."""
    nothing: list[tuple[str, int]] = []
    crashed, closed = [("crashed", 0)], [(kind.outcome, kind.charge_nano)]
    if step in (S.AUTHORIZING, S.CLOSING):
        # SQLite has committed by the time it waits for the disk; PostgreSQL is asked for rows until then.
        before, after = (nothing, crashed) if step == S.AUTHORIZING else (crashed, closed)
        return [after] if engine == "sqlite" else [before, after]
    if step < S.AUTHORIZING:
        return [nothing]
    return [crashed] if step < S.CLOSING else [closed]


def assert_whole(stage: Stage, account: Account) -> None:
    """Nothing is held, the balance is what the receipts say and not below 0, and the audit is clean."""
    charged = sum(nano(row["charged"]) for row in account.requests())
    assert account.nano("held") == 0
    assert account.nano("balance") == GRANT_NANO - charged >= 0
    assert stage.admin.get("/admin/v1/holds?state=open")["data"] == []
    assert differences(database_at(stage.config["storage"])) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("kind", "step"), CASES, ids=[f"{kind.name}-{step.name}" for kind, step in CASES])
def test_a_call_whose_server_is_killed_is_charged_by_the_table_and_once(
    upstream: ScriptedUpstream, stage_of: Stages, engine: str, kind: Kind, step: Step
) -> None:
    """At most one receipt, a complete answer always with its charge, one request upstream, nothing held."""
    stage = stage_of(engine)
    account, before = stage.account("1.00"), len(upstream.received)
    stage.dies_at(step)
    seen = seen_by(account, kind)
    stage.comes_back()
    rows = [(row["outcome"], nano(row["charged"])) for row in account.requests()]
    assert rows in possible(kind, step, engine)
    assert len(upstream.received) - before == (1 if step > S.SEND else 0)
    if kind.ending is not None:
        assert seen.endswith(kind.ending) is (step == S.ENDED)
    if kind is STREAM and S.FIRST_CHUNK <= step < S.ENDED:
        assert seen.startswith(chunk("hello"))
        assert (b" there" in seen) is (step > S.FIRST_CHUNK)
    assert_whole(stage, account)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stream_whose_server_is_killed_is_charged_by_its_last_checkpoint(
    upstream: ScriptedUpstream, stage_of: Stages, engine: str
) -> None:
    """What the client had got before the checkpoint, and not what a whole answer would have cost."""
    stage = stage_of(engine, observe_seconds=0.02)
    account = stage.account("1.00")
    stage.dies_at(Step.OBSERVED)
    assert seen_by(account, OBSERVED) == chunk("hello")
    stage.comes_back()
    [row] = account.requests()
    assert (row["outcome"], row["basis"], nano(row["charged"])) == ("crashed", "recovered", 11_000)
    assert_whole(stage, account)


def test_every_step_is_one_at_which_some_call_is_cut_short() -> None:
    """No number is left out."""
    assert {step for _, step in CASES} | {Step.OBSERVED} == set(Step)
