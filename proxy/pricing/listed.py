"""Cards made of others: of the terms that a job keeps, or of the dearest rates of all that may be charged."""

from collections.abc import Iterable
from fractions import Fraction

from msgspec.structs import replace

from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Adjustment, Rate, Term


def card_of(price_id: str, listed: Iterable[Term]) -> RateCard:
    """The card of a price id whose terms were `listed`: it charges as that one did."""
    rates, adjustments = [], []
    for term in listed:
        if term.per:
            rates.append(Rate(term.meter, Fraction(term.price_nano), term.per, term.steps, term.tiers))
        else:
            adjustments.append(Adjustment(term.meter, term.steps[0]))
    card_id, _, version = price_id.rpartition("@")
    source = version.rpartition(".")[0]
    return RateCard(card_id, (), tuple(rates), adjustments=tuple(adjustments), source=source)


def dearest_of(card: RateCard) -> RateCard:
    """A card with the dearest rate for each meter, whichever model answers."""
    rates: dict[str, Rate] = {}
    for rate in (rate for each in (card, *(one.card for one in card.answered)) for rate in each.rates):
        if rate.meter not in rates or rate.unit_nano > rates[rate.meter].unit_nano:
            rates[rate.meter] = rate
    return replace(card, rates=tuple(rates.values()), answered=())
