"""What every storage engine does about usage that was never authorized: charged once, whatever there is."""

from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Recorded, Refused, Regrouped
from proxy.ledger.store import Store
from proxy.ledger.windows import DAY_US
from proxy.money import MAX_NANO
from proxy.storage.tables import KEYS
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import (
    ACCOUNT,
    KEY,
    NOON_US,
    account,
    call,
    done,
    expect,
    granted,
    opening,
    record,
    settled,
)

EVENT = call("event_1", key_id="", model="gpu.job")


async def test_no_debt_becomes_more_than_there_can_be_of_money(store: Store) -> None:
    """What no row could hold is rejected, rather than asked for again for ever."""
    await store.apply(opening(0))
    for number, (nano, is_taken) in enumerate(((MAX_NANO, True), (1, False))):
        event = call(f"event_{number}", key_id="", model="gpu.job")
        kind = Recorded if is_taken else Refused
        await expect(store, kind, replace(record(event, nano), on_shortfall="owe"))


async def test_it_is_charged_at_once_and_leaves_a_receipt_of_its_account_alone(
    store: Store, engine: Engine
) -> None:
    """Its hold is closed and of nothing, and no key is named by it, nor by what it sums to."""
    await store.apply(opening(1_000))
    result = (await expect(store, Recorded, record(EVENT, 400, at_us=NOON_US + 5))).settled
    assert (result.charged_nano, result.available_nano, result.replayed) == (400, 600, False)
    (row,) = await store.query("receipt_by_id", {"call_id": EVENT.id})
    assert (row["key_id"], row["charged_nano"], row["hold_nano"], row["ended_at_us"]) == (
        *("", 400, 0),
        NOON_US + 5,
    )
    (entry,) = (row for row in engine.dump()["entries"] if row[2] == "charge")
    assert (entry[3], entry[6], entry[7]) == (-400, EVENT.id, NOON_US + 5)
    (day,) = engine.dump()["usage_days"]
    assert (day[2], day[3], day[4], day[-1]) == ("", "gpu.job", 1, 400)
    assert (await account(store))["open_holds"] == 0


async def test_a_repeat_changes_nothing_and_other_content_is_a_conflict(
    engine: Engine, open_store: OpenStore
) -> None:
    """In one batch, in a later one and by another process."""
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    made = record(EVENT, 400)
    results = await first.apply([made, replace(made, call=replace(EVENT, id="event_9"))])
    told = [(each.call_id, each.settled.replayed) for each in results if isinstance(each, Recorded)]
    assert told == [("event_1", False), ("event_1", True)]
    before = engine.dump()
    for store in (first, second):
        assert (await expect(store, Recorded, made)).settled.replayed
        refused = await expect(store, Refused, replace(made, digest="of something else"))
        assert refused.code == "idempotency_conflict"
    assert engine.dump() == before


async def test_what_funds_do_not_cover_is_owed_or_let_go_and_nothing_in_flight_pays_for_it(
    store: Store,
) -> None:
    await store.apply(opening(1_000))
    await granted(store, call("call_1"), 700)
    owing = (await expect(store, Recorded, record(EVENT, 500))).settled
    assert (owing.charged_nano, owing.shortfall_nano, owing.owed_nano) == (500, 0, 200)
    gone = replace(record(call("event_2", key_id=""), 500), on_shortfall="forgive")
    let_go = (await expect(store, Recorded, gone)).settled
    assert (let_go.charged_nano, let_go.shortfall_nano, let_go.owed_nano) == (0, 500, 0)
    assert (await settled(store, call("call_1"), 700)).charged_nano == 700


async def test_it_counts_on_the_day_of_its_use_for_its_account_and_for_the_key_it_names(
    store: Store, engine: Engine
) -> None:
    """Also days later, when that day's windows have ended; a suspended account is charged as well."""
    await store.apply(opening(1_000))
    later_us = NOON_US + 5 * DAY_US
    await store.apply([record(call("event_2", key_id="", at_us=later_us), 10)])
    await done(store, ChangeAccount(ACCOUNT, later_us, status="suspended"))
    used = call("event_3", key_id=KEY)
    told = await expect(store, Recorded, record(used, 30, at_us=later_us))
    assert told.settled.charged_nano == 30
    buckets = {(row[1], row[2], row[3]): row[4] for row in engine.dump()["buckets"]}
    assert buckets[ACCOUNT, "day", NOON_US // DAY_US] == 30
    (key,) = engine.dump()["keys"]
    assert "[30,0]" in key[KEYS.place("spending")]


async def test_what_cannot_have_been_used_so_is_refused_and_leaves_no_trace(
    store: Store, engine: Engine
) -> None:
    await store.apply(opening(1_000))
    await granted(store, call("call_1"), 10)
    before = engine.dump()
    for command, code in (
        (record(call("event_1", account_id="acct_9", key_id=""), 5), "not_found"),
        (record(call("event_1", key_id="key_9"), 5), "invalid_api_key"),
        (record(EVENT, 5, at_us=NOON_US - 1), "invalid_value"),
        (record(call("call_1", key_id=""), 5), "conflict"),
    ):
        assert (await expect(store, Refused, command)).code == code
    assert await expect(store, Regrouped, replace(record(EVENT, 5), group="vip")) == Regrouped("")
    assert engine.dump() == before
