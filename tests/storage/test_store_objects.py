"""What every storage engine does about what upstreams made for accounts."""

from msgspec.structs import replace

from proxy.ledger.commands import Detach, Done, Forget, Refused, Settled
from proxy.ledger.rows import NEVER_US, Observed
from proxy.ledger.store import Row, Store
from proxy.storage.codecs import row_of
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import (
    ACCOUNT,
    NOON_US,
    authorize,
    call,
    charge,
    detach,
    expect,
    granted,
    made_by,
    opening,
    settle,
    void,
)

LATER_US = NOON_US + 3_600_000_000
COST = Observed({"video_seconds": 4}, charge(120))


def started(call_id: str, id_: str = "object_1") -> Detach:
    """A job that has begun, until later."""
    made = call(call_id)
    return replace(detach(made, LATER_US), observed=COST, objects=(made_by(made, id_),))


async def test_a_job_outlives_every_process_with_its_object_and_its_price(
    engine: Engine, open_store: OpenStore
) -> None:
    first = await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await expect(first, Done, started("call_1"))
    await first.close()
    second = await open_store()
    (hold,) = await second.orphans(LATER_US)
    assert (hold.observed, hold.deadline_us) == (COST, LATER_US)
    assert engine.dump()["objects"] == [row_of(made_by(call("call_1")))]


async def test_what_was_seen_is_noted_by_whoever_closes_or_polls(
    engine: Engine, open_store: OpenStore
) -> None:
    """In a later batch, of another process; and in the same one."""
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await granted(first, call("call_1"), 300)
    await granted(first, call("poll_1"), 0)
    await expect(first, Done, started("call_1"))
    seen = [replace(made_by(call("call_1")), seen=f'{{"progress":{share}}}') for share in (50, 100)]
    poll = replace(settle(call("poll_1"), 0), objects=(seen[0],))
    await expect(second, Settled, poll)
    assert engine.dump()["objects"] == [row_of(seen[0])]
    ended = replace(settle(call("call_1"), 120), objects=(seen[1],))
    assert [type(result) for result in await first.apply([ended, poll])] == [Settled, Settled]
    assert engine.dump()["objects"] == [row_of(seen[0])]


async def test_an_id_that_comes_twice_is_refused_to_the_second_job(store: Store, engine: Engine) -> None:
    """In one batch, and in the next."""
    await store.apply(opening(1_000))
    for call_id in ("call_1", "call_2", "call_3"):
        await granted(store, call(call_id), 100)
    results = await store.apply([started("call_1"), started("call_2")])
    assert [type(result) for result in results] == [Done, Refused]
    assert (await expect(store, Refused, started("call_3"))).code == "conflict"
    assert engine.dump()["objects"] == [row_of(made_by(call("call_1")))]
    await expect(store, Settled, void(call("call_2")))


async def test_one_id_of_two_accounts_is_two_objects(store: Store, engine: Engine) -> None:
    other = call("call_2", account_id="acct_2", key_id="key_2")
    await store.apply([*opening(1_000), *opening(1_000, account_id="acct_2", key_id="key_2")])
    for made in (call("call_1"), other):
        await store.apply([authorize(made, 100, owner=store.owner)])
        await expect(store, Settled, replace(settle(made, 90), objects=(made_by(made),)))
    assert engine.dump()["objects"] == [row_of(made_by(call("call_1"))), row_of(made_by(other))]


async def test_one_process_has_a_lease_and_another_gets_it_once_that_is_gone(open_store: OpenStore) -> None:
    """It keeps it by asking again; leases of other names are other leases."""
    first, second = await open_store(), await open_store()
    assert await first.take_lease("jobs", 60)
    assert not await second.take_lease("jobs", 60)
    assert await second.take_lease("other", 60)
    assert await first.take_lease("jobs", 60)
    await first.close()
    assert await second.take_lease("jobs", 60)


async def test_an_object_is_found_by_its_account_and_id_with_its_job_while_that_runs(store: Store) -> None:
    """Another account's id, an unknown one and one that has expired are all alike: no row."""
    await store.apply([*opening(1_000), *opening(1_000, account_id="acct_2", key_id="key_2")])
    await granted(store, call("call_1"), 300)
    await expect(store, Done, started("call_1"))

    async def found(account_id: str = ACCOUNT, id_: str = "object_1", now_us: int = NOON_US) -> list[Row]:
        return await store.query("object_by_id", {"account_id": account_id, "id": id_, "now_us": now_us})

    (row,) = await found()
    assert (row["kind"], row["upstream"], row["held_at_us"], row["deadline_us"]) == (
        *("video", "main"),
        *(NOON_US, LATER_US),
    )
    assert await found("acct_2") == await found(id_="object_2") == []
    ended = replace(settle(call("call_1"), 120), objects=(replace(made_by(call("call_1")), expires_at_us=9),))
    await expect(store, Settled, ended)
    (row,) = await found(now_us=8)
    assert (row["call"], row["deadline_us"]) == (None, None)
    assert await found(now_us=9) == []


async def test_lists_go_by_time_then_id_and_go_on_after_any_of_their_objects(store: Store) -> None:
    """Of one account and one kind alone, and of one model where that is asked for, in either order."""
    await store.apply([*opening(1_000), *opening(1_000, account_id="acct_2", key_id="key_2")])
    for number, id_ in enumerate(("b", "a", "c", "d")):
        made = call(f"call_{number}", at_us=NOON_US + number // 2)
        row = replace(made_by(made, id_), kind="file" if id_ == "d" else "video")
        await store.apply([authorize(made, 10, owner=store.owner), replace(settle(made, 9), objects=(row,))])
    foreign = call("call_9", account_id="acct_2", key_id="key_2")
    await store.apply([authorize(foreign, 10, owner=store.owner)])
    await store.apply([replace(settle(foreign, 9), objects=(made_by(foreign, "e"),))])

    async def listed(order: str, after: str = "", limit: int = 9, model: str = "") -> list[object]:
        params = {"account_id": ACCOUNT, "kind": "video", "now_us": NOON_US, "after": after, "limit": limit}
        params |= {"model": model}
        return [row["id"] for row in await store.query(f"objects_{order}_first", params)]

    assert await listed("newest") == ["c", "b", "a"]
    assert await listed("oldest") == ["a", "b", "c"]
    assert await listed("newest", "c", 1) == ["b"]
    assert await listed("oldest", "a") == ["b", "c"]
    assert await listed("newest", "nothing") == await listed("newest", "e") == []
    assert await listed("newest", model="small") == ["c", "b", "a"]
    assert await listed("oldest", "a", model="small") == ["b", "c"]
    assert await listed("newest", model="another") == []


async def test_running_jobs_are_listed_until_they_are_closed(store: Store) -> None:
    """Oldest first, of one account or of all, also those whose deadline has passed."""
    await store.apply(opening(1_000))
    for number in (1, 2, 3):
        await granted(store, call(f"call_{number}"), 100)
    for number in (1, 2):
        await expect(store, Done, started(f"call_{number}", f"object_{number}"))

    async def running(after: str = "", account_id: str = "", limit: int = 9) -> list[object]:
        params = {"after": after, "account_id": account_id, "limit": limit}
        return [(row["call_id"], row["id"]) for row in await store.query("running_jobs", params)]

    first, second = ("call_1", "object_1"), ("call_2", "object_2")
    assert await running() == await running(account_id=ACCOUNT) == [first, second]
    assert (await running(limit=1), await running(after="call_1")) == ([first], [second])
    assert await running(account_id="acct_2") == []
    await expect(store, Settled, void(call("call_1")))
    assert await running() == [second]


async def test_what_is_due_is_found_and_forgotten_but_for_what_a_running_job_has_made(
    store: Store, engine: Engine
) -> None:
    """What has expired, and what is old; as many at once as are asked for."""
    await store.apply(opening(1_000))
    for number, expires_at_us in enumerate((NOON_US, NOON_US + 1, NEVER_US, NEVER_US)):
        made = call(f"call_{number}", at_us=NOON_US - (number == 2))
        row = replace(made_by(made, f"object_{number}"), expires_at_us=expires_at_us)
        await store.apply([authorize(made, 10, owner=store.owner), replace(settle(made, 9), objects=(row,))])
    await granted(store, call("call_9", at_us=NOON_US - 1), 100)
    job = replace(detach(call("call_9", at_us=NOON_US - 1), LATER_US), observed=COST)
    await expect(store, Done, replace(job, objects=(made_by(job.call, "object_9"),)))

    async def due(limit: int = 9) -> list[tuple[object, ...]]:
        bounds = {"expired_us": NOON_US, "made_us": NOON_US, "limit": limit}
        rows = await store.query("objects_due", bounds)
        return sorted((row["account_id"], row["id"], row["call_id"]) for row in rows)

    assert await due() == [(ACCOUNT, "object_0", "call_0"), (ACCOUNT, "object_2", "call_2")]
    assert len(await due(1)) == 1
    every = tuple((f"object_{number}", f"call_{number}") for number in (0, 1, 2, 3, 9))
    await expect(store, Done, Forget(ACCOUNT, every, NOON_US, NOON_US))
    assert [row[1] for row in engine.dump()["objects"]] == ["object_1", "object_3", "object_9"]
    assert await due() == []


async def test_an_object_can_be_made_anew_in_the_batch_that_forgets_it(store: Store, engine: Engine) -> None:
    """And be forgotten in the one that makes it: the last of them says what is there."""
    await store.apply(opening(1_000))
    first, second = call("call_1"), call("call_2")
    await store.apply([authorize(each, 10, owner=store.owner) for each in (first, second)])
    made, again = (replace(made_by(each), expires_at_us=9) for each in (first, second))
    forget = Forget(ACCOUNT, (("object_1", "call_1"),), NOON_US, NOON_US)
    await store.apply([replace(settle(first, 9), objects=(made,)), forget])
    assert engine.dump()["objects"] == []
    await store.apply([forget, replace(settle(second, 9), objects=(again,))])
    await store.apply([Forget(ACCOUNT, (("object_1", "call_2"),), 0, 0), forget])
    assert engine.dump()["objects"] == [row_of(again)]
