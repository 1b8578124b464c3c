"""What is owed beyond all funds, as every engine keeps it."""

from msgspec.structs import replace

from proxy.ledger.commands import Grant, Settled
from proxy.ledger.store import Store
from tests.storage.teller import ACCOUNT, NOON_US, account, call, done, expect, granted, opening, settle


async def test_what_is_owed_beyond_all_funds_is_kept_until_it_is_repaid(store: Store) -> None:
    """With the account, and on the receipt as a part of the charge; the entries' sum has it as debt."""
    await store.apply(opening(1_000))
    await granted(store, call("call_1"), 300)
    owing = replace(settle(call("call_1"), 1_300), on_shortfall="owe")
    result = await expect(store, Settled, owing)
    assert (result.charged_nano, result.owed_nano, result.available_nano) == (1_300, 300, -300)
    (row,) = await store.query("receipt_by_id", {"call_id": "call_1"})
    assert (row["charged_nano"], row["shortfall_nano"], row["owed_nano"]) == (1_300, 0, 300)
    found = await account(store)
    assert (found["owed_nano"], found["debt_nano"], found["available_nano"]) == (300, 0, -300)
    await done(store, Grant(ACCOUNT, "repay", "lot_repay", 450, NOON_US + 1_000))
    found = await account(store)
    assert (found["owed_nano"], found["balance_nano"], found["available_nano"]) == (0, 150, 150)
