"""Rate cards: which rates price a call, by what it asks for and when, and what follows from them."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from math import lcm
from typing import Literal

import msgspec
from msgspec.structs import replace

from proxy.metering.usage import METERS, SURCHARGES, Needed, Usage, each_needed
from proxy.money import decimal_string
from proxy.pricing.extras import Extra
from proxy.pricing.hours import Window
from proxy.pricing.multipliers import Flag, TierTerms, at_tiers, multiplied, tiers_together
from proxy.pricing.rates import Adjustment, Discounts, Rate, Term
from proxy.pricing.steps import BESIDE, CONTEXT, MULTIPLIERS, OF_LENGTH, Step, applies, said_of

BillingType = Literal["per_call", "per_token", "metered"]


class Case(msgspec.Struct, frozen=True):
    """The card of a call whose parameters have all these values, whatever their case. They are casefolded.

    `said` are the rates that the case itself says; the others are those of the card that it is a case of.
    All are multiplied by `flags`.
    """

    when: tuple[tuple[str, str], ...]
    card: "RateCard"
    said: tuple[Rate, ...] = ()
    flags: tuple[Flag, ...] = ()

    def holds(self, parameters: Mapping[str, str]) -> bool:
        """Whether a call with these parameters is priced by it."""
        return all(parameters.get(name, "").casefold() == value for name, value in self.when)


class Hours(msgspec.Struct, frozen=True):
    """The card of calls within a window of time: with other rates, or with all of them multiplied."""

    window: Window
    card: "RateCard"
    said: tuple[Rate, ...] = ()
    multiplier: str = ""
    spares: tuple[str, ...] = ()


class Answered(msgspec.Struct, frozen=True):
    """The card of calls that a model has answered whose name matches `model`. `said` are rates of its own."""

    model: str
    card: "RateCard"
    said: tuple[Rate, ...] = ()


class RateCard(msgspec.Struct, frozen=True, dict=True):
    """The rates of one model or API. `match` holds the model globs it prices, in a price book's order.

    `default_bound` is for each choice of a call that names no bound of its own; 0 where no output is priced.
    `service_tiers` are the tiers it prices, each by what it multiplies the rates with.
    `input_allowance` is the most that one input can take which a call only refers to; 0 where the card
    allows for none.
    `context` is how many tokens the model reads at once; 0 where nobody says. It decides about no price.
    `cases` have cards without cases, which take its place: the first that holds prices a call.
    `extras` are members of requests that it has a price for. `adjustments` come after all rates, in order.
    `changes` are the cards that take its place, without changes of their own, each from its moment on, in
    order of time. It prices calls of accounts in one of `groups`, on one of `endpoints`; empty ones are all.
    `source` names the list that its prices come from, where they do. With `tier_by_answer` a call is charged
    at the service tier that its answer names, and `answered` have cards for models that answers may name.
    `hours` have cards without hours, which take its place within their windows; these never meet.
    `tier_terms` are of service tiers that do more than multiply. `own_key` is the share of its rates that is
    charged of calls with a caller's own upstream key, an exact decimal number; empty where there are none.
    `discounts` says what several multipliers below 1 come to.
    """

    id: str
    match: tuple[str, ...]
    rates: tuple[Rate, ...]
    default_bound: int = 0
    service_tiers: tuple[tuple[str, Fraction], ...] = ()
    input_allowance: int = 0
    cases: tuple[Case, ...] = ()
    context: int = 0
    adjustments: tuple[Adjustment, ...] = ()
    changes: tuple[tuple[int, "RateCard"], ...] = ()
    extras: tuple[Extra, ...] = ()
    groups: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    source: str = ""
    tier_by_answer: bool = False
    hours: tuple[Hours, ...] = ()
    answered: tuple[Answered, ...] = ()
    tier_terms: tuple[TierTerms, ...] = ()
    own_key: str = ""
    discounts: Discounts = "multiply"

    @cached_property
    def is_special(self) -> bool:
        """Whether more than a request's features decides about its terms: its answer, or whose key it has."""
        return bool(self.tier_by_answer or self.answered or self.own_key)

    @cached_property
    def on_own_key(self) -> "RateCard":
        """The card of calls with a caller's own upstream key."""
        return self.multiplied(self.own_key, "key", "own")

    def is_for(self, endpoint: str, group: str) -> bool:
        """Whether it prices calls on an endpoint of accounts in a group."""
        return (not self.groups or group in self.groups) and (
            not self.endpoints or endpoint in self.endpoints
        )

    @cached_property
    def is_timed(self) -> bool:
        """Whether the moment decides which card prices a call."""
        return bool(self.changes or self.hours)

    def as_of(self, at_us: int) -> "RateCard":
        """The card that prices calls at a moment."""
        card = self.changed(at_us)
        return next((each.card for each in card.hours if each.window.holds(at_us)), card)

    def changed(self, at_us: int) -> "RateCard":
        """The card by its changes up to a moment, with its hours."""
        return next((card for since_us, card in reversed(self.changes) if since_us <= at_us), self)

    @property
    def versions(self) -> tuple["RateCard", ...]:
        """Itself and the cards of all its changes, each before those of its hours."""
        cards = (self, *(card for _, card in self.changes))
        return tuple(each for card in cards for each in (card, *(hours.card for hours in card.hours)))

    @cached_property
    def version(self) -> str:
        """A digest of all that decides what a usage costs: equal cards have equal versions everywhere."""
        rates = (f"{rate.meter}={rate.price}/{rate.per}{rate.said}" for rate in self.rates)
        added = (f"{each.name}={said_of((each.step,))}" for each in self.adjustments)
        text = "|".join((*rates, *added))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def price_id(self) -> str:
        """`id@version`, as receipts have it; the list that its prices come from is before the version."""
        return f"{self.id}@{self.source}.{self.version}" if self.source else f"{self.id}@{self.version}"

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
        """The cards of its service tiers, and of those together that stack, by their names with a plus.

        Every rate but surcharges is multiplied, unless a tier says otherwise. The tier is in the id.
        """
        times = dict(self.service_tiers)
        together = tiers_together(times, self.tier_terms)
        return {key: self._at_tiers(key, names, times) for key, names in together.items()}

    def _at_tiers(self, key: str, names: Iterable[str], times: Mapping[str, Fraction]) -> "RateCard":
        said = {terms.tier: terms for terms in self.tier_terms}
        tiers = [(said.get(tier, TierTerms(tier)), decimal_string(times[tier])) for tier in names]
        rates = at_tiers(self.rates, tiers, self.discounts)
        id_ = f"{self.id}+{key}"
        return replace(self, id=id_, rates=rates, service_tiers=(), tier_terms=(), cases=())

    def multiplied(
        self, multiplier: str, group: str, of: str = "group", spares: Collection[str] = ()
    ) -> "RateCard":
        """The card for a group: every rate multiplied, also those of surcharges, cases, changes and hours.

        What bounds a charge stays. The group is in the id. It may be `of` something else, and spare meters.
        """

        def made(card: RateCard) -> RateCard:
            return card.multiplied(multiplier, group, of, spares)

        def times(rates: Iterable[Rate]) -> tuple[Rate, ...]:
            return multiplied(rates, multiplier, f"{of} {group}", spares, self.discounts)

        return replace(
            self,
            id=f"{self.id}+{of}={group}",
            rates=times(self.rates),
            tier_terms=tuple(replace(terms, rates=times(terms.rates)) for terms in self.tier_terms),
            cases=tuple(replace(each, card=made(each.card)) for each in self.cases),
            changes=tuple((at_us, made(card)) for at_us, card in self.changes),
            hours=tuple(replace(each, card=made(each.card)) for each in self.hours),
            answered=tuple(replace(each, card=made(each.card)) for each in self.answered),
        )

    @cached_property
    def variants(self) -> tuple["RateCard", ...]:
        """The cards that calls can be priced by until it changes: itself, and those of cases and answers."""
        return (self, *(case.card for case in self.cases), *(each.card for each in self.answered))

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
        """Unit price of each rated meter, the dearest, as a whole number of 1/denominator nano-USD."""
        weights: dict[str, int] = {}
        for rate in self.rates:
            weight = int(rate.unit_nano * self.denominator)
            weights[rate.meter] = max(weight, weights.get(rate.meter, 0))
        return weights

    @cached_property
    def is_linear(self) -> bool:
        """Whether a charge is the sum of quantities times rates, multiplied or not, and nothing else."""
        if self.adjustments or any(rate.tiers for rate in self.rates):
            return False
        return all(step.kind in MULTIPLIERS for rate in self.rates for step in rate.steps)

    @cached_property
    def contexts(self) -> tuple[tuple[int, "RateCard"], ...]:
        """The cards for calls with more input than so much each, from 0 on; each has its own rates alone."""
        bounds = {int(step.number) for rate in self.rates for step in rate.steps if step.kind == "above"}
        if not bounds:
            return ((0, self),)
        return tuple(
            (bound, self._with_rates(each for each in self.rates if applies(each.steps, size, OF_LENGTH)))
            for bound, size in ((0, {}), *((bound, {CONTEXT: bound + 1}) for bound in sorted(bounds)))
        )

    @cached_property
    def companions(self) -> tuple[str, ...]:
        """The meters whose use in a call decides about other rates."""
        steps = (step for rate in self.rates for step in rate.steps if step.kind in BESIDE)
        return tuple(dict.fromkeys(step.name for step in steps))

    def at(self, usage: Usage) -> "RateCard":
        """The card for a call by all the input that it used, and by what it used beside."""
        context = usage.get(CONTEXT, 0)
        found = next(card for bound, card in reversed(self.contexts) if context > bound or not bound)
        return found.beside(usage) if self.companions else found

    def within(self, ceiling: Usage) -> tuple[tuple["RateCard", Usage], ...]:
        """The cards that calls within a ceiling can be priced by, each with what these use at most."""
        context = ceiling.get(CONTEXT, 0)
        flats = [card for bound, card in self.contexts if context > bound or not bound]
        if not self.companions:
            return tuple((card, ceiling) for card in flats)
        used = [meter for meter in self.companions if ceiling.get(meter)]
        unused = (each for size in range(len(used) + 1) for each in combinations(used, size))
        usages = [{**ceiling, **dict.fromkeys(meters, 0)} for meters in unused]
        return tuple((card.beside(usage), usage) for card in flats for usage in usages)

    def beside(self, usage: Usage) -> "RateCard":
        """The card for a call by what else it uses."""
        used = tuple(bool(usage.get(meter)) for meter in self.companions)
        found = self._beside.get(used)
        if found is None:
            present = dict(zip(self.companions, used, strict=True))
            rates = (rate for rate in self.rates if applies(rate.steps, present, BESIDE))
            found = self._beside[used] = self._with_rates(rates)
        return found

    @cached_property
    def _beside(self) -> dict[tuple[bool, ...], "RateCard"]:
        return {}

    def _with_rates(self, rates: Iterable[Rate]) -> "RateCard":
        return replace(self, rates=tuple(rates))

    @cached_property
    def worst_weights(self) -> dict[str, int]:
        """`weights` of whole meters only, each at the dearest of its own rate and those of its parts."""
        worst: dict[str, int] = {}
        for meter, weight in self.weights.items():
            whole = METERS[meter].part_of or meter
            worst[whole] = max(worst.get(whole, 0), weight)
        return worst

    @cached_property
    def families(self) -> dict[str, tuple[Rate, ...]]:
        """The rates of each whole meter and its parts, by that meter."""
        families: dict[str, tuple[Rate, ...]] = {}
        for rate in self.rates:
            whole = METERS[rate.meter].part_of or rate.meter
            families[whole] = (*families.get(whole, ()), rate)
        return families

    @cached_property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """The rated meters that are part of another, each with that one, in the card's order."""
        return tuple((meter, whole) for meter in self.weights if (whole := METERS[meter].part_of) is not None)

    @cached_property
    def terms(self) -> tuple[tuple[str, int, str, int, tuple[Step, ...]], ...]:
        """What a charge needs of each rate: meter, weight, exact price in nano-USD as text, units, steps."""
        return tuple(
            (rate.meter, self.weights[rate.meter], decimal_string(rate.price), rate.per, rate.steps)
            for rate in self.rates
        )

    @property
    def listed(self) -> tuple[Term, ...]:
        """All rates and adjustments, from which `card_of` makes a card that charges alike."""
        rates = (
            Term(rate.meter, decimal_string(rate.price), rate.per, rate.steps, rate.tiers)
            for rate in self.rates
        )
        return (*rates, *(Term(each.name, "0", 0, (each.step,)) for each in self.adjustments))

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
        if any(each.step.kind == "at_least" and each.step.number for each in self.adjustments):
            return False
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
