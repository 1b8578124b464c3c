"""Holdings: told with the admin key, or by an event with a right signature, they decide about the group."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from proxy.config.holdings import Holdings
from proxy.ledger.dues import Dues, Renewal
from proxy.ledger.groups import Group, Groups
from tests.api.apis import Answer, ApiConfig, Apis, serving

SECRET = "whsec_" + "A" * 32
GOLD = Group("gold", dues=Dues(Renewal(10**9)))


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        groups = Groups(groups={"bronze": Group("bronze"), "gold": GOLD, "other": Group("other")})
        running.settings = ApiConfig(
            groups=groups, holdings=Holdings(SECRET, ((10, "bronze"), (13_000_000, "gold")))
        )
        yield running


async def held(apis: Apis, account_id: str, body: object) -> Answer:
    return await apis.admin("PUT", f"/accounts/{account_id}/holdings", body)


async def told(apis: Apis, data: object, *, secret: str = SECRET, late: int = 0, spoil: str = "") -> Answer:
    now = datetime.now(UTC) - timedelta(seconds=late)
    event = {"type": "holdings.updated", "timestamp": "2024-10-04T11:00:00Z", "data": data, "more": 1}
    body = json.dumps(event)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body),
    }
    sent = (body + spoil).encode()
    return await apis.ask("POST", "/v1/webhooks/holdings", key=None, body=sent, headers=headers)


async def test_the_operator_tells_what_an_account_holds(apis: Apis) -> None:
    """It gets at once what its new group gives."""
    account_id = await apis.account()
    answer = await held(apis, account_id, {"held": 13_000_000})
    assert (answer.status, answer.body) == (
        200,
        {
            "object": "holdings",
            "account_id": account_id,
            "held": 13_000_000,
            "as_of": "2024-10-04T12:00:00Z",
            "group": "gold",
        },
    )
    assert (await apis.admin("GET", f"/accounts/{account_id}")).body["balance"] == "1.00"
    answer = await held(apis, account_id, {"held": 5, "as_of": "2024-10-04T11:59:59Z"})
    assert (answer.body["held"], answer.body["group"]) == (13_000_000, "gold")
    assert (await held(apis, account_id, {"held": 9})).body["group"] == ""


async def test_what_cannot_be_is_refused(apis: Apis) -> None:
    account_id, other_id = await apis.account(), await apis.account(group="other")
    for id_, body, status in (
        (account_id, {"held": -1}, 400),
        (account_id, {"held": 5, "as_of": "2024-10-04T13:00:00Z"}, 400),
        (account_id, {}, 400),
        ("acct_nobody", {"held": 5}, 404),
        (other_id, {"held": 5}, 409),
    ):
        assert (await held(apis, id_, body)).status == status, body
    path = f"/admin/v1/accounts/{account_id}/holdings"
    assert (await apis.ask("PUT", path, key="wrong", body={"held": 5})).status == 401


async def test_an_event_tells_the_same_if_its_signature_is_right(apis: Apis) -> None:
    account_id = await apis.account()
    answer = await told(apis, {"account_id": account_id, "held": 10, "note": "on the chain"})
    assert (answer.body["group"], answer.body["as_of"]) == ("bronze", "2024-10-04T11:00:00Z")
    again = await told(apis, {"account_id": account_id, "held": 10})
    assert again.body == answer.body


async def test_an_event_without_a_right_signature_changes_nothing(apis: Apis) -> None:
    account_id = await apis.account()
    data = {"account_id": account_id, "held": 10}
    for answer in (
        await told(apis, data, secret="whsec_" + "B" * 32),
        await told(apis, data, late=600),
        await told(apis, data, spoil=" "),
        await apis.ask("POST", "/v1/webhooks/holdings", key=None, body=data),
        await apis.ask(
            "POST",
            "/v1/webhooks/holdings",
            key=None,
            body=b"\xff",
            headers={"webhook-id": "a", "webhook-timestamp": "b", "webhook-signature": "c"},
        ),
    ):
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    large = await apis.ask("POST", "/v1/webhooks/holdings", key=None, body=b"x" * 20_000)
    assert large.status == 413
    assert (await apis.admin("GET", f"/accounts/{account_id}")).body["group"] == ""


async def test_without_a_secret_there_is_no_such_path(apis: Apis) -> None:
    account_id = await apis.account()
    apis.settings = ApiConfig()
    assert (await told(apis, {"account_id": account_id, "held": 10})).status == 404
