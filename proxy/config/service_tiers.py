"""The service tiers of a rate card that do more than multiply its rates."""

from typing import Final

from proxy.config.card_schema import TermsSchema
from proxy.config.faults import Findings
from proxy.config.rates import checked_meters, rates_of
from proxy.money import Unit
from proxy.pricing.cards import RateCard
from proxy.pricing.multipliers import TierTerms
from proxy.validation import Path, did_you_mean

STACKING_MAX: Final = 4
"""A card has a tier for all of them that a call can be at together."""


def tier_terms(
    schema: TermsSchema, like: RateCard, unit: Unit, path: Path, findings: Findings
) -> tuple[TierTerms, ...]:
    """The terms of a card's service tiers, or of the one that it is like where it has none of its own."""
    found = _said(schema, like, unit, path, findings)
    by_answer = like.tier_by_answer if schema.service_tier_by is None else schema.service_tier_by == "answer"
    if by_answer and any(terms.rates or terms.spares for terms in found):
        message = "needs service tiers that multiply all rates: what is held is at the dearest of them"
        findings.fault((*path, "service_tier_by"), message)
    if sum(terms.stacks for terms in found) > STACKING_MAX:
        findings.fault((*path, "service_tier_terms"), f"must stack {STACKING_MAX} at most")
    return found


def _said(
    schema: TermsSchema, like: RateCard, unit: Unit, path: Path, findings: Findings
) -> tuple[TierTerms, ...]:
    if not schema.service_tiers and not schema.service_tier_terms:
        return like.tier_terms
    known = [*schema.service_tiers] or [tier for tier, _ in like.service_tiers]
    found = []
    for tier, terms in schema.service_tier_terms.items():
        place: Path = (*path, "service_tier_terms", tier)
        if tier not in known:
            findings.fault(place, f"is none of its `service_tiers`; {did_you_mean(tier, known)}", tier)
            continue
        rates = rates_of(terms.rates, unit, (*place, "rates"), findings)
        spares = tuple(checked_meters(terms.spares, (*place, "spares"), findings))
        found.append(TierTerms(tier, spares, rates, terms.stacks))
    return tuple(found)
