"""What every storage engine does with batches: all of one or nothing, durably, in order, once."""

import contextlib
import json
from typing import cast

import msgspec
import pytest

from proxy.ledger.commands import (
    Adjust,
    Authorize,
    ChangeAccount,
    ChangeKey,
    Command,
    CreateKey,
    Done,
    Extend,
    Granted,
    Observe,
    OpenAccount,
    Refused,
    Settled,
)
from proxy.ledger.rows import NO_LIMIT, UNLIMITED, Caller, Limits, Observed
from proxy.ledger.spending import Bucket, Spending
from proxy.ledger.store import LedgerUnavailable, Store
from proxy.ledger.windows import DAY_US
from proxy.storage.faults import ConstraintFault
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import (
    ACCOUNT,
    KEY,
    NOON_US,
    USAGE,
    account,
    authorize,
    call,
    charge,
    done,
    expect,
    grant,
    granted,
    opening,
    settle,
    settled,
    void,
)


async def test_what_was_committed_is_there_after_a_restart(engine: Engine, open_store: OpenStore) -> None:
    first = await open_store()
    await first.apply(opening(1_000, limits=Limits(day_nano=900, rpm=5)))
    await granted(first, call("call_1"), 300)
    await settled(first, call("call_1"), 250)
    await granted(first, call("call_2"), 300)
    before = await account(first)
    await first.close()
    dump = engine.dump()

    second = await open_store()
    assert engine.dump() == dump
    assert await account(second) == before
    assert (before["balance_nano"], before["held_nano"], before["available_nano"]) == (750, 300, 450)
    refused = await expect(second, Refused, authorize(call("call_3"), 400, owner=second.owner))
    assert (refused.limit_source, refused.spent_nano, refused.held_nano) == ("account_day", 250, 300)
    result = await settled(second, call("call_2"), 300)
    assert (result.charged_nano, result.balance_nano) == (300, 450)


async def test_results_come_in_the_order_of_the_commands(store: Store) -> None:
    made = call("call_1")
    results = await store.apply(
        [
            *opening(100),
            authorize(made, 60, owner=store.owner),
            authorize(call("call_2"), 60, owner=store.owner),
            settle(made, 50),
            authorize(call("call_2"), 50, owner=store.owner),
        ]
    )
    assert [type(result) for result in results] == [Done, Done, Done, Granted, Refused, Settled, Granted]


async def test_an_empty_batch_is_nothing(store: Store, engine: Engine) -> None:
    before = engine.dump()
    assert await store.apply([]) == []
    assert engine.dump() == before


REFUSED: dict[str, Command] = {
    "an account that exists": OpenAccount(ACCOUNT, "again", NOON_US),
    "an unknown account": grant(5, account_id="acct_none"),
    "a key that exists": CreateKey(ACCOUNT, KEY, "again", "other digest", "x", NOON_US),
    "an unknown key": ChangeKey(ACCOUNT, "key_none", NOON_US, name="x"),
    "nothing granted": grant(0, command_id="grant_2"),
    "an id used for another grant": grant(5),
    "more taken than there is": Adjust(ACCOUNT, "adjust_1", "lot_1", -2_000, "a mistake", NOON_US),
    "a call that costs too much": authorize(call("call_2"), 2_000, owner="owner-0"),
    "a call that was made": authorize(call("call_settled"), 10, owner="owner-0"),
    "a hold that does not exist": settle(call("call_none"), 10),
    "a settled call observed": Observe("call_settled", ACCOUNT, Observed({}, charge(5))),
    "more held than there is": Extend(call("call_open"), NOON_US, NOON_US, 5_000),
}


@pytest.mark.parametrize("command", REFUSED.values(), ids=REFUSED.keys())
async def test_a_refused_command_leaves_no_trace(store: Store, engine: Engine, command: Command) -> None:
    await store.apply(opening(1_000))
    await granted(store, call("call_settled"), 100)
    await settled(store, call("call_settled"), 80)
    await granted(store, call("call_open"), 100)
    before = engine.dump()
    await expect(store, Refused, command)
    assert engine.dump() == before


async def test_a_refused_command_does_not_keep_others_from_being_carried_out(store: Store) -> None:
    await store.apply([*opening(1_000), grant(0, command_id="grant_2"), grant(5, command_id="grant_3")])
    assert (await account(store))["balance_nano"] == 1_005


async def test_a_batch_with_a_fault_is_undone_as_a_whole_and_can_be_tried_without_it(
    store: Store, engine: Engine
) -> None:
    """A digest that is taken is seen by the schema only: no rule can know all keys."""
    await store.apply(opening(1_000))
    before = engine.dump()
    twin = CreateKey(ACCOUNT, "key_2", "twin", f"digest of {KEY}", "x", NOON_US)
    other = grant(5, command_id="grant_2")
    with pytest.raises(ConstraintFault):
        await store.apply([other, twin])
    assert engine.dump() == before
    assert not (await done(store, other)).replayed
    assert (await account(store))["balance_nano"] == 1_005


async def test_repeated_commands_do_nothing_more(engine: Engine, open_store: OpenStore) -> None:
    """Neither in one batch, nor in a later one, nor after a restart."""
    store = await open_store()
    made, voided = call("call_1"), call("call_2")
    once: list[Command] = [
        grant(1_000, command_id="grant_2"),
        Adjust(ACCOUNT, "adjust_1", "lot_9", -10, "a mistake", NOON_US),
        authorize(made, 300, owner=store.owner),
        settle(made, 250),
        authorize(voided, 300, owner=store.owner),
        void(voided),
    ]
    await store.apply(opening(1))
    results = await store.apply([command for command in once for _ in range(2)])
    entries = [cast("Done", result).entry for result in results[:4]]
    assert entries[0] == entries[1] != entries[2] == entries[3] is not None
    before = engine.dump()
    repeats = [command for command in once if not isinstance(command, Authorize)]
    for _ in range(2):
        results = await store.apply(repeats)
        assert all(cast("Done | Settled", result).replayed for result in results)
        assert [cast("Done", result).entry for result in results[:2]] == entries[::2]
        assert engine.dump() == before
        await store.close()
        store = await open_store()
    assert (await account(store))["balance_nano"] == 741


async def test_an_open_hold_is_found_by_a_repeat_of_its_authorization(open_store: OpenStore) -> None:
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    assert await granted(first, call("call_1"), 300) == await granted(second, call("call_1"), 300)
    assert (await account(first))["held_nano"] == 300


async def test_limits_and_models_come_back_as_they_were_set(open_store: OpenStore) -> None:
    first = await open_store()
    limits = Limits(day_nano=0, week_nano=NO_LIMIT, total_nano=7, rpm=1, concurrency=2)
    models = ("gpt-*", "a, \"quoted\" 'näme'")
    await first.apply(opening(1_000))
    key = CreateKey(ACCOUNT, "key_2", "x", "digest 2", "wxyz", NOON_US, NOON_US + 5, models, limits)
    made = (await done(first, key)).key
    changed = (await done(first, ChangeAccount(ACCOUNT, NOON_US, limits=limits))).account
    second = await open_store()
    assert made is not None
    assert await second.caller_by_digest("digest 2") == Caller(made)
    assert (made.limits, made.models, made.expires_at_us) == (limits, models, NOON_US + 5)
    assert (await done(second, ChangeAccount(ACCOUNT, NOON_US))).account == changed


async def test_no_limits_are_the_same_object_after_a_restart(open_store: OpenStore) -> None:
    """The rules take a shorter way when there are none, and ask for the object rather than its fields."""
    await (await open_store()).apply(opening(1_000))
    again = (await done(await open_store(), ChangeKey(ACCOUNT, KEY, NOON_US))).key
    assert again is not None
    assert again.limits is UNLIMITED


async def test_a_key_is_found_by_its_digest_only(store: Store) -> None:
    await store.apply(opening(1_000))
    caller = await store.caller_by_digest(f"digest of {KEY}")
    assert caller is not None
    key = caller.key
    assert (key.id, key.account_id, key.name, key.hint) == (KEY, ACCOUNT, "laptop", "abcd")
    assert await store.caller_by_digest(KEY) is None


async def test_a_receipt_keeps_all_that_explains_the_charge(store: Store) -> None:
    await store.apply(opening(1_000))
    await granted(store, call("call_1"), 300)
    await settled(store, call("call_1"), 1_300)
    (row,) = await store.query("receipt_by_id", {"call_id": "call_1"})
    assert isinstance(row.pop("seal"), int)
    assert row.pop("lines") == (
        '[{"meter":"output_tokens","quantity":20,"price_nano":"1.5","per":1,"amount_nano":1300}]'
    )
    assert json.loads(cast("str", row.pop("usage"))) == USAGE
    assert row == {
        "id": "call_1",
        "account_id": ACCOUNT,
        "key_id": KEY,
        "endpoint": "chat",
        "model": "small",
        "upstream": "main",
        "upstream_model": "small-2024",
        "stream": 1,
        "started_at_us": NOON_US,
        "outcome": "complete",
        "status": 200,
        "basis": "reported",
        "ended_at_us": NOON_US + 900,
        "first_byte_at_us": NOON_US + 300,
        "anomalies": 1,
        "charge_nano": 1_300,
        "price_id": "small@1",
        "charged_nano": 1_000,
        "shortfall_nano": 300,
        "hold_nano": 300,
        "day": NOON_US // DAY_US,
        "end_user": "",
        "attempts": "[]",
        "inferred": '{"output_tokens":"total"}',
        "owed_nano": 0,
        "metadata": "",
        "run_id": "",
        "refunded_nano": 0,
    }


async def test_usage_and_spending_are_of_the_day_of_the_authorization(store: Store) -> None:
    midnight_us = (NOON_US // DAY_US + 1) * DAY_US
    made = call("call_1", at_us=midnight_us - 5)
    await store.apply(opening(1_000))
    await granted(store, made, 300)
    await settled(store, made, 250)
    day = {"account_id": ACCOUNT, "first_day": 0, "last_day": 10**6}
    (row,) = await store.query("usage_by_day", day)
    (account,) = await store.query("account_by_id", {"account_id": ACCOUNT})
    spent = msgspec.json.decode(str(account["spending"]), type=Spending).buckets(ACCOUNT)
    assert spent[0] == Bucket(ACCOUNT, "day", NOON_US // DAY_US, 250, 0)
    assert (row["day"], row["charged_nano"]) == (NOON_US // DAY_US, 250)


async def test_a_call_of_an_earlier_day_moves_the_buckets_that_have_ended(
    engine: Engine, open_store: OpenStore
) -> None:
    """Any store that closes it finds them as they were; limits of that day go on to count them."""
    today = NOON_US // DAY_US
    stores = [await open_store(), await open_store()]
    await stores[0].apply(opening(10_000, limits=Limits(day_nano=1_000)))
    early = [call(f"call_{number}", at_us=NOON_US + number) for number in range(3)]
    for made in early:
        await granted(stores[0], made, 200)
    later = call("call_later", at_us=NOON_US + 4 * DAY_US)
    await granted(stores[1], later, 900)
    assert await settled(stores[1], early[0], 150)
    assert await stores[0].apply([void(early[1])])
    (refused,) = await stores[1].apply([Extend(early[2], NOON_US + 2, later.started_at_us, 900)])
    assert isinstance(refused, Refused)
    assert (refused.code, refused.spent_nano, refused.held_nano) == ("daily_limit_exceeded", 150, 200)
    assert await settled(stores[0], early[2], 20)
    assert await settled(stores[1], later, 900)
    ended = [row for row in engine.dump()["buckets"] if row[1] == ACCOUNT]
    # Noon is a Friday's: the later call is in another week of the same month.
    assert ended == [
        (ACCOUNT, ACCOUNT, "day", today, 170, 0),
        (ACCOUNT, ACCOUNT, "week", today - 4, 170, 0),
    ]
    (account,) = await stores[0].query("account_by_id", {"account_id": ACCOUNT})
    assert account["spending"] == f"[{today + 4},[[900,0],[900,0],[1070,0],[1070,0]]]"


@pytest.mark.parametrize("day", range(5))
async def test_an_account_whose_first_call_a_clock_dated_1970_goes_on(store: Store, day: int) -> None:
    """A machine may not know the time when it starts. The first week there is began before the first day."""
    await store.apply(opening(1_000))
    early, later = call("call_1", at_us=day * DAY_US), call("call_2")
    await granted(store, early, 300)
    assert (await settled(store, early, 200)).charged_nano == 200
    await granted(store, later, 300)
    assert (await settled(store, later, 250)).balance_nano == 550


async def test_a_closed_store_says_so(open_store: OpenStore) -> None:
    store = await open_store()
    await store.close()
    await store.close()
    with pytest.raises(LedgerUnavailable, match="not open"):
        await store.apply(opening(1))
    with pytest.raises(LedgerUnavailable, match="not open"):
        await store.caller_by_digest("digest")


async def test_an_id_of_a_key_is_one_accounts_only(store: Store) -> None:
    """A key is asked for by its id alone. A rule refuses a second one, or at the latest the schema does."""
    await store.apply([*opening(1_000), *opening(1_000, account_id="acct_2", key_id="key_2")])
    twin = CreateKey("acct_2", KEY, "twin", "digest of the twin", "x", NOON_US)
    with contextlib.suppress(ConstraintFault):
        await expect(store, Refused, twin)
    (row,) = await store.query("key_by_id", {"key_id": KEY})
    assert row["account_id"] == ACCOUNT
