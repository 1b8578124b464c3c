"""Jobs through crashes, on both engines: each hold is closed once, whenever the server is killed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from proxy.storage.locations import database_at
from tests.acceptance.harness import Account, eventually, running
from tests.acceptance.scripted_upstream import ScriptedUpstream
from tests.acceptance.stage import Stage
from tests.acceptance.steps import Step
from tests.acceptance.studio import SECOND_NANO, Studio, jobs_of, videos_config
from tests.storage.engines import new_ledger
from tests.storage.whole import differences

ENGINES = ("sqlite", "postgres")


@pytest.fixture
def studio(upstream: ScriptedUpstream) -> Studio:
    return Studio(upstream)


@pytest.fixture(scope="module")
def stage_of(
    upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Stage]]:
    """The stage of an engine, whose server dies when it is told to."""
    begun: dict[str, Stage] = {}

    def stage(engine: str) -> Stage:
        if engine not in begun:
            folder = tmp_path_factory.mktemp(f"jobs-{engine}")
            config = videos_config(upstream.port, folder)
            if engine == "postgres":
                config["storage"] = new_ledger()
            begun[engine] = Stage(config, folder)
            begun[engine].start()
        return begun[engine]

    yield stage
    for stage_ in begun.values():
        assert stage_.stop() == 0


def ask_once(account: Account, method: str, path: str, body: object = None) -> int:
    """The status of one request; 0 where the server died of it."""
    sent = {"Authorization": f"Bearer {account.secret}", "Content-Type": "application/json"}
    try:
        return httpx.request(
            method,
            account.api.url + path,
            content=json.dumps(body) if body else None,
            headers=sent,
            timeout=60,
        ).status_code
    except httpx.TransportError:
        return 0


WANTED = {"model": "sora-2", "prompt": "A cat", "seconds": "8"}
BEGINNINGS = (Step.AUTHORIZED, Step.SEND, Step.ANSWERED, Step.CLOSE, Step.CLOSING, Step.CLOSED, Step.END)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("step", BEGINNINGS)
def test_a_job_that_begins_as_its_server_is_killed_is_there_or_costs_nothing(
    stage_of: Callable[[str], Stage], studio: Studio, engine: str, step: Step
) -> None:
    """Once it is on the ledger it goes on through the crash, and is charged once."""
    stage = stage_of(engine)
    account = stage.account("10.00")
    stage.dies_at(step)
    assert ask_once(account, "POST", "/v1/videos", WANTED) == 0
    stage.comes_back()
    jobs = stage.admin.get(f"/admin/v1/jobs?account_id={account.id}")["data"]
    assert len(jobs) == (step >= Step.CLOSED) or step == Step.CLOSING
    if jobs:
        assert account.nano("held") == 8 * SECOND_NANO
        studio.status[jobs[0]["object_id"]] = "completed"
        assert ask_once(account, "GET", f"/v1/videos/{jobs[0]['object_id']}") == 200
        assert jobs_of(account) == [("videos", "complete", 8 * SECOND_NANO)]
    else:
        assert jobs_of(account) == [("videos", "crashed", 0)]
    assert account.nano("held") == 0
    assert differences(database_at(stage.config["storage"])) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("step", [Step.ANSWERED, Step.CLOSE, Step.CLOSING, Step.CLOSED, Step.END])
def test_a_job_whose_end_is_seen_as_the_server_is_killed_is_charged_once(
    stage_of: Callable[[str], Stage], studio: Studio, engine: str, step: Step
) -> None:
    """Whether its close was committed or not; whoever asks next finds it closed, or closes it."""
    stage = stage_of(engine)
    account = stage.account("10.00")
    assert ask_once(account, "POST", "/v1/videos", WANTED) == 200
    (job,) = stage.admin.get(f"/admin/v1/jobs?account_id={account.id}")["data"]
    studio.status[job["object_id"]] = "completed"
    stage.dies_at(step)
    ask_once(account, "GET", f"/v1/videos/{job['object_id']}")
    stage.comes_back()
    for _ in range(2):
        assert ask_once(account, "GET", f"/v1/videos/{job['object_id']}") == 200
    assert jobs_of(account) == [("videos", "complete", 8 * SECOND_NANO)]
    eventually(lambda: account.nano("held") == 0)
    assert account.nano("balance") == 10**10 - 8 * SECOND_NANO
    assert differences(database_at(stage.config["storage"])) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_that_its_upstream_forgets_ends_after_its_longest_life(
    stage_of: Callable[[str], Stage], studio: Studio, engine: str
) -> None:
    """Not a day later, by the clock of a process that was not there when it began."""
    stage = stage_of(engine)
    account = stage.account("10.00")
    assert ask_once(account, "POST", "/v1/videos", WANTED) == 200
    studio.status.clear()
    stage.is_ahead(24 * 3_600)
    stage.kill_server()
    stage.comes_back()
    assert jobs_of(account) == []
    assert account.nano("held") == 8 * SECOND_NANO
    stage.is_ahead(48 * 3_600 + 60)
    eventually(lambda: jobs_of(account) == [("videos", "job_overdue", 8 * SECOND_NANO)])
    assert account.nano("held") == 0
    stage.is_ahead(0)


@pytest.mark.parametrize("engine", ENGINES)
def test_workers_on_one_database_close_each_job_once(
    upstream: ScriptedUpstream, studio: Studio, tmp_path: Path, engine: str
) -> None:
    """Two processes have a poller each, and clients ask both of them at once."""
    config = videos_config(upstream.port, tmp_path)
    config["server"]["workers"] = 2
    if engine == "postgres":
        config["storage"] = new_ledger()
    with running(config, tmp_path) as server:
        account = server.account("10.00")
        for _ in range(5):
            assert ask_once(account, "POST", "/v1/videos", WANTED) == 200
        ids = [job["object_id"] for job in server.admin.get("/admin/v1/jobs")["data"]]
        assert len(ids) == 5
        for id_ in ids:
            studio.status[id_] = "completed"
        for id_ in ids[:3]:
            assert ask_once(account, "GET", f"/v1/videos/{id_}") == 200
        eventually(lambda: len(jobs_of(account)) == 5)
        assert set(jobs_of(account)) == {("videos", "complete", 8 * SECOND_NANO)}
        assert (account.nano("held"), account.nano("balance")) == (0, 10**10 - 40 * SECOND_NANO)
