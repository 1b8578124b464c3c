"""Prices that depend on what was used before: each split of a quantity comes to what all of it comes to."""

from fractions import Fraction
from math import ceil

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge, Line, affordable, more_nano, price, worst_nano
from proxy.pricing.counting import counted, counter_keys
from proxy.pricing.listed import card_of
from proxy.pricing.rates import Adjustment, Rate, Term
from proxy.pricing.steps import Step, exact_amounts
from proxy.pricing.tiers import Count, CounterKey, Period, Tier, Tiers

FIRST_DAYS: dict[Period, int] = {"day": 20_000, "week": 19_997, "month": 19_997, "total": 0}
M = 1_000_000
PRICES = st.integers(0, 10**7).map(lambda cents: Fraction(cents, 8))
QUANTITIES = st.integers(0, 3_000)
Counts = dict[CounterKey, Count]


def tiers_of(*tiers: tuple[int, str], counter: str = "tokens", **more: bool) -> Tiers:
    return Tiers(counter, "month", tuple(Tier(upto, nano) for upto, nano in tiers), **more)


def rate_of(tiers: Tiers, meter: str = "input_tokens", per: int = M, *steps: Step) -> Rate:
    return Rate(meter, max(Fraction(tier.price_nano) for tier in tiers.tiers), per, steps, tiers)


def card_with(*rates: Rate, markup: str = "", least: str = "") -> RateCard:
    added = [Adjustment("markup", Step("share", markup))] if markup else []
    added += [Adjustment("least_charge", Step("at_least", least))] if least else []
    return RateCard("card", (), rates, adjustments=tuple(added))


@st.composite
def tables(draw: st.DrawFn, *, falling: bool = False, counter: str = "tokens") -> Tiers:
    bounds = sorted(draw(st.sets(st.integers(1, 4_000), max_size=3)))
    prices = draw(st.lists(PRICES, min_size=len(bounds) + 1, max_size=len(bounds) + 1))
    prices = sorted(prices, reverse=True) if falling else prices
    texts = [f"{float(each):.3f}" for each in prices]
    pairs = zip([*bounds, 0], texts, strict=True)
    return tiers_of(*pairs, counter=counter, is_volume=falling)


def each_unit(tiers: Tiers, before: int, quantity: int) -> Fraction:
    """What units cost by the words of a price page, one after the other, by no code of the product's."""
    total, floor = Fraction(0), 0
    for tier in tiers.tiers:
        last = tier.upto or before + quantity
        inside = max(0, min(before + quantity, last) - max(before, floor))
        total += inside * Fraction(tier.price_nano)
        floor = last
    return total


def charged(card: RateCard, usage: dict[str, int], counts: Counts) -> tuple[Charge, Counts]:
    return counted(price(card, usage), counts, FIRST_DAYS)


def exact(charge: Charge) -> Fraction:
    return sum(exact_amounts(charge.lines), Fraction(0))


GRADUATED = tiers_of((M, "3000000000"), (10 * M, "2500000000"), (0, "2000000000"))
GOLDEN = [
    (0, 1_000_000, 3_000_000_000),
    (0, 1_000_001, 3_000_002_500),
    (0, 1_500_000, 4_250_000_000),
    (0, 10_000_000, 25_500_000_000),
    (0, 10_000_001, 25_500_002_000),
    (0, 12_000_000, 29_500_000_000),
    (900_000, 300_000, 800_000_000),
]


@pytest.mark.parametrize(("before", "quantity", "total_nano"), GOLDEN)
def test_each_unit_has_the_price_of_its_own_tier(before: int, quantity: int, total_nano: int) -> None:
    card, key = card_with(rate_of(GRADUATED)), ("tokens", "month", 19_997)
    charge, counts = charged(card, {"input_tokens": quantity}, {key: Count(before)})  # type: ignore[dict-item]
    assert charge.total_nano == total_nano
    assert counts == {key: Count(before + quantity)}
    assert charge.tiers == ()


def test_a_line_says_which_tier_it_is_in_and_what_was_counted_before_it() -> None:
    card, key = card_with(rate_of(GRADUATED)), ("tokens", "month", 19_997)
    charge, _ = charged(card, {"input_tokens": 300_000}, {key: Count(900_000)})  # type: ignore[dict-item]
    window = Step("window", "19997", "month")
    first = (window, Step("counted", "900000", "tokens"), Step("tier", "0"), Step("until", "1000000"))
    second = (
        *(window, Step("counted", "1000000", "tokens")),
        *(Step("tier", "1000000"), Step("until", "10000000")),
    )
    assert charge.lines == (
        Line("input_tokens", 100_000, "3000000000", M, 300_000_000, first),
        Line("input_tokens", 200_000, "2500000000", M, 500_000_000, second),
    )


VOLUME = tiers_of((10, "100"), (100, "80"), (0, "50"), is_volume=True)


def test_a_period_has_the_price_of_the_tier_that_it_has_reached() -> None:
    """What was used before costs less by then; what that is more than a call costs is the next ones'."""
    card, counts, totals = card_with(rate_of(VOLUME, per=1)), Counts(), []
    for quantity in (10, 1, 1, 1, 87, 1, 10):
        charge, counts = charged(card, {"input_tokens": quantity}, counts)
        totals.append(charge.total_nano)
    assert totals == [1_000, 0, 0, 40, 6_960, 0, 0]
    assert sum(totals) - 111 * 50 == Fraction(next(iter(counts.values())).volume.credit)


@given(tables(), st.lists(QUANTITIES, min_size=1, max_size=6))
def test_the_parts_of_a_quantity_cost_what_all_of_it_costs(tiers: Tiers, parts: list[int]) -> None:
    """However it is split: cost(a) + cost(b after a) = cost(a + b), and that is what each unit costs."""
    card, counts, total, before = card_with(rate_of(tiers)), Counts(), Fraction(0), 0
    for part in parts:
        charge, counts = charged(card, {"input_tokens": part}, counts)
        assert charge.total_nano == round(exact(charge))
        assert exact(charge) == each_unit(tiers, before, part) / M
        total, before = total + exact(charge), before + part
    whole, after = charged(card, {"input_tokens": before}, {})
    assert (exact(whole), after) == (total, counts)


@given(tables(falling=True), st.lists(QUANTITIES, min_size=1, max_size=6))
def test_volume_tiers_charge_what_the_period_costs_or_what_was_paid_by_then(
    tiers: Tiers, parts: list[int]
) -> None:
    """Never less than nothing, and what was paid too much is kept for the next calls."""
    card, counts, paid, used = card_with(rate_of(tiers)), Counts(), Fraction(0), 0
    for part in parts:
        charge, counts = charged(card, {"input_tokens": part}, counts)
        assert charge.total_nano == round(exact(charge)) >= 0
        paid, used = paid + exact(charge), used + part
        if used:
            reached = next(tier for tier in tiers.tiers if not tier.upto or used <= tier.upto)
            worth = used * Fraction(reached.price_nano) / M
            assert paid == max(worth, paid)
            assert paid - worth == Fraction(next(iter(counts.values())).volume.credit)


@given(tables(), tables(), st.lists(st.tuples(QUANTITIES, QUANTITIES), min_size=1, max_size=4))
def test_rates_of_one_counter_count_together_in_the_order_of_the_card(
    first: Tiers, second: Tiers, calls: list[tuple[int, int]]
) -> None:
    card, counts, before = card_with(rate_of(first), rate_of(second, "output_tokens")), Counts(), 0
    for sent, produced in calls:
        charge, counts = charged(card, {"input_tokens": sent, "output_tokens": produced}, counts)
        right = each_unit(first, before, sent) + each_unit(second, before + sent, produced)
        assert exact(charge) == right / M
        before += sent + produced
    assert sum(count.quantity for count in counts.values()) == before


@given(
    st.lists(st.booleans().flatmap(lambda falling: tables(falling=falling)), min_size=1, max_size=2),
    st.sampled_from(["", "0.2", "1/3"]),
    st.sampled_from(["", "1000"]),
    st.lists(st.tuples(QUANTITIES, QUANTITIES), min_size=1, max_size=4),
)
def test_no_call_costs_more_than_it_holds_whatever_was_used_before(
    found: list[Tiers], markup: str, least: str, calls: list[tuple[int, int]]
) -> None:
    """The charge that is not counted yet is at the dearest prices, and what funds pay for is at these."""
    tiers = [msgspec.structs.replace(each, counter=f"c{place}") for place, each in enumerate(found)]
    meters = ("input_tokens", "output_tokens")
    rates = [rate_of(each, meter) for each, meter in zip(tiers, meters, strict=False)]
    card, counts = card_with(*rates, markup=markup, least=least), Counts()
    for sent, produced in calls:
        usage = {"input_tokens": sent, "output_tokens": produced}
        before, most_nano = price(card, usage), worst_nano(card, usage)
        charge, counts = charged(card, usage, counts)
        assert charge.total_nano <= before.total_nano <= most_nano
        assert affordable(card, most_nano, usage, "output_tokens") == produced
        assert most_nano <= worst_nano(card, {**usage, "output_tokens": 0}) + more_nano(
            card, "output_tokens", produced
        )


@given(tables(), tables(falling=True), st.tuples(QUANTITIES, QUANTITIES), QUANTITIES)
def test_a_charge_is_counted_as_a_row_keeps_it(
    graduated: Tiers, volume: Tiers, used: tuple[int, int], before: int
) -> None:
    """As a checkpoint does, and as a job keeps its rates."""
    tiers = (graduated, msgspec.structs.replace(volume, counter="other"))
    meters = ("input_tokens", "output_tokens")
    card = card_with(*map(rate_of, tiers, meters), markup="0.2")
    usage = dict(zip(meters, used, strict=True))
    charge = price(card, usage)
    kept = msgspec.json.decode(msgspec.json.encode(charge), type=Charge)
    listed = msgspec.json.decode(msgspec.json.encode(card.listed), type=tuple[Term, ...])
    counts = {key: Count(before) for key in counter_keys(charge, FIRST_DAYS)}
    right = counted(charge, counts, FIRST_DAYS)
    assert counted(kept, counts, FIRST_DAYS) == right
    assert counted(price(card_of(card.price_id, listed), usage), counts, FIRST_DAYS) == right


def test_what_was_used_at_other_prices_is_not_priced_anew() -> None:
    """After a change of volume tiers the period goes on where it was, at the new prices."""
    first, counts = charged(card_with(rate_of(VOLUME, per=1)), {"input_tokens": 10}, {})
    changed = tiers_of((10, "100"), (100, "10"), (0, "5"), is_volume=True)
    second, counts = charged(card_with(rate_of(changed, per=1)), {"input_tokens": 5}, counts)
    assert (first.total_nano, second.total_nano) == (1_000, 50)
    third, counts = charged(card_with(rate_of(changed, per=1)), {"input_tokens": 86}, counts)
    assert third.total_nano == 86 * 5 - 5 * (10 - 5)


def test_a_multiplier_multiplies_what_a_tier_comes_to() -> None:
    """That of a group and that of a service tier, and what volume tiers give back of it."""
    half = rate_of(VOLUME, "input_tokens", 1, Step("times", "0.5", "group vip"))
    _, counts = charged(card_with(half), {"input_tokens": 10}, {})
    charge, _ = charged(card_with(rate_of(VOLUME, per=1)), {"input_tokens": 5}, counts)
    assert charge.total_nano == 5 * 80 - 10 * 20 // 2
    card = RateCard("card", (), (rate_of(GRADUATED),), service_tiers=(("priority", Fraction(2)),))
    twice = card.by_tier["priority"]
    both, _ = charged(twice, {"input_tokens": 1_500_000}, {})
    assert both.total_nano == 8_500_000_000
    assert worst_nano(twice, {"input_tokens": 1_500_000}) == 9_000_000_000


def test_a_least_charge_bounds_what_is_counted() -> None:
    free = tiers_of((100, "0"), (0, "7"))
    card = card_with(rate_of(free, per=1), least="50")
    first, counts = charged(card, {"input_tokens": 60}, {})
    second, _ = charged(card, {"input_tokens": 60}, counts)
    assert [line.meter for line in first.lines] == ["input_tokens", "least_charge"]
    assert (first.total_nano, second.total_nano) == (50, 140)
    assert [line.meter for line in second.lines] == ["input_tokens", "input_tokens"]


@pytest.mark.parametrize(
    "changed",
    [
        tiers_of((M, "3000000000"), (0, "2000000000")),
        tiers_of((M, "3000000000"), (10 * M, "2500000000"), (0, "2000000001")),
        tiers_of((M, "3000000000"), (10 * M, "2500000000"), (0, "2000000000"), counter="other"),
        tiers_of((M, "3000000000"), (10 * M, "2500000000"), (0, "2000000000"), is_volume=True),
    ],
)
def test_whatever_changes_a_tier_changes_the_version(changed: Tiers) -> None:
    assert card_with(rate_of(changed)).version != card_with(rate_of(GRADUATED)).version


def test_a_card_without_tiers_makes_a_charge_without_any() -> None:
    """Which is written as it ever was."""
    charge = price(RateCard("card", (), (Rate("input_tokens", Fraction(5), 1),)), {"input_tokens": 5})
    assert charge.tiers == ()
    assert b"tiers" not in msgspec.json.encode(charge)


def carrying(block: int, price_nano: int = 7) -> RateCard:
    tiers = Tiers("voice/characters", "month", (Tier(0, str(price_nano)),))
    return card_with(Rate("characters", Fraction(price_nano), 1, (Step("carry", str(block)),), tiers))


@given(st.integers(1, 50), st.lists(st.integers(0, 200), min_size=1, max_size=6))
def test_what_is_left_of_a_block_serves_the_next_calls(block: int, parts: list[int]) -> None:
    """cost(a) + cost(b after a) = cost(a + b): as many blocks as were begun; each call holds a whole one."""
    card, counts, paid_nano = carrying(block), Counts(), 0
    for part in parts:
        usage = {"characters": part}
        charge, counts = charged(card, usage, counts)
        assert charge.total_nano == round(exact(charge)) <= worst_nano(card, usage)
        paid_nano += charge.total_nano
    whole, after = charged(card, {"characters": sum(parts)}, {})
    assert paid_nano == whole.total_nano == ceil(sum(parts) / block) * block * 7
    assert {key: count for key, count in counts.items() if count.quantity} == {
        key: count for key, count in after.items() if count.quantity
    }


def test_a_line_says_what_its_block_had_before() -> None:
    card, key = carrying(1_000), ("voice/characters", "month", 19_997)
    charge, _ = charged(card, {"characters": 600}, {key: Count(500)})  # type: ignore[dict-item]
    steps = (
        *(Step("carry", "1000"), Step("window", "19997", "month")),
        *(Step("counted", "500", "voice/characters"), Step("tier", "0")),
    )
    assert charge.lines == (Line("characters", 600, "7", 1, 7_000, steps),)
    assert charged(card, {"characters": 500}, {key: Count(500)})[0].total_nano == 0  # type: ignore[dict-item]


ROLLING = Tiers("searches", "month", (Tier(10, "0"), Tier(0, "5")), rolls=15)
MONTHS = [20_423, 20_454, 20_485, 20_513, 20_544]
"""The first days of December 2025 to April 2026."""


def by_month(used: list[tuple[int, int]], tiers: Tiers = ROLLING) -> tuple[list[int], Counts]:
    """What calls cost, each in a month, by its place among them, of so many units."""
    card, counts, totals = card_with(rate_of(tiers, "web_searches", 1)), Counts(), []
    for month, quantity in used:
        days = FIRST_DAYS | {"month": MONTHS[month]}
        charge, counts = counted(price(card, {"web_searches": quantity}), counts, days)
        assert charge.total_nano == round(exact(charge))
        totals.append(charge.total_nano)
    return totals, counts


@pytest.mark.parametrize(
    ("used", "totals"),
    [
        ([(0, 10), (0, 1)], [0, 5]),
        ([(0, 4), (1, 16), (1, 1)], [0, 0, 5]),
        ([(0, 4), (1, 4), (2, 22)], [0, 0, 0]),  # 6, and then 12 are left.
        ([(0, 4), (1, 4), (2, 26)], [0, 0, 20]),
        ([(0, 4), (3, 25), (3, 1)], [0, 0, 5]),  # Months without calls leave all of theirs.
        ([(0, 14), (1, 11)], [20, 5]),
        ([(1, 2), (0, 18), (0, 1)], [0, 50, 5]),  # A call of a month that is over is of the present one.
    ],
)
def test_what_is_left_of_a_month_is_free_in_the_next(used: list[tuple[int, int]], totals: list[int]) -> None:
    """As far as it may roll over: 10 a month, and 15 of those before at most."""
    assert by_month(used)[0] == totals


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40)), min_size=1, max_size=8))
def test_an_allowance_that_rolls_over_frees_what_a_ledger_of_months_would(
    used: list[tuple[int, int]],
) -> None:
    """Month after month: what is free is its own and what is left, and each unit beyond it costs 5."""
    calls = sorted((month, units) for month, units in used if units)
    left, at, right = 10, calls[0][0] if calls else 0, []
    for month, units in calls:
        for _ in range(month - at):
            left = 10 + min(15, left)
        at = month
        right.append(5 * max(0, units - left))
        left = max(0, left - units)
    totals, counts = by_month(calls)
    assert totals == right
    parts = [(month, 1) for month, units in calls for _ in range(units)]
    assert sum(by_month(parts)[0]) == sum(totals)
    assert by_month(parts)[1] == counts
