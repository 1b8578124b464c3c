"""What every storage engine does about end users: one row for each, exact however many call at once."""

import asyncio

from msgspec.structs import replace

from proxy.ledger.commands import Authorize, ChangeAccount, Granted, Recorded, Refused, Regrouped, Settled
from proxy.ledger.end_user_rows import LATE_US, EndUser, EndUserLimits, EndUserTerms
from proxy.ledger.end_users import ForgetEndUsers, LimitEndUser
from proxy.ledger.rows import Call, Limits
from proxy.ledger.store import Store
from proxy.ledger.windows import DAY_US
from proxy.storage.codecs import CODECS
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import (
    ACCOUNT,
    NOON_US,
    authorize,
    call,
    done,
    expect,
    opening,
    record,
    settle,
    void,
)

CALLERS = 1_000
ROOM = 37


def of_user(call_id: str, end_user: str = "ann") -> Call:
    return replace(call(call_id), end_user=end_user, counts_user=True)


def rows(engine: Engine) -> dict[str, EndUser]:
    value = CODECS["end_users"].value
    return {row[1]: value(row) for row in engine.dump()["end_users"]}


async def limited(store: Store, **limits: int) -> None:
    terms = EndUserTerms(EndUserLimits(**limits), new_rpm=3)
    await store.apply(opening(10**9))
    await done(store, ChangeAccount(ACCOUNT, NOON_US, limits=Limits(end_users=terms)))


async def test_of_a_thousand_calls_at_once_as_many_pass_as_fit(engine: Engine, open_store: OpenStore) -> None:
    """Whichever processes they come to; what is held and spent is of these, and the next one is refused."""
    stores = [await open_store() for _ in range(4)]
    await limited(stores[0], day_nano=ROOM * 10)
    calls = [of_user(f"call_{number:04}") for number in range(CALLERS)]
    batches: list[list[Authorize]] = [[] for _ in stores]
    for number, made in enumerate(calls):
        batches[number % 4].append(authorize(made, 10, owner=stores[number % 4].owner))
    parts = [
        (store, batch[at : at + 50])
        for store, batch in zip(stores, batches, strict=True)
        for at in range(0, 250, 50)
    ]
    results = [
        one for part in await asyncio.gather(*(store.apply(part) for store, part in parts)) for one in part
    ]
    assert sum(isinstance(one, Granted) for one in results) == ROOM
    assert {one.limit_source for one in results if isinstance(one, Refused)} == {"end_user_day"}
    row = rows(engine)["ann"]
    assert (row.open_holds, {each.held_nano for each in row.sums}) == (ROOM, {ROOM * 10})


async def test_a_call_is_counted_from_its_hold_to_its_end(engine: Engine, open_store: OpenStore) -> None:
    """By another process as well, and by one that has found out about the limits only now."""
    first, second = await open_store(), await open_store()
    await limited(first, month_nano=900, tpm=500)
    plain = replace(of_user("call_1"), counts_user=False)
    assert await second.apply([authorize(plain, 30, owner=second.owner)]) == [Regrouped("", counts_user=True)]
    (granted,) = await second.apply([authorize(of_user("call_1"), 30, owner=second.owner, tokens=9)])
    assert isinstance(granted, Granted)
    assert [(each.kind, each.remaining) for each in granted.rate_statuses] == [("tokens", 491)]
    (settled,) = await first.apply([settle(of_user("call_1"), 20)])
    assert isinstance(settled, Settled)
    await second.apply([authorize(of_user("call_2"), 40, owner=second.owner), void(of_user("call_2"))])
    row = rows(engine)["ann"]
    assert (row.open_holds, {(each.spent_nano, each.held_nano) for each in row.sums}) == (0, {(20, 0)})


async def test_usage_from_outside_counts_to_its_end_user_in_the_windows_of_its_use(
    engine: Engine, open_store: OpenStore
) -> None:
    """Once, whatever it had left; the next call is refused. Who has nothing to count is not written down."""
    first, second = await open_store(), await open_store()
    await limited(first, month_nano=30)
    plain = replace(of_user("event_1"), counts_user=False, key_id="")
    assert await first.apply([record(plain, 20)]) == [Regrouped("", counts_user=True)]
    assert rows(engine) == {}
    told = record(replace(plain, counts_user=True), 20, at_us=NOON_US + DAY_US)
    await expect(first, Recorded, told)
    row = rows(engine)["ann"]
    assert {(each.window, each.spent_nano) for each in row.sums} == {("week", 20), ("month", 20)}
    assert row.open_holds == 0
    assert (await expect(second, Recorded, told)).settled.replayed
    await expect(second, Recorded, record(replace(of_user("event_2"), key_id="key_1"), 20))
    assert {each.spent_nano for each in rows(engine)["ann"].sums if each.window == "month"} == {40}
    refused = await expect(first, Refused, authorize(of_user("call_1"), 1, owner=first.owner))
    assert (refused.limit_source, refused.spent_nano) == ("end_user_month", 40)
    long_ago = replace(of_user("event_3", "bob"), started_at_us=NOON_US - 60 * DAY_US, key_id="")
    assert await expect(first, Recorded, record(long_ago, 20, at_us=NOON_US))
    assert sorted(rows(engine)) == ["ann"]


async def test_rows_that_are_idle_are_found_and_go(engine: Engine, store: Store) -> None:
    """In the order of how long they are, and none that is limited, in flight, or still counted."""
    await limited(store, day_nano=900)
    for end_user in ("ann", "bob", "cem"):
        made = of_user(f"call_{end_user}", end_user)
        await store.apply([authorize(made, 30, owner=store.owner)])
        if end_user != "cem":
            await store.apply([settle(made, 20)])
    await done(store, LimitEndUser(ACCOUNT, "bob", EndUserLimits(rpm=5), NOON_US))
    later_us = (NOON_US // DAY_US + 1) * DAY_US + LATE_US

    async def due(now_us: int) -> list[str]:
        return [str(row["id"]) for row in await store.query("end_users_due", {"now_us": now_us, "limit": 9})]

    assert await due(later_us - 1) == [""]
    assert await due(later_us) == ["", "ann"]
    await done(store, ForgetEndUsers(ACCOUNT, ("", "ann", "bob", "cem"), later_us))
    assert sorted(rows(engine)) == ["bob", "cem"]


async def test_names_are_told_apart_by_their_characters(engine: Engine, store: Store) -> None:
    """Twins by case or form, and what looks like SQL or JSON, are kept as they came, and sorted by them."""
    names = ["ann", "Ann", "\u00e9", "e\u0301", "\U0001f600", "' OR 1=1 --", '{"a":1}', "a" * 256, "\\u0027"]
    await store.apply(opening(10**9))
    for name in names:
        await done(store, LimitEndUser(ACCOUNT, name, EndUserLimits(rpm=1), NOON_US))
    assert sorted(rows(engine)) == sorted(names)
    found = await store.query(
        "end_users_page", {"account_id": ACCOUNT, "end_user": "", "after": "", "limit": 99}
    )
    assert [str(row["id"]) for row in found] == sorted(names, key=str.encode)
