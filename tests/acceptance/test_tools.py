"""Tools in a real process: metered by what both sides say, streams without delay, no secret told."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2 as httpx
import openai
import pytest
from aiohttp import web

from tests.acceptance.callers import audited
from tests.acceptance.harness import WAIT_SECONDS, Account, Server, config_for, running
from tests.acceptance.scripted_upstream import Behaviour, ScriptedUpstream, answers

SECRET = "upstream-secret-credential"
EVENT = b'data: {"text": "Hello"}\n\n'
LAST = b'data: {"usage": {"credits": "1.5"}}\n\n'


RANKED = {
    "product": [
        {"request": "/queries", "otherwise": "1"},
        {"request": "/documents", "chunk_characters": 10},
        {"answer": "/passes", "most": "3"},
    ],
    "per": 100,
    "most": "50",
}


def tools(port: int, folder: Path) -> dict[str, Any]:
    """A configuration with tools at 0.01 USD a call and 0.002 a credit, and a credential in the query."""
    upstreams = {
        "keyed": {
            "base_url": f"http://127.0.0.1:{port}/api",
            "credential": {"value": "${UPSTREAM_KEY}", "query": "key"},
        }
    }
    measured = {"credits": {"answer": "/usage/credits", "most": "5", "otherwise": "3"}}

    def tool(path: str, **more: Any) -> dict[str, Any]:
        targets = [{"upstream": "keyed"}]
        return {
            "name": path.strip("/").partition("/")[0],
            "path": path,
            "rate_card": "tool",
            "targets": targets,
        } | more

    routes = [
        tool("/scrape", measures=measured, charged_statuses=[404], rate_card="credits"),
        tool(
            "/page/{id}",
            methods=["GET"],
            query_fields=["q"],
            targets=[{"upstream": "keyed", "path": "/p/{id}"}],
        ),
        tool("/map", measures={"urls": {"request": "/urls", "most": "10"}}, rate_card="urls"),
        tool("/rank", measures={"search_units": RANKED}, rate_card="rank"),
        tool("/dear", parameters={"stealth": {"request": "/stealth"}}, rate_card="cases"),
    ]
    dear = {"when": {"stealth": "true"}, "rates": {"requests": {"per_unit": "0.05"}}}
    cards = {
        "tool": {"rates": {"requests": {"per_unit": "0.01"}}},
        "credits": {"rates": {"requests": {"per_unit": "0.01"}, "credits": {"per_unit": "0.002"}}},
        "urls": {"rates": {"urls": {"per_unit": "0.003"}}},
        "rank": {"rates": {"search_units": {"per_unit": "0.002"}}},
        "cases": {"rates": {"requests": {"per_unit": "0.01"}}, "cases": [dear]},
    }
    base = config_for(port, folder)
    return base | {
        "upstreams": base["upstreams"] | upstreams,
        "routes": routes,
        "rate_cards": cards,
    }


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tools")
    with running(tools(upstream.port, folder), folder) as started:
        yield started


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key=account.secret) as sync:
        yield sync


def told(used: object) -> dict[str, Any]:
    return {"results": [], "usage": {"credits": used}}


@pytest.mark.parametrize(
    ("used", "cost", "basis"),
    [
        (2, "0.014", "reported"),
        ("0.000001", "0.010000002", "reported"),
        (0, "0.01", "reported"),
        (-4, "0.016", "counted"),
    ],
)
def test_credits_are_charged_as_the_answer_tells_them(
    client: openai.OpenAI, account: Account, upstream: ScriptedUpstream, used: object, cost: str, basis: str
) -> None:
    """The head has the cost; the receipt has the quantity in millionths, and recomputes."""
    upstream.behaviours["/api/scrape"] = answers(told(used))
    raw = client.post("/scrape", body={"url": "https://example.com"}, cast_to=httpx.Response)
    assert raw.json() == told(used)
    assert raw.headers["x-farebox-cost"] == cost
    receipt = account.last()
    assert (receipt["charged"], receipt["basis"], receipt["hold"]) == (cost, basis, "0.02")
    assert receipt["anomalies"] == (basis == "counted")
    assert receipt["inferred"] == ({"credits": "assumed"} if basis == "counted" else {})


def test_a_404_is_charged_where_the_route_says_so(
    client: openai.OpenAI, account: Account, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["/api/scrape"] = answers(told(1), status=404)
    with pytest.raises(openai.NotFoundError):
        client.post("/scrape", body={}, cast_to=object)
    receipt = account.last()
    assert (receipt["outcome"], receipt["status"], receipt["charged"]) == ("complete", 404, "0.012")


def test_what_the_request_says_is_charged_or_refused(
    client: openai.OpenAI, account: Account, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["/api/map"] = answers({"ok": True})
    client.post("/map", body={"urls": ["a", "b", "c"]}, cast_to=object)
    assert account.last()["charged"] == "0.009"
    for body in ({"urls": ["x"] * 11}, {"urls": -1}, {"urls": [], "URLs": ["x"]}):
        with pytest.raises(openai.BadRequestError) as refused:
            client.post("/map", body=body, cast_to=object)
        assert refused.value.code == "invalid_value"
    assert len(account.requests()) == 1


def test_a_quantity_of_several_figures_is_held_at_its_most_and_charged_as_told(
    server: Server, client: openai.OpenAI, account: Account, upstream: ScriptedUpstream
) -> None:
    """Two queries, 60 texts of two chunks each, and as many passes as the answer tells."""
    body = {"queries": ["a", "b"], "documents": ["x" * 11] * 60}
    status, _, quote = account.api.ask("POST", "/v1/billing/quote?path=/rank", body)
    assert (status, quote["hold"], quote["exact"]) == (200, "0.016", False)
    for passes, units in ((1, 3), (2, 5), (None, 8)):
        upstream.behaviours["/api/rank"] = answers({"passes": passes})
        client.post("/rank", body=body, cast_to=object)
        receipt = account.last()
        assert (receipt["hold"], receipt["usage"]["search_units"]) == ("0.016", units)
        assert receipt["charged"] == f"0.{2 * units:03}".rstrip("0")
        assert receipt["inferred"] == ({} if passes else {"search_units": "assumed"})
    for wrong in ({}, {"documents": [1]}, {"documents": ["x"] * 5_000, "queries": "many"}):
        with pytest.raises(openai.BadRequestError) as refused:
            client.post("/rank", body=wrong, cast_to=object)
        assert refused.value.code == "invalid_value"
    assert len(account.requests()) == 3
    assert audited(server) == []


def test_a_dearer_call_has_its_own_price(
    client: openai.OpenAI, account: Account, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["/api/dear"] = answers({"ok": True})
    client.post("/dear", body={"stealth": True}, cast_to=object)
    assert account.last()["price_id"].startswith("cases+stealth=true@")
    client.post("/dear", body={}, cast_to=object)
    assert [receipt["charged"] for receipt in account.requests()] == ["0.05", "0.01"]


def echo(status: int) -> Behaviour:
    """Repeats the address of its request in every place that an answer has."""

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        url = str(request.url)
        headers = {
            "X-Asked": url,
            "Location": f"/api/p/7?{request.query_string}",
            "Link": f"<{url}>; rel=next",
        }
        return web.json_response(
            {"error": {"message": url, "query": dict(request.query)}}, status=status, headers=headers
        )

    return behaviour


@pytest.mark.parametrize("status", [200, 302, 400, 500])
def test_a_credential_in_the_query_is_told_to_nobody(
    server: Server, account: Account, upstream: ScriptedUpstream, status: int
) -> None:
    """Neither in a body nor in a header, nor in the log."""
    upstream.behaviours["/api/p/7"] = echo(status)
    headers = {"Authorization": f"Bearer {account.secret}"}
    answer = httpx.get(f"{server.url}/page/7?q=x", headers=headers, follow_redirects=False)
    assert answer.status_code == status
    assert SECRET not in f"{answer.text}{answer.headers}{server.log_text()}"
    assert answer.status_code in {302, 500} or '"q": "x"' in answer.text


@pytest.mark.parametrize("query", ["key=mine", "KEY=mine", "q=1&key%5B%5D=mine"])
def test_a_client_cannot_send_the_credentials_field(
    server: Server, account: Account, upstream: ScriptedUpstream, query: str
) -> None:
    """The route lists its fields; and where it lists none, the field is taken out."""
    headers = {"Authorization": f"Bearer {account.secret}"}
    refused = httpx.get(f"{server.url}/page/7?{query}", headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_value")
    seen: list[list[tuple[str, str]]] = []

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        seen.append(list(request.query.items()))
        return web.json_response({})

    upstream.behaviours["/api/dear"] = behaviour
    assert httpx.post(f"{server.url}/dear?{query}", json={}, headers=headers).status_code == 200
    assert seen[0] == [*([("q", "1")] if "q=" in query else []), ("key", SECRET)]


async def test_an_event_arrives_before_the_next_is_sent(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """The upstream sends its last event only when the client has the first; the figure of that counts."""
    has_arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(EVENT)
        waits = asyncio.run_coroutine_threadsafe(has_arrived.wait(), loop)
        await asyncio.wrap_future(waits)
        await response.write(LAST)
        await response.write_eof()
        return response

    upstream.behaviours["/api/scrape"] = behaviour
    headers = {"Authorization": f"Bearer {account.secret}"}
    async with (
        asyncio.timeout(WAIT_SECONDS),
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{server.url}/scrape", json={"stream": True}) as answer,
    ):
        assert await answer.content.readuntil(b"\n\n") == EVENT
        has_arrived.set()
        assert await answer.content.read() == LAST
    receipt = await asyncio.to_thread(account.last)
    assert (receipt["charged"], receipt["basis"]) == ("0.013", "reported")


async def test_a_stream_that_kill_9_ends_is_charged(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """Whoever has an event has been charged for it, whatever becomes of the process right then."""
    upstream.behaviours["/api/scrape"] = forever
    server = Server(tools(upstream.port, tmp_path), tmp_path)
    await asyncio.to_thread(server.start)
    account = await asyncio.to_thread(server.account, "1.00")
    headers = {"Authorization": f"Bearer {account.secret}"}
    async with (
        asyncio.timeout(WAIT_SECONDS),
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{server.url}/scrape", json={}) as answer,
    ):
        assert await answer.content.readuntil(b"\n\n") == EVENT
        await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    try:
        receipt = await asyncio.to_thread(account.last)
        assert (receipt["basis"], receipt["outcome"], receipt["charged"]) == ("recovered", "crashed", "0.016")
    finally:
        await asyncio.to_thread(server.stop)


async def forever(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """One event, and no end."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(EVENT)
    await asyncio.Event().wait()
    return response


def test_a_large_reply_passes_byte_for_byte(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """Its figure counts, although it is at the end of what has passed already."""
    sent = json.dumps({"text": "x" * 500_000, "usage": {"credits": 4}}).encode()
    upstream.behaviours["/api/scrape"] = answers(sent)
    headers = {"Authorization": f"Bearer {account.secret}"}
    assert httpx.post(f"{server.url}/scrape", json={}, headers=headers).content == sent
    assert account.last()["charged"] == "0.018"
