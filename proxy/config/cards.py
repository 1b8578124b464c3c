"""Rate cards of a file as a price book."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain, islice, repeat
from typing import Final

from msgspec.structs import replace

from proxy.config.card_schema import RateCardSchema, TermsSchema
from proxy.config.cases import cases_of
from proxy.config.faults import Findings
from proxy.config.hours import hours_of, like_hours
from proxy.config.prices import checked_price, share_of
from proxy.config.rates import lacks_bound, over, rates_of, tiered_rates, without_lengths
from proxy.config.schema import ConfigSchema
from proxy.config.service_tiers import tier_terms
from proxy.config.tiers import check_counters, with_own_counters
from proxy.endpoints.registry import FREE
from proxy.globs import any_meets
from proxy.metering.usage import METERS
from proxy.money import MAX_NANO, Unit, decimal_string
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import Answered, RateCard
from proxy.pricing.extras import Extra
from proxy.pricing.rates import ADJUSTMENTS, Adjustment
from proxy.pricing.steps import Step, StepKind
from proxy.validation import Path, did_you_mean

_BOUNDS: Final[tuple[tuple[str, StepKind], ...]] = (("least_charge", "at_least"), ("most_charge", "at_most"))
_NOTHING: Final = RateCard("", (), ())
"""What a card is like that is like no other."""


def build_book(
    schema: ConfigSchema, unit: Unit, findings: Findings, sources: Mapping[str, str] | None = None
) -> PriceBook:
    """The price book, in the order of the file. Faults go to `findings`.

    `sources` says which list the prices of a card come from, by its name.
    """
    schemas = schema.rate_cards
    earlier: dict[str, list[str]] = {}
    for name, card in schemas.items():
        for index, glob in enumerate(card.match):
            names = earlier.setdefault(glob, [])
            first = next((each for each in names if each == name or _takes_all(schemas[each], card)), None)
            if first is not None:
                findings.fault(("rate_cards", name, "match", index), f"is matched by {first!r} already", glob)
            names.append(name)
        for index, group in enumerate(card.groups):
            if group not in schema.groups:
                near = did_you_mean(group, schema.groups)
                findings.fault(("rate_cards", name, "groups", index), f"is not a group; {near}", group)
    cards = _Cards(schemas, unit, findings, sources or {})
    if any(upstream.own_keys for upstream in schema.upstreams.values()):
        cards.own_key = "1"
    free = {name: models for name, models in FREE.items() if _serves(schema, name, models)}
    multipliers = {name: group.multiplier for name, group in schema.groups.items()}
    made = [cards.of(name) for name in schemas]
    check_counters(made, findings)
    for name, text in multipliers.items():
        if any(_is_beyond(card, Fraction(text)) for card in made):
            place = ("groups", name, "multiplier")
            findings.fault(place, "makes a rate larger than the largest amount there is", text)
    return PriceBook(made, free, multipliers)


def _takes_all(card: RateCardSchema, later: RateCardSchema) -> bool:
    """Whether a card prices all calls of a model that a later one would."""
    pairs = ((card.groups, later.groups), (card.endpoints, later.endpoints))
    return all(not names or (others and {*others} <= {*names}) for names, others in pairs)


def _is_beyond(card: RateCard, multiplier: Fraction) -> bool:
    """Whether a multiplier makes a rate of a card larger than an amount can be."""
    variants = (variant for version in card.versions for variant in version.variants)
    cards = (each for variant in variants for each in (variant, *variant.by_tier.values()))
    return any(rate.unit_nano * rate.per * multiplier > MAX_NANO for each in cards for rate in each.rates)


def _serves(schema: ConfigSchema, endpoint: str, models: Sequence[str]) -> bool:
    """Whether a route could serve one of `models` on `endpoint` without a rate card of its own."""
    open_routes = (
        route for route in schema.routes if route.rate_card is None and endpoint in route.endpoints
    )
    return any(any_meets(route.models or (), models) for route in open_routes)


class _Cards:
    """Makes each card once, after the one that it is like, wherever that stands in the file."""

    def __init__(
        self,
        schemas: dict[str, RateCardSchema],
        unit: Unit,
        findings: Findings,
        sources: Mapping[str, str],
    ) -> None:
        self._schemas = schemas
        self._sources = sources
        self._unit = unit
        self._findings = findings
        self._made: dict[str, RateCard] = {}
        self._begun: list[str] = []
        self.own_key = ""
        """The share that cards charge which do not say it, where there are own keys."""

    def of(self, name: str) -> RateCard:
        """The card of this name."""
        if name not in self._made:
            self._begun.append(name)
            schema = self._schemas[name]
            self._made[name] = self._with_changes(name, schema, self._like(name, schema.like))
            self._begun.pop()
        return self._made[name]

    def _like(self, name: str, other: str | None) -> RateCard:
        path = ("rate_cards", name, "like")
        if other is None:
            return _NOTHING
        if other not in self._schemas:
            self._findings.fault(path, f"is not a rate card; {did_you_mean(other, self._schemas)}", other)
            return _NOTHING
        if other in self._begun:
            circle = " is like ".join((*self._begun[self._begun.index(other) :], other))
            self._findings.fault(path, f"makes a circle: {circle}", other)
            return _NOTHING
        return self.of(other)

    def _with_changes(self, name: str, schema: RateCardSchema, like: RateCard) -> RateCard:
        """A card, and what it becomes at each of its changes and of those of the card that it is like."""
        path: Path = ("rate_cards", name)
        if not schema.rates and not schema.cases and schema.like is None:
            self._findings.fault((*path, "rates"), "is missing; a card needs one rate at least")
        stages: list[tuple[int, TermsSchema, Path]] = [(0, schema, path)]
        for index, change in enumerate(schema.changes):
            place = (*path, "changes", index)
            since_us = self._moment(change.since, (*place, "from"))
            if index and since_us <= stages[-1][0]:
                self._findings.fault((*place, "from"), "must be later than the one before", change.since)
            stages.append((since_us, change, place))
        cards = []
        for at_us in sorted({*(since_us for since_us, _, _ in stages), *(at for at, _ in like.changes)}):
            card = like.changed(at_us)
            for since_us, terms, place in stages:
                card = self._card(name, terms, card, place) if since_us <= at_us else card
            cards.append((at_us, card))
        return replace(
            cards[0][1],
            match=tuple(schema.match),
            changes=tuple(cards[1:]),
            groups=tuple(schema.groups),
            endpoints=tuple(schema.endpoints),
        )

    def _moment(self, text: str, path: Path) -> int:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            self._findings.fault(path, f"is no moment: {error}", text)
            return 0
        return int(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000

    def _card(self, name: str, schema: TermsSchema, like: RateCard, path: Path) -> RateCard:
        findings = self._findings
        inherited = without_lengths(like) if schema.context_tiers else like.rates
        rates = over(inherited, rates_of(schema.rates, self._unit, (*path, "rates"), findings))
        if schema.context_tiers:
            tiers = (*path, "context_tiers")
            rates = tiered_rates(rates, schema.context_tiers, self._unit, tiers, findings)
        tiers_of = tuple((tier, Fraction(times)) for tier, times in schema.service_tiers.items())
        card = RateCard(
            id=name,
            match=(),
            rates=with_own_counters(rates, name),
            default_bound=schema.max_output_tokens or like.default_bound,
            service_tiers=tiers_of or like.service_tiers,
            tier_terms=tier_terms(schema, like, self._unit, path, findings),
            input_allowance=schema.input_allowance_tokens or like.input_allowance,
            context=schema.context_tokens or like.context,
            adjustments=self._adjustments(schema, like, path),
            extras=self._extras(schema, path) or like.extras,
            source=self._sources.get(name, like.source),
            discounts=schema.discounts or like.discounts,
            own_key=share_of(schema.own_key.share) if schema.own_key else like.own_key or self.own_key,
            tier_by_answer=like.tier_by_answer
            if schema.service_tier_by is None
            else schema.service_tier_by == "answer",
        )
        cases = cases_of(card, schema, like, unit=self._unit, path=path, findings=findings)
        card = replace(card, cases=cases)
        card = replace(card, answered=self._answered(card, schema, like, path))
        self._check(card, schema, path)
        if schema.hours is None:
            return replace(card, hours=like_hours(card, like.hours))
        return replace(card, hours=hours_of(card, schema.hours, self._unit, (*path, "hours"), findings))

    def _answered(
        self, card: RateCard, schema: TermsSchema, like: RateCard, path: Path
    ) -> tuple[Answered, ...]:
        """The cards of models that answers may name. The dearest is held for, so that rates are plain."""
        place = (*path, "answered")
        named = {
            model: rates_of(each.rates, self._unit, (*place, model, "rates"), self._findings)
            for model, each in schema.answered.items()
        } or {each.model: each.said for each in like.answered}
        for model, said in named.items():
            for rate in said:
                if rate.meter not in {own.meter for own in card.rates}:
                    self._findings.fault(
                        (*place, model, "rates", rate.meter), "is not priced by the card itself"
                    )
        plain = all(not (rate.steps or rate.tiers) for said in (card.rates, *named.values()) for rate in said)
        is_fixed = not card.cases and schema.hours is None and not like.hours
        if named and not (plain and is_fixed):
            message = "needs a card without `cases` and `hours`, with one plain price for each meter"
            self._findings.fault(place, message)
            return ()
        return tuple(
            Answered(
                model, replace(card, id=f"{card.id}+answered={model}", rates=over(card.rates, said)), said
            )
            for model, said in named.items()
        )

    def _extras(self, schema: TermsSchema, path: Path) -> tuple[Extra, ...]:
        for member, extra in schema.extras.items():
            if extra.meter not in METERS:
                message = f"is not a meter; {did_you_mean(extra.meter, METERS)}"
                self._findings.fault((*path, "extras", member, "meter"), message, extra.meter)
        return tuple(Extra(name, each.meter, each.counted, each.most) for name, each in schema.extras.items())

    def _adjustments(self, schema: TermsSchema, like: RateCard, path: Path) -> tuple[Adjustment, ...]:
        """What the card adds, or the one that it is like."""
        found = {each.name: each for each in like.adjustments}
        if schema.markup is not None:
            found["markup"] = Adjustment("markup", Step("share", share_of(schema.markup)))
        for name, kind in _BOUNDS:
            if (text := getattr(schema, name)) is not None:
                price = checked_price(text, self._unit, (*path, name), self._findings)
                found[name] = Adjustment(name, Step(kind, decimal_string(price)))
        if {"least_charge", "most_charge"} <= found.keys():
            least, most = found["least_charge"].step, found["most_charge"].step
            if least.number > most.number:
                self._findings.fault((*path, "most_charge"), "is less than `least_charge`")
        return tuple(found[name] for name in ADJUSTMENTS if name in found)

    def _check(self, card: RateCard, schema: TermsSchema, path: Path) -> None:
        """Faults of a whole card: output without a bound, and rates beyond all amounts."""
        own: list[Path] = [(*path, "cases", index) for index in range(len(schema.cases))]
        of_flags = [path] * (len(card.cases) - len(own))
        placed = zip(card.variants, chain([path], of_flags, own, repeat(path)), strict=False)
        unbounded = (place for variant, place in placed if lacks_bound(variant))
        for place in islice(unbounded, 1):  # The others lack it for the same reason.
            self._findings.fault(
                (*place, "max_output_tokens"),
                "is missing; a card that prices output has to say how much a call can produce",
            )
        for tier in schema.service_tiers:
            made = [
                each for variant in card.variants for name, each in variant.by_tier.items() if tier in name
            ]
            if any(rate.unit_nano * rate.per > MAX_NANO for each in made for rate in each.rates):
                self._findings.fault(
                    (*path, "service_tiers", tier), "makes a rate larger than the largest amount there is"
                )
