"""What every storage engine does about runs: each call is charged what the markup of its run grows by."""

import asyncio
from fractions import Fraction

from msgspec.structs import replace

from proxy.ledger.commands import Settle, Settled
from proxy.ledger.rows import Call, Counter
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
from proxy.pricing.runs import in_run
from proxy.pricing.tiers import Volume
from proxy.storage.codecs import row_of
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import ACCOUNT, call, granted, opening, settle, void

IDS = {"account_id": ACCOUNT, "run_id": "trip"}


def calls_in(run_id: str, count: int, model: str = "small") -> list[Call]:
    return [
        replace(call(f"call_{run_id}_{number:02}", model=model), run_id=run_id) for number in range(count)
    ]


def ending(made: Call, nano: int) -> Settle:
    card = in_run(RateCard("tool", (), (Rate("requests", Fraction(nano), 1),)), made.run_id, "0.15")
    return replace(settle(made, 0), charge=price(card, {"requests": 1}))


async def test_processes_that_settle_at_once_round_the_markup_of_a_run_once(
    engine: Engine, open_store: OpenStore
) -> None:
    """What all calls were charged is their subtotal, and the markup on that."""
    stores = [await open_store() for _ in range(3)]
    made = calls_in("trip", 12)
    await stores[0].apply(opening(100_000))
    for each in made:
        await granted(stores[0], each, 100)
    batches = [
        store.apply([ending(each, 11 + place) for each in made[place * 4 : place * 4 + 4]])
        for place, store in enumerate(stores)
    ]
    results = [result for batch in await asyncio.gather(*batches) for result in batch]
    subtotal = sum((11 + place) * 4 for place in range(3))
    paid = sum(result.charged_nano for result in results if isinstance(result, Settled))
    assert paid == subtotal + round(subtotal * Fraction("0.15"))
    volume = Volume(weighted=str(subtotal * Fraction("0.15")))
    assert engine.dump()["counters"] == [row_of(Counter(ACCOUNT, "/trip", "total", 0, subtotal, volume))]


async def test_a_run_is_read_in_total_by_component_and_by_step(open_store: OpenStore) -> None:
    """Newest first, in pages; voided calls are steps and no components; nobody else's are there."""
    store = await open_store()
    small, large = calls_in("trip", 3), calls_in("journey", 1, model="large")
    mixed = [replace(large[0], id="call_large", run_id="trip")]
    await store.apply([*opening(100_000), *opening(100_000, account_id="acct_2", key_id="key_2")])
    for each in (*small, *large, *mixed):
        await granted(store, each, 1_000)
    await store.apply([ending(small[0], 100), ending(small[1], 100), void(small[2]), ending(large[0], 7)])
    await store.apply([ending(mixed[0], 400)])
    components = await store.query("run_components", {**IDS, "limit": 9})
    assert [(row["model"], row["calls"], int(str(row["charge_nano"]))) for row in components] == [
        ("large", 1, 460),
        ("small", 2, 230),
    ]
    page = {**IDS, "limit": 2, "cursor": ""}
    first = [row["id"] for row in await store.query("receipts_of_run", page)]
    last = [row["id"] for row in await store.query("receipts_of_run", {**page, "cursor": first[-1]})]
    assert [*first, *last] == ["call_trip_02", "call_trip_01", "call_trip_00", "call_large"]
    assert (await store.query("receipts_of_run", page))[1]["run_id"] == "trip"
    runs = {"account_id": ACCOUNT, "after": "", "limit": 9}
    assert [row["name"] for row in await store.query("runs_page", runs)] == ["/journey", "/trip"]
    assert [row["name"] for row in await store.query("runs_page", {**runs, "after": "journey"})] == ["/trip"]
    assert [row["quantity"] for row in await store.query("run_by_id", IDS)] == [600]
    windows = {"day": 20_000, "week": 19_997, "month": 19_997}
    assert not await store.query("counters_of_account", {"account_id": ACCOUNT, **windows})
    for name, more in (("runs_page", {"after": "", "limit": 9}), ("run_by_id", {"run_id": "trip"})):
        assert not await store.query(name, {"account_id": "acct_2", **more})
