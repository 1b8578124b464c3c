"""Usage from outside counts to the end user whom it names, as calls do: told once, and never refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.ledger.commands import Granted, Refused
from proxy.ledger.end_user_rows import EndUserLimits, EndUserTerms
from proxy.ledger.groups import Group, Groups
from proxy.ledger.level_rows import HOUR_US
from proxy.ledger.rows import Limits
from proxy.ledger.windows import DAY_US, iso
from tests.api.apis import NOON_US, ApiConfig, Apis, serving
from tests.api.test_end_users import call
from tests.api.test_events import CONFIG, WHEN, event, send
from tests.billing import test_levels as levels
from tests.billing import test_sessions as sessions
from tests.test_cli import ask

MONTHLY = EndUserTerms(EndUserLimits(month_nano=5_000_000))


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.settings = CONFIG
        yield running


async def spending(apis: Apis, account_id: str, end_user: str = "ann") -> dict[str, str]:
    """What it has spent, by window."""
    rows = (await apis.admin("GET", f"/accounts/{account_id}/end_users?end_user={end_user}")).data
    return {each["window"]: each["spent"] for row in rows for each in row["spending"]}


async def limited(apis: Apis, **limits: Any) -> str:
    """An account with funds, each end user of which has these limits."""
    account_id = await apis.account(end_users={"limits": limits})
    await apis.grant(account_id, "1")
    return account_id


async def test_an_event_of_either_form_is_kept_and_summed_up_by_its_end_user(apis: Apis) -> None:
    """What cannot be printed is left out, and what is longer than 256 characters is cut, as of calls."""
    account_id = await apis.account()
    _, secret = await apis.key(account_id)
    cloud: dict[str, Any] = {"specversion": "1.0", "id": "2", "source": "/s", "type": "scan", "time": WHEN}
    cloud |= {"subject": account_id, "data": {"pages": 3}, "enduser": "ann"}
    told = [
        await send(apis, event(account_id, end_user="a\x00nn")),
        await send(apis, cloud, kind="application/cloudevents+json"),
        await send(apis, event(account_id, "3", end_user="x" * 300)),
        await send(apis, event(account_id, "4")),
    ]
    ids = [answer.data[0]["receipt_id"] for answer in told]
    receipts = [(await apis.admin("GET", f"/receipts/{id_}")).body["end_user"] for id_ in ids]
    assert receipts == ["ann", "ann", "x" * 256, None]
    sums = await apis.ask("GET", "/v1/billing/usage?group_by=end_user&start_date=2024-10-01", key=secret)
    assert sums.status == 200, sums.body
    assert {row["group"]: row["charged"] for row in sums.data} == {
        "ann": "0.006",
        "x" * 256: "0.003",
        "": "0.003",
    }


async def test_whom_it_was_for_is_part_of_what_is_told(apis: Apis) -> None:
    account_id = await apis.account()
    names = ("ann", "ann", "bob", None)
    bodies = [event(account_id, **({} if name is None else {"end_user": name})) for name in names]
    told = [(await send(apis, body)).data[0] for body in bodies]
    assert [each["status"] for each in told] == ["charged", "duplicate", "rejected", "rejected"]
    assert told[2]["error"]["code"] == "idempotency_conflict"
    wrong = (await send(apis, event(account_id, "2", end_user=7))).data[0]
    assert (wrong["error"]["code"], wrong["error"]["param"]) == ("invalid_value", "end_user")


async def test_it_is_charged_beyond_the_limit_and_the_next_call_is_refused(apis: Apis) -> None:
    """As where an account's own limit is used up. Other end users go on."""
    account_id = await limited(apis, day="0.005")
    key_id, _ = await apis.key(account_id)
    told = await send(apis, {"events": [event(account_id, str(n), end_user="ann") for n in range(3)]})
    assert [each["charged"] for each in told.data] == ["0.003"] * 3
    assert set((await spending(apis, account_id)).values()) == {"0.009"}
    _, refused = await call(apis, account_id, key_id, "ann")
    assert isinstance(refused, Refused)
    assert (refused.limit_source, refused.spent_nano) == ("end_user_day", 9_000_000)
    assert isinstance((await call(apis, account_id, key_id, "bob"))[1], Granted)


async def test_neither_rates_nor_what_is_required_keep_out_what_has_happened(apis: Apis) -> None:
    """And who is only limited in rates is not written down for it: nothing of it counts."""
    account_id = await limited(apis, rpm=1, concurrency=1)
    await apis.admin("PATCH", f"/accounts/{account_id}", {"end_users": {"require": True}})
    events = [event(account_id, str(n), end_user="ann") for n in range(3)]
    told = await send(apis, {"events": [*events, event(account_id, "4")]})
    assert told.body["charged"] == 4
    assert (await apis.admin("GET", f"/accounts/{account_id}/end_users")).data == []


async def test_it_counts_in_the_windows_of_when_it_happened(apis: Apis) -> None:
    """What happened on a day that has ended counts to the month alone."""
    account_id = await limited(apis, day="0.005", month="0.005")
    late = iso(NOON_US - 2 * DAY_US)
    assert (await send(apis, event(account_id, timestamp=late, end_user="ann"))).data[0][
        "status"
    ] == "charged"
    assert (await spending(apis, account_id))["month"] == "0.003"
    assert (await spending(apis, account_id)).get("day", "0.00") == "0.00"
    key_id, _ = await apis.key(account_id)
    _, refused = await call(apis, account_id, key_id, "ann", 2_000_001)
    assert isinstance(refused, Refused)
    assert refused.limit_source == "end_user_month"


async def test_the_limits_of_its_group_and_of_its_key_are_those_of_calls(apis: Apis) -> None:
    groups = Groups(Limits(), {"vip": Group("vip", Limits(end_users=MONTHLY))})
    apis.settings = ApiConfig(events=CONFIG.events, book=CONFIG.book, groups=groups)
    of_group = await apis.account(group="vip")
    await send(apis, event(of_group, end_user="ann"))
    assert set((await spending(apis, of_group)).values()) == {"0.0015"}
    account_id = await apis.account()
    await apis.grant(account_id, "1")
    _, secret = await apis.key(account_id, end_users={"limits": {"week": "0.5"}})
    assert (await send(apis, event(account_id, end_user="ann"))).data[0]["status"] == "charged"
    assert await spending(apis, account_id) == {}
    told = await send(apis, event("", "2", type="read", end_user="ann"), key=secret)
    assert told.data[0]["status"] == "charged"
    assert set((await spending(apis, account_id)).values()) == {"0.003"}


async def test_a_session_is_its_end_users_from_when_it_opens(apis: Apis) -> None:
    """What it holds counts to the limit, as of a call, and it must say whose it is if calls must."""
    apis.settings = sessions.config()
    account_id = await limited(apis, day="0.39")
    await apis.admin("PATCH", f"/accounts/{account_id}", {"end_users": {"require": True}})
    key_id, secret = await apis.key(account_id)
    browser = sessions.Browser(apis, account_id, key_id, secret)
    nobodys = await browser.tell("open")
    assert nobodys["error"]["code"] == "end_user_required"
    assert "`end_user`" in nobodys["error"]["message"]
    opened = await browser.tell("open", end_user="ann")
    assert opened["status"] == "charged", opened
    rows = (await apis.admin("GET", f"/accounts/{account_id}/end_users?end_user=ann")).data
    assert [(each["held"], row["open_holds"]) for row in rows for each in row["spending"]] == [
        ("0.30", 1)
    ] * 3
    apis.clock.at_us += 100 * sessions.SECOND_US
    funded = (await browser.tell("beat"))["funded_until"]
    assert funded == opened["funded_until"], "no more is held than the end user has left"
    assert (await browser.tell("close"))["charged"] == "0.10"
    assert set((await spending(apis, account_id)).values()) == {"0.10"}


async def test_what_is_there_over_time_is_the_end_users_whom_it_was_told_of_for(apis: Apis) -> None:
    """Each of whom it was told for in turn is charged its own part."""
    apis.settings = levels.config()
    account_id = await limited(apis, month="5.00")
    midnight_us = levels.MIDNIGHT_US
    for hours, gib, name in ((0, 1, "ann"), (6, 2, "bob"), (12, 0, "bob")):
        apis.made += 1
        whole = {"id": f"e{apis.made}", "type": "volume", "account": account_id, "end_user": name}
        whole |= {"timestamp": iso(midnight_us + hours * HOUR_US)}
        told = await send(apis, {**whole, "properties": {"volume": "v1", "gib": gib}})
        assert told.data[0]["status"] == "charged", told.data
    assert await levels.charge(apis, midnight_us + DAY_US + 2 * HOUR_US) == []
    assert (await spending(apis, account_id))["month"] == "0.00432"
    assert (await spending(apis, account_id, "bob"))["month"] == "0.00864"


async def test_a_column_of_a_file_names_the_end_user(apis: Apis, tmp_path: Path) -> None:
    account_id = await apis.account()
    text = f"id,type,account,timestamp,end_user,pages\n1,scan,{account_id},{WHEN},ann,3\n"
    (tmp_path / "scans.csv").write_text(text)
    assert "1 charged" in (await ask(apis, "events", "send", str(tmp_path / "scans.csv"))).out
    (receipt,) = (await apis.admin("GET", f"/receipts?account_id={account_id}")).data
    assert receipt["end_user"] == "ann"
