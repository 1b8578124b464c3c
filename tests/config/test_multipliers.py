"""What multiplies rates: flags of a call's parameters, hours, groups and service tiers, in one order."""

from datetime import UTC, datetime

import pytest

from proxy.call.terms import card_at, terms_of
from proxy.endpoints.features import at_tier
from proxy.errors import Refusal
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.upstream.routes import Route
from tests.config.samples import LoadText, Reported, card, text_of

NIGHT_US = int(datetime(2027, 1, 15, 23, tzinfo=UTC).timestamp()) * 1_000_000
USAGE = {"input_tokens": 1_000_000, "cached_input_tokens": 400_000}
TIERS = (
    "service_tiers: {batch: '0.5', priority: '2', geo-us: '1.1'}, service_tier_terms: "
    "{batch: {spares: [cached_input_tokens]}, geo-us: {stacks: true}, "
    "priority: {rates: {cached_input_tokens: {per_1m: '0.8'}}}}"
)
CARD = card(
    "rates: {input_tokens: {per_1m: '2'}, cached_input_tokens: {per_1m: '0.5'}}, "
    "cases: [{when: {size: small}, rates: {input_tokens: {per_1m: '1'}}}], "
    "flags: {sharp: {when: {quality: HIGH}, multiplier: '1.5'}, "
    "wide: {when: {size: wide}, multiplier: '3', spares: [cached_input_tokens]}}, "
    f"{TIERS}, hours: {{windows: {{night: {{from: '22:00', to: '24:00', multiplier: '0.8'}}}}}}"
)


def found_at(load_text: LoadText, group: str = "", at_us: int = 0) -> RateCard:
    text = text_of(rate_cards=CARD, groups="groups: {half: {multiplier: '0.5'}}", routes="")
    found = load_text(text).book.card_now("chat", "", "", lambda: at_us, group)
    assert found is not None
    return found


def names(made: RateCard) -> list[list[tuple[str, str]]]:
    return [[(step.name, step.value) for step in line.steps] for line in price(made, USAGE).lines]


def test_each_has_its_place_on_the_receipt(load_text: LoadText) -> None:
    """Flags, hours, group, service tiers: all multiply, but what one of them spares."""
    made = card_at(found_at(load_text, "half", NIGHT_US), {"quality": "high", "size": "wide"}, ())
    flags = [("flag sharp", "1.5"), ("flag wide", "3"), ("hours night", "0.8"), ("group half", "0.5")]
    assert names(made) == [flags, [flags[0], *flags[2:]]]
    assert names(found_at(load_text, "half", NIGHT_US).by_tier["batch+geo-us"]) == [
        [*flags[2:], ("service tier batch", "0.50"), ("service tier geo-us", "1.10")],
        [*flags[2:], ("service tier geo-us", "1.10")],
    ]


@pytest.mark.parametrize(
    ("parameters", "total_nano"),
    [
        ({}, 1_400_000_000),
        ({"quality": "high"}, 2_100_000_000),
        ({"size": "wide"}, 3_800_000_000),
        ({"quality": "high", "size": "wide"}, 5_700_000_000),
        ({"size": "small"}, 800_000_000),
        ({"size": "small", "quality": "High"}, 1_200_000_000),
        ({"size": "large", "quality": "low"}, 1_400_000_000),
    ],
)
def test_all_flags_that_hold_multiply_also_what_a_case_says(
    load_text: LoadText, parameters: dict[str, str], total_nano: int
) -> None:
    found = found_at(load_text)
    assert price(card_at(found, parameters, ()), USAGE).total_nano == total_nano
    at_night = found_at(load_text, at_us=NIGHT_US)
    assert price(card_at(at_night, parameters, ()), USAGE).total_nano == total_nano * 4 // 5


@pytest.mark.parametrize(
    ("tier", "total_nano"),
    [
        ("batch", 800_000_000),
        ("priority", 2_720_000_000),
        ("geo-us", 1_540_000_000),
        ("batch+geo-us", 880_000_000),
        ("geo-us+priority", 2_992_000_000),
    ],
)
def test_a_tier_may_spare_a_rate_or_have_its_own_and_stack(
    load_text: LoadText, tier: str, total_nano: int
) -> None:
    """Rates of its own are multiplied by a tier that it stacks with, by the group, and by the hours."""
    features = [at_tier(name, name, name) for name in tier.split("+")]
    for group, at_us, share in (("", 0, 10), ("half", 0, 5), ("half", NIGHT_US, 4)):
        terms = terms_of(features, Route("chat", ()), found_at(load_text, group, at_us))
        assert price(terms.card, USAGE).total_nano == total_nano * share // 10
        assert terms.card.id.endswith(f"+{tier}")


def test_tiers_that_do_not_stack_are_refused_together(load_text: LoadText) -> None:
    features = [at_tier(name, name, name) for name in ("batch", "priority")]
    with pytest.raises(Refusal, match=r"batch\+priority together"):
        terms_of(features, Route("chat", ()), found_at(load_text))


def test_a_card_that_is_like_another_has_its_flags_and_tiers(load_text: LoadText) -> None:
    """With its own rates; flags of its own take the place of the other's."""
    other = ", b: {like: chat, match: [b], rates: {input_tokens: {per_1m: '4'}}}"
    third = ", c: {like: chat, match: [c], flags: {wide: {when: {size: wide}, multiplier: '2'}}}"
    book = load_text(text_of(rate_cards=CARD.removesuffix("}") + other + third + "}", routes="")).book
    wide = {"size": "wide", "quality": "high"}
    for name, total in (("b", 11_100_000_000), ("c", 2_800_000_000)):
        found = book.by_id(name)
        assert found is not None
        assert price(card_at(found, wide, ()), USAGE).total_nano == total
        assert "batch+geo-us" in found.by_tier


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "service_tiers: {flex: '0.5'}, service_tier_terms: {flax: {stacks: true}}",
            "service_tier_terms.flax: 'flax' is none of its `service_tiers`; did you mean 'flex'?",
        ),
        (
            "service_tiers: {flex: '0.5'}, service_tier_terms: {flex: {spares: [tokens]}}",
            "service_tier_terms.flex.spares[0]: 'tokens' is not a meter",
        ),
        (
            "service_tier_by: answer, service_tiers: {a: '2'}, service_tier_terms: {a: {spares: [images]}}",
            "service_tier_by: needs service tiers that multiply all rates",
        ),
        (
            "flags: {a: {when: {x: y}, multiplier: '2', spares: [tok]}}",
            "flags.a.spares[0]: 'tok' is not a meter",
        ),
        ("flags: {a: {when: {}, multiplier: '2'}}", "flags.a.when: "),
    ],
)
def test_what_is_no_tier_and_no_meter_is_told(text: str, fault: str, reported: Reported) -> None:
    (said, *_) = reported(text_of(rate_cards=card(f"rates: {{input_tokens: {{per_1m: '2'}}}}, {text}")))
    assert said.startswith(f"rate_cards.chat.{fault}")


LARGEST = CARD.replace(
    "rates: {input_tokens: {per_1m: '2'}", "discounts: largest, rates: {input_tokens: {per_1m: '2'}", 1
)


@pytest.mark.parametrize(
    ("group", "at_us", "tier", "parameters", "total_nano"),
    [
        ("", 0, "batch", {}, 800_000_000),
        ("half", 0, "batch", {}, 700_000_000),
        ("half", NIGHT_US, "batch+geo-us", {}, 770_000_000),
        ("", NIGHT_US, "batch", {}, 760_000_000),
        ("", NIGHT_US, "priority", {}, 2_176_000_000),
        ("half", NIGHT_US, "", {"quality": "high"}, 1_050_000_000),
        ("half", NIGHT_US, "", {"size": "small"}, 400_000_000),
    ],
)
def test_of_discounts_that_do_not_add_up_the_largest_counts_for_each_rate(
    load_text: LoadText, group: str, at_us: int, tier: str, parameters: dict[str, str], total_nano: int
) -> None:
    """Of flags, hours, groups and service tiers; what makes dearer multiplies all the same."""
    text = text_of(rate_cards=LARGEST, groups="groups: {half: {multiplier: '0.5'}}", routes="")
    found = load_text(text).book.card_now("chat", "", "", lambda: at_us, group)
    assert found is not None
    found = card_at(found, parameters, ())
    assert price(found.by_tier[tier] if tier else found, USAGE).total_nano == total_nano


def test_a_card_that_is_like_another_has_its_rule_for_discounts(load_text: LoadText) -> None:
    """Unless it says another one, which a change of prices may do as well."""
    others = (
        ", b: {like: chat, match: [b]}, c: {like: chat, match: [c], discounts: multiply}"
        ", d: {match: [d], rates: {input_tokens: {per_1m: '1'}}, "
        "changes: [{from: '2027-01-01', discounts: largest}]}"
    )
    book = load_text(text_of(rate_cards=LARGEST.removesuffix("}") + others + "}", routes="")).book
    found = {name: book.by_id(name) for name in "bcd"}
    assert [card.discounts for card in found.values() if card] == ["largest", "multiply", "multiply"]
    changing = found["d"]
    assert changing is not None
    assert changing.as_of(NIGHT_US).discounts == "largest"


def test_a_rule_for_discounts_that_there_is_not_is_told(reported: Reported) -> None:
    (said,) = reported(text_of(rate_cards=card("rates: {requests: {per_unit: '2'}}, discounts: smallest")))
    assert said.startswith("rate_cards.chat.discounts: ")


def test_there_are_not_too_many_flags(reported: Reported) -> None:
    flags = ", ".join(f"f{place}: {{when: {{x: y}}, multiplier: '2'}}" for place in range(6))
    said = reported(text_of(rate_cards=card(f"rates: {{requests: {{per_unit: '2'}}}}, flags: {{{flags}}}")))
    assert said == ["rate_cards.chat.flags: must be 5 at most"]
