"""The command line about plans, and about what accounts hold elsewhere."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.config.holdings import Holdings
from proxy.ledger.dues import Dues, Fee
from proxy.ledger.groups import Group, Groups
from tests.api.apis import ApiConfig, Apis, serving
from tests.test_cli import ask


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def test_the_plan_of_an_account_is_shown(apis: Apis) -> None:
    plan = Group("pro", dues=Dues(fee=Fee(49_000_000_000)))
    apis.settings = ApiConfig(groups=Groups(groups={"pro": plan}))
    account_id = await apis.account()
    assert "none" in (await ask(apis, "accounts", "plan", account_id)).out
    await apis.grant(account_id, "50")
    await ask(apis, "accounts", "update", account_id, "--group", "pro")
    shown = (await ask(apis, "accounts", "plan", account_id)).out
    assert all(word in shown for word in ("pro", "49.00", "paid until", "2024-11-04T12:00:00Z"))


async def test_what_an_account_holds_decides_its_group(apis: Apis) -> None:
    groups = Groups(groups={"gold": Group("gold")})
    apis.settings = ApiConfig(groups=groups, holdings=Holdings("", ((900, "gold"),)))
    account_id = await apis.account()
    assert "gold" in (await ask(apis, "accounts", "holdings", account_id, "900")).out
    early = ("--as-of", "2024-10-01T00:00:00Z")
    assert "gold" in (await ask(apis, "accounts", "holdings", account_id, "5", *early)).out
