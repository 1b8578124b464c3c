"""End users over the admin API and the command line: the terms of all, and the limits of one of them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.jobs.end_users import EndUserRounds
from proxy.ledger.commands import Authorize, Granted, Refused, Regrouped, Result, Void
from proxy.ledger.end_user_rows import EndUserLimits, EndUserTerms
from proxy.ledger.groups import Groups
from proxy.ledger.rows import Call, Limits, Outcome
from proxy.ledger.windows import DAY_US
from tests.api.apis import ApiConfig, Apis, serving
from tests.test_cli import ask

NOTHING = dict.fromkeys(("day", "week", "month", "rpm", "tpm", "concurrency"))


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def call(apis: Apis, account_id: str, key_id: str, user: str, nano: int = 5) -> tuple[Call, Result]:
    """A call that counts to an end user, left in flight if it passes."""
    apis.made += 1
    at_us = apis.clock.at_us
    made = Call(f"call_{apis.made}", account_id, key_id, "chat", "m", "u", "m", False, at_us, user)
    command = Authorize(made, nano, nano, 1, at_us, apis.store.owner)
    result = await apis.ledger.authorize(command)
    if isinstance(result, Regrouped):
        made = replace(made, counts_user=True)
        result = await apis.ledger.authorize(replace(command, call=made))
    return made, result


async def test_terms_are_set_and_shown_piece_by_piece(apis: Apis) -> None:
    """What a change does not name stays, and null is the default again."""
    defaults = Limits(end_users=EndUserTerms(EndUserLimits(rpm=7), new_rpm=9))
    apis.settings = ApiConfig(groups=Groups(defaults))
    account_id = await apis.account(end_users={"limits": {"day": "0.5", "rpm": "none"}, "require": True})
    path = f"/accounts/{account_id}"
    shown = (await apis.admin("GET", path)).body
    limits = {**NOTHING, "day": "0.50", "rpm": "none"}
    assert shown["end_users"] == {"limits": limits, "require": True, "new_per_minute": None}
    assert shown["effective_end_users"] == {"limits": limits, "require": True, "new_per_minute": 9}
    changes = {"end_users": {"limits": {"rpm": None}, "new_per_minute": 3}, "limits": {"rpm": 5}}
    shown = (await apis.admin("PATCH", path, changes)).body
    limits = {**NOTHING, "day": "0.50"}
    assert shown["end_users"] == {"limits": limits, "require": True, "new_per_minute": 3}
    assert shown["effective_end_users"]["limits"]["rpm"] == 7
    key_id, _ = await apis.key(account_id, end_users={"limits": {"concurrency": 2}})
    shown = (await apis.admin("GET", f"/keys/{key_id}")).body
    assert shown["end_users"]["limits"] == {**NOTHING, "concurrency": 2}
    refused = await apis.admin("PATCH", path, {"end_users": {"limits": {"total": "1"}}})
    assert (refused.status, refused.error["param"]) == (400, "end_users.limits.total")


async def test_one_end_user_is_limited_and_what_it_spends_is_shown(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "1.00")
    path = f"/accounts/{account_id}/end_users"
    done = await apis.admin("PUT", path, {"end_user": "a/b c", "limits": {"day": "0.000000007"}})
    assert done.body["limits"] == {**NOTHING, "day": "0.000000007"}
    _, passed = await call(apis, account_id, key_id, "a/b c")
    assert isinstance(passed, Granted)
    _, refused = await call(apis, account_id, key_id, "a/b c")
    assert isinstance(refused, Refused)
    assert refused.limit_source == "end_user_day"
    (row,) = (await apis.admin("GET", path)).data
    assert (row["end_user"], row["open_holds"]) == ("a/b c", 1)
    day = row["spending"][0]
    assert (day["window"], day["held"], day["resets_at"]) == ("day", "0.000000005", "2024-10-05T00:00:00Z")
    assert (await apis.admin("GET", f"{path}?end_user=nobody")).data == []
    done = await apis.admin("PUT", path, {"end_user": "a/b c"})
    assert done.body["limits"] == NOTHING
    _, passed = await call(apis, account_id, key_id, "a/b c")
    assert isinstance(passed, Granted)


@pytest.mark.parametrize("end_user", ["", "x" * 257, "a\x00b", "a\nb", "\u202e", 5, None])
async def test_what_no_call_can_name_is_refused(apis: Apis, end_user: Any) -> None:
    account_id = await apis.account()
    refused = await apis.admin("PUT", f"/accounts/{account_id}/end_users", {"end_user": end_user})
    assert (refused.status, refused.error["param"]) == (400, "end_user")


async def test_an_unknown_account_has_none(apis: Apis) -> None:
    for method, body in (("GET", None), ("PUT", {"end_user": "ann", "limits": {"rpm": 1}})):
        assert (await apis.admin(method, "/accounts/acct_x/end_users", body)).status == 404


async def test_pages_of_many_have_each_once(apis: Apis) -> None:
    """Twins by case, and what sorts oddly, are different end users."""
    account_id = await apis.account()
    names = ["ann", "Ann", "ANN", "\u00e9", "e\u0301", "\U0001f600", "~", "0", "' OR 1=1", "%", "a" * 256]
    for name in names:
        await apis.admin("PUT", f"/accounts/{account_id}/end_users", {"end_user": name, "limits": {"rpm": 1}})
    seen: list[str] = []
    page: dict[str, Any] = {"next_cursor": ""}
    while page["next_cursor"] is not None:
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else ""
        page = (await apis.admin("GET", f"/accounts/{account_id}/end_users?limit=3{cursor}")).body
        seen += [row["end_user"] for row in page["data"]]
    assert seen == sorted(names, key=str.encode)


async def test_rounds_forget_who_is_idle(apis: Apis) -> None:
    """Rows are of those whom a limit still counts, however many there were."""
    account_id = await apis.account(end_users={"limits": {"day": "1"}, "new_per_minute": 1_000})
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "1.00")
    made = [await call(apis, account_id, key_id, f"user {number}") for number in range(450)]
    outcome = Outcome("unreachable", 502, "void", {}, apis.clock.at_us)
    for each, _ in made[1:]:
        await apis.ledger.void(Void(each, apis.clock.at_us, apis.clock.at_us, outcome))
    faults: list[BaseException] = []
    rounds = EndUserRounds(
        store=apis.store, ledger=apis.ledger, clock=apis.clock, on_fault=lambda _, fault: faults.append(fault)
    )

    async def known() -> int:
        rows = await apis.store.query(
            "end_users_page", {"account_id": account_id, "end_user": "", "after": "", "limit": 900}
        )
        return len(rows)

    await rounds.round()
    assert await known() == 450
    apis.clock.at_us += DAY_US
    await rounds.round()
    assert (await known(), faults) == (1, []), "one has a call in flight"


async def test_the_command_line_limits_and_lists_them(apis: Apis) -> None:
    made = await ask(
        *(apis, "accounts", "create", "Ann's", "--end-user-day", "0.25", "--end-user-rpm", "none"),
        *("--require-end-user", "yes", "--new-end-users", "40", "--json"),
    )
    assert '"day":"0.25"' in made.out
    account_id = (await apis.admin("GET", "/accounts")).data[0]["id"]
    shown = (await apis.admin("GET", f"/accounts/{account_id}")).body["end_users"]
    assert (shown["require"], shown["new_per_minute"], shown["limits"]["rpm"]) == (True, 40, "none")
    await ask(apis, "accounts", "update", account_id, "--require-end-user", "default")
    assert (await apis.admin("GET", f"/accounts/{account_id}")).body["end_users"]["require"] is None
    limited = await ask(apis, "end-users", "limit", account_id, "ann", "--month", "2", "--concurrency", "1")
    assert "month 2.00, concurrency 1" in limited.out
    assert "ann" in (await ask(apis, "end-users", "list", account_id)).out
    freed = await ask(apis, "end-users", "limit", account_id, "ann")
    assert "those of the others" in freed.out
