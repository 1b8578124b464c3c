"""Rate cards of a file as a price book: every price exact, every meter known."""

from fractions import Fraction
from typing import Final

from proxy.config.faults import Findings
from proxy.config.schema import RateCardSchema, RateSchema
from proxy.metering.usage import METERS
from proxy.money import MAX_NANO, Unit, decimal_string, parse_amount, usd_string
from proxy.pricing.book import PriceBook
from proxy.pricing.rates import PERS, Rate, RateCard
from proxy.validation import Path, did_you_mean

OUTPUT: Final = "output_tokens"
NO_PRICE: Final = Fraction(0)
"""Takes the place of a price that is a fault."""


def build_book(schemas: dict[str, RateCardSchema], unit: Unit, findings: Findings) -> PriceBook:
    """The price book, in the order of the file. Faults go to `findings`."""
    globs: dict[str, str] = {}
    for name, schema in schemas.items():
        for index, glob in enumerate(schema.match):
            first = globs.setdefault(glob, name)
            if first != name or glob in schema.match[:index]:
                findings.fault(("rate_cards", name, "match", index), f"is matched by {first!r} already", glob)
    return PriceBook([_card(name, schema, unit, findings) for name, schema in schemas.items()])


def _card(name: str, schema: RateCardSchema, unit: Unit, findings: Findings) -> RateCard:
    path: Path = ("rate_cards", name)
    rates = []
    for meter, rate_schema in schema.rates.items():
        place = (*path, "rates", meter)
        if meter in METERS:
            rates.append(_rate(meter, rate_schema, unit, place, findings))
        else:
            findings.fault(place, f"is not a meter; {did_you_mean(meter, METERS)}")
    if schema.max_output_tokens is None and any(_is_output(rate.meter) for rate in rates):
        findings.fault(
            (*path, "max_output_tokens"),
            "is missing; a card that prices output has to say how much a call can produce",
        )
    tiers = tuple((tier, Fraction(multiplier)) for tier, multiplier in schema.service_tiers.items())
    card = RateCard(
        id=name,
        match=tuple(schema.match),
        rates=tuple(rates),
        default_bound=schema.max_output_tokens or 0,
        service_tiers=tiers,
        input_allowance=schema.input_allowance_tokens or 0,
    )
    for tier, tier_card in card.by_tier.items():
        if any(rate.price > MAX_NANO for rate in tier_card.rates):
            findings.fault(
                (*path, "service_tiers", tier), "makes a rate larger than the largest amount there is"
            )
    return card


def _is_output(meter: str) -> bool:
    return OUTPUT in (meter, METERS[meter].part_of)


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
