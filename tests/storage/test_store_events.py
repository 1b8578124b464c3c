"""What every storage engine does about events: stored with their cause, once, and told until it is heard."""

from msgspec.structs import replace

from proxy.ledger.alerts import Alerts
from proxy.ledger.commands import ChangeKey, CreateKey, Done, Refused
from proxy.ledger.deliveries import ForgetEvents, NoteDelivery, RouteEvent, TellExpiry
from proxy.ledger.events import event_id
from proxy.ledger.rows import Limits
from proxy.ledger.store import Store
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import ACCOUNT, KEY, NOON_US, authorize, call, done, expect, grant, opening, settle

GRANTED = event_id(ACCOUNT, "credits.granted", "1")


async def told(open_store: OpenStore) -> Store:
    """A store that tells, with an account of 1,000 nano-dollars and a limit of 100 a day.

    Its key is there already, so that the first that is told is its credit.
    """
    store = await open_store()
    *opened, funds = opening(1_000, limits=Limits(day_nano=100))
    await store.apply(opened)
    store.alerts = Alerts()
    await store.apply([funds])
    return store


def types(engine: Engine) -> list[str]:
    return sorted(row[2] for row in engine.dump()["events"])


async def test_an_event_is_stored_with_what_causes_it_and_once(engine: Engine, open_store: OpenStore) -> None:
    """Whichever process causes it, and however often, in one batch and in several."""
    first = await told(open_store)
    second = await open_store()
    second.alerts = Alerts()
    await second.apply([grant(1_000)])
    assert types(engine) == ["credits.granted"]
    for number, store in enumerate((first, second)):
        made = call(f"call_{number}")
        await store.apply([authorize(made, 50, owner=store.owner), settle(made, 50)])
        await store.apply([settle(made, 50)])
    found = types(engine)
    assert found.count("limit.threshold") == 3
    assert found.count("limit.reached") == 1


async def test_the_life_of_a_key_is_told_by_whichever_process_changes_it(
    engine: Engine, open_store: OpenStore
) -> None:
    """In one batch and in several; what is not changed is not told."""
    first = await told(open_store)
    second = await open_store()
    second.alerts = Alerts()
    made = CreateKey(ACCOUNT, "key_2", "phone", "digest of key_2", "wxyz", NOON_US)
    off = ChangeKey(ACCOUNT, "key_2", NOON_US + 1, status="disabled")
    await first.apply([made, off, replace(off, at_us=NOON_US + 2)])
    await done(second, replace(off, at_us=NOON_US + 3, status="active"))
    await done(first, replace(off, at_us=NOON_US + 4))
    found = [(row[2], row[3]) for row in engine.dump()["events"] if row[2].startswith("key.")]
    assert sorted(found, key=lambda each: each[1]) == [
        ("key.created", NOON_US),
        ("key.disabled", NOON_US + 1),
        ("key.enabled", NOON_US + 3),
        ("key.disabled", NOON_US + 4),
    ]


async def test_a_store_that_tells_nothing_writes_no_event(engine: Engine, store: Store) -> None:
    await store.apply(opening(1_000, limits=Limits(day_nano=10)))
    made = call("call_1")
    await store.apply([authorize(made, 10, owner=store.owner), settle(made, 10)])
    assert engine.dump()["events"] == []


async def test_a_refused_command_tells_nothing(engine: Engine, open_store: OpenStore) -> None:
    store = await told(open_store)
    await expect(store, Refused, replace(grant(0), command_id="none"))
    await expect(store, Refused, authorize(call("call_1", key_id=f"{KEY}x"), 5, owner=store.owner))
    assert types(engine) == ["credits.granted"]


async def test_a_delivery_is_made_once_and_its_attempts_follow_one_another(
    engine: Engine, open_store: OpenStore
) -> None:
    store = await told(open_store)
    other = await open_store()
    route = RouteEvent(ACCOUNT, GRANTED, ("crm", "erp"), NOON_US)
    await done(store, route)
    note = NoteDelivery(
        ACCOUNT, GRANTED, "crm", 0, "pending", NOON_US + 1, NOON_US + 9, 500, "it answered 500"
    )
    await done(other, note)
    await done(store, route)
    assert (await expect(store, Refused, note)).code == "conflict"
    await done(store, replace(note, attempts=1, state="delivered", status=200, reason=""))
    assert (await expect(other, Refused, replace(note, attempts=2))).code == "conflict"
    states = {row[2]: (row[3], row[4]) for row in engine.dump()["deliveries"]}
    assert states == {"crm": ("delivered", 2), "erp": ("pending", 0)}
    await done(other, replace(route, endpoints=("crm",), again=True))
    states = {row[2]: (row[3], row[4]) for row in engine.dump()["deliveries"]}
    assert states == {"crm": ("pending", 0), "erp": ("pending", 0)}
    (event,) = engine.dump()["events"]
    assert event[6] == "routed"


async def test_what_is_due_is_found_by_endpoint_and_time(open_store: OpenStore) -> None:
    store = await told(open_store)
    assert [row["id"] for row in await store.query("events_new", {"limit": 9})] == [GRANTED]
    await done(store, RouteEvent(ACCOUNT, GRANTED, ("crm",), NOON_US))
    assert await store.query("events_new", {"limit": 9}) == []
    for endpoint, now_us, count in (("crm", NOON_US, 1), ("crm", NOON_US - 1, 0), ("erp", NOON_US, 0)):
        due = {"endpoint": endpoint, "now_us": now_us, "limit": 9}
        assert len(await store.query("deliveries_due", due)) == count


async def test_an_event_goes_with_its_deliveries_when_nobody_waits_for_it(
    engine: Engine, open_store: OpenStore
) -> None:
    store = await told(open_store)
    forget = ForgetEvents(ACCOUNT, (GRANTED, "evt_none"), ("crm",), NOON_US + 1)
    await done(store, forget)
    await done(store, RouteEvent(ACCOUNT, GRANTED, ("crm", "gone"), NOON_US))
    await done(store, forget)
    assert len(engine.dump()["events"]) == 1
    note = NoteDelivery(ACCOUNT, GRANTED, "crm", 0, "dead", NOON_US, NOON_US, 410)
    results = await store.apply([note, replace(forget, before_us=NOON_US), forget])
    assert [type(result) for result in results] == [Done] * 3
    assert engine.dump()["events"] == engine.dump()["deliveries"] == []


async def test_a_lot_is_told_to_expire_once(engine: Engine, open_store: OpenStore) -> None:
    store = await told(open_store)
    await done(store, grant(7, command_id="grant_2", expires_at_us=NOON_US + 100))
    lot_id = f"lot_of_{ACCOUNT}_grant_2"
    looked = {"after_us": 0, "account_id": "", "id": "", "until_us": NOON_US + 100, "life_us": 9, "limit": 9}
    assert [row["id"] for row in await store.query("lots_expiring", looked)] == [lot_id]
    assert await store.query("lots_expiring", {**looked, "until_us": NOON_US + 99}) == []
    assert await store.query("lots_expiring", {**looked, "life_us": 100}) == []
    for at_us in (NOON_US + 50, NOON_US + 60, NOON_US + 100):
        await done(store, TellExpiry(ACCOUNT, lot_id, at_us))
    await done(store, TellExpiry(ACCOUNT, f"lot_of_{ACCOUNT}_grant_1", NOON_US))
    assert types(engine).count("credits.expiring") == 1


async def test_events_and_deliveries_are_read_in_their_order_and_from_a_place_on(
    open_store: OpenStore,
) -> None:
    store = await told(open_store)
    for number in (2, 3):
        again = replace(grant(5, command_id=f"grant_{number}"), at_us=NOON_US + number)
        await done(store, again)
    ids = [event_id(ACCOUNT, "credits.granted", str(number)) for number in (1, 2, 3)]
    first = {"account_id": "", "after": "", "at_us": NOON_US, "limit": 9}
    since = await store.query("events_since", first)
    assert [row["id"] for row in since] == ids
    after = {**first, "account_id": ACCOUNT, "after": ids[0]}
    assert [row["id"] for row in await store.query("events_since", after)] == ids[1:]
    newest = {"account_id": ACCOUNT, "type": "", "after": "", "limit": 2}
    assert [row["id"] for row in await store.query("events_of_account", newest)] == [ids[2], ids[1]]
    of_all = {"account_id": ACCOUNT, "type": "credits.granted", "after": ids[2], "at_us": 2**60, "limit": 9}
    assert [row["id"] for row in await store.query("events_of_all", of_all)] == [ids[1], ids[0]]
    (found,) = await store.query("event_by_id", {"account_id": ACCOUNT, "id": ids[1]})
    assert (found["type"], found["state"], "seal" in found) == ("credits.granted", "new", False)
    for place, id_ in enumerate(ids):
        await done(store, RouteEvent(ACCOUNT, id_, ("crm",), NOON_US + place))
    last = {"at_us": 2**60, "account_id": "", "event_id": ""}
    page: dict[str, object] = {"endpoint": "crm", "state": "pending", **last, "limit": 2}
    rows = await store.query("deliveries_page", page)
    assert [row["event_id"] for row in rows] == [ids[2], ids[1]]
    page |= {"at_us": NOON_US + 1, "account_id": ACCOUNT, "event_id": ids[1]}
    assert [row["event_id"] for row in await store.query("deliveries_page", page)] == [ids[0]]
    (one,) = await store.query("deliveries_of_event", {"account_id": ACCOUNT, "event_id": ids[0]})
    assert (one["endpoint"], one["attempts"]) == ("crm", 0)
    old = await store.query("events_old", {"before_us": NOON_US + 3, "limit": 9})
    assert [row["id"] for row in old] == ids[:2]
