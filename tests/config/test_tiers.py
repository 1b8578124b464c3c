"""Prices by what a period has used before: each key is checked, and what it means reads from the card."""

import pytest

from proxy.pricing.charge import price, worst_nano
from proxy.pricing.counting import counted
from proxy.pricing.tiers import Count, Period, Tier, Tiers
from tests.config.samples import LoadText, Reported, card, text_of

RATE = "rate_cards.chat.rates.input_tokens"
FIRST_DAYS: dict[Period, int] = {"day": 9, "week": 8, "month": 7, "total": 0}
NOT_MORE = "must not be more than in the tier before it: what was used before is priced anew"
NOT_SHARED = "cannot be shared by volume tiers, which price anew what was used before by this rate alone"
THREE = "[{upto: 1000000, per_1m: '3'}, {upto: 10000000, per_1m: '2.5'}, {per_1m: '2'}]"


def rate(text: str) -> str:
    return card(f"rates: {{input_tokens: {{{text}}}}}")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tiers: [{per_1m: '1'}]", "period: is missing: the day, week, month or total that is counted"),
        ("free: 5, per_1m: '1'", "period: is missing: the day, week, month or total that is counted"),
        (
            "per_1m: '1', period: day",
            "period: counts for `tiers`, `volume_tiers` or `free`, and there are none",
        ),
        (
            "per_1m: '1', counter: all",
            "counter: counts for `tiers`, `volume_tiers` or `free`, and there are none",
        ),
        (
            "period: day, tiers: [{upto: 5, per_1m: '1'}]",
            "tiers[0].upto: 5 must be left out: the last tier has no end",
        ),
        (
            "period: day, tiers: [{per_1m: '1'}, {per_1m: '2'}]",
            "tiers[0].upto: is missing; only the last tier has no end",
        ),
        (
            "period: day, tiers: [{upto: 5, per_1m: '1'}, {upto: 5, per_1m: '2'}, {per_1m: '3'}]",
            "tiers[1].upto: 5 must be more than 5",
        ),
        (
            "period: day, tiers: [{upto: 5, per_1m: '1'}, {per_1k: '2'}]",
            "tiers[1]: must be written per_1m, as the tiers before it",
        ),
        (
            "period: day, tiers: [{upto: 5}, {per_unit: '2'}]",
            "tiers[0]: needs exactly one of per_1m, per_1k, per_unit",
        ),
        (
            "period: day, volume_tiers: [{upto: 5, per_1m: '1'}, {per_1m: '2'}]",
            f"volume_tiers[1].per_1m: {NOT_MORE}",
        ),
        (
            "period: day, counter: all, volume_tiers: [{per_1m: '2'}]",
            f"counter: 'all' {NOT_SHARED}",
        ),
        (
            "period: day, tiers: [{per_1m: '2'}], volume_tiers: [{per_1m: '2'}]",
            "volume_tiers: cannot stand beside `tiers`: a unit has one price",
        ),
        (
            "period: day, tiers: [{per_1m: '2'}], free: 5",
            "free: 5 is the first of the `tiers`, at a price of 0",
        ),
        (
            "period: day, tiers: [{per_1m: '2'}], block: 5",
            "block: cannot stand beside what is counted over calls",
        ),
        ("period: day, free: 5", "needs exactly one of per_1m, per_1k, per_unit"),
        ("period: year, free: 5, per_1m: '2'", "period: 'year' is not 'day' or 'month' or 'total' or 'week'"),
    ],
)
def test_a_fault_says_where_it_is_and_what_would_be_right(text: str, fault: str, reported: Reported) -> None:
    colon = "" if fault.startswith("needs") else "."
    (said,) = reported(text_of(rate_cards=rate(text)))
    assert said == (f"{RATE}{colon}{fault}" if colon else f"{RATE}: {fault}")


def test_a_price_beside_tiers_is_a_fault(reported: Reported) -> None:
    text = "period: day, per_1m: '1', tiers: [{per_1m: '2'}]"
    assert reported(text_of(rate_cards=rate(text))) == [
        f"{RATE}: has a price beside `tiers`; the last tier has that of all further units"
    ]


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (
            "output_tokens: {free: 5, period: month, counter: all, per_1m: '1'}",
            "output_tokens.period: 'month' must be day, as the counter 'all' has it in 'a'",
        ),
        (
            "requests: {free: 5, period: day, counter: all, per_unit: '1'}",
            "requests.counter: 'all' counts tokens in 'a' and requests here; each needs its own",
        ),
    ],
)
def test_rates_of_one_counter_count_the_same_for_as_long(other: str, fault: str, reported: Reported) -> None:
    cards = f"""
rate_cards:
  a:
    match: [gpt-4o]
    rates: {{input_tokens: {{free: 5, period: day, counter: all, per_1m: '1'}}}}
  b:
    rates: {{{other}}}
    max_output_tokens: 9
"""
    assert reported(text_of(rate_cards=cards)) == [f"rate_cards.b.rates.{fault}"]


def test_free_units_are_a_first_tier_of_nothing(load_text: LoadText) -> None:
    """Also of a meter that is counted in parts."""
    calls = "requests: {per_1k: '5', free: 1000, period: month}"
    seconds = "run_seconds: {per_hour: '1', free: 60, period: day}"
    cards = card(f"rates: {{input_tokens: {{per_1m: '1'}}, {calls}, {seconds}}}")
    _, requests, runs = load_text(text_of(rate_cards=cards)).book.by_id("chat").rates  # type: ignore[union-attr]
    nothing, price_nano = "0.00", "5000000000.00"
    assert requests.tiers == Tiers("chat/requests", "month", (Tier(1000, nothing), Tier(0, price_nano)))
    assert (requests.price, requests.per) == (5_000_000_000, 1_000)
    assert runs.tiers is not None
    assert (runs.tiers.tiers[0].upto, runs.per) == (60_000_000, 3_600_000_000)


def test_a_card_counts_for_itself_what_it_takes_over_unless_that_has_a_name(load_text: LoadText) -> None:
    cards = f"""
rate_cards:
  a:
    match: [gpt-4o]
    rates:
      input_tokens: {{period: month, tiers: {THREE}}}
      cached_input_tokens: {{period: month, counter: cached, free: 5, per_1m: '1'}}
    cases: [{{when: {{quality: high}}, rates: {{input_tokens: {{period: month, free: 9, per_1m: '9'}}}}}}]
  b: {{like: a, match: [gpt-4o-mini]}}
"""
    book = load_text(text_of(rate_cards=cards)).book
    for name in "ab":
        found = book.by_id(name)
        assert found is not None
        counters = [
            [rate.tiers.counter for rate in variant.rates if rate.tiers] for variant in found.variants
        ]
        assert counters == [[f"{name}/input_tokens", "cached"]] * 2


def test_a_change_goes_on_where_the_period_was(load_text: LoadText) -> None:
    later = "{input_tokens: {period: month, tiers: [{upto: 5, per_1m: '1'}, {per_1m: '7'}]}}"
    cards = card(
        f"rates: {{input_tokens: {{period: month, tiers: {THREE}}}}}, "
        f"changes: [{{from: '2027-01-01', rates: {later}}}]"
    )
    found = load_text(text_of(rate_cards=cards)).book.by_id("chat")
    assert found is not None
    old, new = found.versions
    usage = {"input_tokens": 1_000_000}
    first, counts = counted(price(old, usage), {}, FIRST_DAYS)
    second, _ = counted(price(new, usage), counts, FIRST_DAYS)
    assert (first.total_nano, second.total_nano) == (3_000_000_000, 7_000_000_000)
    assert old.version != new.version


def test_a_group_and_a_service_tier_multiply_each_tier(load_text: LoadText) -> None:
    """What a call holds is at the dearest of them."""
    cards = card(
        f"rates: {{input_tokens: {{period: month, tiers: {THREE}}}}}, service_tiers: {{flex: '0.5'}}"
    )
    book = load_text(text_of(rate_cards=cards, groups="groups: {vip: {multiplier: '0.1'}}")).book
    found = book.card_for("gpt-4o")
    assert found is not None
    of_group = book.card_of(None, "gpt-4o", "chat.completions", "vip")
    assert of_group is not None
    usage = {"input_tokens": 12_000_000}
    for priced, share in ((found.by_tier["flex"], 2), (of_group, 10)):
        charge, counts = counted(price(priced, usage), {}, FIRST_DAYS)
        assert charge.total_nano == 29_500_000_000 // share
        assert worst_nano(priced, usage) == 36_000_000_000 // share
        assert counts == {("chat/input_tokens", "month", 7): Count(12_000_000)}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("per_1m: '1', carried: month", "block: is missing: what is `carried` is what is left of a block"),
        (
            "per_1m: '1', block: 9, carried: month, period: month",
            "period: cannot stand beside a block that is carried over calls",
        ),
        (
            "per_1m: '1', block: 9, carried: month, included: 2",
            "included: cannot stand beside a block that is carried over calls",
        ),
        (
            "per_1m: '1', rolls_over: 9",
            "rolls_over: counts for `tiers`, `volume_tiers` or `free`, and there are none",
        ),
        (
            "period: day, rolls_over: 9, tiers: [{upto: 5, per_1m: '1'}, {per_1m: '2'}]",
            "rolls_over: 9 is of `free` units, and there are none",
        ),
        (
            "period: total, free: 5, rolls_over: 9, per_1m: '1'",
            "rolls_over: 9 needs periods that end; `total` never does",
        ),
        ("per_1m: '1', free_with: [input_tokens]", "free_with[0]: 'input_tokens' is used by every such call"),
        ("per_1m: '1', free_with: [images, images]", "free_with[1]: 'images' is there already"),
        (
            "per_1m: '1', free_without: input_tokens",
            "free_without: 'input_tokens' is used by every such call",
        ),
        ("per_1m: '1', free_without: requests", "free_without: 'requests' is used by every such call"),
        (
            "per_1m: '1', free_without: images, free_with: [web_searches]",
            "free_without: cannot stand beside `free_with`",
        ),
    ],
)
def test_what_goes_on_or_stands_beside_is_checked(text: str, fault: str, reported: Reported) -> None:
    assert reported(text_of(rate_cards=rate(text))) == [f"{RATE}.{fault}"]


def test_an_allowance_that_several_cards_share_rolls_over_alike(reported: Reported) -> None:
    cards = """
rate_cards:
  a: {match: [gpt-4o], rates: {requests: {per_1m: '1', free: 5, rolls_over: 9, period: day, counter: all}}}
  b: {match: [gpt-4o-mini], rates: {requests: {per_1m: '1', free: 5, period: day, counter: all}}}
"""
    message = "must be as the counter 'all' has it in 'a', and so must `free`"
    assert reported(text_of(rate_cards=cards)) == [f"rate_cards.b.rates.requests.rolls_over: {message}"]
