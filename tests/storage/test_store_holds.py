"""What every storage engine does about holds and funds that several stores work on at once."""

import asyncio
from typing import cast

import msgspec
from msgspec.structs import replace

from proxy.ledger.commands import Adjust, Extend, Granted, Observe, Refused, Settled
from proxy.ledger.rows import Attempt, Limits, Observed
from proxy.ledger.store import Store
from proxy.ledger.windows import DAY_US
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import (
    ACCOUNT,
    NOON_US,
    account,
    authorize,
    call,
    charge,
    done,
    expect,
    grant,
    granted,
    opening,
    recover,
    settle,
    settled,
)


async def test_a_hold_that_was_extended_is_settled_and_kept_at_its_new_amount(
    store: Store, engine: Engine
) -> None:
    await store.apply(opening(1_000))
    one, other = call("call_1"), call("call_2")
    await granted(store, one, 100)
    await granted(store, other, 100)
    await expect(store, Granted, Extend(one, NOON_US, NOON_US, 50))
    # Extended and closed in one batch: the file still has the amount from before.
    await store.apply([Extend(other, NOON_US, NOON_US, 60), settle(other, 160), settle(one, 150)])
    rows = await store.query("holds_page", {"account_id": "", "state": "", "cursor": "", "limit": 9})
    assert {row["id"]: row["amount_nano"] for row in rows} == {"call_1": 150, "call_2": 160}
    assert (await account(store))["balance_nano"] == 690


async def test_what_was_observed_of_a_call_is_what_recovery_charges(open_store: OpenStore) -> None:
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await granted(first, call("call_2"), 300)
    await done(first, Observe("call_1", ACCOUNT, Observed({"output_tokens": 3}, charge(70))))
    await done(first, Observe("call_1", ACCOUNT, Observed({"output_tokens": 7}, charge(90))))
    await first.close()
    orphans = await second.orphans(NOON_US)
    assert [hold.call for hold in orphans] == [call("call_1"), call("call_2")]
    assert orphans[0].observed == Observed({"output_tokens": 7}, charge(90))
    results = await second.apply([recover(hold.call) for hold in orphans])
    assert [cast("Settled", result).charged_nano for result in results] == [90, 0]
    assert await second.orphans(NOON_US) == []
    (row,) = await second.query("receipt_by_id", {"call_id": "call_1"})
    assert (row["basis"], row["charged_nano"], row["usage"]) == ("recovered", 90, '{"output_tokens":7}')


async def test_the_end_user_and_the_metadata_of_a_call_are_on_its_receipt_however_it_ends(
    open_store: OpenStore,
) -> None:
    """A hold has it, too, so that a crash does not take it away; a repeat of a close still finds the call."""
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    labels = '{"team":"fares"}'
    calls = [replace(call(f"call_{number}"), end_user=f"user {number}", metadata=labels) for number in (1, 2)]
    for one in calls:
        await granted(first, one, 300)
    await first.apply([settle(calls[0], 40)])
    await first.close()
    (orphan,) = await second.orphans(NOON_US)
    assert orphan.call == calls[1]
    await second.apply([recover(orphan.call)])
    for number in (1, 2):
        (row,) = await second.query("receipt_by_id", {"call_id": f"call_{number}"})
        assert (row["end_user"], row["metadata"]) == (f"user {number}", labels)
    (result,) = await second.apply([settle(calls[0], 40)])
    assert cast("Settled", result).replayed


async def test_the_attempts_of_a_call_are_on_its_receipt(store: Store) -> None:
    """Also those that no answer came to; a call that nothing came of has none."""
    await store.apply(opening(1_000))
    attempts = (Attempt("down", None, 1_000), Attempt("denying", 401, 2_000), Attempt("up", 200, 3_000))
    for number, tried in enumerate([attempts, ()]):
        made = call(f"call_{number}")
        await granted(store, made, 300)
        closed = settle(made, 40)
        await expect(store, Settled, replace(closed, outcome=replace(closed.outcome, attempts=tried)))
        (row,) = await store.query("receipt_by_id", {"call_id": made.id})
        assert msgspec.json.decode(str(row["attempts"]), type=tuple[Attempt, ...]) == tried


async def test_holds_of_a_live_store_are_nobodys_to_recover(open_store: OpenStore) -> None:
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await granted(second, call("call_2"), 300)
    assert first.owner != second.owner
    assert await first.orphans(NOON_US) == []
    assert await second.orphans(NOON_US) == []
    await second.close()
    assert [hold.id for hold in await first.orphans(NOON_US)] == ["call_2"]


async def test_a_store_recovers_the_holds_of_one_before_it_but_none_of_its_own(
    engine: Engine, open_store: OpenStore
) -> None:
    """With the name of the process before it, and with a name that none had."""
    first = await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await first.close()
    second = await open_store()
    assert (second.owner == first.owner) == engine.names_return
    await granted(second, call("call_2"), 300)
    assert [hold.id for hold in await second.orphans(NOON_US)] == ["call_1"]
    await expect(second, Settled, recover(call("call_1")))
    assert await second.orphans(NOON_US) == []


async def test_stores_that_take_turns_see_each_others_rows(engine: Engine, open_store: OpenStore) -> None:
    """A store that keeps rows in memory notices every commit of another one."""
    stores = [await open_store(), await open_store()]
    limits = Limits(rpm=100, day_nano=10_000)
    await stores[0].apply(opening(10_000, limits=limits))
    for turn in range(20):
        made = call(f"call_{turn:02}", at_us=NOON_US + turn)
        await granted(stores[turn % 2], made, 100)
        result = await settled(stores[turn // 2 % 2], made, 100)
        assert result.balance_nano == 10_000 - 100 * (turn + 1)
        if turn == 7:
            await done(stores[0], grant(1_000, command_id="grant_2"))
            await done(stores[1], Adjust(ACCOUNT, "adjust_1", "lot_9", -1_000, "undone", NOON_US))
    (sums,) = await stores[0].query("account_sums", {"account_id": ACCOUNT})
    assert sums["entries_nano"] == sums["balance_nano"] == sums["lots_nano"] == 8_000
    assert sums["charges_nano"] == sums["usage_nano"] == 2_000
    assert (sums["held_nano"], sums["holds_nano"], sums["hold_count"], sums["open_holds"]) == (0, 0, 0, 0)
    assert sums["entries"] == sums["entry_count"] == 23
    (account,) = await stores[1].query("account_by_id", {"account_id": ACCOUNT})
    assert account["spending"] == f"[{NOON_US // DAY_US},[{','.join(['[2000,0]'] * 4)}]]"


async def test_what_is_due_is_worked_out_with_the_open_holds_of_all_stores(open_store: OpenStore) -> None:
    """A lot stays for holds that began before it expired; another store's younger hold began later."""
    first, second = await open_store(), await open_store()
    await first.apply([*opening(500), grant(1_000, command_id="grant_2", expires_at_us=NOON_US + 50)])
    older, younger = call("call_1", at_us=NOON_US + 10), call("call_2", at_us=NOON_US + 60)
    await granted(second, older, 300)
    await granted(first, younger, 200)
    assert (await account(first))["balance_nano"] == 800
    assert (await settled(second, older, 100)).balance_nano == 500


async def test_of_200_calls_at_once_on_two_stores_as_many_pass_as_can_be_paid(open_store: OpenStore) -> None:
    stores = [await open_store(), await open_store()]
    await stores[0].apply(opening(3_700))

    async def one(number: int) -> bool:
        store, made = stores[number % 2], call(f"call_{number:03}")
        (result,) = await store.apply([authorize(made, 100, owner=store.owner)])
        if isinstance(result, Refused):
            assert result.code in {"in_flight_budget_exhausted", "credit_balance_exhausted"}
            return False
        await settled(store, made, 100)
        return True

    assert sum(await asyncio.gather(*map(one, range(200)))) == 37
    row = await account(stores[0])
    assert (row["balance_nano"], row["held_nano"], row["open_holds"]) == (0, 0, 0)
