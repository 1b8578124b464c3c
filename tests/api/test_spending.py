"""An account limits itself by the day in cents, up to what the operator allows; and sees its funds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.ledger.groups import Groups
from proxy.ledger.rows import Limits
from tests.api.apis import ApiConfig, Apis, serving

LIMITS = "/v1/billing/spending_limits"
DOLLAR = 10**9


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def test_a_limit_that_an_account_sets_for_itself_holds_beside_the_operators(apis: Apis) -> None:
    """The lower of both is in force, and neither side changes the other's."""
    account_id = await apis.account(limits={"day": "20.00", "rpm": 7})
    _, secret = await apis.key(account_id)
    answer = await apis.ask("PUT", LIMITS, key=secret, body={"daily_limit": 1_000})
    assert (answer.status, answer.body["daily_limit"]) == (200, 1_000)
    assert [(one["window"], one["limit"]) for one in answer.data] == [("day", "10.00")]
    await apis.admin("PATCH", f"/accounts/{account_id}", {"limits": {"day": "5.00"}})
    shown = await apis.ask("GET", LIMITS, key=secret)
    assert (shown.data[0]["limit"], shown.body["daily_limit"]) == ("5.00", 1_000)
    account = (await apis.admin("GET", f"/accounts/{account_id}")).body
    assert (account["limits"]["day"], account["limits"]["own_day"], account["limits"]["rpm"]) == (
        *("5.00", "10.00"),
        7,
    )
    await apis.admin("PATCH", f"/accounts/{account_id}", {"limits": {"day": None}})
    assert (await apis.ask("GET", LIMITS, key=secret)).data[0]["limit"] == "10.00"
    lifted = await apis.ask("PUT", LIMITS, key=secret, body={"daily_limit": None})
    assert (lifted.data, lifted.body["daily_limit"]) == ([], None)


async def test_an_account_may_not_set_more_than_the_operator_allows(apis: Apis) -> None:
    """Its own limits count, and else those of its group and the defaults."""
    account_id = await apis.account()
    _, secret = await apis.key(account_id)
    apis.settings = ApiConfig(groups=Groups(Limits(day_nano=3 * DOLLAR)))
    assert (await apis.ask("PUT", LIMITS, key=secret, body={"daily_limit": 300})).status == 200
    over = await apis.ask("PUT", LIMITS, key=secret, body={"daily_limit": 301})
    assert (over.status, over.error["code"], over.error["param"]) == (400, "invalid_value", "daily_limit")
    assert (await apis.ask("GET", LIMITS, key=secret)).body["daily_limit"] == 300


async def test_a_key_that_is_limited_itself_does_not_speak_for_the_account(apis: Apis) -> None:
    account_id = await apis.account()
    _, secret = await apis.key(account_id, limits={"month": "1.00"})
    answer = await apis.ask("PUT", LIMITS, key=secret, body={"daily_limit": 1})
    assert (answer.status, answer.error["code"]) == (403, "billing_denied")


@pytest.mark.parametrize("body", [{}, {"daily_limit": -1}, {"daily_limit": 1.5}, {"daily_limit": "1"}])
async def test_a_limit_is_whole_cents(apis: Apis, body: object) -> None:
    _, secret = await apis.key(await apis.account())
    answer = await apis.ask("PUT", LIMITS, key=secret, body=body)
    assert (answer.status, answer.error["param"]) == (400, "daily_limit")


async def test_funds_are_exact_and_whole_cents_are_what_may_be_spent(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "1.239")
    await apis.hold(account_id, key_id, 10_000_000)
    funds = (await apis.ask("GET", "/v1/billing/funds", key=secret)).body
    assert (funds["amount"], funds["balance"], funds["held"], funds["available"]) == (
        *(122, "1.239"),
        *("0.01", "1.229"),
    )
