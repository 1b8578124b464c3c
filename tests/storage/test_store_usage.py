"""Usage is summed by day, model, key and account, the same in every storage engine."""

from typing import cast

from msgspec.structs import replace

from proxy.ledger.commands import (
    CreateKey,
)
from proxy.ledger.store import Store
from proxy.ledger.windows import DAY_US
from tests.storage.teller import (
    ACCOUNT,
    KEY,
    NOON_US,
    authorize,
    call,
    done,
    grant,
    granted,
    opening,
    settle,
    void,
)


async def test_daily_usage_adds_up_over_batches_and_leaves_voided_calls_out_of_the_requests(
    store: Store,
) -> None:
    await store.apply([*opening(10_000), CreateKey(ACCOUNT, "key_2", "x", "digest 2", "x", NOON_US)])
    calls = [
        call("call_1"),
        call("call_2", model="large"),
        call("call_3", key_id="key_2"),
        call("call_4"),
        call("call_5", at_us=NOON_US + DAY_US),
    ]
    for made in calls:
        await granted(store, made, 100)
    await store.apply([settle(calls[0], 10), settle(calls[1], 20)])
    await store.apply([settle(calls[2], 40), void(calls[3]), settle(calls[4], 80)])
    span = {"account_id": ACCOUNT, "first_day": 20_000, "last_day": 20_001}

    def figures(rows: list[dict[str, object]], name: str) -> dict[object, tuple[object, object, object]]:
        return {row[name]: (row["requests"], row["output_tokens"], row["charged_nano"]) for row in rows}

    rows = await store.query("usage_by_day", span)
    by_day = figures(rows, "day")
    assert by_day == {20_000: (3, 60, 70), 20_001: (1, 20, 80)}
    assert [(row["input_tokens"], row["cached_input_tokens"]) for row in rows] == [(300, 120), (100, 40)]
    by_model = figures(await store.query("usage_by_model", span), "model")
    assert by_model == {"small": (3, 60, 130), "large": (1, 20, 20)}
    by_key = figures(await store.query("usage_by_key", {**span, "last_day": 20_000}), "key_id")
    assert by_key == {KEY: (2, 40, 30), "key_2": (1, 20, 40)}
    costs = {
        (by_key, by_model): [
            (row["day"], row["key_id"], row["model"], row["charged_nano"])
            for row in await store.query(
                "costs_by_day", {**span, "by_key": by_key, "by_model": by_model, "results": 3}
            )
        ]
        for by_key, by_model in ((0, 0), (0, 1), (1, 1))
    }
    assert costs == {
        (0, 0): [(20_000, "", "", 70), (20_001, "", "", 80)],
        (0, 1): [(20_000, "", "large", 20), (20_000, "", "small", 50), (20_001, "", "small", 80)],
        (1, 1): [(20_000, KEY, "large", 20), (20_000, KEY, "small", 10), (20_000, "key_2", "small", 40)],
    }
    by_account = figures(await store.query("usage_by_account", span), "account_id")
    assert by_account == {ACCOUNT: (4, 80, 150)}
    assert await store.query("usage_by_account", {**span, "account_id": "acct_2"}) == []


USAGE_GROUPS = {"day": "day", "model": "model", "key": "key_id", "account": "account_id"}
"""The groups of usage, each with the column that names the group."""


async def summed_usage(
    store: Store, group: str, column: str, days: dict[str, int]
) -> dict[object, dict[str, int]]:
    """The figures of both accounts' usage by group, added up; the column of the group is 0."""
    sums: dict[object, dict[str, int]] = {}
    for account_id in (ACCOUNT, "acct_2"):
        for row in await store.query(f"usage_by_{group}", {"account_id": account_id, **days}):
            figures = cast("dict[str, int]", {**row, column: 0})
            before = sums.get(row[column], dict.fromkeys(figures, 0))
            sums[row[column]] = {name: before[name] + figure for name, figure in figures.items()}
    return sums


async def test_usage_of_all_accounts_is_the_sum_of_that_of_each(store: Store) -> None:
    """By whatever it is grouped, for any days; also what is voided, and what ends long after its day."""
    keys = {"key_1": "acct_1", "key_2": "acct_1", "key_3": "acct_2"}
    await store.apply([*opening(10_000), *opening(10_000, account_id="acct_2", key_id="key_3")])
    await done(store, CreateKey(ACCOUNT, "key_2", "x", "digest 2", "x", NOON_US))
    calls = [
        call(
            f"call_{number:02}",
            account_id=keys[key_id],
            key_id=key_id,
            model=("small", "large")[number // 3 % 2],
            at_us=NOON_US + number % 4 * DAY_US,
        )
        for number, key_id in enumerate([*keys] * 8)
    ]
    await store.apply([authorize(made, 100, owner=store.owner) for made in calls])
    ends = [void(made) if number % 7 == 0 else settle(made, number) for number, made in enumerate(calls)]
    # Of those that come last some belong to the first day.
    for batch in (ends[:5], ends[5:12], ends[12:13], ends[13:]):
        await store.apply(batch)
    for first_day, last_day in ((20_000, 20_003), (20_001, 20_002), (20_000, 20_000), (0, 10**6), (0, 5)):
        days = {"first_day": first_day, "last_day": last_day}
        for group, column in USAGE_GROUPS.items():
            rows = await store.query(f"usage_of_all_by_{group}", days)
            sums = await summed_usage(store, group, column, days)
            assert {row[column]: {**row, column: 0} for row in rows} == sums
            assert len(rows) == len(sums)
            order = [
                (0 if group == "day" else -cast("int", row["charged_nano"]), row[column]) for row in rows
            ]
            assert order == sorted(order)


async def test_calls_are_summed_by_time_and_endpoint_and_counted_off_by_their_ids(store: Store) -> None:
    """Of one account or of all, by every meter; also from some id on, and without what was voided."""
    await store.apply([*opening(10_000), *opening(10_000, account_id="acct_2", key_id="key_2")])
    minute_us = 60_000_000
    calls = [
        call("call_1"),
        call("call_2", model="large", at_us=NOON_US + minute_us),
        call("call_3", at_us=NOON_US + minute_us),
        call("call_4", at_us=NOON_US + minute_us),
        call("call_5", account_id="acct_2", key_id="key_2"),
    ]
    for made in calls:
        await granted(store, made, 100)
    used = {"images": 2, "characters": 3, "audio_seconds": 4, "web_searches": 5, "containers": 6}
    first = settle(calls[0], 10)
    first = replace(first, outcome=replace(first.outcome, usage=used))
    await store.apply(
        [first, *(settle(made, 10) for made in calls[1:3]), void(calls[3]), settle(calls[4], 1)]
    )
    span = {"first_id": "call_", "end_id": "call_~", "start_us": NOON_US, "end_us": NOON_US + 2 * minute_us}
    asked = {**span, "width_seconds": 60, "by_key": 0, "by_model": 0, "results": 10}
    asked |= {"by_end_user": 0, "metadata_key": "", "end_user": ""}
    noon = NOON_US // minute_us
    rows = await store.query("usage_of_calls", {"account_id": ACCOUNT, **asked})
    assert [(row["bucket"], row["endpoint"], row["requests"], row["input_tokens"]) for row in rows] == [
        (noon, "chat", 1, 0),
        (noon + 1, "chat", 2, 200),
    ]
    assert {name: rows[0][name] for name in used} == used
    apart = {**asked, "by_key": 1, "by_model": 1}
    rows = await store.query("usage_of_all_calls", apart)
    assert [(row["bucket"], row["account_id"], row["key_id"], row["model"]) for row in rows] == [
        (noon, ACCOUNT, KEY, "small"),
        (noon, "acct_2", "key_2", "small"),
        (noon + 1, ACCOUNT, KEY, "large"),
        (noon + 1, ACCOUNT, KEY, "small"),
    ]
    rows = await store.query("usage_of_all_calls", {**asked, "first_id": "call_2", "end_id": "call_3"})
    assert [(row["bucket"], row["requests"], row["output_tokens"]) for row in rows] == [(noon + 1, 1, 20)]
    ids = {"first_id": "call_2", "end_id": "call_9"}
    for skipped, expected in ((0, "call_2"), (2, "call_4"), (3, None)):
        rows = await store.query("call_place", {"account_id": ACCOUNT, **ids, "calls": skipped})
        assert ([row["id"] for row in rows] or [None]) == [expected]
    rows = await store.query("call_place_of_all", {**ids, "calls": 3})
    assert [row["id"] for row in rows] == ["call_5"]


async def test_costs_of_all_accounts_name_the_account(store: Store) -> None:
    await store.apply([*opening(10_000), *opening(10_000, account_id="acct_2", key_id="key_2")])
    calls = [call("call_1"), call("call_2", account_id="acct_2", key_id="key_2")]
    for number, made in enumerate(calls, 1):
        await granted(store, made, 100)
        await store.apply([settle(made, 10 * number)])
    days = {"first_day": 20_000, "last_day": 20_000, "by_key": 1, "by_model": 0, "results": 5}
    rows = await store.query("costs_of_all_by_day", days)
    assert [(row["account_id"], row["key_id"], row["model"], row["charged_nano"]) for row in rows] == [
        (ACCOUNT, KEY, "", 10),
        ("acct_2", "key_2", "", 20),
    ]


async def test_what_was_bought_stays_known_when_it_is_spent(store: Store) -> None:
    await store.apply(opening(10))
    assert await store.query("purchase_of_account", {"account_id": ACCOUNT}) == []
    await store.apply([replace(grant(5, command_id="grant_2"), kind="purchase")])
    assert len(await store.query("purchase_of_account", {"account_id": ACCOUNT})) == 1


async def test_calls_are_told_apart_by_end_user_and_by_what_their_metadata_says(store: Store) -> None:
    """Those that say nothing have an empty label, and one end user's calls are found alone."""
    await store.apply(opening(10_000))
    told = [("jane", '{"team":"fares","a.b":"x"}'), ("jane", ""), ("joe", '{"team":"trams"}'), ("", "")]
    calls = [
        replace(call(f"call_{number}"), end_user=user, metadata=metadata)
        for number, (user, metadata) in enumerate(told)
    ]
    for made in calls:
        await granted(store, made, 100)
        await store.apply([settle(made, 10)])
    span = {"first_id": "call_", "end_id": "call_~", "start_us": 0, "end_us": NOON_US + 1, "results": 9}
    asked = {**span, "width_seconds": 86_400, "by_key": 0, "by_model": 0, "account_id": ACCOUNT}

    async def labels(**more: object) -> dict[object, tuple[object, object]]:
        rows = await store.query(
            "usage_of_calls", {**asked, "by_end_user": 0, "metadata_key": "", "end_user": "", **more}
        )
        return {row["label"]: (row["requests"], row["charged_nano"]) for row in rows}

    assert await labels(by_end_user=1) == {"": (1, 10), "jane": (2, 20), "joe": (1, 10)}
    assert await labels(metadata_key="team") == {"": (2, 20), "fares": (1, 10), "trams": (1, 10)}
    assert await labels(metadata_key="a.b") == {"": (3, 30), "x": (1, 10)}
    assert await labels(end_user="jane") == {"": (2, 20)}
    page = {"account_id": ACCOUNT, "cursor": "", "down_to": "", "key_id": "", "model": "", "limit": 9}
    rows = await store.query("receipts_of_end_user", {**page, "end_user": "jane"})
    assert [row["id"] for row in rows] == ["call_1", "call_0"]
    assert await store.query("receipts_of_end_user", {**page, "end_user": ""}) == []
