"""What every storage engine does about holds that outlive their process or change upstream."""

from proxy.ledger.commands import Extend, Granted, Observe, Refused, Settled
from proxy.ledger.rows import Hold, Observed
from proxy.ledger.store import Store
from tests.storage.conftest import OpenStore
from tests.storage.teller import (
    ACCOUNT,
    NOON_US,
    call,
    charge,
    detach,
    done,
    expect,
    granted,
    opening,
    recover,
    reroute,
    settled,
    void,
)

LATER_US = NOON_US + 3_600_000_000


async def orphans(store: Store, now_us: int) -> list[str]:
    return [hold.id for hold in await store.orphans(now_us)]


async def test_a_detached_hold_is_an_orphan_from_its_deadline_on_whatever_became_of_its_process(
    open_store: OpenStore,
) -> None:
    """Also when another process has taken its name; a hold beside it dies with the process as ever."""
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await granted(first, call("call_2"), 300)
    await done(first, detach(call("call_1"), LATER_US))
    assert await orphans(second, LATER_US - 1) == []
    await first.close()
    assert await orphans(second, LATER_US - 1) == ["call_2"]
    assert await orphans(second, LATER_US) == ["call_1", "call_2"]
    third = await open_store()
    assert await orphans(third, LATER_US - 1) == ["call_2"]
    assert await orphans(third, LATER_US) == ["call_1", "call_2"]


async def test_a_hold_whose_deadline_has_passed_is_an_orphan_while_its_process_lives(
    open_store: OpenStore,
) -> None:
    """Also to the process itself, which may have forgotten it."""
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await done(first, detach(call("call_1"), LATER_US))
    for store in (first, second):
        assert await orphans(store, LATER_US - 1) == []
        assert await orphans(store, LATER_US) == ["call_1"]
    await expect(first, Settled, recover(call("call_1"), at_us=LATER_US))
    assert await orphans(second, LATER_US) == []


async def test_a_deadline_can_be_moved_until_the_hold_is_closed(open_store: OpenStore) -> None:
    """By any process, and in the batch in which the hold was made as well."""
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    for store, deadline_us in ((first, LATER_US), (second, LATER_US + 9), (first, LATER_US - 9)):
        await done(store, detach(call("call_1"), deadline_us))
        assert await orphans(first, deadline_us - 1) == []
        assert await orphans(second, deadline_us) == ["call_1"]
    await expect(second, Settled, void(call("call_1")))
    refused = await expect(first, Refused, detach(call("call_1"), LATER_US))
    assert (refused.code, refused.message) == ("conflict", "The hold call_1 is voided.")


async def test_who_recovers_a_hold_that_is_detached_meanwhile_is_refused(open_store: OpenStore) -> None:
    """It was an orphan when it was looked at; the process that polls for its job was faster."""
    first, second, third = await open_store(), await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await first.close()
    (orphan,) = await second.orphans(NOON_US)
    await done(third, detach(call("call_1"), LATER_US))
    refused = await expect(second, Refused, recover(orphan.call, at_us=LATER_US - 1))
    assert refused.code == "conflict"
    assert (await settled(third, call("call_1"), 120)).balance_nano == 880
    assert (await expect(second, Settled, recover(orphan.call, at_us=LATER_US))).replayed


async def test_a_detached_hold_keeps_its_deadline_through_all_that_happens_to_it(
    open_store: OpenStore,
) -> None:
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await done(first, detach(call("call_1"), LATER_US))
    await first.close()
    observed = Observed({"output_tokens": 3}, charge(70))
    await done(second, Observe("call_1", ACCOUNT, observed))
    await expect(second, Granted, Extend(call("call_1"), NOON_US, NOON_US, 50))
    await done(second, reroute(call("call_1"), "second"))
    (hold,) = await second.orphans(LATER_US)
    rerouted = reroute(call("call_1"), "second").call
    assert hold == Hold(
        *("call_1", ACCOUNT, "key_1", 350, 0, "open", NOON_US, first.owner, rerouted, observed, LATER_US)
    )
    (row,) = await second.query("holds_page", {"account_id": "", "state": "", "cursor": "", "limit": 9})
    assert row["deadline_us"] == LATER_US


async def test_after_a_crash_the_receipt_names_the_upstream_that_was_used(open_store: OpenStore) -> None:
    """Not the first of the route's, to which the call was going when its hold was made."""
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await done(first, reroute(call("call_1"), "second"))
    await done(first, Observe("call_1", ACCOUNT, Observed({"output_tokens": 3}, charge(70))))
    await first.close()
    (orphan,) = await second.orphans(NOON_US)
    await expect(second, Settled, recover(orphan.call))
    (row,) = await second.query("receipt_by_id", {"call_id": "call_1"})
    assert (row["upstream"], row["upstream_model"]) == ("second", "small of second")
    assert (row["basis"], row["charged_nano"]) == ("recovered", 70)


async def test_a_receipt_names_the_last_upstream_though_the_orphan_was_read_before(
    open_store: OpenStore,
) -> None:
    """What the hold says when it is closed counts."""
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await done(first, reroute(call("call_1"), "second"))
    await expect(second, Settled, recover(call("call_1")))
    (row,) = await second.query("receipt_by_id", {"call_id": "call_1"})
    assert row["upstream"] == "second"


async def test_a_call_is_rerouted_in_the_batch_that_authorizes_it(store: Store) -> None:
    await store.apply(opening(1_000))
    made = call("call_1")
    await granted(store, made, 300)
    refused = await expect(store, Refused, reroute(call("call_1", model="other"), "second"))
    assert refused.code == "conflict"
    results = await store.apply([reroute(made, "second"), reroute(made, "third"), void(made)])
    assert [type(result).__name__ for result in results] == ["Done", "Done", "Settled"]
    assert (await expect(store, Refused, reroute(made, "second"))).code == "conflict"
