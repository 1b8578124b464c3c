"""The admin API: who may use it, what it takes, and what it answers."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.config.schema import Admin
from proxy.ledger.groups import Group, Groups
from proxy.ledger.rows import Limits
from proxy.ledger.windows import DAY_US
from tests.api.apis import ADMIN_KEY, ApiConfig, Apis, serving


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


# --- who may ask ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "missing_api_key"),
        ("", "missing_api_key"),
        ("wrong", "invalid_api_key"),
        (ADMIN_KEY[:-1], "invalid_api_key"),
        (f"{ADMIN_KEY}x", "invalid_api_key"),
    ],
)
async def test_only_the_admin_key_opens_the_admin_api(apis: Apis, key: str | None, code: str) -> None:
    answer = await apis.ask("GET", "/admin/v1/accounts", key=key)
    assert (answer.status, answer.error["code"]) == (401, code)


async def test_an_accounts_key_does_not_open_the_admin_api(apis: Apis) -> None:
    _, secret = await apis.key(await apis.account())
    answer = await apis.ask("GET", "/admin/v1/accounts", key=secret)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


async def test_who_asks_is_settled_before_the_body_is_looked_at(apis: Apis) -> None:
    answer = await apis.ask("POST", "/admin/v1/accounts", key="wrong", body=b"{not json")
    assert answer.error["code"] == "invalid_api_key"


async def test_without_an_admin_key_configured_nobody_gets_in(tmp_path: Path) -> None:
    async with serving(tmp_path, ApiConfig(admin=Admin(key=""))) as apis:
        answer = await apis.ask("GET", "/admin/v1/accounts", key="anything")
        assert answer.status == 401


# --- accounts ---------------------------------------------------------------------------------------------


async def test_a_new_account_has_nothing_and_no_limits(apis: Apis) -> None:
    answer = await apis.admin("POST", "/accounts", {"name": "Ada"})
    body = answer.body
    assert answer.status == 201
    assert body["id"].startswith("acct_")
    assert {body[name] for name in ("balance", "held", "available", "debt", "credit_limit")} == {"0.00"}
    assert set(body["limits"].values()) == {None}
    assert "display" not in body
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await apis.admin("GET", f"/accounts/{body['id']}")).body == body


async def test_a_change_leaves_alone_what_it_does_not_name(apis: Apis) -> None:
    account_id = await apis.account(credit_limit="5", limits={"day": "10", "rpm": 60})
    await apis.admin("PATCH", f"/accounts/{account_id}", {"limits": {"week": "20.5", "rpm": None}})
    answer = await apis.admin("PATCH", f"/accounts/{account_id}", {"name": "New", "status": "suspended"})
    body = answer.body
    assert (body["name"], body["status"], body["credit_limit"]) == ("New", "suspended", "5.00")
    assert (body["limits"]["day"], body["limits"]["week"], body["limits"]["rpm"]) == ("10.00", "20.50", None)


async def test_changes_of_different_limits_at_once_do_not_undo_each_other(apis: Apis) -> None:
    account_id = await apis.account()
    windows = ("day", "week", "month", "total")
    await asyncio.gather(
        *(apis.admin("PATCH", f"/accounts/{account_id}", {"limits": {window: "1"}}) for window in windows)
    )
    limits = (await apis.admin("GET", f"/accounts/{account_id}")).body["limits"]
    assert [limits[window] for window in windows] == ["1.00"] * 4


async def test_a_default_limit_is_in_force_until_an_account_lifts_it(apis: Apis) -> None:
    apis.settings = ApiConfig(groups=Groups(Limits(day_nano=10**9, rpm=5)))
    account_id = await apis.account()
    before = (await apis.admin("GET", f"/accounts/{account_id}")).body
    await apis.admin("PATCH", f"/accounts/{account_id}", {"limits": {"day": "none", "rpm": "none"}})
    after = (await apis.admin("GET", f"/accounts/{account_id}")).body
    assert (before["limits"]["day"], before["effective_limits"]["day"]) == (None, "1.00")
    assert before["effective_limits"]["rpm"] == 5
    assert (after["limits"]["day"], after["effective_limits"]["rpm"]) == ("none", "none")
    assert next(row for row in after["spending"] if row["window"] == "day")["limit"] is None


async def test_the_limits_of_its_group_come_before_those_of_every_account(apis: Apis) -> None:
    """Also in what the account itself is shown. A group that there is no more changes nothing."""
    defaults = Limits(day_nano=10**9, rpm=5)
    vip = Group("vip", Limits(day_nano=2 * 10**9, total_nano=9 * 10**9).over(defaults))
    apis.settings = ApiConfig(groups=Groups(defaults, {"vip": vip}))
    account_id = await apis.account(group="vip", limits={"total": "3"})
    _, secret = await apis.key(account_id)

    async def shown() -> tuple[str, list[str | int | None], dict[str, str]]:
        body = (await apis.admin("GET", f"/accounts/{account_id}")).body
        rows = (await apis.ask("GET", "/v1/billing/spending_limits", key=secret)).data
        in_force = [body["effective_limits"][name] for name in ("day", "total", "rpm")]
        return body["group"], in_force, {row["window"]: row["limit"] for row in rows}

    assert await shown() == ("vip", ["2.00", "3.00", 5], {"day": "2.00", "total": "3.00"})
    apis.settings = ApiConfig(groups=Groups(defaults))
    assert await shown() == ("vip", ["1.00", "3.00", 5], {"day": "1.00", "total": "3.00"})


async def test_an_account_is_put_in_a_group_that_there_is_or_in_none(apis: Apis) -> None:
    """A change that names no group leaves it, and one that is refused changes nothing."""
    apis.settings = ApiConfig(groups=Groups(groups={name: Group(name) for name in ("vip", "beta")}))
    account_id = await apis.account()
    found = []
    changes = (
        {"group": "vip"},
        {"name": "x"},
        {"group": "gold", "name": "y"},
        {"group": "beta"},
        {"group": ""},
    )
    for change in changes:
        status = (await apis.admin("PATCH", f"/accounts/{account_id}", change)).status
        body = (await apis.admin("GET", f"/accounts/{account_id}")).body
        found.append((status, body["group"], body["name"]))
    assert found[0][:2] == (200, "vip")
    assert found[1:] == [(200, "vip", "x"), (400, "vip", "x"), (200, "beta", "x"), (200, "", "x")]
    refused = await apis.admin("POST", "/accounts", {"name": "z", "group": "gold"})
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "invalid_value", "group")
    assert "the groups are vip, beta" in refused.error["message"]
    assert len((await apis.admin("GET", "/accounts")).data) == 1


async def test_an_account_has_rules_of_alerts_of_its_own_until_they_are_taken_back(apis: Apis) -> None:
    account_id = await apis.account()
    path = f"/accounts/{account_id}"
    assert (await apis.admin("GET", path)).body["alerts"] == {"balance_low": None, "limit_percents": None}
    for fields, expected in (
        ({"balance_low": "5"}, {"balance_low": "5.00", "limit_percents": None}),
        ({"limit_percents": [90, 10, 90]}, {"balance_low": "5.00", "limit_percents": [10, 90]}),
        ({"balance_low": "none", "limit_percents": []}, {"balance_low": "none", "limit_percents": []}),
        ({"balance_low": None, "limit_percents": None}, {"balance_low": None, "limit_percents": None}),
    ):
        assert (await apis.admin("PATCH", path, {"alerts": fields})).body["alerts"] == expected
    for wrong in (
        {"limit_percents": [0]},
        {"limit_percents": [101]},
        {"balance_low": "-1"},
        {"balance": "1"},
    ):
        assert (await apis.admin("PATCH", path, {"alerts": wrong})).status == 400
    made = await apis.admin("POST", "/accounts", {"name": "Ada", "alerts": {"limit_percents": [75]}})
    assert made.body["alerts"]["limit_percents"] == [75]


async def test_an_account_shows_what_is_spent_of_each_window_and_when_it_resets(apis: Apis) -> None:
    account_id = await apis.account(limits={"day": "3", "month": "10"})
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "5")
    await apis.call(account_id, key_id, 1_000_000_000)
    await apis.hold(account_id, key_id, 500_000_000)
    body = (await apis.admin("GET", f"/accounts/{account_id}")).body
    assert (body["balance"], body["held"], body["available"], body["open_holds"]) == (
        "4.00",
        "0.50",
        "3.50",
        1,
    )
    rows = {row["window"]: row for row in body["spending"]}
    assert [
        (name, row["limit"], row["spent"], row["held"], row["remaining"], row["resets_at"])
        for name, row in rows.items()
    ] == [
        ("day", "3.00", "1.00", "0.50", "1.50", "2024-10-05T00:00:00Z"),
        ("week", None, "1.00", "0.50", None, "2024-10-07T00:00:00Z"),
        ("month", "10.00", "1.00", "0.50", "8.50", "2024-11-01T00:00:00Z"),
        ("total", None, "1.00", "0.50", None, None),
    ]
    listed = (await apis.admin("GET", "/accounts")).data
    assert listed == [body]


async def test_the_next_day_has_nothing_spent(apis: Apis) -> None:
    account_id = await apis.account(limits={"day": "3"})
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "5")
    await apis.call(account_id, key_id, 1_000_000_000)
    apis.clock.at_us += DAY_US
    rows = (await apis.admin("GET", f"/accounts/{account_id}")).body["spending"]
    assert (rows[0]["spent"], rows[0]["remaining"], rows[3]["spent"]) == ("0.00", "3.00", "1.00")


async def test_what_was_spent_today_is_shown_also_where_a_clock_ahead_has_counted_on_a_later_day(
    apis: Apis,
) -> None:
    """Of the account, of its key, and in lists; windows that go on have both days in them."""
    account_id = await apis.account(limits={"day": "3"})
    key_id, secret = await apis.key(account_id, limits={"day": "2"})
    await apis.grant(account_id, "5")
    await apis.call(account_id, key_id, 1_000_000_000)
    apis.clock.at_us += 4 * DAY_US
    await apis.call(account_id, key_id, 500_000_000)
    apis.clock.at_us -= 4 * DAY_US
    owners = [
        (await apis.admin("GET", f"/accounts/{account_id}")).body,
        (await apis.admin("GET", "/accounts")).data[0],
        (await apis.admin("GET", f"/keys/{key_id}")).body,
        (await apis.admin("GET", f"/accounts/{account_id}/keys")).data[0],
    ]
    for owner in owners:
        assert [row["spent"] for row in owner["spending"]] == ["1.00", "1.00", "1.50", "1.50"]
        assert owner["spending"][0]["resets_at"] == "2024-10-05T00:00:00Z"
    limits = (await apis.ask("GET", "/v1/billing/spending_limits", key=secret)).data
    assert [row["remaining"] for row in limits] == ["2.00", "1.00"]


async def test_a_credit_limit_below_what_is_owed_is_a_conflict(apis: Apis) -> None:
    account_id = await apis.account(credit_limit="5")
    key_id, _ = await apis.key(account_id)
    await apis.hold(account_id, key_id, 4_000_000_000)
    answer = await apis.admin("PATCH", f"/accounts/{account_id}", {"credit_limit": "1"})
    assert (answer.status, answer.error["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/accounts/acct_none", None),
        ("PATCH", "/accounts/acct_none", {"name": "x"}),
        ("GET", "/accounts/acct_none/keys", None),
        ("POST", "/accounts/acct_none/keys", {}),
        ("POST", "/accounts/acct_none/grants", {"amount": "1"}),
        ("POST", "/accounts/acct_none/adjustments", {"amount": "1", "reason": "x"}),
        ("GET", "/accounts/acct_none/lots", None),
        ("GET", "/accounts/acct_none/entries", None),
        ("GET", "/keys/key_none", None),
        ("PATCH", "/keys/key_none", {"name": "x"}),
        ("GET", "/receipts/call_none", None),
        ("GET", "/usage?account_id=acct_none", None),
        ("GET", "/accounts/%ff%fe", None),
    ],
)
async def test_what_is_not_there_is_404(apis: Apis, method: str, path: str, body: object) -> None:
    answer = await apis.admin(method, path, body)
    assert (answer.status, answer.error["code"]) == (404, "not_found"), answer


# --- keys -------------------------------------------------------------------------------------------------


async def test_a_secret_is_shown_once_and_only_its_digest_is_kept(apis: Apis) -> None:
    account_id = await apis.account()
    made = await apis.admin("POST", f"/accounts/{account_id}/keys", {"name": "laptop"})
    secret = made.body["secret"]
    assert secret.startswith("sk-fbx-")
    assert len(secret) == len("sk-fbx-") + 43
    assert made.body["hint"] == secret[-4:]
    for path in (f"/accounts/{account_id}/keys", f"/keys/{made.body['id']}"):
        shown = str((await apis.admin("GET", path)).body)
        assert secret not in shown
        assert sha256(secret.encode()).hexdigest() not in shown
    stored = b"".join(file.read_bytes() for file in apis.store.path.parent.glob("farebox.db*"))
    assert secret.encode() not in stored
    assert sha256(secret.encode()).hexdigest().encode() in stored


async def test_a_key_is_made_and_changed_as_told(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, _ = await apis.key(
        account_id,
        name="ci",
        expires_at="2030-01-01T01:00:00.5+01:00",
        models=["gpt-*"],
        limits={"total": "2.5", "concurrency": 3},
    )
    made = (await apis.admin("GET", f"/keys/{key_id}")).body
    assert (made["name"], made["models"]) == ("ci", ["gpt-*"])
    assert made["expires_at"] == "2030-01-01T00:00:00.500000Z"
    assert (made["limits"]["total"], made["limits"]["concurrency"]) == ("2.50", 3)
    changes: dict[str, object] = {
        "expires_at": None,
        "models": [],
        "status": "disabled",
        "limits": {"total": None},
    }
    changed = (await apis.admin("PATCH", f"/keys/{key_id}", changes)).body
    assert (changed["expires_at"], changed["models"], changed["status"]) == (None, [], "disabled")
    assert (changed["limits"]["total"], changed["limits"]["concurrency"]) == (None, 3)


async def test_a_key_shows_its_own_spending(apis: Apis) -> None:
    account_id = await apis.account()
    await apis.grant(account_id, "5")
    keys = [await apis.key(account_id, limits={"total": "2"}) for _ in range(2)]
    await apis.call(account_id, keys[0][0], 1_500_000_000)
    listed = {key["id"]: key for key in (await apis.admin("GET", f"/accounts/{account_id}/keys")).data}
    totals = [listed[key_id]["spending"][3] for key_id, _ in keys]
    assert [(row["spent"], row["remaining"]) for row in totals] == [("1.50", "0.50"), ("0.00", "2.00")]
