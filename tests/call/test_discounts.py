"""What is held where discounts do not add up, and the answer says which service tier has served."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from proxy.call.terms import terms_of
from proxy.endpoints.features import at_tier
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price, worst_nano
from proxy.pricing.rates import Rate
from proxy.upstream.routes import Route
from tests.pricing.test_discounts import TEXTS

TIERS = ("flex", "priority", "scale")
RATES = (Rate("input_tokens", Fraction(1_001, 7), 10), Rate("output_tokens", Fraction(9_999, 5), 10))


@given(
    st.sampled_from(TEXTS),
    st.fixed_dictionaries(dict.fromkeys(TIERS, st.sampled_from(TEXTS))),
    st.sampled_from(["", "auto", *TIERS]),
    st.integers(0, 10**6),
)
def test_what_is_held_covers_every_tier_that_may_serve(
    of_group: str, tiers: dict[str, str], asked: str, tokens: int
) -> None:
    """Also where the discount of the group is the larger one, so that tiers come to the same."""
    times = tuple((tier, Fraction(text)) for tier, text in tiers.items())
    card = RateCard("card", ("*",), RATES, 100, times, tier_by_answer=True, discounts="largest")
    features = [at_tier("service_tier", "service_tier", asked)] if asked in TIERS else []
    terms = terms_of(features, Route("chat", ()), card.multiplied(of_group, "vip"))
    usage = {"input_tokens": tokens, "output_tokens": tokens // 3}
    most_nano = worst_nano(terms.card, usage)
    may_serve = [asked] if asked in TIERS else TIERS
    assert all(price(terms.by_answer[tier], usage).total_nano <= most_nano for tier in may_serve)
    assert price(terms.charged, usage).total_nano <= most_nano
