"""Jobs of tools in a real process: crawls, predictions and scans go on after their calls, charged once."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from aiohttp import web

from tests.acceptance.harness import Account, Server, config_for, eventually, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream

CREDIT_NANO = 1_000_000
SECOND_NANO = 225_000
PAGE_NANO = 10_000_000


class Tools:
    """An upstream whose work takes as long as a test says: `shown` is what it says of each job."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.shown: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self._ids = itertools.count(1)
        self._behaviours = upstream.behaviours
        self._behaviours["/v1/crawl"] = self._begins("crawl", {"success": True})
        self._behaviours["/v1/predictions"] = self._begins("predictions", {"status": "starting"})
        self._behaviours["/v1/scans"] = self._begins("scans", None, below=("/status", "/result"))

    def _begins(
        self, name: str, told: dict[str, Any] | None, below: tuple[str, ...] = ("", "/errors", "/cancel")
    ) -> Callable[..., Any]:
        async def behaviour(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
            id_ = f"{name}-{next(self._ids):04}"
            self.shown[id_] = {"status": "running"}
            for each in below:
                self._behaviours[f"/v1/{name}/{id_}{each}"] = self._shows(id_, each)
            if told is None:
                return web.Response(status=202, headers={"Operation-Location": f"{request.url}/{id_}?v=1"})
            return web.json_response({**told, "id": id_}, status=201)

        return behaviour

    def _shows(self, id_: str, below: str) -> Callable[..., Any]:
        async def behaviour(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
            self.asked.append((request.method, id_ + below))
            if request.method == "DELETE" or below == "/cancel":
                self.shown[id_] = {"status": "cancelled", "creditsUsed": 2, "metrics": {"predict_time": 0.5}}
                return web.json_response({"status": "cancelled"})
            if below in {"/errors", "/result"}:
                return web.json_response({"errors": [], "status": "completed"})
            return web.json_response(self.shown[id_])

        return behaviour


def tool_config(port: int, folder: Path) -> dict[str, Any]:
    config = config_for(port, folder)
    origin = {"base_url": f"http://127.0.0.1:{port}", "credential": {"value": "${UPSTREAM_KEY}"}}

    def route(name: str, measures: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "path": f"/tools/{name}",
            "rate_card": name,
            "measures": measures,
            "job": {
                "id": {"answer": "/id"},
                "path": f"/tools/{name}/{{id}}",
                "target_path": f"/v1/{name}/{{id}}",
                "status": "/status",
                "complete": ["completed", "succeeded", "cancelled"],
                "failed": ["failed"],
                **job,
            },
            "targets": [{"upstream": "tools", "path": f"/v1/{name}"}],
        }

    crawled = {"answer": "/creditsUsed", "most": "1", "for_each": {"request": "/limit", "otherwise": "100"}}
    config["routes"] += [
        route("crawl", {"credits": crawled}, {"reads": ["/errors"], "cancel": {"method": "DELETE"}}),
        route(
            "predictions",
            {"run_seconds": {"answer": "/metrics/predict_time", "most": "1800"}},
            {"cancel": {"method": "POST", "below": "/cancel"}},
        ),
        route(
            "scans",
            {"pages": {"answer": "/pages", "most": "20"}},
            {"id": {"answer_header": "operation-location"}, "poll": "/status", "reads": ["/result"]},
        ),
    ]
    config["upstreams"]["tools"] = origin
    config["rate_cards"] = {
        "crawl": {"rates": {"credits": {"per_1k": "1"}}},
        "predictions": {"rates": {"run_seconds": {"per_unit": "0.000225"}}},
        "scans": {"rates": {"pages": {"per_unit": "0.01"}}},
        **config["rate_cards"],
    }
    return config


@pytest.fixture
def tools(upstream: ScriptedUpstream) -> Tools:
    return Tools(upstream)


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tool-jobs")
    with running(tool_config(upstream.port, folder), folder) as started:
        yield started


@pytest.fixture
def account(server: Server) -> Account:
    return server.account("10.00")


def ask(account: Account, method: str, path: str, body: object = None) -> httpx.Response:
    return httpx.request(
        method,
        account.api.url + path,
        json=body,
        headers={"Authorization": f"Bearer {account.secret}"},
        timeout=60,
    )


def ended(account: Account) -> list[tuple[str, str, int]]:
    """How each job of an account ended, oldest first."""
    rows = [row for row in account.requests() if row["endpoint"] == "tools"]
    return [(row["model"], row["outcome"], nano(row["charged"])) for row in rows]


def test_a_crawl_is_held_for_asked_about_and_charged_by_its_credits(account: Account, tools: Tools) -> None:
    begun = ask(account, "POST", "/tools/crawl", {"url": "https://a", "limit": 20})
    id_ = begun.json()["id"]
    assert (begun.status_code, begun.headers["x-farebox-hold"]) == (201, "0.02")
    assert account.nano("held") == 20 * CREDIT_NANO
    assert ask(account, "GET", f"/tools/crawl/{id_}").json() == {"status": "running"}
    assert ask(account, "GET", f"/tools/crawl/{id_}/errors").status_code == 200
    assert ended(account) == []
    tools.shown[id_] = {"status": "completed", "creditsUsed": 12, "data": [{"markdown": "x" * 300_000}] * 8}
    for _ in range(2):
        assert ask(account, "GET", f"/tools/crawl/{id_}").json() == tools.shown[id_]
    assert ended(account) == [("crawl", "complete", 12 * CREDIT_NANO)]
    assert (account.nano("held"), account.nano("balance")) == (0, 10**10 - 12 * CREDIT_NANO)


def test_a_job_that_nobody_asks_about_is_charged_all_the_same(account: Account, tools: Tools) -> None:
    """Farebox asks by itself, where the answer has all results too, and where a header had the id."""
    crawl = ask(account, "POST", "/tools/crawl", {"limit": 20}).json()["id"]
    predicted = ask(account, "POST", "/tools/predictions", {}).json()["id"]
    scanned = ask(account, "POST", "/tools/scans", {})
    assert (scanned.status_code, scanned.content) == (202, b"")
    scan = scanned.headers["operation-location"].rpartition("/")[2].partition("?")[0]
    failing = ask(account, "POST", "/tools/predictions", {}).json()["id"]
    tools.shown[crawl] = {"status": "completed", "creditsUsed": 7, "data": ["x" * 1000] * 9_000}
    tools.shown[predicted] = {"status": "succeeded", "metrics": {"predict_time": 2.5}}
    tools.shown[scan] = {"status": "completed", "pages": [1, 2, 3]}
    tools.shown[failing] = {"status": "failed", "metrics": {"predict_time": 9}}
    eventually(lambda: len(ended(account)) == 4)
    assert sorted(ended(account)) == [
        ("crawl", "complete", 7 * CREDIT_NANO),
        ("predictions", "complete", 5 * SECOND_NANO // 2),
        ("predictions", "job_failed", 0),
        ("scans", "complete", 3 * PAGE_NANO),
    ]
    assert account.nano("held") == 0


def test_a_job_is_nobody_elses(server: Server, account: Account, tools: Tools) -> None:
    """Another account learns nothing of it, and can neither read nor stop it."""
    id_ = ask(account, "POST", "/tools/crawl", {"limit": 1}).json()["id"]
    other = server.account("10.00")
    for method, below in (("GET", ""), ("GET", "/errors"), ("DELETE", "")):
        told = ask(other, method, f"/tools/crawl/{id_}{below}")
        never = ask(other, method, f"/tools/crawl/crawl-none{below}")
        assert (told.status_code, never.status_code) == (404, 404)
        assert told.json()["error"]["code"] == "not_found"
        assert told.text.replace(id_, "x").replace(told.headers["x-request-id"], "") == never.text.replace(
            "crawl-none", "x"
        ).replace(never.headers["x-request-id"], "")
    assert tools.asked == []


def test_a_cancelled_job_is_charged_for_what_it_did(account: Account, tools: Tools) -> None:
    crawl = ask(account, "POST", "/tools/crawl", {"limit": 20}).json()["id"]
    predicted = ask(account, "POST", "/tools/predictions", {}).json()["id"]
    assert ask(account, "DELETE", f"/tools/crawl/{crawl}").json() == {"status": "cancelled"}
    assert ask(account, "POST", f"/tools/predictions/{predicted}/cancel").status_code == 200
    assert ended(account) == []
    for path in (f"/tools/crawl/{crawl}", f"/tools/predictions/{predicted}"):
        assert ask(account, "GET", path).json()["status"] == "cancelled"
    assert sorted(ended(account)) == [
        ("crawl", "complete", 2 * CREDIT_NANO),
        ("predictions", "complete", SECOND_NANO // 2),
    ]


def test_a_job_goes_on_through_the_death_of_its_process(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """Whoever comes next asks about it, and charges it once."""
    tools = Tools(upstream)
    with running(tool_config(upstream.port, tmp_path), tmp_path) as server:
        account = server.account("10.00")
        id_ = ask(account, "POST", "/tools/crawl", {"limit": 20}).json()["id"]
        server.kill()
        tools.shown[id_] = {"status": "completed", "creditsUsed": 5}
        server.start()
        eventually(lambda: ended(account) == [("crawl", "complete", 5 * CREDIT_NANO)])
        assert ask(account, "GET", f"/tools/crawl/{id_}").status_code == 200
        assert ended(account) == [("crawl", "complete", 5 * CREDIT_NANO)]
        assert account.nano("held") == 0
