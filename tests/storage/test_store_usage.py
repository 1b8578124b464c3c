"""Usage is summed by day, model, key and account, the same in every storage engine."""

from typing import cast

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
