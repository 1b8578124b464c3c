"""Accounts' own webhooks: registered by keys that decide, signed by secrets that are not stored."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace as replaced
from standardwebhooks import Webhook

from proxy.billing.account_webhooks import AccountQueues
from proxy.billing.webhooks import Deliveries
from proxy.ledger.alerts import Alerts
from proxy.ledger.events import DeliveryState
from proxy.ledger.windows import DAY_US
from proxy.tasks import Tasks
from proxy.upstream.webhooks import Endpoint, HttpSender, Webhooks
from tests.api.apis import Apis, serving

PATH = "/v1/billing/webhooks"
MASTER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
WEBHOOKS = Webhooks(allow_private=True, allow_http=True, accounts_most=2, accounts_secret=MASTER)


@dataclass
class Place:
    """A customer's server, which remembers what it was sent to which path."""

    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    status: int = 200

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((request.path, headers, await request.read()))
        return web.Response(status=self.status)

    def told(self, secret: str, path: str) -> list[dict[str, Any]]:
        """What has come to a path, each verified with a secret."""
        mine = [(headers, body) for at, headers, body in self.got if at == path]
        return [json.loads(body) for headers, body in mine if signed(secret, headers, body)]


def signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether one of the signatures is that of a secret, whatever the time is."""
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    right = Webhook(secret).sign(headers["webhook-id"], at, body.decode())
    return right in headers["webhook-signature"].split(" ")


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.take)
    server = TestServer(app)
    await server.start_server()
    made.url = str(server.make_url("/"))
    yield made
    await server.close()


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.store.alerts = Alerts()
        running.settings = replace(running.settings, webhooks=WEBHOOKS)
        yield running


class Silent:
    """Sees nothing."""

    def told(self, endpoint: str, state: DeliveryState) -> None: ...

    def waiting(self, endpoint: str, count: int, oldest_seconds: float) -> None: ...


def fail(task: str, fault: BaseException) -> None:
    raise AssertionError(task) from fault


def deliveries_of(apis: Apis) -> Deliveries:
    return Deliveries(
        store=apis.store,
        ledger=apis.ledger,
        sender=HttpSender(),
        clock=apis.clock,
        webhooks=lambda: apis.settings.webhooks,
        on_fault=fail,
        observer=Silent(),
    )


async def deliver(apis: Apis) -> None:
    """Route what is new, and send what is due."""
    deliveries = deliveries_of(apis)
    for _ in range(2):
        await deliveries.round()
        await deliveries._tasks.drain(5)


async def newcomer(apis: Apis, **fields: object) -> tuple[str, str]:
    account_id = await apis.account()
    return account_id, (await apis.key(account_id, **fields))[1]


async def test_an_account_is_told_of_its_own_events_and_of_no_others(apis: Apis, place: Place) -> None:
    """Each with a signature that only the holder of its secret can have expected."""
    (ada, ada_key), (eve, eve_key) = [await newcomer(apis) for _ in range(2)]
    secrets = {}
    for key, path in ((ada_key, "ada"), (eve_key, "eve")):
        made = await apis.ask(
            "POST", PATH, key=key, body={"url": f"{place.url}{path}", "types": ["credits.*"]}
        )
        assert made.status == 201, made
        secrets[path] = made.body["secret"]
    await apis.grant(ada, "1")
    await apis.grant(eve, "2")
    await deliver(apis)
    for path, account_id in (("ada", ada), ("eve", eve)):
        (event,) = place.told(secrets[path], f"/{path}")
        assert (event["type"], event["data"]["account_id"]) == ("credits.granted", account_id)
    assert place.told(secrets["ada"], "/eve") == []
    assert len(place.got) == 2


async def test_a_secret_is_shown_once_rotated_and_nowhere_stored(apis: Apis, place: Place) -> None:
    """For a day both sign, and then the new one alone."""
    account_id, key = await newcomer(apis)
    made = (await apis.ask("POST", PATH, key=key, body={"url": f"{place.url}x"})).body
    (listed,) = (await apis.ask("GET", PATH, key=key)).data
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    turned = await apis.ask("POST", f"{PATH}/{made['id']}/rotate", key=key)
    old, new = made["secret"], turned.body["secret"]
    assert old != new
    for later_us, valid in ((0, (old, new)), (DAY_US, (new,))):
        apis.clock.at_us += later_us
        place.got.clear()
        assert (await apis.ask("POST", f"{PATH}/{made['id']}/test", key=key)).body["delivered"] is True
        assert [secret for secret in (old, new) if place.told(secret, "/x")] == list(valid)
    rows = await apis.store.query("receivers_of_account", {"account_id": account_id})
    assert not any(secret.removeprefix("whsec_") in str(rows) for secret in (old, new, MASTER))


async def test_what_is_another_accounts_is_404_like_what_never_was(apis: Apis, place: Place) -> None:
    _, key = await newcomer(apis)
    eve, eve_key = await newcomer(apis)
    made = (await apis.ask("POST", PATH, key=key, body={"url": f"{place.url}x"})).body
    await apis.grant(eve, "1")
    event, _ = (await apis.ask("GET", "/v1/billing/notifications", key=eve_key)).data
    for id_ in (made["id"], "whk_never"):
        for method, ending, body in (
            ("DELETE", "", None),
            ("POST", "/rotate", None),
            ("POST", "/test", None),
            ("GET", "/deliveries", None),
            ("POST", "/replay", {"since": "2024-01-01T00:00:00Z"}),
        ):
            answer = await apis.ask(method, f"{PATH}/{id_}{ending}", key=eve_key, body=body)
            assert answer.status == 404, (id_, ending)
    again = await apis.ask("POST", f"{PATH}/{made['id']}/replay", key=key, body={"event_id": event["id"]})
    assert again.status == 404
    assert place.got == []


async def test_deliveries_are_listed_and_replayed_and_what_is_deleted_is_told_no_more(
    apis: Apis, place: Place
) -> None:
    account_id, key = await newcomer(apis)
    about = {"url": f"{place.url}x", "types": ["credits.*"]}
    made = (await apis.ask("POST", PATH, key=key, body=about)).body
    await apis.grant(account_id, "1")
    place.status = 500
    await deliver(apis)
    (row,) = (await apis.ask("GET", f"{PATH}/{made['id']}/deliveries", key=key)).data
    assert (row["state"], row["attempts"], row["reason"]) == ("pending", 1, "it answered 500")
    place.status = 200
    body = {"since": "2024-01-01T00:00:00Z"}
    assert (await apis.ask("POST", f"{PATH}/{made['id']}/replay", key=key, body=body)).body["replayed"] == 1
    await deliver(apis)
    (row,) = (await apis.ask("GET", f"{PATH}/{made['id']}/deliveries?state=delivered", key=key)).data
    assert row["attempts"] == 1
    assert (await apis.ask("DELETE", f"{PATH}/{made['id']}", key=key)).status == 200
    await apis.grant(account_id, "1")
    await deliver(apis)
    assert len(place.got) == 2
    assert (await apis.ask("GET", PATH, key=key)).data == []


async def test_few_urls_are_taken_and_no_address_that_is_not_public(apis: Apis) -> None:
    """And nobody learns by the answers what the operator's network looks like."""
    _, key = await newcomer(apis)
    apis.settings = replace(apis.settings, webhooks=replace_fields(allow_private=False, allow_http=False))
    for url in (
        "http://public.example/x",
        "https://user:pass@public.example",
        "https://public.example/#x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://169.254.169.254/latest",
        "https://localhost/x",
        "https://db.internal/x",
        "ftp://public.example",
        "nonsense",
        "https://" + "x" * 2_000,
    ):
        assert (await apis.ask("POST", PATH, key=key, body={"url": url})).status == 400, url
    wrong = {"url": "https://public.example", "types": ["nothing.*"]}
    assert (await apis.ask("POST", PATH, key=key, body=wrong)).status == 400
    for number in range(3):
        answer = await apis.ask("POST", PATH, key=key, body={"url": f"https://{number}.example"})
        assert answer.status == (201 if number < 2 else 409)


async def test_a_name_that_leads_into_the_network_is_not_connected_to(
    apis: Apis, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = await newcomer(apis)
    port = place.url.rstrip("/").rpartition(":")[2]
    made = (await apis.ask("POST", PATH, key=key, body={"url": f"http://inside.example:{port}/x"})).body
    apis.settings = replace(apis.settings, webhooks=replace_fields(allow_private=False))
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sent = (await apis.ask("POST", f"{PATH}/{made['id']}/test", key=key)).body
    assert (sent["delivered"], sent["reason"]) == (False, "there was no connection, or no answer in time")
    assert place.got == []


async def test_only_keys_that_decide_may_and_only_where_it_is_configured(apis: Apis) -> None:
    account_id, limited = await newcomer(apis, limits={"rpm": 5})
    answer = await apis.ask("POST", PATH, key=limited, body={"url": "https://public.example"})
    assert (answer.status, answer.error["code"]) == (403, "billing_denied")
    assert (await apis.ask("GET", PATH, key=limited)).status == 403
    apis.settings = replace(apis.settings, webhooks=Webhooks())
    _, key = await apis.key(account_id)
    assert (await apis.ask("GET", PATH, key=key)).status == 404


async def test_messages_that_are_asked_for_are_few_a_minute(apis: Apis, place: Place) -> None:
    _, key = await newcomer(apis)
    made = (await apis.ask("POST", PATH, key=key, body={"url": f"{place.url}x"})).body
    statuses = [(await apis.ask("POST", f"{PATH}/{made['id']}/test", key=key)).status for _ in range(10)]
    assert statuses == [200] * 9 + [429]


async def test_the_operator_sees_and_deletes_them(apis: Apis) -> None:
    account_id, key = await newcomer(apis)
    made = (await apis.ask("POST", PATH, key=key, body={"url": "https://public.example/x"})).body
    (listed,) = (await apis.admin("GET", f"/accounts/{account_id}/webhooks")).data
    assert (listed["id"], "secret" in listed) == (made["id"], False)
    path = f"/accounts/{account_id}/webhooks/{made['id']}"
    assert [(await apis.admin("DELETE", path)).status for _ in range(2)] == [200, 404]


def replace_fields(**changes: Any) -> Webhooks:
    return replaced(WEBHOOKS, **changes)


async def test_receivers_that_hang_hold_no_more_than_their_places(apis: Apis) -> None:
    """Each account has a few, and whoever comes later in order has its turn before one comes again."""
    keys = [await newcomer(apis) for _ in range(3)]
    for account_id, key in keys:
        for number in range(2):
            body = {"url": f"https://{account_id[5:]}.example/{number}"}
            assert (await apis.ask("POST", PATH, key=key, body=body)).status == 201
        await apis.grant(account_id, "1")
    told = list[str]()
    free = asyncio.Event()

    async def tell(endpoint: Endpoint) -> None:
        told.append(endpoint.url)
        await free.wait()

    deliveries, tasks = deliveries_of(apis), Tasks(fail)
    await deliveries.route()
    queues = AccountQueues(
        store=apis.store, clock=apis.clock, webhooks=lambda: WEBHOOKS, tasks=tasks, tell=tell, places=3
    )
    for _ in range(3):
        await queues.round()
        await asyncio.sleep(0)
    assert len(told) == len(set(told)) == 3
    free.set()
    await tasks.drain(1)
    for _ in range(3):
        await queues.round()
        await tasks.drain(1)
    assert len(set(told)) == 6
    assert len(set(told[:6])) == 6
