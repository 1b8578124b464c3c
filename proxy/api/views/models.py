"""A model as the list shows it, in the shape of OpenAI's API or of Anthropic's, with its price in either."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from proxy.ledger.windows import iso
from proxy.money import NANO_PER_USD, decimal_string
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.hours import Window, clock_time
from proxy.pricing.rates import Rate
from proxy.pricing.steps import Step, StepKind, times
from proxy.pricing.tiers import Tiers

View = Mapping[str, object]
_BILLED: Final[Mapping[StepKind, str]] = {
    "less": "included",
    "least": "least",
    "block": "block",
    "carry": "block",
}
"""What is billed of a quantity, by the name that it has in a configuration."""


class ModelsQuery(msgspec.Struct, frozen=True):
    """Which page of the list, as Anthropic's clients ask for it; others get all of it."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20
    after_id: str = ""
    before_id: str = ""


class ServedModel(msgspec.Struct, frozen=True):
    """A model that a key may use, on the paths of these `endpoints`.

    `created` is in seconds since 1970, `context` the most tokens that it reads; 0 where nobody says.
    """

    name: str
    card: RateCard
    endpoints: Sequence[str]
    created: int = 0
    context: int = 0


def openai_view(model: ServedModel, at_us: int) -> View:
    """As OpenAI's API has it, with more beside, as it is priced at a moment."""
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "farebox",
        **_more(model, at_us),
    }


def anthropic_view(model: ServedModel, at_us: int) -> View:
    """As Anthropic's API has it, with the same beside."""
    made = datetime.fromtimestamp(model.created, UTC)
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": model.context or None,
        "max_tokens": model.card.as_of(at_us).default_bound or None,
        **_more(model, at_us),
    }


def _more(model: ServedModel, at_us: int) -> View:
    card = model.card
    context = {"context_length": model.context} if model.context else {}
    coming = [
        {"from": iso(since_us), **priced(later), **_hours(later)}
        for since_us, later in card.changes
        if since_us > at_us
    ]
    changes = {"price_changes": coming} if coming else {}
    now = {**priced(card.as_of(at_us)), **_hours(card.changed(at_us))}
    return {"endpoints": list(model.endpoints), **context, **now, **changes}


def _hours(card: RateCard) -> View:
    """The prices of a card at all hours, where these differ."""
    if not card.hours:
        return {}
    windows = [{"name": each.window.name, **_window(each.window), **priced(each.card)} for each in card.hours]
    return {"hours": {"zone": str(card.hours[0].window.zone), "windows": windows, "else": priced(card)}}


def _window(window: Window) -> View:
    """When a window holds, in the words of a configuration."""
    lists = {
        "days": list(window.days),
        "dates": [day.isoformat() for day in window.dates],
        "except": [day.isoformat() for day in window.exceptions],
    }
    said = {name: value for name, value in lists.items() if value}
    return {"from": clock_time(window.from_minute), "to": clock_time(window.to_minute), **said}


def priced(card: RateCard) -> View:
    """A rate card: exact US dollars as strings, for so many units of each meter."""
    rest = {
        "max_output_tokens": card.default_bound,
        "input_allowance_tokens": card.input_allowance,
        "service_tiers": {tier: decimal_string(multiplier) for tier, multiplier in card.service_tiers},
        "service_tier_pricing": {
            tier: _pricing(each) for tier, each in card.by_tier.items() if _is_beside(card, tier)
        },
        "answered": {each.model: _pricing(each.card) for each in card.answered},
        "service_tier_by": "answer" if card.tier_by_answer else "",
        "discounts": "largest" if card.discounts == "largest" else "",
        "cases": [_case(case) for case in card.cases],
        "extras": {
            each.member: {"meter": each.meter, "counted": each.counted, "most": each.most}
            for each in card.extras
        },
    }
    rest |= {each.name: _adjustment(each.step) for each in card.adjustments}
    said = {name: value for name, value in rest.items() if value}
    billed = card if card.rates else card.variants[-1]
    return {"billing_type": billed.billing_type, **_rates(card), **said}


def _is_beside(card: RateCard, tier: str) -> bool:
    """Whether a service tier, or several together, do more than multiply all rates by one number."""
    if card.discounts == "largest" or tier not in dict(card.service_tiers):
        return True
    return any(terms.rates or terms.spares for terms in card.tier_terms if terms.tier == tier)


def _case(case: Case) -> View:
    """All rates of calls whose parameters have these values, and their bound."""
    bound = {"max_output_tokens": case.card.default_bound} if case.card.default_bound else {}
    return {"when": dict(case.when), **_rates(case.card), **bound}


def _rates(card: RateCard) -> View:
    (_, short), *longer = card.contexts
    tiers = [{"above": above, "pricing": _pricing(each)} for above, each in longer]
    by_length = {"context_tiers": tiers} if tiers else {}
    return {"pricing": _pricing(short), **by_length, "price_id": card.price_id}


def _pricing(card: RateCard) -> View:
    return {
        rate.meter: {
            "price": decimal_string(rate.price * times(rate.steps) / NANO_PER_USD),
            "per": rate.per,
            "currency": "USD",
            **_beside(rate),
            **{_BILLED[step.kind]: int(step.number) for step in rate.steps if step.kind in _BILLED},
            **(_tiers(rate, rate.tiers) if rate.tiers is not None else {}),
        }
        # What charges nothing beside another meter, or without it, comes before what charges.
        for rate in {rate.meter: rate for rate in card.rates}.values()
    }


def _beside(rate: Rate) -> View:
    """The meters beside which it costs nothing, and the one without which it does."""
    meters = [step.name for step in rate.steps if step.kind == "without"]
    only = [step.name for step in rate.steps if step.kind == "with"]
    return ({"free_with": meters} if meters else {}) | ({"free_without": only[0]} if only else {})


def _tiers(rate: Rate, tiers: Tiers) -> View:
    """The prices by what a period has used, and what counts that."""
    if any(step.kind == "carry" for step in rate.steps):
        return {"carried": tiers.period, "counter": tiers.counter}
    prices = [
        {
            **({"upto": tier.upto} if tier.upto else {}),
            "price": decimal_string(tier.price * times(rate.steps) / NANO_PER_USD),
        }
        for tier in tiers.tiers
    ]
    key = "volume_tiers" if tiers.is_volume else "tiers"
    rolls = {"rolls_over": tiers.rolls} if tiers.rolls else {}
    return {key: prices, "period": tiers.period, **rolls, "counter": tiers.counter}


def _adjustment(step: Step) -> str:
    """A markup as a percentage, and what bounds a charge in US dollars."""
    if step.kind == "share":
        return f"{decimal_string(step.number * 100).rstrip('0').rstrip('.')}%"
    return decimal_string(step.number / NANO_PER_USD)
