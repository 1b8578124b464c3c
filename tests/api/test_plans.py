"""Plans: shown to the account and the operator, and changed by the customer where they are offered."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.config.holdings import Holdings
from proxy.ledger.dues import Dues, Fee, Renewal
from proxy.ledger.groups import Group, Groups
from proxy.ledger.rows import Limits
from proxy.ledger.windows import DAY_US
from tests.api.apis import ApiConfig, Apis, serving

PATH = "/v1/billing/plan"
BASIC = Group("basic", Limits(rpm=600), dues=Dues(fee=Fee(29_000_000_000)), is_offered=True)
PRO = Group("pro", Limits(rpm=3_000), ("a*",), "1", Dues(Renewal(10**9), Fee(49_000_000_000)), True)
CLOSED = Group("closed", dues=Dues(fee=Fee(5_000_000_000)))
DATED = {"since": "2024-10-04T12:00:00Z", "paid_until": "2024-11-04T12:00:00Z"}


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        groups = {group.name: group for group in (BASIC, PRO, CLOSED)}
        running.settings = ApiConfig(groups=Groups(groups=groups))
        yield running


async def newcomer(apis: Apis, amount: str = "100", **limits: str) -> tuple[str, str]:
    account_id = await apis.account()
    await apis.grant(account_id, amount)
    return account_id, (await apis.key(account_id, limits=limits))[1]


async def test_what_is_due_in_a_group_is_done_before_an_account_is_moved(apis: Apis) -> None:
    """By the operator, or for what it holds: a month that is over is owed, whoever looked meanwhile."""
    ladder = {"committed": Group("committed", dues=Dues(minimum_nano=10**10)), "usual": Group("usual")}
    holdings = Holdings("whsec_" + "A" * 32, ((1, "committed"), (10, "usual")))
    apis.settings = ApiConfig(groups=Groups(groups=ladder), holdings=holdings)
    moved, held = [await apis.account(group="committed") for _ in range(2)]
    for account_id in (moved, held):
        await apis.grant(account_id, "100")
    apis.clock.at_us += 59 * DAY_US
    await apis.admin("PATCH", f"/accounts/{moved}", {"group": "usual"})
    await apis.admin("PUT", f"/accounts/{held}/holdings", {"held": 10})
    for account_id in (moved, held):
        account = (await apis.admin("GET", f"/accounts/{account_id}")).body
        entries = (await apis.admin("GET", f"/accounts/{account_id}/entries")).data
        fees = [each for each in entries if each["kind"] == "fee"]
        assert (account["group"], len(fees), fees[0]["amount"]) == ("usual", 2, "-10.00")


async def test_the_plans_are_listed_that_a_customer_may_choose(apis: Apis) -> None:
    _, secret = await newcomer(apis)
    basic, pro = (await apis.ask("GET", "/v1/billing/plans", key=secret)).data
    assert (basic["id"], basic["fee"], basic["limits"]["rpm"], basic["renewal"]) == (
        "basic",
        "29.00",
        600,
        None,
    )
    assert (pro["models"], pro["renewal"]) == (["a*"], {"amount": "1.00", "every": "day"})


async def test_a_plan_is_chosen_paid_and_left(apis: Apis) -> None:
    account_id, secret = await newcomer(apis)
    assert (await apis.ask("GET", PATH, key=secret)).body["plan"] is None
    answer = await apis.ask("PUT", PATH, key=secret, body={"plan": "pro"})
    assert answer.status == 200, answer
    shown = {name: answer.body[name] for name in DATED}
    assert (answer.body["plan"]["id"], shown) == ("pro", DATED)
    assert answer.body["next_renewal_at"] == "2024-10-05T00:00:00Z"
    again = await apis.ask("PUT", PATH, key=secret, body={"plan": "pro"})
    assert again.body == answer.body == (await apis.admin("GET", f"/accounts/{account_id}/plan")).body
    left = await apis.ask("PUT", PATH, key=secret, body={"plan": None})
    assert (left.body["plan"], left.body["since"]) == (None, None)
    entries = (await apis.ask("GET", "/v1/billing/entries", key=secret)).data
    assert [(entry["kind"], entry["amount"]) for entry in entries] == [
        *(("grant", "49.00"), ("grant", "1.00"), ("fee", "-49.00"), ("grant", "100.00"))
    ]


async def test_what_cannot_be_chosen_is_refused_and_changes_nothing(apis: Apis) -> None:
    account_id, secret = await newcomer(apis, "28.999999999")
    for body, status, code in (
        ({"plan": "basic"}, 402, "request_exceeds_balance"),
        ({"plan": "closed"}, 404, "not_found"),
        ({"plan": "nothing"}, 404, "not_found"),
        ({"plan": ""}, 400, "invalid_value"),
        ({}, 400, "invalid_value"),
    ):
        answer = await apis.ask("PUT", PATH, key=secret, body=body)
        assert (answer.status, answer.error["code"]) == (status, code), body
    assert (await apis.ask("GET", PATH, key=secret)).body["plan"] is None
    await apis.admin("PATCH", f"/accounts/{account_id}", {"group": "closed"})
    assert (await apis.ask("PUT", PATH, key=secret, body={"plan": None})).status == 409
    await apis.admin("PATCH", f"/accounts/{account_id}", {"group": "", "status": "suspended"})
    assert (await apis.ask("PUT", PATH, key=secret, body={"plan": "basic"})).status == 402


async def test_a_key_with_limits_of_its_own_does_not_speak_for_the_account(apis: Apis) -> None:
    """Whatever they are of."""
    account_id, _ = await newcomer(apis)
    every: list[dict[str, object]] = [{"day": "1"}, {"rpm": 10}, {"concurrency": 1}]
    for limits in every:
        _, secret = await apis.key(account_id, limits=limits)
        answer = await apis.ask("PUT", PATH, key=secret, body={"plan": "basic"})
        assert (answer.status, answer.error["code"]) == (403, "billing_denied"), limits


async def test_a_plan_is_not_changed_without_end(apis: Apis) -> None:
    _, secret = await newcomer(apis)
    found = [
        (await apis.ask("PUT", PATH, key=secret, body={"plan": ("pro", "basic")[turn % 2]})).status
        for turn in range(11)
    ]
    assert found == [200] * 10 + [429]


async def test_an_operator_moves_an_account_and_its_fee_follows_at_once(apis: Apis) -> None:
    account_id, _ = await newcomer(apis)
    answer = await apis.admin("PATCH", f"/accounts/{account_id}", {"group": "closed"})
    assert answer.body["balance"] == "95.00"
    found = (await apis.admin("GET", f"/accounts/{account_id}/plan")).body
    assert (found["plan"]["fee"], found["paid_until"]) == ("5.00", DATED["paid_until"])
    answer = await apis.admin("PATCH", f"/accounts/{account_id}", {"group": ""})
    assert answer.body["balance"] == "100.00"


async def test_a_fee_that_is_wanting_shows(apis: Apis) -> None:
    grace = Group("grace", dues=Dues(fee=Fee(5_000_000_000, grace_us=10**12)))
    apis.settings = ApiConfig(groups=Groups(groups={"grace": grace}))
    account_id = await apis.account()
    await apis.admin("PATCH", f"/accounts/{account_id}", {"group": "grace"})
    found = (await apis.admin("GET", f"/accounts/{account_id}/plan")).body
    assert (found["paid_until"], found["unpaid_since"]) == (None, DATED["since"])
