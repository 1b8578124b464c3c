"""Rate cards of a file as a price book: every price exact, every meter known."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import Final

from msgspec.structs import replace

from proxy.config.faults import Findings
from proxy.config.schema import CaseSchema, ConfigSchema, RateCardSchema, RateSchema
from proxy.endpoints.registry import FREE
from proxy.globs import any_meets
from proxy.metering.usage import METERS
from proxy.money import MAX_NANO, Unit, decimal_string, parse_amount, usd_string
from proxy.pricing.book import PriceBook
from proxy.pricing.rates import PERS, Case, Rate, RateCard
from proxy.validation import Path, did_you_mean

OUTPUT: Final = "output_tokens"
NO_PRICE: Final = Fraction(0)
"""Takes the place of a price that is a fault."""


def build_book(schema: ConfigSchema, unit: Unit, findings: Findings) -> PriceBook:
    """The price book, in the order of the file. Faults go to `findings`."""
    schemas = schema.rate_cards
    globs: dict[str, str] = {}
    for name, card in schemas.items():
        for index, glob in enumerate(card.match):
            first = globs.setdefault(glob, name)
            if first != name or glob in card.match[:index]:
                findings.fault(("rate_cards", name, "match", index), f"is matched by {first!r} already", glob)
    cards = [_card(name, card, unit, findings) for name, card in schemas.items()]
    return PriceBook(cards, {name: models for name, models in FREE.items() if _serves(schema, name, models)})


def _serves(schema: ConfigSchema, endpoint: str, models: Sequence[str]) -> bool:
    """Whether a route could serve one of `models` on `endpoint` without a rate card of its own."""
    open_routes = (
        route for route in schema.routes if route.rate_card is None and endpoint in route.endpoints
    )
    return any(any_meets(route.models or (), models) for route in open_routes)


def _card(name: str, schema: RateCardSchema, unit: Unit, findings: Findings) -> RateCard:
    path: Path = ("rate_cards", name)
    if not schema.rates and not schema.cases:
        findings.fault((*path, "rates"), "is missing; a card needs one rate at least")
    card = RateCard(
        id=name,
        match=tuple(schema.match),
        rates=_rates(schema.rates, unit, (*path, "rates"), findings),
        default_bound=schema.max_output_tokens or 0,
        service_tiers=tuple((tier, Fraction(times)) for tier, times in schema.service_tiers.items()),
        input_allowance=schema.input_allowance_tokens or 0,
        context=schema.context_tokens or 0,
    )
    places = [path, *((*path, "cases", index) for index in range(len(schema.cases)))]
    cases = [
        _case(card, case, unit, place, findings) for case, place in zip(schema.cases, places[1:], strict=True)
    ]
    card = replace(card, cases=tuple(cases))
    unbounded = (place for variant, place in zip(card.variants, places, strict=True) if _lacks_bound(variant))
    for place in islice(unbounded, 1):  # The others lack it for the same reason.
        findings.fault(
            (*place, "max_output_tokens"),
            "is missing; a card that prices output has to say how much a call can produce",
        )
    for tier in schema.service_tiers:
        if any(rate.price > MAX_NANO for variant in card.variants for rate in variant.by_tier[tier].rates):
            findings.fault(
                (*path, "service_tiers", tier), "makes a rate larger than the largest amount there is"
            )
    return card


def _case(card: RateCard, schema: CaseSchema, unit: Unit, path: Path, findings: Findings) -> Case:
    """A case of a card: its own rates take the place of the card's, and its conditions are in the id."""
    if not schema.rates and schema.max_output_tokens is None:
        findings.fault(path, "changes nothing; it needs `rates` or `max_output_tokens`")
    rates = {rate.meter: rate for rate in card.rates}
    rates |= {rate.meter: rate for rate in _rates(schema.rates, unit, (*path, "rates"), findings)}
    when = tuple(sorted((name, value.casefold()) for name, value in schema.when.items()))
    said = ",".join(f"{name}={value}" for name, value in when)
    bound = schema.max_output_tokens or card.default_bound
    return Case(when, replace(card, id=f"{card.id}+{said}", rates=tuple(rates.values()), default_bound=bound))


def _lacks_bound(card: RateCard) -> bool:
    return not card.default_bound and any(
        OUTPUT in (rate.meter, METERS[rate.meter].part_of) for rate in card.rates
    )


def _rates(
    schemas: Mapping[str, RateSchema] | None, unit: Unit, path: Path, findings: Findings
) -> tuple[Rate, ...]:
    """The rates of known meters, in order."""
    rates = []
    for meter, schema in (schemas or {}).items():
        place = (*path, meter)
        if meter in METERS:
            rates.append(_rate(meter, schema, unit, place, findings))
        else:
            findings.fault(place, f"is not a meter; {did_you_mean(meter, METERS)}")
    return tuple(rates)


def _rate(meter: str, schema: RateSchema, unit: Unit, path: Path, findings: Findings) -> Rate:
    written = [(way, text) for way in PERS if (text := getattr(schema, way)) is not None]
    if len(written) != 1:
        findings.fault(path, f"needs exactly one of {', '.join(PERS)}")
        return Rate(meter, NO_PRICE, 1)
    way, text = written[0]
    try:
        price = _price(text, unit)
    except ValueError as error:
        findings.fault((*path, way), str(error))
        price = NO_PRICE
    return Rate(meter, price, PERS[way] * METERS[meter].scale)


def _price(text: str, unit: Unit) -> Fraction:
    """A price in nano-USD. Raises ValueError unless it can be charged and shown exactly."""
    price = parse_amount(text, unit)
    if price < 0:
        raise ValueError(f"{text!r} is negative; a price is at least 0")
    if price > MAX_NANO:
        raise ValueError(f"{text!r} is larger than {usd_string(MAX_NANO)} USD, the largest amount there is")
    try:
        decimal_string(price)
    except ValueError:
        raise ValueError(f"{text!r} is not exact in US dollars; write it in US dollars") from None
    return price
