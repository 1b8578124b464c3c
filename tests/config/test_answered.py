"""A card may have rates for the models that answers name: plain ones, for meters that it prices itself."""

import pytest

from proxy.pricing.listed import dearest_of
from tests.config.samples import LoadText, Reported, card, text_of

RATES = "rates: {input_tokens: {per_1m: '1'}, output_tokens: {per_1m: '2'}}, max_output_tokens: 9"
DATED = "answered: {'dated-*': {rates: {input_tokens: {per_1m: '5'}}}}"
NOT_PLAIN = (
    "rate_cards.chat.answered: needs a card without `cases` and `hours`, with one plain price for each meter"
)


def test_what_a_model_has_no_rate_for_is_as_the_card_says(load_text: LoadText) -> None:
    """The dearest of each meter is what is held for, and a group multiplies all of them."""
    found = load_text(text_of(rate_cards=card(f"{RATES}, {DATED}"))).book.by_id("chat")
    assert found is not None
    (dated,) = found.answered
    prices = {"input_tokens": 5_000, "output_tokens": 2_000}
    assert {rate.meter: rate.unit_nano for rate in dated.card.rates} == prices
    assert {rate.meter: rate.unit_nano for rate in dearest_of(found).rates} == prices
    (twice,) = found.multiplied("2", "vip").answered
    assert [rate.unit_nano for rate in twice.card.rates] == [rate.unit_nano * 2 for rate in dated.card.rates]


def test_a_card_like_it_has_them_beside_rates_of_its_own(load_text: LoadText) -> None:
    other = "other: {match: [o-*], like: chat, rates: {output_tokens: {per_1m: '7'}}}"
    cards = f"rate_cards: {{chat: {{match: ['gpt-4o*'], {RATES}, {DATED}}}, {other}}}"
    found = load_text(text_of(rate_cards=cards)).book.by_id("other")
    assert found is not None
    (dated,) = found.answered
    assert {rate.meter: rate.unit_nano for rate in dated.card.rates} == {
        "input_tokens": 5_000,
        "output_tokens": 7_000,
    }
    assert dated.card.id == "other+answered=dated-*"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            f"{RATES}, answered: {{m: {{rates: {{images: {{per_unit: '1'}}}}}}}}",
            "rate_cards.chat.answered.m.rates.images: is not priced by the card itself",
        ),
        (f"{RATES}, answered: {{m: {{rates: {{input_tokens: {{per_1m: '1', least: 5}}}}}}}}", NOT_PLAIN),
        (
            f"{RATES}, {DATED}, context_tiers: [{{above: 5, rates: {{input_tokens: {{per_1m: '3'}}}}}}]",
            NOT_PLAIN,
        ),
        (
            f"{RATES}, {DATED}, cases: [{{when: {{size: large}}, rates: {{input_tokens: {{per_1m: '1'}}}}}}]",
            NOT_PLAIN,
        ),
        (f"{RATES}, {DATED}, hours: {{}}", NOT_PLAIN),
    ],
)
def test_what_cannot_be_held_for_is_a_fault(reported: Reported, text: str, fault: str) -> None:
    assert fault in reported(text_of(rate_cards=card(text)))
