"""What every storage engine does about sessions: found when they are due, and told of when they end."""

from msgspec.structs import replace

from proxy.ledger.alerts import Alerts
from proxy.ledger.commands import Done
from proxy.ledger.rows import Object
from proxy.ledger.sessions import ENDED, SESSION, Session, seen_of
from proxy.ledger.store import Store
from tests.storage.teller import (
    ACCOUNT,
    KEY,
    NOON_US,
    authorize,
    call,
    detach,
    expect,
    granted,
    opening,
    settle,
    settled,
)

MADE = call("call_1", model="browser")
RUNS = Session("b1", "digest", NOON_US, NOON_US, NOON_US + 300, NOON_US + 900, 120)


def row(session: Session) -> Object:
    return Object(ACCOUNT, "b1", SESSION, "", KEY, MADE.id, "browser", NOON_US, seen_of(session))


async def due(store: Store, at_us: int) -> list[object]:
    """The calls of the sessions that are due then."""
    return [
        each["call_id"]
        for each in await store.query("sessions_due", {"due_us": at_us, "after": "", "limit": 9})
    ]


async def test_a_session_is_found_when_it_is_due_and_its_end_is_told_once(store: Store) -> None:
    """A job that is none is not found."""
    store.alerts = Alerts()
    await store.apply([*opening(1_000), authorize(MADE, 500, owner=store.owner)])
    await expect(store, Done, replace(detach(MADE, NOON_US + 120), objects=(row(RUNS),)))
    await granted(store, call("call_2"), 100)
    await expect(store, Done, detach(call("call_2"), NOON_US + 1))
    assert await due(store, NOON_US + 119) == []
    assert await due(store, NOON_US + 120) == [MADE.id]
    end = replace(settle(MADE, 70), objects=(row(replace(RUNS, ended_us=NOON_US + 120, reason="idle")),))
    for _ in range(2):
        await store.apply([end])
    assert await due(store, NOON_US + 999) == []
    told = {"account_id": ACCOUNT, "type": ENDED, "after": "", "limit": 9}
    (event,) = await store.query("events_of_account", told)
    assert '"session":"b1","reason":"idle"' in str(event["data"])
    assert '"charged":"0.00000007"' in str(event["data"])
    await settled(store, call("call_2"), 1)
