"""The price book: which rate card prices a model."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from proxy.globs import GlobIndex
from proxy.metering.usage import Needed
from proxy.pricing.rates import Rate, RateCard

NOTHING_FREE: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})


FREE_CARD: Final = RateCard("free", (), (Rate("requests", Fraction(0), 1),))
"""The card of models that are free where no other prices them."""


class PriceBook:
    """Rate cards in order. A model is priced by the first card with a matching glob, else by none.

    `free` has globs of models that cost nothing then, by the endpoint where that is so.
    """

    def __init__(self, cards: Sequence[RateCard], free: Mapping[str, Sequence[str]] = NOTHING_FREE) -> None:
        self._free_models = {name: GlobIndex((glob, 0) for glob in globs) for name, globs in free.items()}
        self._cards = tuple(cards)
        self._by_id = {card.id: card for card in cards}
        self._free: dict[Needed, bool] = {}
        ranked = enumerate(self._cards)
        self._index = GlobIndex((glob, rank) for rank, card in ranked for glob in card.match)

    def by_id(self, card_id: str) -> RateCard | None:
        """The card with this id, with all its changes, or None."""
        return self._by_id.get(card_id)

    def card_for(self, model: str) -> RateCard | None:
        """The card that prices `model`, or None: then the call must be refused."""
        rank = self._index.rank_of(model)
        return None if rank is None else self._cards[rank]

    def card_of(self, rate_card: str | None, model: str, endpoint: str) -> RateCard | None:
        """The card a route names, else the one for its model; None: then the call must be refused."""
        found = self.card_for(model) if rate_card is None else self._by_id.get(rate_card)
        if found is None and rate_card is None:
            free = self._free_models.get(endpoint)
            return FREE_CARD if free and free.rank_of(model) is not None else None
        return found

    def card_now(self, rate_card: str | None, model: str, endpoint: str, at_us: int) -> RateCard | None:
        """As `card_of`, as that prices calls at a moment."""
        found = self.card_of(rate_card, model, endpoint)
        return found.as_of(at_us) if found is not None and found.changes else found

    def has_free(self, meters: Needed, endpoint: str) -> bool:
        """Whether a call on `endpoint`, which uses `meters`, may cost nothing."""
        if endpoint in self._free_models:
            return True
        found = self._free.get(meters)
        if found is None:
            versions = (each for card in self._cards for each in card.versions)
            found = any(card.may_be_free_for(meters) for card in versions)
            self._free[meters] = found
        return found

    @property
    def globs(self) -> tuple[str, ...]:
        """Every model glob, in order."""
        return tuple(glob for card in self._cards for glob in card.match)
