"""What every storage engine does about top-ups: each is credited once, whoever says so and how often."""

import asyncio

from msgspec.structs import replace

from proxy.ledger.commands import Adjust, ChangeAccount, Done, OpenAccount, Refused
from proxy.ledger.store import Store
from proxy.ledger.top_up_rows import TopUp
from proxy.ledger.top_ups import (
    ConfirmTopUp,
    FailTopUp,
    NoteTopUp,
    OpenTopUp,
    RefundTopUp,
    ReverseTopUp,
    SetAutoTopUp,
)
from proxy.storage.codecs import row_of
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import ACCOUNT, NOON_US, done, expect, top_up

LATER_US = NOON_US + 1_000


def confirm(
    id_: str = "topup_1", reference: str = "wire 1", lot: str = "lot_1", cents: int = 5_000
) -> ConfirmTopUp:
    return ConfirmTopUp(ACCOUNT, id_, LATER_US, "manual", reference, cents, lot, f"bonus of {lot}")


async def opened(store: Store, *top_ups: TopUp) -> None:
    """An account that has opened top-ups."""
    await done(store, OpenAccount(ACCOUNT, "Ada", NOON_US))
    for each in top_ups:
        await done(store, OpenTopUp(each.account_id, each))


async def test_a_paid_top_up_leaves_what_was_bought_and_its_bonus_as_two_lots(
    engine: Engine, open_store: OpenStore
) -> None:
    """Fifty dollars and five percent more; the rows say by which payment."""
    first, second = await open_store(), await open_store()
    await opened(first, top_up())
    await done(second, NoteTopUp(ACCOUNT, "topup_1", LATER_US, "manual", "page 1", "https://pay.example"))
    paid = await done(first, confirm())
    assert paid.account is not None
    assert paid.top_up is not None
    assert paid.account.balance_nano == 52_500_000_000
    dump = engine.dump()
    kinds = [(row[0], row[2], row[3]) for row in sorted(dump["lots"], key=repr)]
    assert kinds == [("bonus of lot_1", "bonus", 2_500_000_000), ("lot_1", "purchase", 50_000_000_000)]
    assert dump["top_ups"] == [row_of(paid.top_up)]
    assert paid.top_up.url == "https://pay.example"
    assert {row[1] for row in dump["top_up_references"]} == {"page 1", "wire 1"}


async def test_processes_that_confirm_at_once_credit_once(engine: Engine, open_store: OpenStore) -> None:
    """As webhooks do that are delivered twice, to two processes."""
    stores = [await open_store() for _ in range(4)]
    await opened(stores[0], top_up())
    batches = [store.apply([confirm(lot=f"lot_{number}")] * 2) for number, store in enumerate(stores)]
    results = [result for batch in await asyncio.gather(*batches) for result in batch]
    assert all(isinstance(result, Done) for result in results), results
    assert sorted(result.replayed for result in results if isinstance(result, Done)) == [False] + [True] * 7
    assert [row[4] for row in engine.dump()["accounts"]] == [52_500_000_000]
    assert len(engine.dump()["top_up_references"]) == 1


async def test_one_payment_pays_one_top_up(open_store: OpenStore) -> None:
    """Whichever account's it is, and whichever process is told; nor is a top-up paid by two payments."""
    first, second = await open_store(), await open_store()
    await opened(first, top_up(), top_up("topup_2"))
    await done(second, OpenAccount("acct_2", "Bob", NOON_US))
    await done(second, OpenTopUp("acct_2", top_up(account_id="acct_2")))
    await done(first, confirm())
    for other in (confirm("topup_2", lot="lot_2"), replace(confirm(lot="lot_3"), account_id="acct_2")):
        assert (await expect(second, Refused, other)).code == "conflict"
    assert (await expect(second, Refused, confirm(reference="wire 2", lot="lot_4"))).code == "conflict"


async def test_processes_that_name_one_payment_for_two_top_ups_credit_one(
    engine: Engine, open_store: OpenStore
) -> None:
    first, second = await open_store(), await open_store()
    await opened(first, top_up())
    await done(second, OpenAccount("acct_2", "Bob", NOON_US))
    await done(second, OpenTopUp("acct_2", top_up(account_id="acct_2")))
    other = replace(confirm(lot="lot_3"), account_id="acct_2")
    results = [result for (result,) in await asyncio.gather(first.apply([confirm()]), second.apply([other]))]
    assert sorted(type(result).__name__ for result in results) == ["Done", "Refused"]
    assert [row[:3] for row in engine.dump()["top_up_references"]] in (
        [("manual", "wire 1", ACCOUNT)],
        [("manual", "wire 1", "acct_2")],
    )


async def test_what_cannot_be_is_refused_and_leaves_no_trace(store: Store, engine: Engine) -> None:
    await opened(store, top_up(), top_up("topup_2"))
    await done(store, confirm("topup_2", "wire 2", "lot_2"))
    before = engine.dump()
    for command, code in (
        (OpenTopUp(ACCOUNT, top_up(cents=6_000)), "idempotency_conflict"),
        (OpenTopUp(ACCOUNT, replace(top_up(), method="card")), "idempotency_conflict"),
        (OpenTopUp(ACCOUNT, top_up("topup_3", 0)), "invalid_value"),
        (OpenTopUp(ACCOUNT, top_up("topup_3"), most_pending=1), "conflict"),
        (OpenTopUp("acct_9", top_up(account_id="acct_9")), "not_found"),
        (confirm("topup_9"), "not_found"),
        (confirm(cents=4_999), "conflict"),
        (replace(confirm(), provider="stripe"), "conflict"),
        (NoteTopUp(ACCOUNT, "topup_1", LATER_US, "manual", "wire 2"), "conflict"),
        (FailTopUp(ACCOUNT, "topup_2", LATER_US, "failed", "late"), "conflict"),
        (RefundTopUp(ACCOUNT, "topup_1", LATER_US, "r1", 100, "sent back"), "conflict"),
        (RefundTopUp(ACCOUNT, "topup_2", LATER_US, "r1", 5_001, "sent back"), "conflict"),
        (RefundTopUp(ACCOUNT, "topup_2", LATER_US, "r1", 0, "sent back"), "invalid_value"),
        (ReverseTopUp(ACCOUNT, "topup_1", LATER_US, 100, 0, "refunded"), "conflict"),
    ):
        assert (await expect(store, Refused, command)).code == code, command
    assert engine.dump() == before


async def test_many_that_nobody_pays_keep_the_account_from_no_automatic_one(store: Store) -> None:
    """Nor does an automatic one take a place from them."""
    await opened(store, top_up(), top_up("topup_2"))
    automatic = top_up("topup_3", origin="automatic")
    await done(store, OpenTopUp(ACCOUNT, automatic, most_pending=2))
    await done(store, OpenTopUp(ACCOUNT, top_up("topup_4"), most_pending=3))
    full = await expect(store, Refused, OpenTopUp(ACCOUNT, top_up("topup_5"), most_pending=3))
    assert full.code == "conflict"


async def test_pending_top_ups_are_few_and_those_that_are_due_make_room(store: Store, engine: Engine) -> None:
    """One that a low balance has asked for is alone of its kind."""
    await opened(store, top_up("topup_1", expires_at_us=LATER_US), top_up("topup_2", origin="automatic"))
    third = replace(top_up("topup_3"), created_at_us=LATER_US)
    automatic = replace(third, origin="automatic")
    assert (await expect(store, Refused, OpenTopUp(ACCOUNT, automatic))).code == "conflict"
    await done(store, OpenTopUp(ACCOUNT, third, most_pending=2))
    assert [(row[1], row[12]) for row in sorted(engine.dump()["top_ups"])] == [
        ("topup_1", "expired"),
        ("topup_2", "pending"),
        ("topup_3", "pending"),
    ]


async def test_what_is_offered_to_a_group_is_sold_to_its_accounts_alone(store: Store) -> None:
    """As they are when it is opened. Once it is, it may be asked for again, whatever group they are in."""
    await opened(store)
    offered = OpenTopUp(ACCOUNT, top_up(), group="pro")
    assert (await expect(store, Refused, offered)).code == "conflict"
    await done(store, ChangeAccount(ACCOUNT, NOON_US, group="pro"))
    await done(store, offered)
    await done(store, ChangeAccount(ACCOUNT, NOON_US, group=""))
    assert (await done(store, offered)).replayed
    for name, group, kind in (("topup_2", "pro", Refused), ("topup_3", "", Done), ("topup_4", None, Done)):
        await expect(store, kind, OpenTopUp(ACCOUNT, top_up(name), group=group))
    await done(store, SetAutoTopUp(ACCOUNT, NOON_US, "on", 10**12, 10**9))
    found = await store.query("auto_top_ups_due", {"after": "", "limit": 9, "now_us": LATER_US * 2})
    assert [row["group"] for row in found] == [""]


async def test_what_nobody_has_paid_in_time_counts_as_no_funds(store: Store) -> None:
    """Nor to what automatic ones may buy in a day, though nothing has closed it."""
    forgotten = top_up(origin="automatic", expires_at_us=LATER_US)
    await opened(store, forgotten)
    await done(store, SetAutoTopUp(ACCOUNT, NOON_US, "on", 5, 10**9))
    for now_us, due, bought_nano in ((LATER_US - 1, [], forgotten.credit_nano), (LATER_US, [0], 0)):
        found = await store.query("auto_top_ups_due", {"after": "", "limit": 9, "now_us": now_us})
        assert [row["funds_nano"] for row in found] == due
        times = {"day_us": NOON_US, "month_us": NOON_US, "now_us": now_us}
        (sums,) = await store.query("automatic_sums", {"account_id": ACCOUNT, **times})
        assert sums == {"day_nano": bought_nano, "month_nano": bought_nano}


async def test_who_is_suspended_is_charged_for_no_automatic_one(store: Store) -> None:
    """One that was opened before waits until the account is active again."""
    automatic = top_up(origin="automatic")
    await opened(store, automatic)
    params = {"provider": "manual", "after": "", "limit": 9}
    await done(store, ChangeAccount(ACCOUNT, NOON_US, status="suspended"))
    assert await store.query("automatic_unsent", params) == []
    await done(store, ChangeAccount(ACCOUNT, NOON_US, status="active"))
    assert [row["id"] for row in await store.query("automatic_unsent", params)] == [automatic.id]


async def test_what_was_paid_after_all_is_credited(open_store: OpenStore) -> None:
    """Also where the provider has said before that it was not."""
    first, second = await open_store(), await open_store()
    await opened(first, top_up())
    failed = FailTopUp(ACCOUNT, "topup_1", LATER_US, "failed", "declined")
    assert not (await done(first, failed)).replayed
    assert (await done(second, failed)).replayed
    paid = await done(second, confirm())
    assert paid.account is not None
    assert paid.account.balance_nano == 52_500_000_000


async def test_a_refund_takes_what_was_paid_for_and_the_bonus_with_it(
    engine: Engine, open_store: OpenStore
) -> None:
    """Twenty of fifty dollars: thirty are left, and nothing of the bonus. A repeat takes nothing more."""
    first, second = await open_store(), await open_store()
    await opened(first, top_up())
    await done(first, confirm())
    refund = RefundTopUp(ACCOUNT, "topup_1", LATER_US, "r1", 2_000, "sent back")
    taken = await done(second, refund)
    again = await done(first, replace(refund, at_us=LATER_US + 5))
    assert (again.replayed, again.top_up) == (True, taken.top_up)
    other = replace(refund, cents=3_000)
    assert (await expect(first, Refused, other)).code == "idempotency_conflict"
    assert [row[4] for row in engine.dump()["accounts"]] == [30_000_000_000]


async def test_a_lost_payment_takes_what_is_unused_and_the_rest_is_owed(
    engine: Engine, open_store: OpenStore
) -> None:
    """Sums that are known already change nothing; the next top-up repays what is owed."""
    first, second = await open_store(), await open_store()
    await opened(first, top_up(bonus_percent=0), top_up("topup_2", 9_000, bonus_percent=0))
    await done(first, confirm())
    await done(first, RefundTopUp(ACCOUNT, "topup_1", LATER_US, "r1", 2_000, "sent back"))
    await done(first, Adjust(ACCOUNT, "used", "", -12_000_000_000, "calls", LATER_US))
    assert (await done(second, ReverseTopUp(ACCOUNT, "topup_1", LATER_US, 2_000, 0, "refunded"))).replayed
    lost = ReverseTopUp(ACCOUNT, "topup_1", LATER_US, 2_000, 3_000, "a dispute")
    taken = await done(second, lost)
    assert (await done(first, lost)).replayed
    assert taken.top_up is not None
    assert (taken.top_up.returned_nano, taken.top_up.owed_nano) == (50_000_000_000, 12_000_000_000)
    paid = await done(first, confirm("topup_2", "wire 2", "lot_2", 9_000))
    assert paid.account is not None
    assert (paid.account.balance_nano, paid.account.owed_nano) == (78_000_000_000, 0)


async def test_what_was_used_of_a_lost_payment_can_be_let_go(store: Store) -> None:
    await opened(store, top_up())
    await done(store, confirm())
    await done(store, Adjust(ACCOUNT, "used", "", -20_000_000_000, "calls", LATER_US))
    lost = ReverseTopUp(ACCOUNT, "topup_1", LATER_US, 0, 5_000, "a dispute", "forgive")
    taken = await done(store, lost)
    assert taken.account is not None
    assert (taken.account.balance_nano, taken.account.owed_nano) == (0, 0)
