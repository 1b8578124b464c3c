"""Terms: at which rates a call is priced, and what is held and charged for what it turns on."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.call.off_loop import off_loop
from proxy.endpoints.features import Feature, at_tier, rate_key, surcharged, tier_key
from proxy.endpoints.reading.steps import places
from proxy.endpoints.registry import forward_fault
from proxy.endpoints.tallies.served import Told
from proxy.errors import Refusal
from proxy.metering.usage import Needed, Usage, each_needed
from proxy.pricing.cards import RateCard
from proxy.pricing.listed import dearest_of
from proxy.upstream.routes import Route, Routes

SHOWN_CHARS: Final = 64
_NOTHING: Final[Usage] = {}
_NO_CARDS: Final[Mapping[str, RateCard]] = {}
_TIER: Final = "service_tier"
_PLAIN_TIERS: Final = ("default", "standard", "on_demand")
"""What answers call the usual rates."""
_UNKNOWN_TIER: Final = ""
"""Stands for a tier that the card does not know: the dearest that may serve is charged."""
_OPEN_TIERS: Final = frozenset({"", "auto"})
"""What a request says that leaves the tier to the upstream."""
_ANY_UNKNOWN: Final = "*"
_ADDRESS: Final = re.compile(rb"(?::|\\u003[aA])(?:\\?/|\\u002[fF]){2}")
"""What is in every address, however JSON has it escaped."""


def card_at(card: RateCard, parameters: Mapping[str, str], meters: Needed) -> RateCard:
    """The card for a call with these parameters, of one that may price such calls.

    Raises Refusal `unpriced_feature` where it does not price the `meters` with them, or has a rate for one of
    them only with others. A fixed price is for all that a call uses.
    """
    if not card.cases:
        return card
    found = card.case_of(parameters)
    elsewhere = {meter for case in card.cases for meter in case.card.rated}
    named = (name for either in each_needed(meters) for name in either)
    missing = [name for name in named if name in elsewhere and name not in found.rated]
    if found.covers(meters) and (not missing or found.billing_type == "per_call"):
        return found
    asked = {name: parameters[name] for name in card.conditions if name in parameters}
    said = " and ".join(f"`{name}: {value[:SHOWN_CHARS]}`" for name, value in asked.items())
    lacking = [rate_key(name) for name in missing or (n for each in found.missing(meters) for n in each)]
    keys = " and ".join(f"`{key}`" for key in lacking)
    raise Refusal(
        "unpriced_feature",
        f"The rate card {card.id!r} has no {keys} for {said or 'this call'}, so it is refused.",
        param=next(iter(asked), None),
        details={"rate_card": card.id, "rate_card_keys": lacking},
    )


class Terms(msgspec.Struct, frozen=True, gc=False):
    """The terms of a call: its rate card, that of its service tier where it has one.

    `surcharges` is what it uses by turning something on, by meter, where nothing else is reported. `hidden`
    is the most input there can be that the request does not show, and `allowed` the most of what the upstream
    may do by itself beyond that: these are held, and charged only where they are reported.

    Where the answer decides, `card` is the dearest that it may come to, and `asked` is charged for an answer
    that says nothing. `by_answer` has a card for each tier that it may name, and `answered` such terms for
    each model that it may name.
    """

    card: RateCard
    surcharges: Usage = _NOTHING
    hidden: Usage = _NOTHING
    allowed: Usage = _NOTHING
    asked: RateCard | None = None
    by_answer: Mapping[str, RateCard] = _NO_CARDS
    answered: "tuple[tuple[str, Terms], ...]" = ()

    @property
    def listens(self) -> bool:
        """Whether the answer decides about the card."""
        return bool(self.by_answer or self.answered)

    @property
    def charged(self) -> RateCard:
        """The card that is charged where the answer does not say otherwise."""
        return self.asked or self.card

    @property
    def possible(self) -> Iterator[RateCard]:
        """Every card that the call may be charged by, but for what an answer says that has none."""
        yield self.charged
        yield from self.by_answer.values()
        for _, terms in self.answered:
            yield from terms.possible

    def served(self, told: Told) -> RateCard:
        """The card for an answer that names a tier and a model, or neither.

        It is the dearest for a tier that has no card.
        """
        for model, terms in self.answered:
            if told.model and fnmatchcase(told.model, model):
                return terms.served(Told(told.tier))
        if not told.tier or not self.by_answer:
            return self.charged
        return self.by_answer.get(told.tier, self.by_answer[_UNKNOWN_TIER])

    def changed(self, change: Callable[[RateCard], RateCard]) -> "Terms":
        """The terms with each of their cards changed."""
        return replace(
            self,
            card=change(self.card),
            asked=None if self.asked is None else change(self.asked),
            by_answer={tier: change(card) for tier, card in self.by_answer.items()},
            answered=tuple((model, terms.changed(change)) for model, terms in self.answered),
        )

    @property
    def unseen(self) -> Mapping[str, int]:
        """What the ceiling has to have beside what the request amounts to by itself, by meter."""
        unseen = Counter(self.hidden)
        unseen.update(self.allowed)
        unseen.update(self.surcharges)
        return unseen


def on_own_key(routes: Routes, route: Route, card: RateCard, account_id: str) -> tuple[Route, RateCard]:
    """Where a call of an account goes, and its card: with the account's own key, where it has one there."""
    if not card.own_key:
        return route, card
    own = routes.with_own_key(route, account_id)
    return (route, card) if own is route else (own, card.on_own_key)


async def terms_for(features: Sequence[Feature], route: Route, card: RateCard, body: bytes) -> Terms:
    """As `terms_of`, in a thread where the card has to look for something in a large body."""
    size = len(body) if card.extras else 0
    return await off_loop(size, partial(terms_of, features, route, card, body))


def terms_of(features: Sequence[Feature], route: Route, card: RateCard, body: bytes = b"") -> Terms:
    """The terms for a call that turns these features on. Raises Refusal `unpriced_feature`.

    What the card prices is charged and held for. What it does not price has to be forwarded by every upstream
    of the route, since the call may go to any of them.
    """
    if not features:
        return _by_answer(Terms(card), card, "", features)
    if card.extras:
        features = [_priced_extra(feature, card, body) for feature in features]
    surcharges: Counter[str] = Counter()
    hidden: Counter[str] = Counter()
    allowed: Counter[str] = Counter()
    tiers: set[str] = set()
    usual: str | None = None
    for feature in features:
        missing = [key for key in feature.needs if key not in card.keys]
        if (missing or not feature.needs) and not feature.optional and not _is_forwarded(feature, route):
            raise _unpriced(feature, missing, card)
        surcharges.update(feature.surcharges)
        hidden.update(feature.hidden)
        allowed.update(feature.allowed)
        if feature.optional and feature.tier is not None:
            usual = feature.tier
        elif feature.tier is not None and feature.tier in card.by_tier:
            tiers.add(feature.tier)
    tier = _together(tiers, card) or usual or ""
    unseen = {meter: count * card.input_allowance for meter, count in hidden.items()}
    terms = Terms(card.by_tier.get(tier, card), dict(surcharges), unseen, dict(allowed))
    return _by_answer(terms, card, tier, features)


def _by_answer(terms: Terms, card: RateCard, tier: str, features: Sequence[Feature]) -> Terms:
    """The terms of a call at a tier where the answer decides: what is held covers the dearest."""
    if not card.answered:
        return _by_tier(terms, card, features) if card.tier_by_answer else terms
    by_model = tuple(
        (each.model, _by_answer(Terms(each.card.by_tier.get(tier, each.card)), each.card, tier, features))
        for each in card.answered
    )
    plain = replace(card, answered=())
    own = _by_answer(terms, plain, tier, features)
    most = dearest_of(card)
    dearest = _by_answer(Terms(most.by_tier.get(tier, most)), most, tier, features)
    return replace(own, card=dearest.card, asked=own.charged, answered=by_model)


def _by_tier(terms: Terms, card: RateCard, features: Iterable[Feature]) -> Terms:
    """The terms where the answer says which tier serves a call.

    What multiplies the rates in another way than a tier, such as a place, is charged as it was asked for.
    """
    tiers = {feature.name: feature.tier for feature in features if feature.tier is not None}
    asked = tiers.pop(_TIER, "")
    if tiers or not card.by_tier:
        return terms
    by_answer = {**dict.fromkeys(_PLAIN_TIERS, card), **card.by_tier}
    times = dict(card.service_tiers)
    may_serve = card.by_tier if asked in _OPEN_TIERS else {asked}
    dearest = max((tier for tier in may_serve if tier in times), key=times.__getitem__, default="")
    held = card.by_tier[dearest] if times.get(dearest, 0) > 1 else card
    by_answer[_UNKNOWN_TIER] = held
    return replace(terms, card=held, asked=terms.card, by_answer=by_answer)


def _priced_extra(feature: Feature, card: RateCard, body: bytes) -> Feature:
    """A member that Farebox does not know as what the card says it turns on, if that says so.

    What it finds is read as input.
    """
    extra = next((each for each in card.extras if each.member == feature.name), None)
    if extra is None or feature.known:
        return feature
    count = extra.most
    if extra.counts_addresses:
        count = sum(1 for _ in islice(places(body, _ADDRESS), extra.most))
    return surcharged(feature.member, feature.name, extra.meter, count)


def _together(tiers: Iterable[str], card: RateCard) -> str:
    """The tier of a call: of several that a card prices, the one that it has for all together.

    Raises Refusal without one. What is only forwarded has no tier.
    """
    names = sorted(tiers)
    tier = "+".join(names)
    if len(names) > 1 and tier not in card.by_tier:
        raise _unpriced(at_tier(f"{tier} together", "service_tier", tier), [tier_key(tier)], card)
    return tier


def _is_forwarded(feature: Feature, route: Route) -> bool:
    names = {feature.name} if feature.known else {feature.name, _ANY_UNKNOWN}
    return all(names & target.upstream.forward for target in route.targets)


def _unpriced(feature: Feature, missing: list[str], card: RateCard) -> Refusal:
    if feature.kept:
        said = f"`{feature.member}` names what the upstream keeps, and Farebox cannot tell for whom"
    elif not feature.known:
        said = f"Farebox does not know the member {feature.member!r}, and cannot tell what it costs"
    elif missing:
        keys = " and ".join(f"`{key}`" for key in missing)
        said = f"`{feature.member}` can cost extra, and the rate card {card.id!r} has no {keys} for it"
    else:
        said = f"`{feature.member}` can cost more than any rate card says"
    may = "" if forward_fault(feature.name) else f"; an upstream may be set to `forward` {feature.name!r}"
    return Refusal(
        "unpriced_feature",
        f"{said}, so it is refused{may}.",
        param=feature.member,
        details={"rate_card": card.id, "rate_card_keys": missing},
    )
