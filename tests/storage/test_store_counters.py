"""What every storage engine does about prices that depend on what was used before: all is counted once."""

import asyncio
from fractions import Fraction

from msgspec.structs import replace

from proxy.ledger.commands import Command, Done, Observe, Recorded, Recover, Refused, Settle, Settled
from proxy.ledger.returns import RefundCall
from proxy.ledger.rows import Call, Counter, Hold, Observed
from proxy.ledger.store import Store
from proxy.ledger.windows import DAY_US
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge, price
from proxy.pricing.rates import Rate
from proxy.pricing.tiers import Tier, Tiers, Volume
from proxy.storage.codecs import row_of
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import (
    ACCOUNT,
    NOON_US,
    authorize,
    call,
    expect,
    granted,
    opening,
    record,
    settle,
    void,
)

TODAY = NOON_US // DAY_US
TIERS = Tiers("tokens", "day", (Tier(100, "7"), Tier(250, "5"), Tier(0, "2")))
FALLING = Tiers("card/images", "total", (Tier(10, "100"), Tier(0, "60")), is_volume=True)
CARD = RateCard("card", (), (Rate("output_tokens", Fraction(7), 1, (), TIERS),))
DRAWING = RateCard("drawing", (), (Rate("images", Fraction(100), 1, (), FALLING),))


def charge(quantity: int, card: RateCard = CARD) -> Charge:
    return price(card, {card.rates[0].meter: quantity})


def ending(made: Call, quantity: int, card: RateCard = CARD) -> Settle:
    return replace(settle(made, 0), charge=charge(quantity, card))


def worth(first: int, last: int) -> int:
    """What units cost after so many, one by one."""
    return sum(7 if unit <= 100 else 5 if unit <= 250 else 2 for unit in range(first + 1, last + 1))


def counters(engine: Engine) -> list[tuple[object, ...]]:
    return engine.dump()["counters"]


def given_back(made: Call, nano: int, seq: int) -> RefundCall:
    """All that a call was charged, by its entry."""
    ids = (f"refund of {made.id}", f"lot of {made.id}", made.id)
    lot_id = f"lot_of_{ACCOUNT}_grant_1"
    return RefundCall(ACCOUNT, *ids, nano, "a bad answer", made.started_at_us + 900, seq, (lot_id,))


async def begun(store: Store, *calls: Call) -> None:
    await store.apply(opening(1_000_000))
    for made in calls:
        await granted(store, made, 2_000)


async def test_settle_tells_what_a_call_came_to_and_counts_it(store: Store, engine: Engine) -> None:
    made = [call(f"call_{number}") for number in range(3)]
    await begun(store, *made)
    results = await store.apply([ending(made[0], 90), ending(made[1], 30)])
    third = await expect(store, Settled, ending(made[2], 200))
    charged = [result.charged_nano for result in (*results, third) if isinstance(result, Settled)]
    assert charged == [worth(0, 90), worth(90, 120), worth(120, 320)]
    assert third.charge is not None
    assert [(line.quantity, line.price_nano) for line in third.charge.lines] == [(130, "5"), (70, "2")]
    assert counters(engine) == [row_of(Counter(ACCOUNT, "tokens", "day", TODAY, 320))]
    (row,) = await store.query("receipt_by_id", {"call_id": "call_2"})
    assert (row["charge_nano"], row["charged_nano"]) == (worth(120, 320),) * 2


async def test_a_repeat_counts_nothing_and_neither_does_what_is_refused_or_void(
    store: Store, engine: Engine
) -> None:
    made, other = call("call_1"), call("call_2")
    await begun(store, made, other)
    await expect(store, Settled, ending(made, 90))
    again = await expect(store, Settled, ending(made, 90))
    assert (again.replayed, again.charge) == (True, None)
    wrong = replace(ending(other, 90), authorized_at_us=NOON_US + 1)
    await expect(store, Refused, wrong)
    await expect(store, Settled, void(other))
    assert counters(engine) == [row_of(Counter(ACCOUNT, "tokens", "day", TODAY, 90))]


async def test_calls_are_counted_in_the_window_in_which_they_were_authorized(
    store: Store, engine: Engine
) -> None:
    """One that ends after midnight in that of the day before."""
    late, early = call("call_1", at_us=NOON_US), call("call_2", at_us=NOON_US + DAY_US)
    await begun(store, late, early)
    await expect(store, Settled, ending(early, 90))
    result = await expect(store, Settled, replace(ending(late, 90), at_us=NOON_US + DAY_US + 5))
    assert result.charged_nano == worth(0, 90)
    days = [Counter(ACCOUNT, "tokens", "day", day, 90) for day in (TODAY, TODAY + 1)]
    assert counters(engine) == list(map(row_of, days))


async def test_accounts_count_for_themselves(store: Store) -> None:
    mine, theirs = call("call_1"), call("call_2", account_id="acct_2", key_id="key_2")
    await store.apply(opening(1_000_000, account_id="acct_2", key_id="key_2"))
    await begun(store, mine, theirs)
    results = await store.apply([ending(mine, 150), ending(theirs, 150)])
    assert [result.charged_nano for result in results if isinstance(result, Settled)] == [worth(0, 150)] * 2


async def test_processes_that_settle_at_once_share_the_tiers_among_them(
    engine: Engine, open_store: OpenStore
) -> None:
    """What all of them charge is what one call of all their units would be."""
    stores = [await open_store() for _ in range(3)]
    made = [call(f"call_{number:02}") for number in range(12)]
    await begun(stores[0], *made)
    batches = [
        store.apply([ending(each, 11 + place) for each in made[place * 4 : place * 4 + 4]])
        for place, store in enumerate(stores)
    ]
    results = [result for batch in await asyncio.gather(*batches) for result in batch]
    used = sum((11 + place) * 4 for place in range(3))
    assert sum(result.charged_nano for result in results if isinstance(result, Settled)) == worth(0, used)
    assert counters(engine) == [row_of(Counter(ACCOUNT, "tokens", "day", TODAY, used))]


async def test_volume_tiers_keep_what_was_paid_too_much(store: Store, engine: Engine) -> None:
    made = [call(f"call_{number}") for number in range(3)]
    await begun(store, *made)
    paid = [
        (await expect(store, Settled, ending(each, quantity, DRAWING))).charged_nano
        for each, quantity in zip(made, (10, 1, 7), strict=True)
    ]
    assert paid == [1_000, 0, 18 * 60 - 1_000]
    volume = Volume(FALLING.digest, "18", "0")
    assert counters(engine) == [row_of(Counter(ACCOUNT, "card/images", "total", 0, 18, volume))]


async def test_a_crashed_call_counts_what_was_observed_of_it(store: Store, engine: Engine) -> None:
    """By the command that was made of its hold. One that knows of no tiers is refused."""
    first, made = call("call_1"), call("call_2")
    await begun(store, first, made)
    await expect(store, Settled, ending(first, 90))
    await store.apply([Observe(made.id, ACCOUNT, Observed({"output_tokens": 30}, charge(30)))])
    before = engine.dump()
    refused = await expect(store, Refused, Recover(made, NOON_US, NOON_US + 9))
    assert refused.code == "conflict"
    assert engine.dump() == before
    hold = Hold(made.id, ACCOUNT, made.key_id, 0, 0, "open", NOON_US, "", made)
    observed = replace(hold, observed=Observed({"output_tokens": 30}, charge(30)))
    result = await expect(store, Settled, Recover.of(observed, NOON_US + 9))
    assert result.charged_nano == worth(90, 120)
    assert counters(engine) == [row_of(Counter(ACCOUNT, "tokens", "day", TODAY, 120))]


async def test_what_is_only_told_of_counts_as_well(store: Store, engine: Engine) -> None:
    """In the window in which it was used, whenever that is told."""
    await begun(store)
    told = replace(record(call("event_1", key_id=""), 0, at_us=NOON_US + DAY_US), charge=charge(120))
    first, again = [await expect(store, Recorded, told) for _ in range(2)]
    assert (first.settled.charged_nano, again.settled.replayed) == (worth(0, 120), True)
    assert counters(engine) == [row_of(Counter(ACCOUNT, "tokens", "day", TODAY, 120))]


async def test_what_a_call_did_not_cover_counts_all_the_same(store: Store, engine: Engine) -> None:
    """It was used, whoever pays for it."""
    made = call("call_1")
    await store.apply([*opening(50), authorize(made, 50, owner=store.owner)])
    result = await expect(store, Settled, ending(made, 90))
    assert (result.charged_nano, result.shortfall_nano) == (50, worth(0, 90) - 50)
    assert counters(engine) == [row_of(Counter(ACCOUNT, "tokens", "day", TODAY, 90))]


async def test_the_counters_of_now_are_read(store: Store) -> None:
    """Those of the windows of a day, by name; nobody else's."""
    made, later = call("call_1"), call("call_2", at_us=NOON_US + DAY_US)
    await begun(store, made, later)
    commands: list[Command] = [ending(made, 5), ending(later, 7, DRAWING)]
    await store.apply(commands)
    windows = {"day": TODAY, "week": TODAY - 4, "month": TODAY - 3}
    rows = await store.query("counters_of_account", {"account_id": ACCOUNT, **windows})
    assert [(row["name"], row["quantity"]) for row in rows] == [("card/images", 7), ("tokens", 5)]
    assert not await store.query("counters_of_account", {"account_id": "acct_2", **windows})
    rows = await store.query("counters_of_account", {"account_id": ACCOUNT, **windows, "day": TODAY + 1})
    assert [row["name"] for row in rows] == ["card/images"]


async def test_a_refund_gives_back_money_and_no_units(store: Store, engine: Engine) -> None:
    """Of the first call of several, in whole: all after it cost what they would have cost without the refund.

    So what is paid is what all units cost one after the other, less what was given back, for tiers by unit,
    for what is free, and for volume tiers.
    """
    free = Rate("requests", Fraction(9), 1, (), Tiers("free", "day", (Tier(50, "0"), Tier(0, "9"))))
    cards = (CARD, DRAWING, RateCard("searches", (), (free,)))
    expected = ((60, 60, 60), (8, 8, 8), (40, 40, 40))
    calls = [call(f"call_{number}") for number in range(9)]
    await begun(store, *calls)
    paid: list[list[int]] = []
    for place, card in enumerate(cards):
        first, second, third = calls[place * 3 : place * 3 + 3]
        sums = []
        for made, quantity in zip((first, second, third), expected[place], strict=True):
            before = counters(engine)
            sums.append((await expect(store, Settled, ending(made, quantity, card))).charged_nano)
            assert counters(engine) != before
            if made is second and sums[0]:
                entries = [row for row in engine.dump()["entries"] if row[6] == first.id]
                before = counters(engine)
                done = await expect(store, Done, given_back(first, sums[0], int(str(entries[0][1]))))
                assert done.account is not None
                assert counters(engine) == before
        paid.append(sums)
    assert paid[0] == [worth(0, 60), worth(60, 120), worth(120, 180)]
    assert (paid[1], paid[2]) == ([800, 16 * 60 - 800, 8 * 60], [0, 30 * 9, 40 * 9])
