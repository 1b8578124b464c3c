"""What every storage engine does about lots that are voided, and lots and calls that are refunded."""

from msgspec.structs import replace

from proxy.ledger.commands import Done, Refused
from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from proxy.ledger.rules.once import command_digest
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
    done,
    expect,
    grant,
    granted,
    opening,
    settle,
    settled,
)

LOT = f"lot_of_{ACCOUNT}_grant_1"
AFTER_US = NOON_US + 1_000


def refund(nano: int, number: int = 1) -> RefundCall:
    """A part of what `call_1` was charged, which is the second entry."""
    ids = (f"refund_{number}", f"lot_of_refund_{number}", "call_1")
    return RefundCall(ACCOUNT, *ids, nano, "a reason", AFTER_US, 2, (LOT,))


async def charged(store: Store) -> None:
    """A call that has used up its lot."""
    await store.apply(opening(250))
    await granted(store, call("call_1"), 250)
    await settled(store, call("call_1"), 250)


async def test_a_lot_that_was_used_up_has_something_again_for_every_process(open_store: OpenStore) -> None:
    first, second = await open_store(), await open_store()
    await charged(first)
    await done(second, refund(100))
    assert (await account(first))["balance_nano"] == 100
    await granted(first, call("call_2"), 100)
    await settled(first, call("call_2"), 100)
    await done(first, refund(150, 2))
    (lot,) = await second.query("lots_of_account", {"account_id": ACCOUNT})
    assert (lot["id"], lot["remaining_nano"], lot["amount_nano"]) == (LOT, 150, 250)
    assert (await expect(second, Refused, refund(1, 3))).code == "conflict"


async def test_a_refund_is_repeated_when_its_days_are_over(open_store: OpenStore) -> None:
    """By another process, which lets lots be paid back for other days; its digest is that of one without."""
    first, second = await open_store(), await open_store()
    await first.apply([*opening(0)[:2], replace(grant(250), kind="purchase")])
    made = RefundLot(ACCOUNT, "refund_1", LOT, "sent back", AFTER_US, 100, days=14)
    assert command_digest(made) == command_digest(replace(made, days=None))
    await done(first, made)
    late = replace(made, at_us=NOON_US + 14 * DAY_US, days=1)
    assert (await done(second, late)).replayed
    other = replace(late, command_id="refund_2", days=14)
    assert "14 days" in (await expect(second, Refused, other)).message
    await done(second, replace(other, days=15))
    assert (await account(first))["balance_nano"] == 50


async def test_refunds_of_one_batch_count_against_each_other(store: Store, engine: Engine) -> None:
    """And a repeat in it changes nothing."""
    await charged(store)
    commands = [refund(200), refund(200), refund(100, 2), refund(50, 3)]
    results = await store.apply(commands)
    assert [type(result) for result in results] == [Done, Done, Refused, Done]
    assert [getattr(result, "replayed", None) for result in results] == [False, True, None, False]
    assert [row[3] for row in engine.dump()["entries"]] == [250, -250, 200, 50]


async def test_a_repeat_in_a_later_batch_finds_its_entry(open_store: OpenStore) -> None:
    first, second = await open_store(), await open_store()
    await charged(first)
    made = await done(first, refund(100))
    again = await done(second, replace(refund(100), at_us=AFTER_US + 5, lot_id="another"))
    assert (again.replayed, again.entry) == (True, made.entry)


async def test_a_refund_can_be_held_and_charged_in_the_batch_that_gives_it_back(store: Store) -> None:
    await charged(store)
    later = call("call_2", at_us=AFTER_US)
    results = await store.apply(
        [refund(100), authorize(later, 100, owner=store.owner), settle(later, 100), refund(150, 2)]
    )
    assert not any(isinstance(result, Refused) for result in results)
    assert (await account(store))["balance_nano"] == 150


async def test_what_is_left_of_a_lot_is_paid_back_or_voided(store: Store, engine: Engine) -> None:
    await store.apply([*opening(250), grant(70, command_id="grant_2")])
    await granted(store, call("call_1"), 200)
    await done(store, RefundLot(ACCOUNT, "repay", LOT, "sent back", AFTER_US, 50))
    refused = await expect(store, Refused, VoidLot(ACCOUNT, "void", LOT, "an error", AFTER_US))
    assert (refused.code, refused.held_nano) == ("conflict", 200)
    await done(store, VoidLot(ACCOUNT, "void", f"lot_of_{ACCOUNT}_grant_2", "an error", AFTER_US))
    assert [row[2:4] for row in engine.dump()["entries"]][2:] == [("refund", -50), ("void", -70)]
    assert (await account(store))["available_nano"] == 0
