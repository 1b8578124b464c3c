"""The admin API's holds, usage and receipts, and how its lists are paged."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.api.admin.receipts import ReceiptQuery, Receipts
from proxy.api.operations import Incoming, Nothing
from proxy.api.reader import Reader
from proxy.ledger.commands import Detach, Reroute, Void
from proxy.ledger.rows import Object, Observed, Outcome
from proxy.ledger.windows import DAY_US
from proxy.pricing.charge import Charge
from tests.api.apis import Apis, serving


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def test_a_receipt_has_lines_basis_hold_and_shortfall(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "5")
    call_id = await apis.call(account_id, key_id, 14_000)
    call = (await apis.admin("GET", f"/receipts/{call_id}")).body
    assert (call["upstream"], call["upstream_model"], call["basis"]) == (
        "the-upstream",
        "upstream-demo",
        "reported",
    )
    assert (call["total"], call["charged"], call["shortfall"], call["hold"]) == (
        "0.000014",
        "0.000014",
        "0.00",
        "0.000014",
    )
    assert call["lines"] == [
        {"meter": "output_tokens", "quantity": 7, "price": "0.000014", "per": 7, "amount": "0.000014"}
    ]
    assert (call["stream"], call["first_byte_at"]) == (True, "2024-10-04T12:00:00.000003Z")


async def test_calls_are_filtered_by_account_key_and_model(apis: Apis) -> None:
    made = []
    for model in ("demo", "other"):
        account_id = await apis.account()
        key_id, _ = await apis.key(account_id)
        await apis.grant(account_id, "5")
        made.append((await apis.call(account_id, key_id, 1, model=model), account_id, key_id, model))
    call_id, account_id, key_id, model = made[0]
    assert [call["id"] for call in (await apis.admin("GET", "/receipts")).data] == [made[1][0], call_id]
    for query in (f"account_id={account_id}", f"key_id={key_id}", f"model={model}"):
        assert [call["id"] for call in (await apis.admin("GET", f"/receipts?{query}")).data] == [call_id]


async def test_a_page_of_one_model_looks_at_so_many_calls_and_the_next_one_goes_on(apis: Apis) -> None:
    """Across accounts no index leads to a model: a page may be empty and still have a next one."""
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "5")
    models = ("rare", "demo", "demo", "rare", "rare", "rare", "demo", "demo", "demo", "demo")
    made = [(await apis.call(account_id, key_id, 1, model=model), model) for model in models]
    reader = Reader(ledger=apis.ledger, store=apis.store, clock=apis.clock)
    calls = Receipts(reader=reader, clock=apis.clock, searched_calls=3)
    pages: list[list[str]] = []
    query = ReceiptQuery(model="rare", limit=2)
    while True:
        incoming = Incoming(caller=None, path={}, query=query, body=Nothing(), settings=apis.settings)
        page = await calls.list_receipts(incoming)
        pages.append([call.id for call in page.data])
        if not page.has_more:
            break
        query = ReceiptQuery(model="rare", limit=2, cursor=page.next_cursor)
    rare = [call_id for call_id, model in reversed(made) if model == "rare"]
    assert [call_id for shown in pages for call_id in shown] == rare
    assert pages[0] == []
    assert max(map(len, pages)) <= 2


async def test_holds_are_filtered_by_state_and_account(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "5")
    settled_id = await apis.call(account_id, key_id, 1_000)
    open_id = (await apis.hold(account_id, key_id, 2_000)).id
    (hold,) = (await apis.admin("GET", f"/holds?state=open&account_id={account_id}")).data
    assert (hold["id"], hold["amount"], hold["model"], hold["state"]) == (open_id, "0.000002", "demo", "open")
    (closed,) = (await apis.admin("GET", "/holds?state=settled")).data
    assert (closed["id"], closed["model"]) == (settled_id, None)
    assert len((await apis.admin("GET", "/holds")).data) == 2
    assert (await apis.admin("GET", "/holds?account_id=acct_none")).data == []


async def test_a_hold_tells_where_its_call_went_and_until_when_it_may_outlive_its_process(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "5")
    call, now_us = await apis.hold(account_id, key_id, 2_000), apis.clock.now_us()
    (hold,) = (await apis.admin("GET", "/holds")).data
    assert (hold["upstream"], hold["deadline"]) == ("the-upstream", None)
    await apis.ledger.reroute(Reroute(replace(call, upstream="second")))
    await apis.ledger.detach(Detach(call, call.started_at_us, now_us, now_us + 5_400_000_000))
    (hold,) = (await apis.admin("GET", "/holds")).data
    assert (hold["upstream"], hold["deadline"]) == ("second", "2024-10-04T13:30:00Z")


@pytest.mark.parametrize("group_by", ["day", "model", "key", "account"])
async def test_usage_sums_to_the_same_total_however_it_is_grouped(apis: Apis, group_by: str) -> None:
    account_id = await apis.account()
    await apis.grant(account_id, "5")
    groups: dict[str, set[str]] = {"day": set(), "model": set(), "key": set(), "account": {account_id}}
    for model, day in (("demo", "2024-10-04"), ("other", "2024-10-05"), ("demo", "2024-10-06")):
        key_id, _ = await apis.key(account_id)
        await apis.call(account_id, key_id, 1_000_000, model=model)
        apis.clock.at_us += DAY_US
        for name, value in (("day", day), ("model", model), ("key", key_id)):
            groups[name].add(value)
    report = (await apis.admin("GET", f"/usage?group_by={group_by}")).body
    assert {row["group"] for row in report["data"]} == groups[group_by]
    assert (report["total"]["requests"], report["total"]["charged"]) == (3, "0.003")
    assert report["total"]["total_tokens"] == 54
    assert sum(row["requests"] for row in report["data"]) == 3
    only = (await apis.admin("GET", f"/usage?group_by={group_by}&account_id={account_id}")).body
    assert (only["data"], only["total"]) == (report["data"], report["total"])


async def test_usage_has_the_days_asked_for_and_no_others(apis: Apis) -> None:
    account_id = await apis.account()
    await apis.grant(account_id, "5")
    key_id, _ = await apis.key(account_id)
    for _ in range(3):
        await apis.call(account_id, key_id, 1_000)
        apis.clock.at_us += DAY_US
    report = (await apis.admin("GET", "/usage?start_date=2024-10-05&end_date=2024-10-05")).body
    assert [row["group"] for row in report["data"]] == ["2024-10-05"]
    default = (await apis.admin("GET", "/usage")).body
    assert (default["start_date"], default["end_date"]) == ("2024-09-08", "2024-10-07")


# --- lists ------------------------------------------------------------------------------------------------


async def test_pages_hold_every_row_once_even_while_rows_are_added(apis: Apis) -> None:
    made = []
    for _ in range(5):
        made.append(await apis.account())
        apis.clock.at_us += 1_000
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await apis.admin("GET", f"/accounts?limit=2{cursor}")).body
        seen += [row["id"] for row in page["data"]]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
        await apis.account()
        apis.clock.at_us += 1_000
    assert seen == made[::-1]


@pytest.mark.parametrize("what", ["lots", "entries"])
async def test_lots_and_entries_are_paged_too(apis: Apis, what: str) -> None:
    account_id = await apis.account()
    for priority in (3, 1, 2):
        await apis.grant(account_id, str(priority), priority=priority)
    path = f"/accounts/{account_id}/{what}?limit=2"
    first = (await apis.admin("GET", path)).body
    rest = (await apis.admin("GET", f"{path}&cursor={first['next_cursor']}")).body
    amounts = [row["amount"] for row in (*first["data"], *rest["data"])]
    assert amounts == (["1.00", "2.00", "3.00"] if what == "lots" else ["2.00", "1.00", "3.00"])
    assert rest["next_cursor"] is None


async def test_jobs_are_listed_with_their_object_until_they_end(apis: Apis) -> None:
    """The oldest first, by account; each says what it will cost and when it is over."""
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "5")
    calls = [await apis.hold(account_id, key_id, 2_000) for _ in range(2)]
    now_us = apis.clock.now_us()
    for number, call in enumerate(calls):
        made = Object(account_id, f"video_{number}", "video", "up", key_id, call.id, call.model, now_us, "{}")
        observed = Observed({"video_seconds": 4}, Charge(1_500, (), "card@1"))
        await apis.ledger.detach(
            Detach(call, call.started_at_us, now_us, now_us + 5_400_000_000, observed, (made,))
        )
    jobs = (await apis.admin("GET", "/jobs")).data
    assert [(job["id"], job["object_id"], job["kind"]) for job in jobs] == [
        (call.id, f"video_{number}", "video") for number, call in enumerate(calls)
    ]
    assert (jobs[0]["hold"], jobs[0]["charge"], jobs[0]["deadline"]) == (
        *("0.000002", "0.0000015"),
        "2024-10-04T13:30:00Z",
    )
    first = (await apis.admin("GET", "/jobs?limit=1")).body
    assert [job["id"] for job in first["data"]] == [calls[0].id]
    rest = (await apis.admin("GET", f"/jobs?limit=1&cursor={first['next_cursor']}")).data
    assert [job["id"] for job in rest] == [calls[1].id]
    assert (await apis.admin("GET", "/jobs?account_id=nobody")).data == []
    ended = Outcome("complete", 200, "void", {}, now_us)
    await apis.ledger.void(Void(calls[0], calls[0].started_at_us, now_us, ended))
    assert [job["id"] for job in (await apis.admin("GET", "/jobs")).data] == [calls[1].id]
