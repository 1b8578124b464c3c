"""The price book: which rate card prices a model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from proxy.globs import GlobIndex
from proxy.metering.usage import Needed
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate

NOTHING_FREE: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})
ONE_PRICE: Final[Mapping[str, str]] = MappingProxyType({})


FREE_CARD: Final = RateCard("free", (), (Rate("requests", Fraction(0), 1),))
"""The card of models that are free where no other prices them."""


class PriceBook:
    """Rate cards in order. A call is priced by the first that is for it and matches its model, else by none.

    `free` has globs of models that cost nothing then, by the endpoint where that is so. `multipliers` are
    exact decimal numbers by group, by which all rates are multiplied for its accounts. `endpoints` and
    `groups` have the names that cards are only for, after an empty one, which stands for all others.
    """

    def __init__(
        self,
        cards: Sequence[RateCard],
        free: Mapping[str, Sequence[str]] = NOTHING_FREE,
        multipliers: Mapping[str, str] = ONE_PRICE,
    ) -> None:
        self._free_models = {name: GlobIndex((glob, 0) for glob in globs) for name, globs in free.items()}
        self._cards = tuple(cards)
        self._by_id = {card.id: card for card in cards}
        self._free: dict[Needed, bool] = {}
        self._multipliers = {group: text for group, text in multipliers.items() if Fraction(text) != 1}
        self._free_groups = {group for group, text in multipliers.items() if not Fraction(text)}
        self._multiplied: dict[tuple[str, str], RateCard] = {}
        # Cards that are only for some are told apart by these names; all others make no difference.
        self.endpoints: Final = ("", *dict.fromkeys(name for card in cards for name in card.endpoints))
        self.groups: Final = ("", *dict.fromkeys(name for card in cards for name in card.groups))
        self._indexes: dict[tuple[str, str], GlobIndex] = {}

    @property
    def cards(self) -> tuple[RateCard, ...]:
        """All cards, in order."""
        return self._cards

    def by_id(self, card_id: str) -> RateCard | None:
        """The card with this id, with all its changes, or None."""
        return self._by_id.get(card_id)

    def card_for(self, model: str, endpoint: str = "", group: str = "") -> RateCard | None:
        """The card that prices calls of `model`, or None: then they must be refused."""
        rank = self._index(endpoint, group).rank_of(model)
        return None if rank is None else self._cards[rank]

    def card_of(self, rate_card: str | None, model: str, endpoint: str, group: str = "") -> RateCard | None:
        """The card a route names, else the one for its model; None: then the call must be refused."""
        if rate_card is None:
            found = self.card_for(model, endpoint, group)
        else:
            named = self._by_id.get(rate_card)
            found = named if named is not None and named.is_for(endpoint, group) else None
        if found is None:
            free = self._free_models.get(endpoint) if rate_card is None else None
            return FREE_CARD if free and free.rank_of(model) is not None else None
        return self._for_group(found, group) if group in self._multipliers else found

    def card_now(
        self, rate_card: str | None, model: str, endpoint: str, now_us: Callable[[], int], group: str = ""
    ) -> RateCard | None:
        """As `card_of`, as that prices calls now. The clock is read only for cards that change with time."""
        found = self.card_of(rate_card, model, endpoint, group)
        return found.as_of(now_us()) if found is not None and found.is_timed else found

    def has_free(self, meters: Needed, endpoint: str, group: str = "") -> bool:
        """Whether a call on `endpoint`, which uses `meters`, may cost nothing."""
        if endpoint in self._free_models or group in self._free_groups:
            return True
        found = self._free.get(meters)
        if found is None:
            versions = (each for card in self._cards for each in card.versions)
            found = any(card.may_be_free_for(meters) for card in versions)
            self._free[meters] = found
        return found

    def counted(self, at_us: int, group: str = "") -> Iterator[tuple[RateCard, Rate]]:
        """The rates with tiers by which accounts in a group are charged at a moment, each with its card."""
        for card in self._cards:
            if card.groups and group not in card.groups:
                continue
            of_group = self._for_group(card, group) if group in self._multipliers else card
            rates = ((variant, rate) for variant in of_group.as_of(at_us).variants for rate in variant.rates)
            yield from ((variant, rate) for variant, rate in rates if rate.tiers is not None)

    @property
    def globs(self) -> tuple[str, ...]:
        """Every model glob, in order."""
        return tuple(glob for card in self._cards for glob in card.match)

    def _index(self, endpoint: str, group: str) -> GlobIndex:
        of = (endpoint if endpoint in self.endpoints else "", group if group in self.groups else "")
        index = self._indexes.get(of)
        if index is None:
            ranked = [(rank, card) for rank, card in enumerate(self._cards) if card.is_for(*of)]
            index = self._indexes[of] = GlobIndex(
                (glob, rank) for rank, card in ranked for glob in card.match
            )
        return index

    def _for_group(self, card: RateCard, group: str) -> RateCard:
        found = self._multiplied.get((card.id, group))
        if found is None:
            found = self._multiplied[card.id, group] = card.multiplied(self._multipliers[group], group)
        return found
