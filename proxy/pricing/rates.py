"""Rates and rate cards: what one unit of each meter costs the caller, exactly."""

import hashlib
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from proxy.metering.usage import METERS, SURCHARGES, Needed, Usage, each_needed
from proxy.money import decimal_string

BillingType = Literal["per_call", "per_token", "metered"]

PERS: Final[dict[str, int]] = {"per_1m": 1_000_000, "per_1k": 1_000, "per_unit": 1}
"""How a price may be written, and how many units it is for."""


class Rate(msgspec.Struct, frozen=True):
    """`price` nano-USD for `per` units of `meter`; the price may be a fraction of a nano-dollar."""

    meter: str
    price: Fraction
    per: int

    @property
    def unit_nano(self) -> Fraction:
        """Exact nano-USD of one unit."""
        return self.price / self.per


class Case(msgspec.Struct, frozen=True):
    """The card of a call whose parameters have all these values, whatever their case. They are casefolded."""

    when: tuple[tuple[str, str], ...]
    card: "RateCard"

    def holds(self, parameters: Mapping[str, str]) -> bool:
        """Whether a call with these parameters is priced by it."""
        return all(parameters.get(name, "").casefold() == value for name, value in self.when)


def card_of(price_id: str, listed: Iterable[tuple[str, str, int]]) -> "RateCard":
    """The card of a price id whose rates were `listed`: it charges as that one did."""
    rates = (Rate(meter, Fraction(price_nano), per) for meter, price_nano, per in listed)
    return RateCard(price_id.rpartition("@")[0], (), tuple(rates))


class RateCard(msgspec.Struct, frozen=True, dict=True):
    """The rates of one model or API. `match` holds the model globs it prices, in a price book's order.

    `default_bound` is for each choice of a call that names no bound of its own; 0 where no output is priced.
    `service_tiers` are the tiers it prices, each by what it multiplies the rates with.
    `input_allowance` is the most that one input can take which a call only refers to; 0 where the card
    allows for none.
    `context` is how many tokens the model reads at once; 0 where nobody says. It decides about no price.
    `cases` have cards without cases, which take its place: the first that holds prices a call.
    """

    id: str
    match: tuple[str, ...]
    rates: tuple[Rate, ...]
    default_bound: int = 0
    service_tiers: tuple[tuple[str, Fraction], ...] = ()
    input_allowance: int = 0
    cases: tuple[Case, ...] = ()
    context: int = 0

    @cached_property
    def version(self) -> str:
        """A digest of all that decides a price, so that equal cards have equal versions everywhere."""
        text = "|".join(f"{rate.meter}={rate.price}/{rate.per}" for rate in self.rates)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def price_id(self) -> str:
        """`id@version`, as receipts have it."""
        return f"{self.id}@{self.version}"

    @cached_property
    def billing_type(self) -> BillingType:
        """How the card charges: a fixed price for each call, by tokens, or by other meters."""
        meters = {rate.meter for rate in self.rates} - SURCHARGES
        if meters == {"requests"}:
            return "per_call"
        return "per_token" if any(METERS[meter].noun == "token" for meter in meters) else "metered"

    @cached_property
    def keys(self) -> frozenset[str]:
        """What it prices, as its keys in a configuration: `rates.web_searches`, `service_tiers.priority`."""
        allowance = {"input_allowance_tokens"} if self.input_allowance else set()
        tiers = {f"service_tiers.{tier}" for tier, _ in self.service_tiers}
        return frozenset({f"rates.{meter}" for meter in self.weights} | tiers | allowance)

    @cached_property
    def by_tier(self) -> dict[str, "RateCard"]:
        """The cards of its service tiers: every rate but surcharges multiplied, the tier in the id."""
        return {
            tier: replace(
                self,
                id=f"{self.id}+{tier}",
                rates=tuple(
                    rate if rate.meter in SURCHARGES else replace(rate, price=rate.price * multiplier)
                    for rate in self.rates
                ),
                service_tiers=(),
                cases=(),
            )
            for tier, multiplier in self.service_tiers
        }

    @cached_property
    def variants(self) -> tuple["RateCard", ...]:
        """The cards that calls can be priced by: itself, and that of each case."""
        return (self, *(case.card for case in self.cases))

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """The parameters of a call that its cases ask for, by name."""
        return tuple(dict.fromkeys(name for case in self.cases for name, _ in case.when))

    def case_of(self, parameters: Mapping[str, str]) -> "RateCard":
        """The card of a call with these parameters: that of the first case that holds, else itself."""
        return next((case.card for case in self.cases if case.holds(parameters)), self)

    @cached_property
    def denominator(self) -> int:
        """The common denominator of all unit prices."""
        return lcm(*(rate.unit_nano.denominator for rate in self.rates))

    @cached_property
    def weights(self) -> dict[str, int]:
        """Unit price of each rated meter as a whole number of 1/denominator nano-USD."""
        return {rate.meter: int(rate.unit_nano * self.denominator) for rate in self.rates}

    @cached_property
    def worst_weights(self) -> dict[str, int]:
        """`weights` of whole meters only, each at the dearest of its own rate and those of its parts."""
        worst: dict[str, int] = {}
        for meter, weight in self.weights.items():
            whole = METERS[meter].part_of or meter
            worst[whole] = max(worst.get(whole, 0), weight)
        return worst

    @cached_property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """The rated meters that are part of another, each with that one, in the card's order."""
        return tuple((meter, whole) for meter in self.weights if (whole := METERS[meter].part_of) is not None)

    @cached_property
    def terms(self) -> tuple[tuple[str, int, str, int], ...]:
        """What a charge needs of each rate: meter, weight, price in nano-USD as an exact string, units."""
        return tuple(
            (rate.meter, self.weights[rate.meter], decimal_string(rate.price), rate.per)
            for rate in self.rates
        )

    @property
    def listed(self) -> tuple[tuple[str, str, int], ...]:
        """Each rate: its meter, its exact price in nano-USD, and the units that it is for."""
        return tuple((meter, price_nano, per) for meter, _, price_nano, per in self.terms)

    @cached_property
    def rated(self) -> frozenset[str]:
        """The meters that have a rate."""
        return frozenset(self.weights)

    def covers(self, meters: Needed) -> bool:
        """Whether a call that uses `meters` is priced: by a fixed price alone, or by all that it needs."""
        return self.billing_type == "per_call" or self.rated.issuperset(meters) or not self.missing(meters)

    def missing(self, meters: Needed) -> list[tuple[str, ...]]:
        """The meters, or those of which one is enough, that have no rate of all that such a call needs."""
        return [either for either in each_needed(meters) if self.rated.isdisjoint(either)]

    def may_cover(self, meters: Needed) -> bool:
        """Whether a call that uses `meters` is priced with some parameters."""
        return self.covers(meters) or any(case.card.covers(meters) for case in self.cases)

    def may_be_free_for(self, meters: Needed) -> bool:
        """Whether a call that uses `meters` costs nothing with some parameters."""
        return any(card.covers(meters) and card.is_free_for(meters) for card in self.variants)

    def is_free_for(self, meters: Needed) -> bool:
        """Whether a call that uses `meters`, or any of those it may use, costs nothing."""
        used = [name for either in each_needed(meters) for name in either]
        return not any(self.worst_weights.get(name) for name in (*used, "requests"))

    @cached_property
    def is_plain(self) -> bool:
        """Whether each rate applies to what a usage has of its meter, whatever else that has."""
        return not self.parts and "requests" not in self.weights

    def quantities(self, usage: Usage) -> dict[str, int]:
        """The quantity each rate applies to: a part with a rate of its own is taken out of its whole.

        Every call is one request. Nothing is charged twice: parts that overlap, such as cached audio, take
        from what earlier rates of the card have left of their whole. Where the whole is not in the usage,
        parts count in full.
        """
        billed = {meter: usage.get(meter, 0) for meter in self.weights}
        if "requests" in billed:
            billed["requests"] = usage.get("requests", 1)
        left: dict[str, int] = {}
        for meter, whole in self.parts:
            if whole in usage:
                rest = left.get(whole, usage[whole])
                billed[meter] = min(billed[meter], rest)
                left[whole] = rest - billed[meter]
        for whole, rest in left.items():
            if whole in billed:
                billed[whole] = rest
        return billed
