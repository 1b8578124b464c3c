"""What every storage engine does about groups that give and ask: once for each account and period."""

import asyncio

from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Command, Done, Grant, Granted, OpenAccount, Refused
from proxy.ledger.dues import NO_DUES, ChangePlan, Dues, Fee, Renew, Renewal, TakeFee
from proxy.ledger.quotas import Quota, SetHoldings
from proxy.ledger.rows import Outcome
from proxy.ledger.store import Store
from proxy.ledger.windows import DAY_US
from proxy.storage.codecs import row_of
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import ACCOUNT, NOON_US, authorize, call, done, expect, opening, settle

DUES = Dues(Renewal(100, lasts_us=30 * DAY_US), Fee(70, included_nano=30))
OPENING: tuple[Command, ...] = (
    OpenAccount("acct_1", "Ann", NOON_US, group="pro"),
    Grant("acct_1", "grant_1", "lot_1", 500, NOON_US),
)


def renew(number: int = 0, *, day: int = 0) -> Renew:
    return Renew("acct_1", f"dues_{number}", "pro", DUES, NOON_US + day * DAY_US)


async def test_processes_that_renew_at_once_do_it_once(engine: Engine, open_store: OpenStore) -> None:
    stores = [await open_store() for _ in range(4)]
    await stores[0].apply(OPENING)
    batches = [store.apply([renew(2 * number), renew(2 * number + 1)]) for number, store in enumerate(stores)]
    assert {type(result) for results in await asyncio.gather(*batches) for result in results} == {Done}
    kinds = [row[2] for row in engine.dump()["entries"]]
    assert sorted(kinds) == ["fee", "grant", "grant", "grant"]
    assert {row[1] for row in engine.dump()["commands"]} == {
        *("grant_1", "renewal:day:2024-10-04"),
        *(row[1] for row in engine.dump()["commands"] if row[1].startswith("dues_")),
    }


async def test_what_was_missed_is_made_up_for_by_whoever_comes_first(
    engine: Engine, open_store: OpenStore
) -> None:
    first, second = await open_store(), await open_store()
    await first.apply(OPENING)
    await done(first, renew())
    found = await done(second, renew(1, day=3))
    assert found.membership is not None
    assert engine.dump()["memberships"] == [row_of(found.membership)]
    lots = [row for row in engine.dump()["lots"] if row[2] == "renewal"]
    assert [row[0] for row in lots] == [f"lot_acct_1_day_202410{day:02}" for day in range(4, 8)]
    before = engine.dump()
    assert (await done(first, renew(2, day=3))).membership == found.membership
    assert engine.dump() == before


async def test_a_plan_is_changed_in_whole_or_not_at_all(engine: Engine, open_store: OpenStore) -> None:
    first, second = await open_store(), await open_store()
    await first.apply(OPENING)
    await done(first, renew())
    dear = ChangePlan("acct_1", "plan_1", "max", Dues(fee=Fee(5_000)), NOON_US, "pro")
    before = engine.dump()
    assert (await expect(second, Refused, dear)).code == "request_exceeds_balance"
    assert engine.dump() == before
    found = await done(second, replace(dear, dues=Dues(fee=Fee(90))))
    assert found.account is not None
    assert (found.account.group, found.account.balance_nano) == ("max", 500 - 90 + 100)
    await done(first, ChangeAccount("acct_1", NOON_US, group=""))
    found = await done(second, Renew("acct_1", "dues_9", "", NO_DUES, NOON_US))
    assert found.account is not None
    assert found.account.balance_nano == 500 + 100


async def test_who_is_due_is_found_and_who_is_in_no_group_never(store: Store) -> None:
    await store.apply([*OPENING, OpenAccount("acct_2", "Bob", NOON_US)])
    params = {"now_us": NOON_US, "limit": 9, "skipped": 0}
    assert await store.query("memberships_due", params) == [{"account_id": "acct_1", "group": "pro"}]
    await done(store, renew())
    assert await store.query("memberships_due", params) == []
    midnight_us = (NOON_US // DAY_US + 1) * DAY_US
    assert len(await store.query("memberships_due", {**params, "now_us": midnight_us})) == 1


async def test_a_fee_is_taken_once_for_its_id_and_in_whole(store: Store, engine: Engine) -> None:
    await store.apply(OPENING)
    fee = TakeFee("acct_1", "fee_1", 400, "set up", NOON_US)
    await done(store, fee)
    before = engine.dump()
    assert (await done(store, fee)).replayed
    assert (await expect(store, Refused, replace(fee, command_id="fee_2"))).code == "request_exceeds_balance"
    assert engine.dump() == before


async def test_an_account_pays_a_fee_on_credit_in_the_batch_that_opens_it(store: Store) -> None:
    """There are no lots of it to be loaded then."""
    opened = OpenAccount("acct_1", "Ann", NOON_US, 100, group="pro")
    _, renewed = await store.apply([opened, replace(renew(), dues=Dues(fee=Fee(70)))])
    assert isinstance(renewed, Done)
    assert renewed.account is not None
    assert renewed.account.debt_nano == 70


async def test_of_calls_at_once_by_all_processes_so_many_pass_as_their_quota_has(
    engine: Engine, open_store: OpenStore
) -> None:
    """What comes to nothing is given back, and the next call has it."""
    stores = [await open_store() for _ in range(4)]
    await stores[0].apply([*opening(1_000), ChangeAccount(ACCOUNT, NOON_US, group="gold")])
    made = [
        replace(
            authorize(call(f"call_{number:02}"), 1, owner=store.owner), group="gold", quota=Quota("best", 5)
        )
        for number, store in enumerate(stores * 3)
    ]
    batches = [store.apply(made[place::4]) for place, store in enumerate(stores)]
    results = [result for results in await asyncio.gather(*batches) for result in results]
    assert sorted(type(result).__name__ for result in results) == ["Granted"] * 5 + ["Refused"] * 7
    granted = [
        command
        for place in range(4)
        for command, result in zip(made[place::4], results[3 * place :], strict=False)
        if isinstance(result, Granted)
    ]
    outcome = Outcome("unreachable", 502, "void", {}, NOON_US)
    await stores[1].apply([granted[0].void(outcome)])
    again = replace(made[0], call=call("call_99"))
    assert [type(result) for result in await stores[2].apply([again])] == [Granted]
    assert engine.dump()["memberships"][0][13] == '[["best",5]]'


async def test_holdings_put_an_account_in_a_group_and_old_ones_do_not(open_store: OpenStore) -> None:
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await done(first, SetHoldings(ACCOUNT, 900, NOON_US, "gold", ("gold",), NOON_US))
    found = await done(second, SetHoldings(ACCOUNT, 5, NOON_US - 1, "", ("gold",), NOON_US))
    assert found.account is not None
    assert found.membership is not None
    assert (found.replayed, found.account.group, found.membership.held) == (True, "gold", 900)


async def test_a_month_is_settled_by_what_was_spent_in_it(store: Store, engine: Engine) -> None:
    """Also once its sums have left the row of the account."""
    await store.apply([*opening(100_000), ChangeAccount(ACCOUNT, NOON_US - 3 * DAY_US, group="bound")])
    await store.apply([authorize(call("call_1"), 300, owner=store.owner), settle(call("call_1"), 300)])
    later = NOON_US + 40 * DAY_US
    dues = Dues(minimum_nano=9_000, is_prorated=False)
    for number in range(2):
        joined = replace(Renew(ACCOUNT, f"dues_{number}", "bound", dues, later))
        await done(store, joined)
    fees = [row[3] for row in engine.dump()["entries"] if row[2] == "fee"]
    assert fees == []
    await done(store, Renew(ACCOUNT, "dues_9", "bound", dues, later + 30 * DAY_US))
    assert [row[3] for row in engine.dump()["entries"] if row[2] == "fee"] == [-9_000]
