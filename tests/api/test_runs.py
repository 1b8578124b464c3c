"""What runs cost, as their account and the admin see it, and live within bounds."""

import asyncio
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace

from proxy.api.billing.runs import StreamBounds
from proxy.ledger.commands import Settle
from proxy.ledger.rows import Outcome
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
from proxy.pricing.runs import in_run
from tests.api.apis import Apis, serving

QUICK = StreamBounds(looks=40, look_seconds=0.01, heartbeat_looks=2)


async def step(apis: Apis, account_id: str, key_id: str, run_id: str, nano: int) -> str:
    """A call of a run that costs so much without a markup of a fifth."""
    call = replace(await apis.hold(account_id, key_id, 2 * nano), run_id=run_id)
    card = in_run(RateCard("tool", (), (Rate("requests", Fraction(nano), 1),)), run_id, "0.2")
    outcome = Outcome("complete", 200, "per_call", {"requests": 1}, apis.clock.at_us)
    charge = price(card, {"requests": 1})
    await apis.ledger.settle(Settle(call, apis.clock.at_us, apis.clock.at_us, outcome, charge))
    return call.id


async def begun(apis: Apis) -> tuple[str, str, str]:
    """An account with money: its id, a key and its secret."""
    account_id = await apis.account()
    await apis.grant(account_id, "10.00")
    return account_id, *(await apis.key(account_id))


async def test_runs_are_shown_to_their_account_and_the_admin_alone(tmp_path: Path) -> None:
    """Another account's is answered like one that never was."""
    async with serving(tmp_path) as apis:
        account_id, key_id, secret = await begun(apis)
        _, _, other = await begun(apis)
        ids = [await step(apis, account_id, key_id, "trip", nano) for nano in (500, 100, 200)]
        await step(apis, account_id, key_id, "visit", 10)
        listed = await apis.ask("GET", "/v1/billing/runs", key=secret)
        assert [(row["id"], row["total"]) for row in listed.data] == [
            ("trip", "0.00000096"),
            ("visit", "0.000000012"),
        ]
        assert (await apis.admin("GET", f"/accounts/{account_id}/runs")).body == listed.body
        page = await apis.ask("GET", "/v1/billing/runs?limit=1", key=secret)
        after = await apis.ask("GET", f"/v1/billing/runs?cursor={page.body['next_cursor']}", key=secret)
        assert [row["id"] for row in (*page.data, *after.data)] == ["trip", "visit"]
        whole = await apis.ask("GET", "/v1/billing/runs/trip?limit=2", key=secret)
        assert (whole.body["subtotal"], whole.body["markup"]) == ("0.0000008", "0.00000016")
        steps = whole.body["steps"]
        assert [each["id"] for each in steps["data"]] == ids[:0:-1]
        rest = await apis.ask("GET", f"/v1/billing/runs/trip?cursor={steps['next_cursor']}", key=secret)
        assert [each["id"] for each in rest.body["steps"]["data"]] == ids[:1]
        assert (await apis.admin("GET", f"/accounts/{account_id}/runs/trip?limit=2")).body == whole.body
        for path in ("/v1/billing/runs/trip", "/v1/billing/runs/trip/events", "/v1/billing/runs/nothing"):
            answer = await apis.ask("GET", path, key=other)
            assert (answer.status, answer.error["code"]) == (404, "not_found"), path
        assert (await apis.ask("GET", "/v1/billing/runs", key=other)).data == []


async def events_of(session: ClientSession, url: str, secret: str, count: int) -> list[tuple[str, Any]]:
    """The first events of a stream."""
    found: list[tuple[str, Any]] = []
    async with session.get(url, headers={"Authorization": f"Bearer {secret}"}) as response:
        assert response.content_type == "text/event-stream"
        name = ""
        async for raw in response.content:
            kind, _, text = raw.decode().strip().partition(": ")
            name = text if kind == "event" else name
            if kind == "data":
                found.append((name, json.loads(text)))
            if len(found) == count:
                break
    return found


async def test_a_stream_tells_each_step_once_and_the_sum_after_it(tmp_path: Path) -> None:
    async with serving(tmp_path, run_streams=QUICK) as apis, ClientSession() as session:
        account_id, key_id, secret = await begun(apis)
        ids = [await step(apis, account_id, key_id, "trip", 500)]
        url = f"{apis.url.rstrip('/')}/v1/billing/runs/trip/events"
        reading = asyncio.ensure_future(events_of(session, url, secret, 4))
        await asyncio.sleep(0.1)
        ids.append(await step(apis, account_id, key_id, "trip", 100))
        events = await reading
        assert [name for name, _ in events] == ["step", "run", "step", "run"]
        assert [data["id"] for name, data in events if name == "step"] == ids
        assert [data["total"] for name, data in events if name == "run"] == ["0.0000006", "0.00000072"]


@pytest.mark.parametrize(
    ("bounds", "refused"),
    [(QUICK, (429, "concurrency_limit_exceeded")), (replace(QUICK, at_once=4), (503, "overloaded"))],
)
async def test_streams_are_bounded_in_number_and_in_time(
    bounds: StreamBounds, refused: tuple[int, str], tmp_path: Path
) -> None:
    """One account cannot take all there are; what ends gives its place back, and quiet ones still say so."""
    async with serving(tmp_path, run_streams=bounds) as apis, ClientSession() as session:
        account_id, key_id, secret = await begun(apis)
        await step(apis, account_id, key_id, "trip", 500)
        url = f"{apis.url.rstrip('/')}/v1/billing/runs/trip/events"
        headers = {"Authorization": f"Bearer {secret}"}
        path = "/v1/billing/runs/trip/events"
        for _ in range(2):
            open_ones = [await session.get(url, headers=headers) for _ in range(bounds.of_account)]
            answer = await apis.ask("GET", path, key=secret)
            assert (answer.status, answer.error["code"]) == refused
            texts = [(await each.read()).decode() for each in open_ones]
            assert all(text.count("event: run") == 1 and ": nothing new" in text for text in texts)
