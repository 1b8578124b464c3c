"""What every storage engine does about accounts' own receivers: a few each, rotated and deleted."""

from msgspec.structs import replace

from proxy.ledger.alerts import Alerts
from proxy.ledger.commands import Refused
from proxy.ledger.deliveries import ForgetEvents, RouteEvent
from proxy.ledger.events import Receiver, event_id
from proxy.ledger.receivers import AddReceiver, DropReceiver, RotateReceiver
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import ACCOUNT, NOON_US, done, expect, opening

ONE = Receiver(ACCOUNT, "whk_1", "https://one.example", ("*",), 1, NOON_US, NOON_US)


def adding(receiver: Receiver, most: int = 2) -> AddReceiver:
    return AddReceiver(ACCOUNT, receiver, NOON_US, most)


async def test_an_account_has_so_many_receivers_and_another_account_none_of_them(
    engine: Engine, open_store: OpenStore
) -> None:
    first, second = await open_store(), await open_store()
    await first.apply([*opening(1_000), *opening(5, account_id="acct_2", key_id="key_2")])
    await done(first, adding(ONE))
    for wrong in (
        adding(ONE),
        adding(replace(ONE, id="whk_2"), 1),
        adding(replace(ONE, account_id="acct_2")),
    ):
        assert (await expect(second, Refused, wrong)).code == "conflict"
    assert (await expect(second, Refused, RotateReceiver("acct_2", "whk_1", NOON_US))).code == "not_found"
    assert (await expect(second, Refused, DropReceiver("acct_2", "whk_1", NOON_US))).code == "not_found"
    rotated = await done(second, RotateReceiver(ACCOUNT, "whk_1", NOON_US + 7))
    assert rotated.receiver == replace(ONE, generation=2, rotated_at_us=NOON_US + 7)
    assert [row[:5] for row in engine.dump()["receivers"]] == [
        (ACCOUNT, "whk_1", "https://one.example", '["*"]', 2)
    ]
    await done(first, DropReceiver(ACCOUNT, "whk_1", NOON_US))
    assert (await expect(second, Refused, DropReceiver(ACCOUNT, "whk_1", NOON_US))).code == "not_found"
    await done(second, adding(ONE, 1))


async def test_receivers_are_due_in_turn_and_for_events_of_their_own_account_only(
    open_store: OpenStore,
) -> None:
    """A delivery that names another account's receiver is nobody's."""
    store = await open_store()
    store.alerts = Alerts()
    await store.apply([*opening(1_000), *opening(5, account_id="acct_2", key_id="key_2")])
    other = replace(ONE, account_id="acct_2", id="whk_2")
    await done(store, adding(ONE))
    await done(store, AddReceiver("acct_2", other, NOON_US, 1))
    mine, others = (event_id(each, "credits.granted", "1") for each in (ACCOUNT, "acct_2"))
    await done(store, RouteEvent("acct_2", others, ("whk_1",), NOON_US))
    place = {"account_id": "", "id": "", "now_us": NOON_US, "limit": 9}
    assert await store.query("receivers_due", place) == []
    await done(store, RouteEvent(ACCOUNT, mine, ("whk_1",), NOON_US))
    await done(store, RouteEvent("acct_2", others, ("whk_2",), NOON_US, again=True))
    found = await store.query("receivers_due", place)
    assert [row["id"] for row in found] == ["whk_1", "whk_2"]
    after = await store.query("receivers_due", {**place, "account_id": ACCOUNT, "id": "whk_1"})
    assert [row["id"] for row in after] == ["whk_2"]
    (waiting,) = await store.query("receivers_waiting", {"limit": 9})
    assert (waiting["waiting"], waiting["oldest_us"]) == (2, NOON_US)
    await done(store, DropReceiver(ACCOUNT, "whk_1", NOON_US))
    await done(store, ForgetEvents(ACCOUNT, (mine,), (), NOON_US + 1))
    assert await store.query("deliveries_of_event", {"account_id": ACCOUNT, "event_id": mine}) == []
