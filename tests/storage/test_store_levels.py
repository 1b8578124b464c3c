"""What every storage engine does about what is there over time: told in any order, charged once."""

import asyncio

from msgspec.structs import replace

from proxy.billing.levels import level_of
from proxy.ledger.commands import Command, Recorded, Refused, Regrouped
from proxy.ledger.level_rows import HOUR_US, TOLD_MAX, UNIT, Level, Told, accrued
from proxy.ledger.levels import Accrue, ReportLevel
from proxy.ledger.rows import NEVER_US
from proxy.ledger.store import Store
from proxy.pricing.charge import NO_CHARGE
from proxy.storage.codecs import row_of
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import ACCOUNT, NOON_US, call, charge, expect, opening, record

LATER_US = NOON_US + 3 * HOUR_US


def report(number: int, level: int, at_us: int = NOON_US, thing: str = "v1") -> ReportLevel:
    """So many whole units of a thing."""
    made = call(f"event_{number}", key_id="", model="volume", at_us=at_us)
    free = record(made, 0, at_us=LATER_US)
    free = replace(free, charge=NO_CHARGE, outcome=replace(free.outcome, usage={}))
    return ReportLevel(free, thing, Told(at_us, level * UNIT))


def accrue(level: Level, until_us: int, nano: int = 100, *, stops: bool = False) -> Accrue:
    quantity, _ = accrued(level, until_us)
    made = call(f"accrual_{until_us}", key_id="", model="volume", at_us=level.since_us)
    told = record(made, nano, at_us=LATER_US)
    told = replace(
        told,
        outcome=replace(told.outcome, usage={"gib_hours": quantity}),
        charge=charge(nano) if quantity else NO_CHARGE,
        on_shortfall="forgive" if stops else "owe",
    )
    return Accrue(told, level, until_us, stops=stops)


async def kept(store: Store) -> Level:
    """The level as reads show it."""
    (row,) = await store.query("levels_page", {"account_id": ACCOUNT, "type": "", "thing": "", "limit": 9})
    return level_of(row)


async def test_levels_are_kept_in_whatever_order_they_are_told_and_charged_once(
    engine: Engine, open_store: OpenStore
) -> None:
    """Also by two processes at once; a repeat finds what was charged, and changes nothing."""
    first, second = await open_store(), await open_store()
    await first.apply(opening(1_000))
    await first.apply([report(1, 12)])
    await second.apply([report(2, 0, LATER_US), report(3, 6, NOON_US + HOUR_US)])
    level = await kept(first)
    assert [(each.at_us, each.level) for each in level.told] == [
        (NOON_US, 12 * UNIT),
        (NOON_US + HOUR_US, 6 * UNIT),
        (LATER_US, 0),
    ]
    due = {"type": "volume", "until_us": LATER_US, "account_id": "", "thing": "", "limit": 9}
    assert len(await second.query("levels_due", due)) == 1
    charging = accrue(level, LATER_US)
    assert charging.record.outcome.usage == {"gib_hours": 24 * UNIT}
    again = replace(charging, record=replace(charging.record, call=replace(charging.call, id="other")))
    results = [each for (each,) in await asyncio.gather(first.apply([charging]), second.apply([again]))]
    settled = [each.settled for each in results if isinstance(each, Recorded)]
    assert sorted((each.charged_nano, each.replayed) for each in settled) == [(0, True), (100, False)]
    after = accrued(level, LATER_US)[1]
    assert engine.dump()["levels"] == [row_of(after)]
    assert (after.state, after.since_us, after.carry) == ("ended", NEVER_US, 0)
    assert await second.query("levels_due", due) == []


async def test_a_charge_is_of_the_level_as_it_is_and_of_what_has_passed(store: Store, engine: Engine) -> None:
    """What was told since it was worked out, another quantity, or a time to come refuses it."""
    await store.apply([*opening(1_000), report(1, 12)])
    level = await kept(store)
    right = accrue(level, NOON_US + HOUR_US)
    more = replace(right.record, outcome=replace(right.record.outcome, usage={"gib_hours": 1}))
    other_group = replace(right, record=replace(right.record, group="vip"))
    before = engine.dump()
    for wrong, code in (
        (replace(right, level=replace(level, carry=1)), "conflict"),
        (replace(right, record=more), "invalid_value"),
        (accrue(level, LATER_US + 1), "invalid_value"),
        (replace(right, level=replace(level, thing="v2")), "conflict"),
    ):
        assert (await expect(store, Refused, wrong)).code == code
    await expect(store, Regrouped, other_group)
    assert engine.dump() == before
    await expect(store, Recorded, right)
    for told in (report(2, 1, NOON_US + HOUR_US - 1), report(3, -1)):
        assert (await expect(store, Refused, told)).code == "invalid_value"


async def test_what_is_told_again_changes_nothing_and_too_much_waits(store: Store, engine: Engine) -> None:
    await store.apply([*opening(1_000), report(1, 12)])
    before = engine.dump()
    assert (await expect(store, Recorded, report(1, 12))).settled.replayed
    assert engine.dump() == before
    more: list[Command] = [report(number, 1, NOON_US + number) for number in range(2, TOLD_MAX + 1)]
    assert all(isinstance(each, Recorded) for each in await store.apply(more))
    assert (await expect(store, Refused, report(999, 1, LATER_US))).code == "conflict"


async def test_a_thing_is_there_for_one_end_user_after_another(store: Store, engine: Engine) -> None:
    """What is kept of it says for whom, and its pieces end where that changes."""
    await store.apply([*opening(1_000), report(1, 12), report(2, 12, NOON_US + HOUR_US)])
    for number, name, hour in ((3, "ann", 0), (4, "bob", 2)):
        told = report(number, 12, NOON_US + hour * HOUR_US)
        told = replace(told, told=replace(told.told, end_user=name))
        await expect(store, Recorded, told)
    level = await kept(store)
    assert (level.end_user, level.same_until_us) == ("ann", NOON_US + HOUR_US)
    _, after = accrued(level, NOON_US + HOUR_US)
    assert (after.end_user, after.same_until_us) == ("", NOON_US + 2 * HOUR_US)
    _, after = accrued(after, NOON_US + 2 * HOUR_US)
    assert (after.end_user, after.same_until_us) == ("bob", NEVER_US)


async def test_what_nobody_pays_for_stops_or_is_owed(store: Store, engine: Engine) -> None:
    await store.apply([*opening(150), report(1, 1), report(2, 1, thing="v0")])
    rows = await store.query("levels_page", {"account_id": ACCOUNT, "type": "", "thing": "", "limit": 9})
    owing, stopping = map(level_of, rows)
    owed = (await expect(store, Recorded, accrue(owing, NOON_US + HOUR_US, 120))).settled
    short = replace(accrue(stopping, NOON_US + 2 * HOUR_US, 120, stops=True))
    told = (await expect(store, Recorded, short)).settled
    assert (owed.owed_nano, told.charged_nano, told.shortfall_nano) == (0, 30, 90)
    states = {row[2]: row[9] for row in engine.dump()["levels"]}
    assert states == {"v0": "used", "v1": "stopped"}
    owing = accrued(owing, NOON_US + HOUR_US)[1]
    assert (await expect(store, Recorded, accrue(owing, LATER_US, 120))).settled.owed_nano == 120
    await expect(store, Recorded, report(3, 2, LATER_US))
    assert {row[9] for row in engine.dump()["levels"]} == {"used"}
