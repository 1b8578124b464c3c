"""Top-ups: opened with any key of an account or by the operator, credited once, and taken back when asked."""

from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from proxy.billing.offers import Extra, Method, Package, Payments
from proxy.ledger.commands import Adjust
from proxy.ledger.groups import Group, Groups
from proxy.ledger.windows import DAY_US
from tests.api.apis import Answer, ApiConfig, Apis, serving

PATH = "/v1/billing/top_ups"
PACKAGES = {
    "ten": Package("ten", 10 * 10**9),
    "fifty": Package("fifty", 50 * 10**9, Extra(share=Fraction(5, 100))),
    "hundred": Package("hundred", 100 * 10**9, Extra(fixed_nano=12 * 10**9)),
    "thousand": Package("thousand", 1000 * 10**9, discount=Fraction(20, 100)),
}
PAYMENTS = Payments(packages=PACKAGES, least_nano=10 * 10**9, top_up_url="https://pay.example/credits")


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path, ApiConfig(payments=PAYMENTS)) as running:
        yield running


async def newcomer(apis: Apis) -> tuple[str, str]:
    account_id = await apis.account()
    return account_id, (await apis.key(account_id))[1]


async def opened(apis: Apis, secret: str, *, key: str = "", **body: object) -> Answer:
    apis.made += 1
    headers = {"Idempotency-Key": key or f"top-up-{apis.made}"}
    return await apis.ask("POST", PATH, key=secret, body=body, headers=headers)


async def on(apis: Apis, top_up: dict[str, Any], verb: str, body: object, **more: Any) -> Answer:
    """Do something about a top-up, as the operator."""
    path = f"/accounts/{top_up['account_id']}/top_ups/{top_up['id']}/{verb}"
    return await apis.admin("POST", path, body, **more)


async def lots(apis: Apis, account_id: str) -> list[tuple[str, str, str | None]]:
    found = (await apis.admin("GET", f"/accounts/{account_id}/lots")).data
    return [(lot["kind"], lot["remaining"], lot["expires_at"]) for lot in found]


async def test_a_package_is_credited_once_the_operator_has_confirmed_it(apis: Apis) -> None:
    """What was paid for and its bonus are two lots, the first of which is drawn first."""
    account_id, secret = await newcomer(apis)
    asked = await opened(apis, secret, package="fifty")
    assert (asked.status, asked.body["state"], asked.body["price"]) == (201, "pending", "50.00")
    assert await lots(apis, account_id) == []
    paid = await on(apis, asked.body, "confirm", {"reference": "wire 1"})
    assert (paid.status, paid.body["state"], paid.body["reference"]) == (200, "succeeded", "wire 1")
    assert await lots(apis, account_id) == [("purchase", "50.00", None), ("bonus", "2.50", None)]
    again = await on(apis, asked.body, "confirm", {"reference": "wire 1"})
    assert (again.status, again.headers["idempotent-replay"]) == (200, "true")
    assert len(await lots(apis, account_id)) == 2


async def test_a_top_up_is_opened_once_for_its_key(apis: Apis) -> None:
    """Also when the package has another bonus by then; for something else the key is taken."""
    _, secret = await newcomer(apis)
    first = await opened(apis, secret, key="k", package="fifty")
    apis.settings = ApiConfig(payments=Payments(packages={"fifty": Package("fifty", 50 * 10**9)}))
    again = await opened(apis, secret, key="k", package="fifty")
    assert (again.body, again.headers["idempotent-replay"]) == (first.body, "true")
    other = await opened(apis, secret, key="k", amount="50")
    assert (other.status, other.error["code"]) == (409, "idempotency_conflict")
    _, stranger = await newcomer(apis)
    assert (await opened(apis, stranger, key="k", package="fifty")).body["id"] != first.body["id"]


@pytest.mark.parametrize(
    ("amount", "free_amounts", "price", "bonus"),
    [
        ("10", "packages", "10.00", "0.00"),
        ("49.99", "packages", "49.99", "0.00"),
        ("60", "packages", "60.00", "3.00"),
        ("250", "packages", "250.00", "12.00"),
        ("2000", "packages", "1600.00", "0.00"),
        ("60", "plain", "60.00", "0.00"),
        ("50", "plain", "50.00", "2.50"),
        ("50", "refused", "50.00", "2.50"),
    ],
)
async def test_an_amount_of_ones_own_has_what_the_largest_package_not_above_it_has(
    apis: Apis, amount: str, free_amounts: Any, price: str, bonus: str
) -> None:
    payments = Payments(packages=PACKAGES, free_amounts=free_amounts)
    apis.settings = ApiConfig(payments=payments)
    _, secret = await newcomer(apis)
    answer = await opened(apis, secret, amount=amount)
    assert (answer.body["price"], answer.body["bonus"]) == (price, bonus)


async def test_what_is_not_sold_is_refused(apis: Apis) -> None:
    _, secret = await newcomer(apis)
    for body, code in (
        ({"amount": "9.99"}, "invalid_value"),
        ({"amount": "10000.01"}, "invalid_value"),
        ({"amount": "10.001"}, "invalid_value"),
        ({"package": "none"}, "invalid_value"),
        ({}, "invalid_value"),
        ({"amount": "10", "package": "ten"}, "invalid_value"),
    ):
        answer = await opened(apis, secret, **body)
        assert (answer.status, answer.error["code"]) == (400, code), body
    apis.settings = ApiConfig(payments=Payments(packages=PACKAGES, free_amounts="refused"))
    assert (await opened(apis, secret, amount="60")).status == 400
    apis.settings = ApiConfig()
    assert (await opened(apis, secret, amount="60")).status == 404
    assert (await apis.ask("GET", "/v1/billing/packages", key=secret)).status == 404


async def test_a_fee_is_paid_and_buys_nothing(apis: Apis) -> None:
    """A share of the price, and the least there is; it is not given back."""
    payments = Payments(fee=Fraction(55, 1000), least_fee_cents=80, days=30)
    apis.settings = ApiConfig(payments=payments)
    account_id, secret = await newcomer(apis)
    small, large = await opened(apis, secret, amount="10"), await opened(apis, secret, amount="100")
    assert [(a.body["price"], a.body["fee"]) for a in (small, large)] == [
        ("10.80", "0.80"),
        ("105.50", "5.50"),
    ]
    await on(apis, large.body, "confirm", {})
    assert await lots(apis, account_id) == [("purchase", "100.00", "2024-11-03T12:00:00Z")]
    answer = await on(apis, large.body, "refunds", {"amount": "100.01", "reason": "sent back"})
    assert (answer.status, answer.error["code"]) == (409, "conflict")
    assert (await on(apis, large.body, "refunds", {"amount": "100", "reason": "sent back"})).status == 201
    assert await lots(apis, account_id) == []


async def test_a_method_has_a_fee_of_its_own(apis: Apis) -> None:
    """It is shown before, kept with the top-up, and part of what was asked for under a key."""
    methods = {"card": Method(Fraction(55, 1000), 80), "coins": Method(Fraction(5, 100))}
    apis.settings = ApiConfig(payments=Payments(packages=PACKAGES, fee=Fraction(7, 100), methods=methods))
    _, secret = await newcomer(apis)
    for method, price, fee in (
        (None, "10.70", "0.70"),
        ("card", "10.80", "0.80"),
        ("coins", "10.50", "0.50"),
    ):
        by = {"method": method} if method else {}
        answer = await opened(apis, secret, key=f"by {method}".replace(" ", "-"), package="ten", **by)
        assert [answer.body[name] for name in ("method", "price", "fee")] == [method, price, fee]
        query = f"?method={method}" if method else ""
        shown = await apis.ask("GET", f"/v1/billing/packages{query}", key=secret)
        assert (shown.body["methods"], shown.data[0]["price"]) == (["card", "coins"], price)
    again = await opened(apis, secret, key="by-card", package="ten", method="card")
    assert (again.body["price"], again.headers["idempotent-replay"]) == ("10.80", "true")
    other = await opened(apis, secret, key="by-card", package="ten", method="coins")
    assert (other.status, other.error["code"]) == (409, "idempotency_conflict")
    for refused in (
        await opened(apis, secret, package="ten", method="cheque"),
        await apis.ask("GET", "/v1/billing/packages?method=cheque", key=secret),
    ):
        assert (refused.status, refused.error["param"]) == (400, "method")
        assert refused.error["message"] == "There is no method 'cheque'; there is 'card', 'coins'."


async def test_a_refund_takes_credit_at_the_price_that_was_paid_for_it(apis: Apis) -> None:
    """A thousand for eight hundred: four hundred dollars are five hundred of credit."""
    account_id, secret = await newcomer(apis)
    asked = await opened(apis, secret, package="thousand")
    await on(apis, asked.body, "confirm", {"paid": "800"})
    headers = {"Idempotency-Key": "r1"}
    body = {"amount": "400", "reason": "sent back"}
    answer = await on(apis, asked.body, "refunds", body, headers=headers)
    assert (answer.status, answer.body["refunded"], answer.body["returned"]) == (201, "400.00", "500.00")
    again = await on(apis, asked.body, "refunds", body, headers=headers)
    assert again.headers["idempotent-replay"] == "true"
    assert await lots(apis, account_id) == [("purchase", "500.00", None)]


async def test_a_refund_takes_the_bonus_and_never_what_was_used(apis: Apis) -> None:
    account_id, secret = await newcomer(apis)
    asked = await opened(apis, secret, package="fifty")
    await on(apis, asked.body, "confirm", {})
    await apis.ledger.command(Adjust(account_id, "used", "", -(20 * 10**9), "calls", apis.clock.at_us))
    answer = await on(apis, asked.body, "refunds", {"amount": "30.01", "reason": "sent back"})
    assert (answer.status, answer.error["code"], answer.error["available"]) == (409, "conflict", "30.00")
    assert (await on(apis, asked.body, "refunds", {"amount": "30", "reason": "sent back"})).status == 201
    assert await lots(apis, account_id) == []


async def test_what_was_not_paid_is_closed_and_credits_nothing(apis: Apis) -> None:
    account_id, secret = await newcomer(apis)
    asked = await opened(apis, secret, amount="20")
    closed = await on(apis, asked.body, "fail", {"reason": "no transfer came"})
    assert (closed.body["state"], closed.body["reason"]) == ("failed", "no transfer came")
    short = await opened(apis, secret, amount="20")
    answer = await on(apis, short.body, "confirm", {"paid": "19.99"})
    assert (answer.status, answer.error["code"]) == (409, "conflict")
    await on(apis, short.body, "confirm", {"paid": "20.00", "reference": "wire 2"})
    assert (await on(apis, short.body, "fail", {"reason": "late"})).status == 409
    other = await opened(apis, secret, amount="30")
    answer = await on(apis, other.body, "confirm", {"reference": "wire 2"})
    assert (answer.status, answer.error["code"]) == (409, "conflict")
    assert await lots(apis, account_id) == [("purchase", "20.00", None)]


async def test_few_top_ups_wait_and_what_waits_too_long_makes_room(apis: Apis) -> None:
    _, secret = await newcomer(apis)
    assert [(await opened(apis, secret, amount="10")).status for _ in range(11)] == [201] * 10 + [409]
    apis.clock.at_us += 31 * DAY_US
    assert (await opened(apis, secret, amount="10")).status == 201
    listed = await apis.ask("GET", f"{PATH}?state=expired", key=secret)
    assert len(listed.data) == 10


async def test_accounts_see_their_own_top_ups_and_the_operator_all(apis: Apis) -> None:
    """Newest first, in pages; another account's is like one that never was."""
    first_id, first = await newcomer(apis)
    second_id, second = await newcomer(apis)
    for secret in (first, second, first):
        apis.clock.at_us += 1
        await opened(apis, secret, amount="10")
    mine = (await apis.ask("GET", PATH, key=first)).data
    assert [row["account_id"] for row in mine] == [first_id] * 2
    shown = await apis.ask("GET", f"{PATH}/{mine[0]['id']}", key=first)
    assert shown.body == mine[0]
    for path in (f"{PATH}/{mine[0]['id']}", f"{PATH}/topup_none"):
        assert (await apis.ask("GET", path, key=second)).error["code"] == "not_found"
    page = await apis.admin("GET", "/top_ups?limit=2")
    rest = await apis.admin("GET", f"/top_ups?limit=2&cursor={page.body['next_cursor']}")
    assert [row["account_id"] for row in (*page.data, *rest.data)] == [first_id, second_id, first_id]
    of_one = await apis.admin("GET", f"/top_ups?account_id={second_id}&state=pending")
    assert [row["account_id"] for row in of_one.data] == [second_id]
    assert (await apis.admin("GET", "/top_ups?cursor=Inh5Ig")).error["param"] == "cursor"


async def test_the_operator_opens_top_ups_for_invoices(apis: Apis) -> None:
    account_id, _ = await newcomer(apis)
    answer = await apis.admin("POST", f"/accounts/{account_id}/top_ups", {"amount": "500"})
    assert (answer.status, answer.body["price"], answer.body["bonus"]) == (201, "500.00", "12.00")
    assert (await apis.admin("POST", "/accounts/acct_none/top_ups", {"amount": "500"})).status == 404


async def test_funds_are_asked_for_in_cents(apis: Apis) -> None:
    _, secret = await newcomer(apis)
    answer = await apis.ask("POST", "/v1/billing/funds", key=secret, body={"amount": 5000})
    assert (answer.status, answer.body["amount"], answer.body["bonus"]) == (201, "50.00", "2.50")
    assert (await apis.ask("POST", "/v1/billing/funds", key=secret, body={"amount": "50"})).status == 400


async def test_what_is_sold_is_listed_from_the_smallest_on(apis: Apis) -> None:
    _, secret = await newcomer(apis)
    answer = await apis.ask("GET", "/v1/billing/packages", key=secret)
    assert [(row["name"], row["price"], row["amount"], row["bonus"]) for row in answer.data] == [
        ("ten", "10.00", "10.00", "0.00"),
        ("fifty", "50.00", "50.00", "2.50"),
        ("hundred", "100.00", "100.00", "12.00"),
        ("thousand", "800.00", "1000.00", "0.00"),
    ]
    assert (answer.body["minimum"], answer.body["top_up_url"]) == ("10.00", "https://pay.example/credits")


IN_GROUPS = Payments(
    packages=PACKAGES,
    in_groups={"pro": {**PACKAGES, "fifty": Package("fifty", 50 * 10**9, Extra(share=Fraction(20, 100)))}},
    free_amounts="refused",
)


async def moved(apis: Apis, account_id: str, group: str) -> None:
    answer = await apis.admin("PATCH", f"/accounts/{account_id}", {"group": group})
    assert (answer.status, answer.body["group"]) == (200, group)


def in_groups(apis: Apis, payments: Payments = IN_GROUPS) -> None:
    apis.settings = ApiConfig(payments=payments, groups=Groups(groups={"pro": Group("pro")}))


async def test_an_account_buys_at_the_prices_of_its_group_at_that_moment(apis: Apis) -> None:
    """Listed, by package, by amount and by the operator; what was agreed holds until it is paid."""
    in_groups(apis)
    account_id, secret = await newcomer(apis)

    async def bonuses() -> list[str]:
        rows = (await apis.ask("GET", "/v1/billing/packages", key=secret)).data
        listed = next(row["bonus"] for row in rows if row["name"] == "fifty")
        cents = await apis.ask("POST", "/v1/billing/funds", key=secret, body={"amount": 5000})
        headers = {"Idempotency-Key": f"by-operator-{apis.made}"}
        by_operator = await apis.admin(
            "POST", f"/accounts/{account_id}/top_ups", {"amount": "50"}, headers=headers
        )
        own = await opened(apis, secret, package="fifty")
        return [listed, *(each.body["bonus"] for each in (cents, by_operator, own))]

    assert await bonuses() == ["2.50"] * 4
    await moved(apis, account_id, "pro")
    agreed = await opened(apis, secret, key="agreed", package="fifty")
    assert await bonuses() == ["10.00"] * 4
    await moved(apis, account_id, "")
    listed = (await apis.ask("GET", "/v1/billing/packages", key=secret)).data
    assert [row["bonus"] for row in listed if row["name"] == "fifty"] == ["2.50"]
    again = await opened(apis, secret, key="agreed", package="fifty")
    assert (again.body, again.body["bonus"]) == (agreed.body, "10.00")
    await on(apis, agreed.body, "confirm", {"reference": "wire 1"})
    assert [lot[:2] for lot in await lots(apis, account_id)] == [("purchase", "50.00"), ("bonus", "10.00")]


async def test_what_a_group_is_sold_decides_what_may_be_bought_by_itself(apis: Apis) -> None:
    """Where nothing but packages is sold, and a group has another amount for one."""
    own = {"ten": Package("ten", 12 * 10**9)}
    in_groups(apis, Payments(packages=PACKAGES, in_groups={"pro": own}, free_amounts="refused"))
    account_id, secret = await newcomer(apis)
    rule = {"enabled": True, "threshold": "5", "amount": "12"}
    for group, status in (("pro", 200), ("", 400)):
        await moved(apis, account_id, group)
        assert (await apis.ask("PUT", "/v1/billing/auto_top_up", key=secret, body=rule)).status == status


async def test_automatic_top_ups_are_set_by_the_account_or_the_operator(apis: Apis) -> None:
    """With an amount or a target; a key with limits of its own does not speak for the account."""
    account_id, secret = await newcomer(apis)
    path, admin_path = "/v1/billing/auto_top_up", f"/accounts/{account_id}/auto_top_up"
    off = await apis.ask("GET", path, key=secret)
    assert (off.body["enabled"], off.body["threshold"], off.body["amount"]) == (False, "0.00", None)
    rule = {"enabled": True, "threshold": "5", "amount": "50"}
    on = await apis.ask("PUT", path, key=secret, body=rule)
    assert (on.status, on.body["daily_limit"], on.body["monthly_limit"]) == (200, "500.00", None)
    assert (await apis.admin("GET", admin_path)).body == on.body
    changed = await apis.admin("PUT", admin_path, {"enabled": True, "threshold": "5", "target": "80"})
    assert (changed.body["amount"], changed.body["target"]) == (None, "80.00")
    for wrong in (
        {"enabled": True, "threshold": "5"},
        {"enabled": True, "threshold": "5", "amount": "9.99"},
        {"enabled": True, "threshold": "5", "target": "5"},
        {"enabled": True, "threshold": "5", "amount": "50", "target": "80"},
        {"enabled": True, "threshold": "-1", "amount": "50"},
    ):
        assert (await apis.ask("PUT", path, key=secret, body=wrong)).status == 400, wrong
    for bounds, param in (
        ({"amount": "50", "monthly_limit": "49.99"}, "monthly_limit"),
        ({"target": "80", "daily_limit": "74.99"}, "daily_limit"),
        ({"target": "506"}, "daily_limit"),
    ):
        body = {"enabled": True, "threshold": "5", **bounds}
        refused = await apis.ask("PUT", path, key=secret, body=body)
        assert (refused.status, refused.error["param"]) == (400, param), bounds
    for room in ({"amount": "50", "monthly_limit": "50"}, {"target": "80", "daily_limit": "75"}):
        body = {"enabled": True, "threshold": "5", **room}
        assert (await apis.ask("PUT", path, key=secret, body=body)).status == 200, room
    bounded = (await apis.key(account_id, limits={"day": "1"}))[1]
    assert (await apis.ask("PUT", path, key=bounded, body=rule)).error["code"] == "billing_denied"
    saved = await opened(apis, bounded, package="ten", save_method=True)
    assert (saved.status, saved.error["code"]) == (403, "billing_denied")
    bought = await opened(apis, bounded, package="ten")
    assert (bought.status, bought.error["code"]) == (403, "billing_denied")
    assert (await apis.admin("PUT", "/accounts/acct_none/auto_top_up", rule)).status == 404
    assert (await apis.ask("PUT", path, key=secret, body={"enabled": False})).body["enabled"] is False


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, True),
        ({"limits": {"rpm": 5}}, False),
        ({"models": ["demo"]}, False),
        ({"billing": "read"}, False),
        ({"billing": "manage", "limits": {"day": "1"}, "models": ["demo"]}, True),
    ],
)
async def test_a_key_opens_top_ups_if_that_is_said_or_if_nothing_limits_it(
    apis: Apis, fields: dict[str, Any], may: bool
) -> None:
    """Both ways to open one; what it may read and redeem does not depend on it."""
    key_id, secret = await apis.key(await apis.account(), **fields)
    assert (await apis.admin("GET", f"/keys/{key_id}")).body["manages_billing"] is may
    assert (await opened(apis, secret, package="ten")).status == (201 if may else 403)
    funds = await apis.ask("POST", "/v1/billing/funds", key=secret, body={"amount": 1000})
    assert funds.status == (201 if may else 403)
    assert (await apis.ask("GET", PATH, key=secret)).status == 200


async def test_what_a_key_may_decide_can_be_changed_and_taken_back(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    for change, status in (
        ({"billing": "read"}, 403),
        ({"billing": None}, 201),
        ({"limits": {"day": "5"}}, 403),
        ({"billing": "manage"}, 201),
        ({"name": "other"}, 201),
    ):
        assert (await apis.admin("PATCH", f"/keys/{key_id}", change)).status == 200
        assert (await opened(apis, secret, package="ten")).status == status, change
