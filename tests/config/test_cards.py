"""A rate card has exact prices for known meters."""

import pytest

from proxy.pricing.charge import price
from proxy.pricing.steps import Step
from tests.config.samples import CHAT_CARD, LoadText, Reported, card, text_of

RATE = "rate_cards.chat.rates.input_tokens"
NO_BOUND = "is missing; a card that prices output has to say how much a call can produce"
NOT_AN_AMOUNT = 'is not an amount; write a decimal string such as "0.15"'
TOO_LARGE = "is larger than 4611686018.427387903 USD, the largest amount there is"
MOMENT = "a day or a moment in UTC, such as 2027-01-01 or 2027-01-01T06:00:00Z"
NO_SECONDS = "'1' is for meters that count seconds; input_tokens needs one of per_1m, per_1k, per_unit"
OF_SECONDS = "needs exactly one of per_1m, per_1k, per_unit, per_minute, per_hour"
IN = "input_tokens: {per_1m: '1'}"
CASE = "rate_cards.chat.cases[0]"
TIER = "rate_cards.chat.service_tiers.priority"
MULTIPLIER = 'a decimal number in quotes such as "0.5" or "2", below 10000'
IN_RATES = f"rates: {{{IN}}}"


@pytest.mark.parametrize(
    ("cards", "faults"),
    [
        (
            card("rates: {input_token: {per_1m: '1'}}"),
            ["rate_cards.chat.rates.input_token: is not a meter; did you mean 'input_tokens'?"],
        ),
        (
            card("rates: {input_tokens: {}}"),
            [f"{RATE}: needs exactly one of per_1m, per_1k, per_unit"],
        ),
        (
            card("rates: {input_tokens: {per_1m: '1', per_1k: '1'}}"),
            [f"{RATE}: needs exactly one of per_1m, per_1k, per_unit"],
        ),
        (
            card("rates: {input_tokens: {per_1m: '-1'}}"),
            [f"{RATE}.per_1m: '-1' is negative; a price is at least 0"],
        ),
        (
            card("rates: {input_tokens: {per_1m: 1 euro}}"),
            [f"{RATE}.per_1m: '1 euro' is in an unknown unit; write US dollars or 'thirds'"],
        ),
        (
            card("rates: {input_tokens: {per_1m: 1 thirds}}"),
            [f"{RATE}.per_1m: '1 thirds' is not exact in US dollars; write it in US dollars"],
        ),
        (
            card("rates: {input_tokens: {per_1m: cheap}}"),
            [f"{RATE}.per_1m: 'cheap' {NOT_AN_AMOUNT}"],
        ),
        (
            card("rates: {input_tokens: {per_1m: '999999999999'}}"),
            [f"{RATE}.per_1m: '999999999999' {TOO_LARGE}"],
        ),
        *(
            (
                card(f"rates: {{{IN}, {meter}: {{per_1m: '1'}}}}"),
                [f"rate_cards.chat.max_output_tokens: {NO_BOUND}"],
            )
            for meter in ("output_tokens", "reasoning_tokens")
        ),
        (
            f"rate_cards: {{a: {{match: ['*', x, '*'], {IN_RATES}}}, b: {{match: [x], {IN_RATES}}}}}",
            [
                "rate_cards.a.match[2]: '*' is matched by 'a' already",
                "rate_cards.b.match[0]: 'x' is matched by 'a' already",
            ],
        ),
        *(
            (
                card(f"{IN_RATES}, service_tiers: {{priority: {value}}}"),
                [f"{TIER}: {shown} is not {MULTIPLIER}"],
            )
            for value, shown in (
                ("'-1'", "'-1'"),
                ("'1e2'", "'1e2'"),
                ("'10000'", "'10000'"),
                ("double", "'double'"),
                ("2", "2"),
            )
        ),
        (
            card("rates: {input_tokens: {per_unit: '4611686018'}}, service_tiers: {priority: '2'}"),
            [f"{TIER}: makes a rate larger than the largest amount there is"],
        ),
        (
            card("rates: {input_tokens: {per_hour: '1'}}"),
            [f"{RATE}.per_hour: {NO_SECONDS}"],
        ),
        (
            card("rates: {audio_seconds: {per_hour: '1', per_minute: '1'}}"),
            [f"rate_cards.chat.rates.audio_seconds: {OF_SECONDS}"],
        ),
        (
            card("rates: {input_tokens: {per_1m: '1', block: 0}}"),
            [f"{RATE}.block: 0 is not a whole number from 1 to 1000000000000"],
        ),
        (
            card(f"{IN_RATES}, context_tiers: [{{above: 9, {IN_RATES}}}, {{above: 9, {IN_RATES}}}]"),
            ["rate_cards.chat.context_tiers[1].above: 9 must be more than 9"],
        ),
        (
            card(f"{IN_RATES}, context_tiers: [{{above: 9, rates: {{tokens: {{per_1m: '1'}}}}}}]"),
            ["rate_cards.chat.context_tiers[0].rates.tokens: is not a meter; did you mean 'input_tokens'?"],
        ),
        (
            card(f"{IN_RATES}, context_tiers: [{{above: 9, rates: {{output_tokens: {{per_1m: '1'}}}}}}]"),
            [f"rate_cards.chat.max_output_tokens: {NO_BOUND}"],
        ),
        (
            card(f"{IN_RATES}, markup: '20'"),
            ["rate_cards.chat.markup: '20' is not a percentage in quotes such as \"20%\", below 10000%"],
        ),
        (
            card(f"{IN_RATES}, least_charge: '2', most_charge: '1'"),
            ["rate_cards.chat.most_charge: is less than `least_charge`"],
        ),
        (
            card(f"{IN_RATES}, most_charge: '-1'"),
            ["rate_cards.chat.most_charge: '-1' is negative; a price is at least 0"],
        ),
        (
            card(f"{IN_RATES}, changes: [{{from: tomorrow, {IN_RATES}}}]"),
            [f"rate_cards.chat.changes[0].from: 'tomorrow' is not {MOMENT}"],
        ),
        (
            card(f"{IN_RATES}, changes: [{{from: '2027-02-30', {IN_RATES}}}]"),
            ["rate_cards.chat.changes[0].from: '2027-02-30' is no moment: day is out of range for month"],
        ),
        (
            card(f"{IN_RATES}, changes: [{{from: '2027-01-02'}}, {{from: '2027-01-02T00:00Z'}}]"),
            ["rate_cards.chat.changes[1].from: '2027-01-02T00:00Z' must be later than the one before"],
        ),
        (
            card(f"{IN_RATES}, changes: [{{from: '2027-01-02', rates: {{output_tokens: {{per_1m: '1'}}}}}}]"),
            [f"rate_cards.chat.changes[0].max_output_tokens: {NO_BOUND}"],
        ),
        (
            card(f"{IN_RATES}, extras: {{scrape: {{meter: url}}}}"),
            ["rate_cards.chat.extras.scrape.meter: 'url' is not a meter; did you mean 'urls'?"],
        ),
        (card("like: chart"), ["rate_cards.chat.like: 'chart' is not a rate card; did you mean 'chat'?"]),
        (
            "rate_cards: {a: {like: b}, b: {like: c}, c: {like: b}}",
            ["rate_cards.c.like: 'b' makes a circle: b is like c is like b"],
        ),
        (card("max_output_tokens: 1"), ["rate_cards.chat.rates: is missing; a card needs one rate at least"]),
        (
            card(f"{IN_RATES}, cases: [{{when: {{size: a}}}}]"),
            [f"{CASE}: changes nothing; it needs `rates` or `max_output_tokens`"],
        ),
        (
            card(f"{IN_RATES}, cases: [{{when: {{}}, {IN_RATES}}}]"),
            [f"{CASE}.when: is empty; it needs one entry at least"],
        ),
        (
            card(f"{IN_RATES}, cases: [{{when: {{seconds: 8}}, {IN_RATES}}}]"),
            [f"{CASE}.when.seconds: is not text that is not empty; write it in quotes"],
        ),
        (
            card(f"{IN_RATES}, cases: [{{when: {{size: a}}, rates: {{image: {{per_unit: '1'}}}}}}]"),
            [f"{CASE}.rates.image: is not a meter; did you mean 'images'?"],
        ),
        (
            card(f"{IN_RATES}, cases: [{{when: {{size: a}}, rates: {{images: {{}}}}}}]"),
            [f"{CASE}.rates.images: needs exactly one of per_1m, per_1k, per_unit"],
        ),
        (
            card(f"{IN_RATES}, cases: [{{when: {{a: b}}, rates: {{output_tokens: {{per_1m: '1'}}}}}}]"),
            [f"{CASE}.max_output_tokens: {NO_BOUND}"],
        ),
        (
            card(
                f"{IN_RATES}, service_tiers: {{priority: '2'}}, "
                "cases: [{when: {a: b}, rates: {images: {per_unit: '4611686018'}}}]"
            ),
            [f"{TIER}: makes a rate larger than the largest amount there is"],
        ),
    ],
)
def test_rate_cards_have_exact_prices_for_meters(reported: Reported, cards: str, faults: list[str]) -> None:
    unit = "unit: {name: thirds, per_usd: 3}"
    assert reported(text_of(rate_cards=cards, routes="", unit=unit)) == faults


def test_a_card_says_what_tiers_and_unseen_inputs_cost(load_text: LoadText) -> None:
    """A tier multiplies every rate but surcharges, exactly, and is seen in the card's id."""
    text = card(
        "rates: {input_tokens: {per_1m: '0.15'}, web_searches: {per_1k: '10'}}, "
        "service_tiers: {priority: '1.75', flex: '0.5'}, input_allowance_tokens: 9000"
    )
    found = load_text(text_of(rate_cards=text, routes="")).book.by_id("chat")
    assert found is not None
    assert found.input_allowance == 9_000
    assert found.keys == {
        "rates.input_tokens",
        "rates.web_searches",
        "service_tiers.priority",
        "service_tiers.flex",
        "input_allowance_tokens",
    }
    priority = found.by_tier["priority"]
    assert priority.id == "chat+priority"
    assert [term[2:4] for term in priority.terms] == [("150000000.00", 1_000_000), ("10000000000.00", 1_000)]
    assert [rate.unit_nano * rate.per for rate in priority.rates] == [262_500_000, 10_000_000_000]
    assert [term[4] for term in priority.terms] == [(Step("times", "1.75", "service tier priority"),), ()]
    assert priority.price_id != found.price_id


def test_a_rate_is_for_whole_units_of_a_meter_that_counts_parts(load_text: LoadText) -> None:
    """A millionth of a credit is counted, and a credit has the price."""
    settings = load_text(text_of(rate_cards=CHAT_CARD + "  tool: {rates: {credits: {per_1k: '3'}}}"))
    card = settings.book.by_id("tool")
    assert card is not None
    assert price(card, {"credits": 1_500_000}).total_nano == 4_500_000


def test_a_case_has_rates_and_a_bound_of_its_own_and_the_cards_for_the_rest(load_text: LoadText) -> None:
    """Its conditions are in its id, in lower case and in order; its tiers are the card's."""
    text = """
rate_cards:
  chat:
    rates: {input_tokens: {per_1m: '1'}, output_tokens: {per_1m: '2'}}
    max_output_tokens: 100
    service_tiers: {priority: '2'}
    cases:
    - when: {size: 1024x1024, Quality: HIGH}
      rates: {output_tokens: {per_1m: '4'}}
      max_output_tokens: 700
    - when: {size: 1024x1024}
      max_output_tokens: 300
"""
    found = load_text(text_of(rate_cards=text, routes="")).book.by_id("chat")
    assert found is not None
    shown = [
        (card.id, card.default_bound, [str(rate.price) for rate in card.rates]) for card in found.variants
    ]
    usual = ["1000000000", "2000000000"]
    assert shown == [
        ("chat", 100, usual),
        ("chat+Quality=high,size=1024x1024", 700, ["1000000000", "4000000000"]),
        ("chat+size=1024x1024", 300, usual),
    ]
    assert found.variants[1].by_tier["priority"].id == "chat+Quality=high,size=1024x1024+priority"


@pytest.mark.parametrize(
    ("routes", "free"),
    [
        ("routes: [{models: ['*'], targets: [{upstream: openai}]}]", True),
        ("routes: [{models: [omni-moderation-latest], targets: [{upstream: openai}]}]", True),
        ("routes: [{models: ['*'], endpoints: [embeddings], targets: [{upstream: openai}]}]", False),
        ("routes: [{models: ['*'], rate_card: chat, targets: [{upstream: openai}]}]", False),
        ("routes: [{models: ['gpt-*'], targets: [{upstream: openai}]}]", False),
    ],
)
def test_what_makers_give_away_is_free_only_where_a_route_serves_it(
    load_text: LoadText, routes: str, free: bool
) -> None:
    """Else no body of a caller without funds would be worth waiting for."""
    book = load_text(text_of(rate_cards=card(IN_RATES), routes=routes)).book
    assert book.has_free(("input_tokens",), "moderations") is free


LIKE = """
rate_cards:
  child:
    match: [c]
    like: parent
    rates: {output_tokens: {per_1m: '9'}}
  parent:
    match: [p]
    rates: {input_tokens: {per_1m: '1'}, output_tokens: {per_1m: '2'}, images: {per_unit: '0.01'}}
    max_output_tokens: 100
    markup: 50%
    context_tiers: [{above: 10, rates: {input_tokens: {per_1m: '3'}, output_tokens: {per_1m: '4'}}}]
    cases: [{when: {quality: high}, rates: {images: {per_unit: '0.04'}}}]
"""
ALL = {"output_tokens": 1_000, "images": 1}


@pytest.mark.parametrize(
    ("card_id", "parameters", "usage", "total_nano"),
    [
        ("parent", {}, {"input_tokens": 10, **ALL}, (10_000 + 2_000_000 + 10_000_000) * 3 // 2),
        ("parent", {}, {"input_tokens": 11, **ALL}, (33_000 + 4_000_000 + 10_000_000) * 3 // 2),
        ("child", {}, {"input_tokens": 10, **ALL}, (10_000 + 9_000_000 + 10_000_000) * 3 // 2),
        ("child", {}, {"input_tokens": 11, **ALL}, (33_000 + 9_000_000 + 10_000_000) * 3 // 2),
        (
            "child",
            {"quality": "high"},
            {"input_tokens": 11, **ALL},
            (33_000 + 9_000_000 + 40_000_000) * 3 // 2,
        ),
    ],
)
def test_a_card_is_like_another_but_for_what_it_says(
    load_text: LoadText, card_id: str, parameters: dict[str, str], usage: dict[str, int], total_nano: int
) -> None:
    """Wherever that one stands in the file."""
    book = load_text(text_of(rate_cards=LIKE, routes="")).book
    found = book.by_id(card_id)
    assert found is not None
    assert price(found.case_of(parameters), usage).total_nano == total_nano


def test_a_card_with_lengths_of_its_own_has_none_of_the_other(load_text: LoadText) -> None:
    """Above the other's length, its own rate for short calls still holds."""
    own = (
        LIKE
        + "    most_charge: '1'\n"
        + """
  other:
    like: parent
    context_tiers: [{above: 20, rates: {input_tokens: {per_1m: '5'}}}]
"""
    )
    found = load_text(text_of(rate_cards=own, routes="")).book.by_id("other")
    assert found is not None
    lengths = [above for above, _ in found.contexts]
    assert lengths == [0, 20]
    assert price(found, {"input_tokens": 11}).lines[0].price_nano == "1000000000.00"
    assert [each.name for each in found.adjustments] == ["markup", "most_charge"]


def test_units_are_those_of_the_meter(load_text: LoadText) -> None:
    """Parts of a credit are counted in millionths, and so is what is billed of them."""
    text = "rate_cards: {tool: {rates: {credits: {per_unit: '0.01', least: 2, block: 5, included: 1}}}}"
    found = load_text(text_of(rate_cards=text, routes="")).book.by_id("tool")
    assert found is not None
    assert price(found, {"credits": 1_500_000}).total_nano == 50_000_000
    assert price(found, {"credits": 1_000_001}).total_nano == 50_000_000
    assert price(found, {"credits": 1_000_000}).total_nano == 0


CHANGING = """
rate_cards:
  child:
    like: parent
    rates: {output_tokens: {per_1m: '7'}}
    changes: [{from: '2027-03-01', rates: {output_tokens: {per_1m: '8'}}}]
  parent:
    match: [p]
    rates: {input_tokens: {per_1m: '1'}, output_tokens: {per_1m: '2'}}
    max_output_tokens: 100
    changes:
      - {from: '2027-02-01', rates: {input_tokens: {per_1m: '3'}}}
      - {from: '2027-04-01T12:00:00Z', rates: {output_tokens: {per_1m: '4'}}, markup: 100%}
"""
DAY_US = 86_400_000_000
FIRST_US = 1_798_761_600_000_000
"""The beginning of 2027."""


@pytest.mark.parametrize(
    ("card_id", "day", "nano"),
    [
        ("parent", 0, 3),
        ("parent", 30.99999, 3),
        ("parent", 31, 5),
        ("parent", 90, 5),
        ("parent", 90.49999, 5),
        ("parent", 90.5, 14),
        ("child", 0, 8),
        ("child", 31, 10),
        ("child", 58.99999, 10),
        ("child", 59, 11),
        ("child", 90.5, 22),
    ],
)
def test_a_call_is_priced_by_the_card_as_of_its_moment(
    load_text: LoadText, card_id: str, day: float, nano: int
) -> None:
    """A card changes when the one that it is like does, and keeps what it says itself."""
    book = load_text(text_of(rate_cards=CHANGING, routes="")).book
    found = book.card_now(card_id, "", "", lambda: int(FIRST_US + day * DAY_US))
    assert found is not None
    assert price(found, {"input_tokens": 1_000, "output_tokens": 1_000}).total_nano == nano * 1_000_000
    assert found.id == card_id


def test_a_case_keeps_what_it_says_though_the_card_said_the_same(load_text: LoadText) -> None:
    """When that changes, and in a card that is like it."""
    said = """
rate_cards:
  parent:
    rates: {images: {per_unit: '0.02'}}
    cases: [{when: {quality: low}, rates: {images: {per_unit: '0.02'}}}]
    changes: [{from: '2027-02-01', rates: {images: {per_unit: '0.03'}}}]
  child: {like: parent, rates: {images: {per_unit: '0.05'}}}
"""
    book = load_text(text_of(rate_cards=said, routes="")).book
    later = [
        book.card_now(card_id, "", "", lambda: FIRST_US + 90 * DAY_US) for card_id in ("parent", "child")
    ]
    found = [price(card.case_of({"quality": "low"}), {"images": 1}).total_nano for card in later if card]
    assert found == [20_000_000] * 2
