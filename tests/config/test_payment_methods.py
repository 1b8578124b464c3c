"""Ways to pay with fees of their own, as they are written in the configuration."""

from fractions import Fraction

import pytest

from proxy.billing.offers import Method
from tests.config.samples import LoadText, Reported, text_of

STRIPE = """stripe: {secret_key: sk_test_12345678, webhook_secret: whsec_12345678, success_url: "https://x.example"}"""
CARD = "payments.methods.card"


def payments(text: str) -> str:
    return text_of(payments=f"payments: {{{text}}}")


def test_a_method_has_a_fee_and_what_stripe_calls_it(load_text: LoadText) -> None:
    text = (
        f"provider: stripe, {STRIPE}, fee: {{percent: 7%}}, methods: {{card: {{fee: {{percent: 5.5%, "
        "minimum: '0.80'}, stripe: [card, link]}, bank: {stripe: [us_bank_account]}}"
    )
    found = load_text(payments(text)).payments
    assert found is not None
    assert found.methods == {
        "card": Method(Fraction(55, 1000), 80, ("card", "link")),
        "bank": Method(means=("us_bank_account",)),
    }
    assert (found.paid_by("card").fee, found.fee) == (Fraction(55, 1000), Fraction(7, 100))
    assert found.means_of("bank") == ("us_bank_account",)
    assert found.means_of("none any more") == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "methods: {card: {}}",
            "payments.fee: is missing: it is what buyers pay who name none of `methods`; {} is nothing",
        ),
        (
            f"provider: stripe, {STRIPE}, fee: {{}}, methods: {{card: {{}}}}",
            f"{CARD}.stripe: is missing: without it Stripe takes any means of payment for this fee",
        ),
        (
            "fee: {}, methods: {card: {stripe: [card]}}",
            f"{CARD}.stripe: means nothing to the provider manual",
        ),
        (
            "fee: {}, methods: {card: {fee: {minimum: '0.005'}}}",
            f"{CARD}.fee.minimum: '0.005' must be whole cents, as it is paid in them",
        ),
    ],
)
def test_a_method_that_cannot_be_kept_is_a_fault(text: str, fault: str, reported: Reported) -> None:
    assert reported(payments(text)) == [fault]
