"""What a list of models says of a rate card is all that decides a price."""

from fractions import Fraction

from proxy.api.models import priced
from proxy.pricing.rates import Case, Rate, RateCard

IMAGE = Rate("images", Fraction(20_000_000), 1)
DEAR = Rate("images", Fraction(80_000_000), 1)
TOKENS = Rate("output_tokens", Fraction(30_000_000_000), 1_000_000)


def test_a_card_is_shown_with_every_rate_in_exact_us_dollars() -> None:
    card = RateCard("card", (), (IMAGE, TOKENS), 9, (("flex", Fraction(1, 2)),), 7)
    assert priced(card) == {
        "billing_type": "per_token",
        "pricing": {
            "images": {"price": "0.02", "per": 1, "currency": "USD"},
            "output_tokens": {"price": "30.00", "per": 1_000_000, "currency": "USD"},
        },
        "price_id": card.price_id,
        "max_output_tokens": 9,
        "input_allowance_tokens": 7,
        "service_tiers": {"flex": "0.50"},
    }


def test_each_case_is_shown_with_its_conditions_and_all_its_rates() -> None:
    """A receipt's `price_id` is one of those that are shown."""
    dear = RateCard("card+size=large", (), (DEAR, TOKENS), 99)
    card = RateCard("card", (), (TOKENS,), 9, cases=(Case((("size", "large"),), dear),))
    assert priced(card)["cases"] == [
        {
            "when": {"size": "large"},
            "pricing": {
                "images": {"price": "0.08", "per": 1, "currency": "USD"},
                "output_tokens": {"price": "30.00", "per": 1_000_000, "currency": "USD"},
            },
            "price_id": dear.price_id,
            "max_output_tokens": 99,
        }
    ]


def test_a_card_that_only_has_cases_is_billed_as_they_are() -> None:
    case = Case((("size", "large"),), RateCard("c+", (), (Rate("requests", Fraction(1), 1),)))
    shown = priced(RateCard("c", (), (), cases=(case,)))
    assert (shown["billing_type"], shown["pricing"]) == ("per_call", {})
