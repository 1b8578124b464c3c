"""A charge that counts, and what is changed of its counter, each with the difference that this makes."""

from fractions import Fraction

from proxy.ledger.windows import DAY_US
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
from proxy.pricing.tiers import Tier, Tiers
from tests.ledger.desk import ACCOUNT, NOON_US

FREE = Tiers("images", "day", (Tier(10, "0"), Tier(0, "0")))
COUNTED = price(RateCard("free", (), (Rate("images", Fraction(0), 1, (), FREE),)), {"images": 12})
"""It costs nothing, and is of two tiers."""
_ID = f"{ACCOUNT}/images/day/{NOON_US // DAY_US}"
_CHANGES: tuple[tuple[str, int | str, str], ...] = (
    *(("name", "pages", "quantity"), ("window", "week", "quantity"), ("start_day", 1, "quantity")),
    *(("quantity", 1, "quantity"), ("volume", "{ }", "volume"), ("seal", 1, "seal")),
)

OF_COUNTERS = tuple(
    ("counters", ACCOUNT, name, value, ("counters", _ID, column)) for name, value, column in _CHANGES
)
