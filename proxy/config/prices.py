"""Prices of a file: exact, and in one of the ways of writing them."""

from fractions import Fraction
from typing import Final

from proxy.config.card_schema import PriceSchema
from proxy.config.faults import Findings
from proxy.metering.usage import METERS
from proxy.money import MAX_NANO, Unit, decimal_string, parse_amount, usd_string
from proxy.validation import Path

PERS: Final[dict[str, int]] = {
    "per_1m": 1_000_000,
    "per_1k": 1_000,
    "per_unit": 1,
    "per_minute": 60,
    "per_hour": 3_600,
    "per_day": 24,
    "per_month": 720,
}
"""How a price may be written, and how many units it is for."""
OF_SECONDS: Final = ("per_minute", "per_hour")
"""Those that are only for meters that count seconds."""
OF_HOURS: Final = ("per_day", "per_month")
"""Those that are only for meters that count hours; a month is of 30 days."""
NO_PRICE: Final = Fraction(0)
"""Takes the place of a price that is a fault."""


def price_of(text: str, unit: Unit) -> Fraction:
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


def checked_price(text: str, unit: Unit, path: Path, findings: Findings) -> Fraction:
    """A price in nano-USD; a fault takes none."""
    try:
        return price_of(text, unit)
    except ValueError as error:
        findings.fault(path, str(error))
        return NO_PRICE


def written_price(
    schema: PriceSchema, meter: str, unit: Unit, path: Path, findings: Findings
) -> tuple[str, Fraction]:
    """How the price of a meter is written, as a key of `PERS`, and the price; none is a fault."""
    never: tuple[str, ...] = () if METERS[meter].noun == "second" else OF_SECONDS
    never += () if METERS[meter].is_over_time else OF_HOURS
    ways = [way for way in PERS if way not in never]
    written = [(way, text) for way in PERS if (text := getattr(schema, way)) is not None]
    if len(written) != 1:
        findings.fault(path, f"needs exactly one of {', '.join(ways)}")
        return "per_unit", NO_PRICE
    way, text = written[0]
    if way in never:
        counts = "seconds" if way in OF_SECONDS else "hours"
        what = f"is for meters that count {counts}; {meter} needs one of {', '.join(ways)}"
        findings.fault((*path, way), what, text)
        return "per_unit", NO_PRICE
    return way, checked_price(text, unit, (*path, way), findings)


def share_of(percent: str) -> str:
    """A percentage as a share, an exact decimal number."""
    return decimal_string(Fraction(percent.removesuffix("%")) / 100)
