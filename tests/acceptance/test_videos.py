"""Videos with the official SDK, through a real process: held for, charged once, and nobody else's."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
from aiohttp import web
from openai.types import Video

from proxy.storage.locations import database_at
from tests.acceptance.harness import ADMIN_KEY, Account, Server, config_for, eventually, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream
from tests.acceptance.stage import Stage
from tests.acceptance.steps import Step
from tests.storage.engines import apart
from tests.storage.postgres.server import new_schema
from tests.storage.whole import differences

# The SDK says of every method when its maker's own models end.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

SECOND_NANO = 100_000_000
MP4 = b"\x00\x00\x00 ftypisom" + bytes(range(256)) * 400
CARD = {"match": ["sora-*"], "rates": {"video_seconds": {"per_unit": "0.10"}}}


class Studio:
    """The videos of a scripted upstream. Tests set how far each is; `requests` has what came, by path."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.status: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self._seconds: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._behaviours = upstream.behaviours
        for path in ("/v1/videos", "/v1/videos/edits", "/v1/videos/extensions", "sora-2"):
            self._behaviours[path] = self._made

    def video(self, id_: str) -> dict[str, Any]:
        return {
            "id": id_,
            "object": "video",
            "created_at": 1_700_000_000,
            "model": "sora-2",
            "progress": 0,
            "prompt": "A cat",
            "seconds": self._seconds[id_],
            "size": "720x1280",
            "status": self.status[id_],
        }

    async def _made(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        in_form = re.search(rb'name="seconds"\r\n\r\n(\d+)', await request.read())
        self.requests.append((request.method, request.path))
        id_ = f"video_{next(self._ids)}"
        self.status[id_] = "queued"
        self._seconds[id_] = in_form[1].decode() if in_form else str(body.get("seconds", "8"))
        for below in ("", "/content", "/remix"):
            self._behaviours[f"/v1/videos/{id_}{below}"] = self._asked(id_, below)
        return web.json_response(self.video(id_))

    def _asked(self, id_: str, below: str) -> Callable[..., Any]:
        async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            if below == "/remix":
                return await self._made(request, body)
            self.requests.append((request.method, request.path))
            if id_ not in self.status:
                return web.json_response({"error": {"message": "no such video"}}, status=404)
            if request.method == "DELETE":
                del self.status[id_]
                return web.json_response({"id": id_, "object": "video.deleted", "deleted": True})
            if below and self.status[id_] != "completed":
                return web.json_response({"error": {"message": "not ready"}}, status=404)
            return (
                web.Response(body=MP4, content_type="video/mp4")
                if below
                else web.json_response(self.video(id_))
            )

        return behaviour


@pytest.fixture
def studio(upstream: ScriptedUpstream) -> Studio:
    return Studio(upstream)


def videos_config(port: int, folder: Path, **overrides: Any) -> dict[str, Any]:
    config = config_for(port, folder, **overrides)
    config["rate_cards"] = {"sora": CARD, **config["rate_cards"]}
    return config


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("videos")
    with running(videos_config(upstream.port, folder), folder) as started:
        yield started


@pytest.fixture
def account(server: Server) -> Account:
    return server.account("10.00")


def client_of(server: Server, account: Account) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0)


def jobs_of(account: Account) -> list[tuple[str, str, int]]:
    """How each job of an account ended, oldest first."""
    return [
        (row["endpoint"], row["outcome"], nano(row["charged"]))
        for row in account.requests()
        if row["endpoint"] in {"videos", "videos.remix", "videos.edits", "videos.extensions"}
    ]


def test_the_sdk_makes_a_video_asks_for_it_and_fetches_it(
    server: Server, account: Account, studio: Studio
) -> None:
    """As a form, which it always sends, and as JSON. Eight seconds are held at once, and charged once."""
    with client_of(server, account) as client:
        made = client.videos.create(model="sora-2", prompt="A cat", seconds="8", size="720x1280")
        assert (made.status, made.seconds, account.nano("held")) == ("queued", "8", 8 * SECOND_NANO)
        assert jobs_of(account) == []
        studio.status[made.id] = "in_progress"
        assert client.videos.retrieve(made.id).status == "in_progress"
        studio.status[made.id] = "completed"
        assert client.videos.retrieve(made.id).status == "completed"
        assert jobs_of(account) == [("videos", "complete", 8 * SECOND_NANO)]
        assert client.videos.download_content(made.id).read() == MP4
        assert client.videos.retrieve(made.id).status == "completed"
        as_json = {"Content-Type": "application/json"}
        other = client.videos.create(model="sora-2", prompt="A dog", extra_headers=as_json)
        assert (other.seconds, account.nano("held")) == ("4", 4 * SECOND_NANO)
        assert [video.id for video in client.videos.list()] == [other.id, made.id]
        assert [video.status for video in client.videos.list(order="asc", limit=1)] == ["completed", "queued"]
        studio.status[other.id] = "failed"
        assert client.videos.retrieve(other.id).status == "failed"
        assert client.videos.delete(made.id).deleted
        assert [video.id for video in client.videos.list()] == [other.id]
        with pytest.raises(openai.NotFoundError):
            client.videos.retrieve(made.id)
    assert jobs_of(account) == [("videos", "complete", 8 * SECOND_NANO), ("videos", "job_failed", 0)]
    assert account.nano("held") == 0
    assert account.nano("balance") == 10**10 - 8 * SECOND_NANO


def test_the_sdk_remixes_edits_and_extends(server: Server, account: Account, studio: Studio) -> None:
    with client_of(server, account) as client:
        made = client.videos.create(model="sora-2", prompt="A cat", seconds="8")
        studio.status[made.id] = "completed"
        assert client.videos.retrieve(made.id).status == "completed"
        remix = client.videos.remix(made.id, prompt="A dog")
        # The SDK's own `edit` and `extend` take a file alone, whatever their types say of an id.
        about: dict[str, Any] = {"prompt": "And then", "video": {"id": made.id}}
        edit = client.post("/videos/edits", cast_to=Video, body=about)
        longer = client.post("/videos/extensions", cast_to=Video, body={**about, "seconds": "12"})
        for id_ in (remix.id, edit.id, longer.id):
            studio.status[id_] = "completed"
            assert client.videos.retrieve(id_).status == "completed"
    assert jobs_of(account) == [
        ("videos", "complete", 8 * SECOND_NANO),
        ("videos.remix", "complete", 8 * SECOND_NANO),
        ("videos.edits", "complete", 8 * SECOND_NANO),
        ("videos.extensions", "complete", 12 * SECOND_NANO),
    ]


def test_a_job_is_polled_for_a_client_that_never_asks(
    server: Server, account: Account, studio: Studio
) -> None:
    """The poller of the real process sees its end; the admin sees the job until then."""
    with client_of(server, account) as client:
        made = client.videos.create(model="sora-2", prompt="A cat", seconds="4")
    (job,) = server.admin.get(f"/admin/v1/jobs?account_id={account.id}")["data"]
    assert (job["object_id"], job["hold"], job["charge"]) == (made.id, "0.40", "0.40")
    studio.status[made.id] = "completed"
    eventually(lambda: jobs_of(account) == [("videos", "complete", 4 * SECOND_NANO)])
    assert server.admin.get(f"/admin/v1/jobs?account_id={account.id}")["data"] == []


def test_another_account_gets_the_same_answer_as_for_what_never_was(
    server: Server, account: Account, studio: Studio
) -> None:
    """On every path, every byte the same but the id that was asked for; the upstream hears of nothing."""
    with client_of(server, account) as client:
        made = client.videos.create(model="sora-2", prompt="A cat", seconds="4")
    other = server.account("10.00")
    heard = len(studio.requests)
    ways: list[tuple[str, str, Any]] = [
        ("GET", "/v1/videos/{}", None),
        ("GET", "/v1/videos/{}/content", None),
        ("DELETE", "/v1/videos/{}", None),
        ("POST", "/v1/videos/{}/remix", {"prompt": "x"}),
        ("POST", "/v1/videos/edits", {"prompt": "x", "video": {"id": "{}"}}),
        ("POST", "/v1/videos/extensions", {"prompt": "x", "seconds": "4", "video": {"id": "{}"}}),
    ]
    for method, path, body in ways:
        seen = []
        for id_ in (made.id, "video_0"):
            text = json.dumps(body).replace("{}", id_) if body is not None else None
            answer = httpx.request(
                method,
                server.url + path.replace("{}", id_),
                content=text,
                headers={"Authorization": f"Bearer {other.secret}", "Content-Type": "application/json"},
            )
            named = {"x-request-id", "date", "content-length"}
            heads = {name: value for name, value in answer.headers.items() if name not in named}
            request_id = answer.headers["x-request-id"]
            seen.append((answer.status_code, heads, answer.text.replace(id_, "ID").replace(request_id, "")))
        assert seen[0] == seen[1]
        assert seen[0][0] == 404
    with client_of(server, other) as client:
        assert list(client.videos.list()) == []
        assert list(client.videos.list(after=made.id)) == []
    assert [path for method, path in studio.requests[heard:] if method != "GET"] == []
    assert other.requests() == []


def test_who_cannot_pay_for_a_video_makes_none(server: Server, studio: Studio) -> None:
    poor = server.account("0.50")
    with client_of(server, poor) as client:
        for _ in range(2):
            with pytest.raises(openai.APIStatusError) as refused:
                client.videos.create(model="sora-2", prompt="A cat", seconds="8")
            assert refused.value.status_code == 402
        client.videos.create(model="sora-2", prompt="A cat", seconds="4")
        with pytest.raises(openai.APIStatusError):
            client.videos.create(model="sora-2", prompt="A cat", seconds="4")
    assert len(studio.requests) == 1


ENGINES = ("sqlite", "postgres")


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
                config["storage"] = apart(new_schema())
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
        config["storage"] = apart(new_schema())
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


def test_the_command_line_lists_jobs(server: Server, account: Account, studio: Studio) -> None:
    with client_of(server, account) as client:
        made = client.videos.create(model="sora-2", prompt="A cat", seconds="4")
    ran = subprocess.run(
        [sys.executable, "-m", "proxy.cli", "jobs", "--account", account.id, "--json"],
        env={"FAREBOX_ADMIN_KEY": ADMIN_KEY, "FAREBOX_URL": server.url, "PATH": ""},
        check=True,
        stdout=subprocess.PIPE,
    )
    assert [job["object_id"] for job in json.loads(ran.stdout)["data"]] == [made.id]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "order=up", "limit=1&limit=2", "before=video_1", "limit=%C2%B2"],
)
def test_a_list_refuses_what_it_does_not_take(server: Server, account: Account, query: str) -> None:
    status, _, answer = account.api.ask("GET", f"/v1/videos?{query}")
    assert (status, answer["error"]["code"]) == (400, "invalid_value")


def test_other_methods_than_those_of_a_path_are_refused(server: Server, account: Account) -> None:
    """Before anybody looks whether the object is there; and nothing without a key."""
    for path, allowed in (("/v1/videos", {"GET", "POST"}), ("/v1/videos/video_1", {"GET", "DELETE"})):
        status, headers, _ = account.api.ask("PUT", path)
        assert status == 405
        assert set(headers["Allow"].split(", ")) == allowed
    for path in ("/v1/videos", "/v1/videos/video_1", "/v1/videos/video_1/content"):
        assert httpx.get(server.url + path).status_code == 401


def test_pages_of_a_list_follow_one_another(server: Server, account: Account, studio: Studio) -> None:
    """As the SDK turns them, in either order, while each video is there once."""
    with client_of(server, account) as client:
        made = [client.videos.create(model="sora-2", prompt="A cat", seconds="1").id for _ in range(5)]  # type: ignore[arg-type]
        assert [video.id for video in client.videos.list(limit=2)] == made[::-1]
        assert [video.id for video in client.videos.list(limit=2, order="asc")] == made
        assert [video.id for video in client.videos.list(after=made[2], order="asc")] == made[3:]
