"""The billing API: an account sees its own books with any of its keys, and no other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.ledger.groups import Groups
from proxy.ledger.rows import Limits
from proxy.ledger.windows import DAY_US
from proxy.money import Unit
from tests.api.apis import ADMIN_KEY, Answer, ApiConfig, Apis, serving

PATHS = ("balance", "lots", "spending_limits", "usage", "receipts", "entries")


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def billing(apis: Apis, secret: str | None, path: str) -> Answer:
    return await apis.ask("GET", f"/v1/billing/{path}", key=secret)


# --- who may ask ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PATHS, "receipts/call_1"])
@pytest.mark.parametrize(
    ("secret", "code"),
    [(None, "missing_api_key"), ("sk-fbx-unknown", "invalid_api_key"), (ADMIN_KEY, "invalid_api_key")],
)
async def test_only_an_accounts_key_opens_the_billing_api(
    apis: Apis, path: str, secret: str | None, code: str
) -> None:
    answer = await billing(apis, secret, path)
    assert (answer.status, answer.error["code"]) == (401, code)


async def test_a_disabled_key_is_refused_from_the_next_request_on(apis: Apis) -> None:
    key_id, secret = await apis.key(await apis.account())
    assert (await billing(apis, secret, "balance")).status == 200
    await apis.admin("PATCH", f"/keys/{key_id}", {"status": "disabled"})
    answer = await billing(apis, secret, "balance")
    assert (answer.status, answer.error["code"]) == (401, "api_key_disabled")


async def test_a_key_is_refused_from_its_expiry_on(apis: Apis) -> None:
    _, secret = await apis.key(await apis.account(), expires_at="2024-10-05T12:00:00Z")
    apis.clock.at_us += DAY_US - 1
    assert (await billing(apis, secret, "balance")).status == 200
    apis.clock.at_us += 1
    answer = await billing(apis, secret, "balance")
    assert (answer.status, answer.error["code"]) == (401, "api_key_expired")


async def test_a_suspended_account_may_still_read(apis: Apis) -> None:
    account_id = await apis.account()
    _, secret = await apis.key(account_id)
    await apis.admin("PATCH", f"/accounts/{account_id}", {"status": "suspended"})
    answers = [await billing(apis, secret, path) for path in PATHS]
    assert {answer.status for answer in answers} == {200}
    assert answers[0].body["status"] == "suspended"


async def test_an_account_sees_nothing_of_another(apis: Apis) -> None:
    """Nothing of a rich neighbour shows in any answer, nor does the existence of its calls."""
    rich = await apis.account("rich")
    rich_key, _ = await apis.key(rich)
    await apis.grant(rich, "777")
    call_id = await apis.call(rich, rich_key, 77_000)
    _, secret = await apis.key(await apis.account("poor"))
    for path in (*PATHS, f"receipts?key_id={rich_key}", "usage?group_by=key"):
        answer = await billing(apis, secret, path)
        assert answer.status == 200
        assert not any(trace in str(answer.body) for trace in (rich, rich_key, call_id, "777"))
    theirs = await billing(apis, secret, f"receipts/{call_id}")
    nobodys = await billing(apis, secret, "receipts/call_none")
    assert (
        (theirs.status, theirs.error["code"]) == (nobodys.status, nobodys.error["code"]) == (404, "not_found")
    )
    assert theirs.error["message"].replace(call_id, "") == nobodys.error["message"].replace("call_none", "")


# --- what is shown ----------------------------------------------------------------------------------------


async def test_the_balance_adds_up(apis: Apis) -> None:
    account_id = await apis.account(credit_limit="2")
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "5")
    await apis.call(account_id, key_id, 1_000_000_000)
    await apis.hold(account_id, key_id, 500_000_000)
    body = (await billing(apis, secret, "balance")).body
    assert body == {
        "object": "balance",
        "account_id": account_id,
        "status": "active",
        "balance": "4.00",
        "held": "0.50",
        "available": "5.50",
        "debt": "0.00",
        "credit_limit": "2.00",
    }


async def test_amounts_are_shown_in_the_configured_unit_too(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "5")
    call_id = await apis.call(account_id, key_id, 55_000)
    apis.settings = ApiConfig(unit=Unit("credits", 10_000))
    assert (await billing(apis, secret, "balance")).body["display"]["available"] == "49999.45"
    receipt = (await billing(apis, secret, f"receipts/{call_id}")).body
    assert receipt["display"] == {
        "unit": "credits",
        "total": "0.55",
        "charged": "0.55",
        "shortfall": "0.00",
        "owed": "0.00",
        "refunded": "0.00",
        "hold": "0.55",
    }
    assert receipt["lines"][0]["display"] == {"unit": "credits", "amount": "0.55", "price": "0.55"}


async def test_expired_credit_is_no_balance_and_no_lot(apis: Apis) -> None:
    account_id = await apis.account()
    _, secret = await apis.key(account_id)
    await apis.grant(account_id, "5", expires_at="2024-10-05T00:00:00Z")
    await apis.grant(account_id, "1")
    apis.clock.at_us += DAY_US
    assert [lot["remaining"] for lot in (await billing(apis, secret, "lots")).data] == ["1.00"]
    assert (await billing(apis, secret, "balance")).body["balance"] == "1.00"
    kinds = [entry["kind"] for entry in (await billing(apis, secret, "entries")).data]
    assert kinds == ["expire", "grant", "grant"]


async def test_spending_limits_are_the_accounts_the_defaults_and_the_keys(apis: Apis) -> None:
    apis.settings = ApiConfig(groups=Groups(Limits(month_nano=9_000_000_000)))
    account_id = await apis.account(limits={"day": "3"})
    key_id, secret = await apis.key(account_id, limits={"total": "2"})
    await apis.grant(account_id, "5")
    await apis.call(account_id, key_id, 1_500_000_000)
    await apis.hold(account_id, key_id, 250_000_000)
    rows = (await billing(apis, secret, "spending_limits")).data
    names = ("scope", "window", "limit", "spent", "held", "remaining", "resets_at")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("account", "day", "3.00", "1.50", "0.25", "1.25", "2024-10-05T00:00:00Z"),
        ("account", "month", "9.00", "1.50", "0.25", "7.25", "2024-11-01T00:00:00Z"),
        ("key", "total", "2.00", "1.50", "0.25", "0.25", None),
    ]


async def test_a_limit_that_was_lowered_below_what_is_spent_leaves_nothing(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "5")
    await apis.call(account_id, key_id, 2_000_000_000)
    await apis.admin("PATCH", f"/accounts/{account_id}", {"limits": {"day": "1"}})
    (row,) = (await billing(apis, secret, "spending_limits")).data
    assert (row["limit"], row["spent"], row["remaining"]) == ("1.00", "2.00", "0.00")


async def test_a_receipt_explains_the_charge_and_keeps_the_upstream_to_itself(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "5")
    call_id = await apis.call(account_id, key_id, 14_000)
    receipt = (await billing(apis, secret, f"receipts/{call_id}")).body
    assert (receipt["basis"], receipt["charged"], receipt["price_id"]) == ("reported", "0.000014", "demo@1")
    assert receipt["usage"] == {"input_tokens": 11, "output_tokens": 7}
    assert "upstream" not in str(receipt)
    assert (await billing(apis, secret, "receipts")).data == [receipt]


async def test_receipts_are_filtered_by_model_and_key_and_paged(apis: Apis) -> None:
    account_id = await apis.account()
    keys = [await apis.key(account_id) for _ in range(2)]
    await apis.grant(account_id, "5")
    made = [
        await apis.call(account_id, key_id, 1, model=model)
        for key_id, _ in keys
        for model in ("demo", "other")
    ]
    secret = keys[0][1]
    by_key = (await billing(apis, secret, f"receipts?key_id={keys[1][0]}")).data
    by_model = (await billing(apis, secret, "receipts?model=demo")).data
    assert [call["id"] for call in by_key] == [made[3], made[2]]
    assert [call["id"] for call in by_model] == [made[2], made[0]]
    first = (await billing(apis, secret, "receipts?limit=3")).body
    rest = (await billing(apis, secret, f"receipts?limit=3&cursor={first['next_cursor']}")).body
    assert [call["id"] for call in (*first["data"], *rest["data"])] == made[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)


@pytest.mark.parametrize(("group_by", "groups"), [("day", 2), ("model", 2), ("key", 1)])
async def test_usage_is_summed_by_day_model_or_key(apis: Apis, group_by: str, groups: int) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "5")
    for model in ("demo", "other"):
        await apis.call(account_id, key_id, 1_000_000, model=model)
        apis.clock.at_us += DAY_US
    report = (await billing(apis, secret, f"usage?group_by={group_by}")).body
    assert len(report["data"]) == groups
    assert report["total"] == {
        "requests": 2,
        "input_tokens": 22,
        "cached_input_tokens": 0,
        "output_tokens": 14,
        "total_tokens": 36,
        "charged": "0.002",
    }


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("usage?group_by=account", "group_by"),
        ("usage?account_id=acct_1", "account_id"),
        ("usage?start_date=2000-01-01", "start_date"),
        ("receipts?account_id=acct_1", "account_id"),
        ("receipts?limit=1000", "limit"),
        ("lots?cursor=@", "cursor"),
        ("balance?x=1", "x"),
    ],
)
async def test_a_query_that_is_wrong_is_refused_by_its_name(apis: Apis, path: str, param: str) -> None:
    _, secret = await apis.key(await apis.account())
    answer = await billing(apis, secret, path)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "invalid_value", param)


async def test_the_entries_sum_to_the_balance(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "5")
    for _ in range(3):
        await apis.call(account_id, key_id, 1_234_567)
    entries = (await billing(apis, secret, "entries")).data
    assert [entry["seq"] for entry in entries] == [4, 3, 2, 1]
    assert [entry["amount"] for entry in entries] == ["-0.001234567"] * 3 + ["5.00"]
    assert (
        entries[0]["balance_after"]
        == (await billing(apis, secret, "balance")).body["balance"]
        == "4.996296299"
    )
