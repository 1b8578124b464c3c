"""What a key is, may and has spent, in the shapes that chat front ends ask for."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from proxy.ledger.windows import DAY_US
from tests.api.apis import NOON_US, Apis, serving

CENT = 10**7


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def spent(apis: Apis) -> tuple[str, str, str]:
    """An account with 10 dollars that has spent 0.30 in September and 0.05 in October; its key and secret."""
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id, name="a phone", limits={"month": "0.50", "rpm": 30})
    await apis.grant(account_id, "10.00")
    apis.clock.at_us = NOON_US - 10 * DAY_US
    await apis.call(account_id, key_id, 30 * CENT)
    apis.clock.at_us = NOON_US
    await apis.call(account_id, key_id, 5 * CENT)
    return account_id, key_id, secret


@pytest.mark.parametrize("prefix", ["/dashboard/billing", "/v1/dashboard/billing"])
async def test_the_old_dashboard_has_a_month_and_what_is_left_of_it(
    apis: Apis, spent: tuple[str, str, str], prefix: str
) -> None:
    """The limit less what was charged in the month, in cents, is what may still be spent."""
    secret = spent[2]
    subscription = (await apis.ask("GET", f"{prefix}/subscription", key=secret)).body
    assert subscription["object"] == "billing_subscription"
    assert Decimal(str(subscription["hard_limit_usd"])) == Decimal("0.50")
    assert Decimal(str(subscription["system_hard_limit_usd"])) == Decimal("9.70")
    usage = (await apis.ask("GET", f"{prefix}/usage", key=secret)).body
    assert usage["total_usage"] == 5
    assert [(day["timestamp"], day["line_items"]) for day in usage["daily_costs"]] == [
        (20_000 * 86_400, [{"name": "demo", "cost": 5.0}])
    ]
    days = "start_date=2024-09-01&end_date=2024-10-04"
    assert (await apis.ask("GET", f"{prefix}/usage?{days}", key=secret)).body["total_usage"] == 30
    grants = (await apis.ask("GET", f"{prefix}/credit_grants", key=secret)).body
    assert (grants["total_granted"], grants["total_used"], grants["total_available"]) == (10.0, 0.35, 9.65)
    (lot,) = grants["grants"]["data"]
    assert (lot["grant_amount"], lot["used_amount"], lot["expires_at"]) == (10.0, 0.35, None)


async def test_a_key_inspects_itself(apis: Apis, spent: tuple[str, str, str]) -> None:
    account_id, _, secret = spent
    found = (await apis.ask("GET", "/v1/key", key=secret)).body["data"]
    assert found["label"].startswith("a phone (...")
    assert (found["limit"], found["limit_remaining"], found["limit_reset"]) == (0.5, 0.45, "monthly")
    names = ("usage", "usage_daily", "usage_weekly", "usage_monthly")
    assert [found[name] for name in names] == [0.35, 0.05, 0.05, 0.05]
    assert found["rate_limit"] == {"requests": 30, "interval": "1m"}
    assert found["is_free_tier"] is True
    await apis.grant(account_id, "1.00", kind="purchase")
    assert (await apis.ask("GET", "/v1/key", key=secret)).body["data"]["is_free_tier"] is False


async def test_without_limits_a_key_has_none(apis: Apis) -> None:
    _, secret = await apis.key(await apis.account())
    found = (await apis.ask("GET", "/v1/key", key=secret)).body["data"]
    assert (found["limit"], found["limit_remaining"], found["limit_reset"]) == (None, None, None)
    assert found["rate_limit"]["requests"] == -1
    assert found["expires_at"] is None


async def test_credits_less_usage_is_what_is_left(apis: Apis, spent: tuple[str, str, str]) -> None:
    found = (await apis.ask("GET", "/v1/credits", key=spent[2])).body["data"]
    assert (found["total_credits"], found["total_usage"]) == (10.0, 0.35)


@pytest.mark.parametrize("days", ["start_date=2024-10-04&end_date=2024-10-04", "start_date=1999-01-01"])
async def test_impossible_days_are_refused(apis: Apis, spent: tuple[str, str, str], days: str) -> None:
    answer = await apis.ask("GET", f"/v1/dashboard/billing/usage?{days}", key=spent[2])
    assert (answer.status, answer.error["param"]) == (400, "start_date")


async def test_nobody_inspects_without_a_key(apis: Apis) -> None:
    for path in ("/v1/key", "/v1/credits", "/dashboard/billing/subscription"):
        assert (await apis.ask("GET", path, key="sk-fbx-unknown")).status == 401
