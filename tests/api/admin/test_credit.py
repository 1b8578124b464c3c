"""The admin API's grants and adjustments: once, exact, and never below what is available."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.ledger.windows import DAY_US
from proxy.money import Unit
from tests.api.apis import ApiConfig, Apis, serving


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def test_a_grant_answers_with_its_entry_and_makes_a_lot(apis: Apis) -> None:
    account_id = await apis.account()
    answer = await apis.grant(
        account_id, "12.5", kind="bonus", priority=7, expires_at="2025-01-01T00:00:00Z", note="welcome"
    )
    entry = answer.body
    assert (entry["kind"], entry["amount"], entry["balance_after"], entry["note"]) == (
        "grant",
        "12.50",
        "12.50",
        "welcome",
    )
    (lot,) = (await apis.admin("GET", f"/accounts/{account_id}/lots")).data
    assert (lot["kind"], lot["priority"], lot["expires_at"]) == ("bonus", 7, "2025-01-01T00:00:00Z")
    assert (lot["amount"], lot["remaining"], lot["status"]) == ("12.50", "12.50", "active")
    assert entry["draws"] == [{"lot_id": lot["id"], "amount": "12.50"}]


async def test_a_repeated_grant_is_answered_the_same_and_given_once(apis: Apis) -> None:
    account_id = await apis.account()
    path, body = f"/accounts/{account_id}/grants", {"amount": "3", "expires_at": "2024-10-05T00:00:00Z"}
    headers = {"Idempotency-Key": "order-17"}
    first = await apis.admin("POST", path, body, headers=headers)
    await apis.grant(account_id, "1")
    apis.clock.at_us += 2 * DAY_US
    again = await apis.admin("POST", path, body, headers=headers)
    assert (again.status, again.body) == (first.status, first.body)
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    entries = (await apis.admin("GET", f"/accounts/{account_id}/entries")).data
    assert [entry["kind"] for entry in entries] == ["expire", "grant", "grant"]


async def test_one_idempotency_key_is_good_for_one_command(apis: Apis) -> None:
    account_id = await apis.account()
    headers = {"Idempotency-Key": "order-17"}
    await apis.admin("POST", f"/accounts/{account_id}/grants", {"amount": "3"}, headers=headers)
    answer = await apis.admin("POST", f"/accounts/{account_id}/grants", {"amount": "4"}, headers=headers)
    assert (answer.status, answer.error["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize("value", ["", "x" * 256, "two words"])
@pytest.mark.parametrize("path", ["grants", "adjustments"])
async def test_money_moves_only_under_an_idempotency_key(apis: Apis, path: str, value: str) -> None:
    account_id = await apis.account()
    body = {"amount": "1", "reason": "x"} if path == "adjustments" else {"amount": "1"}
    headers = {"Idempotency-Key": value}
    answer = await apis.admin("POST", f"/accounts/{account_id}/{path}", body, headers=headers)
    assert (answer.status, answer.error["param"]) == (400, "Idempotency-Key")


async def test_a_grant_repays_debt_first(apis: Apis) -> None:
    account_id = await apis.account(credit_limit="5")
    key_id, _ = await apis.key(account_id)
    await apis.call(account_id, key_id, 2_000_000_000)
    entry = (await apis.grant(account_id, "3")).body
    assert (entry["balance_after"], entry["debt_after"], entry["draws"][0]["amount"]) == (
        "1.00",
        "0.00",
        "1.00",
    )


async def test_an_adjustment_goes_both_ways_and_never_below_what_is_available(apis: Apis) -> None:
    account_id = await apis.account()
    path = f"/accounts/{account_id}/adjustments"
    up = await apis.admin("POST", path, {"amount": "2", "reason": "sorry"})
    down = await apis.admin("POST", path, {"amount": "-0.5", "reason": "typo"})
    too_far = await apis.admin("POST", path, {"amount": "-9", "reason": "typo"})
    assert (up.body["amount"], up.body["note"], down.body["amount"]) == ("2.00", "sorry", "-0.50")
    assert down.body["balance_after"] == "1.50"
    assert (too_far.status, too_far.error["code"]) == (409, "conflict")


async def test_amounts_are_exact_to_the_nano_dollar(apis: Apis) -> None:
    account_id = await apis.account()
    assert (await apis.grant(account_id, "0.000000001")).body["amount"] == "0.000000001"
    path = f"/accounts/{account_id}/grants"
    finer = await apis.admin("POST", path, {"amount": "0.0000000001"})
    assert (finer.status, finer.error["param"]) == (400, "amount")


async def test_the_configured_unit_is_taken_and_shown_beside_us_dollars(apis: Apis) -> None:
    apis.settings = ApiConfig(unit=Unit("credits", 10_000))
    account_id = await apis.account(limits={"day": "500 credits"})
    entry = (await apis.grant(account_id, "25000 credits")).body
    assert (entry["amount"], entry["display"]["unit"], entry["display"]["amount"]) == (
        "2.50",
        "credits",
        "25000.00",
    )
    account = (await apis.admin("GET", f"/accounts/{account_id}")).body
    assert account["display"]["balance"] == "25000.00"
    assert account["spending"][0]["display"]["limit"] == "500.00"


async def test_credit_whose_time_has_come_is_gone_when_the_account_is_looked_at(apis: Apis) -> None:
    account_id = await apis.account()
    await apis.grant(account_id, "3", expires_at="2024-10-05T00:00:00Z")
    apis.clock.at_us += DAY_US
    for path in (f"/accounts/{account_id}", "/accounts"):
        body = (await apis.admin("GET", path)).body
        assert (body["data"][0] if "data" in body else body)["balance"] == "0.00"
    assert (await apis.admin("GET", f"/accounts/{account_id}/lots")).data == []


async def test_a_void_takes_what_is_left_of_a_lot_once(apis: Apis) -> None:
    account_id = await apis.account()
    await apis.grant(account_id, "3", kind="bonus")
    (lot,) = (await apis.admin("GET", f"/accounts/{account_id}/lots")).data
    path, headers = f"/accounts/{account_id}/lots/{lot['id']}/void", {"Idempotency-Key": "void-1"}
    first = await apis.admin("POST", path, {"reason": "a mistake"}, headers=headers)
    again = await apis.admin("POST", path, {"reason": "a mistake"}, headers=headers)
    entry = first.body
    assert (entry["kind"], entry["amount"], entry["ref"]) == ("void", "-3.00", lot["id"])
    assert (again.body, again.headers["idempotent-replay"]) == (entry, "true")
    nothing = await apis.admin("POST", path, {"reason": "a mistake"})
    assert (nothing.status, nothing.error["code"]) == (404, "not_found")


async def test_a_lot_is_paid_back_in_part(apis: Apis) -> None:
    account_id = await apis.account()
    await apis.grant(account_id, "3", kind="purchase")
    (lot,) = (await apis.admin("GET", f"/accounts/{account_id}/lots")).data
    path = f"/accounts/{account_id}/lots/{lot['id']}/refunds"
    entry = (await apis.admin("POST", path, {"amount": "2", "reason": "sent back"})).body
    assert (entry["kind"], entry["amount"], entry["balance_after"]) == ("refund", "-2.00", "1.00")
    too_much = await apis.admin("POST", path, {"amount": "2", "reason": "sent back"})
    assert (too_much.status, too_much.error["available"]) == (409, "1.00")


async def test_a_lot_is_paid_back_within_its_days(tmp_path: Path) -> None:
    """From when it was made, to the microsecond; what is left of it can be voided all the same."""
    async with serving(tmp_path, ApiConfig(refund_days=14)) as apis:
        account_id = await apis.account()
        await apis.grant(account_id, "3", kind="purchase")
        (lot,) = (await apis.admin("GET", f"/accounts/{account_id}/lots")).data
        path, body = f"/accounts/{account_id}/lots/{lot['id']}", {"amount": "1", "reason": "sent back"}
        apis.clock.at_us += 14 * DAY_US - 1
        assert (await apis.admin("POST", f"{path}/refunds", body)).body["balance_after"] == "2.00"
        apis.clock.at_us += 1
        late = await apis.admin("POST", f"{path}/refunds", body)
        assert (late.status, late.error["code"]) == (409, "conflict")
        assert "14 days" in late.error["message"]
        assert (await apis.admin("POST", f"{path}/void", {"reason": "over"})).body["balance_after"] == "0.00"


async def test_a_call_is_refunded_in_parts_and_its_receipt_says_so(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "3")
    call_id = await apis.call(account_id, key_id, 2_000_000_000)
    path = f"/receipts/{call_id}/refunds"
    for amount in ("0.5", "1"):
        entry = (await apis.admin("POST", path, {"amount": amount, "reason": "slow"})).body
        assert (entry["kind"], entry["ref"], entry["note"]) == ("refund", call_id, "slow")
    too_much = await apis.admin("POST", path, {"amount": "0.6", "reason": "slow"})
    assert (too_much.status, too_much.error["code"]) == (409, "conflict")
    receipts = [
        (await apis.admin("GET", f"/receipts/{call_id}")).body,
        *(await apis.admin("GET", "/receipts")).data,
        *(await apis.admin("GET", f"/receipts?key_id={key_id}")).data,
        *(await apis.ask("GET", "/v1/billing/receipts", key=secret)).data,
    ]
    assert [(row["charged"], row["refunded"]) for row in receipts] == [("2.00", "1.50")] * 4
    assert (await apis.admin("GET", f"/accounts/{account_id}")).body["balance"] == "2.50"


async def test_a_call_that_cost_nothing_has_nothing_to_refund(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    call_id = await apis.call(account_id, key_id, 0)
    for path in (f"/receipts/{call_id}/refunds", "/receipts/call_unknown/refunds"):
        answer = await apis.admin("POST", path, {"amount": "1", "reason": "x"})
        assert (answer.status, answer.error["code"]) == (404, "not_found")


async def test_what_expires_soon_is_listed_by_itself(apis: Apis) -> None:
    account_id = await apis.account()
    for day in ("2024-10-07", "2024-10-05"):
        await apis.grant(account_id, "1", expires_at=f"{day}T00:00:00Z")
    await apis.grant(account_id, "1")
    lots = f"/accounts/{account_id}/lots"
    assert len((await apis.admin("GET", lots)).data) == 3
    (soon,) = (await apis.admin("GET", f"{lots}?expires_before=2024-10-07T00:00:00Z")).data
    assert soon["expires_at"] == "2024-10-05T00:00:00Z"
