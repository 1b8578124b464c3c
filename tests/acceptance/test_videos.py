"""Videos with the official SDK, through a real process: held for, charged once, and nobody else's."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai.types import Video

from tests.acceptance.harness import ADMIN_KEY, Account, Server, eventually, running
from tests.acceptance.scripted_upstream import ScriptedUpstream
from tests.acceptance.studio import MP4, SECOND_NANO, Studio, jobs_of, videos_config

# The SDK says of every method when its maker's own models end.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@pytest.fixture
def studio(upstream: ScriptedUpstream) -> Studio:
    return Studio(upstream)


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
