"""What every storage engine does about groups that give and ask: once for each account and period."""

import asyncio

from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Command, Done, Grant, OpenAccount, Refused
from proxy.ledger.dues import NO_DUES, ChangePlan, Dues, Fee, Renew, Renewal, TakeFee
from proxy.ledger.store import Store
from proxy.ledger.windows import DAY_US
from proxy.storage.columns import membership_row
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import NOON_US, done, expect

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
        *("grant_1", "renewal:2024-10-04"),
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
    assert engine.dump()["memberships"] == [membership_row(found.membership)]
    lots = [row for row in engine.dump()["lots"] if row[2] == "renewal"]
    assert [row[0] for row in lots] == [f"lot_acct_1_202410{day:02}" for day in range(4, 8)]
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
