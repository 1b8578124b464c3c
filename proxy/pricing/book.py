"""The price book: which rate card prices a model."""

from collections.abc import Sequence

from proxy.globs import GlobIndex
from proxy.metering.usage import Needed
from proxy.pricing.rates import RateCard


class PriceBook:
    """Rate cards in order. A model is priced by the first card with a matching glob, else by none."""

    def __init__(self, cards: Sequence[RateCard]) -> None:
        self._cards = tuple(cards)
        self._by_id = {card.id: card for card in cards}
        self._free: dict[Needed, bool] = {}
        ranked = enumerate(self._cards)
        self._index = GlobIndex((glob, rank) for rank, card in ranked for glob in card.match)

    def by_id(self, card_id: str) -> RateCard | None:
        """The card with this id, or None."""
        return self._by_id.get(card_id)

    def card_for(self, model: str) -> RateCard | None:
        """The card that prices `model`, or None: then the call must be refused."""
        rank = self._index.rank_of(model)
        return None if rank is None else self._cards[rank]

    def card_of(self, rate_card: str | None, model: str) -> RateCard | None:
        """The card a route names, else the one for its model; None: then the call must be refused."""
        return self.card_for(model) if rate_card is None else self._by_id.get(rate_card)

    def has_free(self, meters: Needed) -> bool:
        """Whether a call that uses `meters` may cost nothing."""
        found = self._free.get(meters)
        if found is None:
            found = any(card.may_be_free_for(meters) for card in self._cards)
            self._free[meters] = found
        return found

    @property
    def globs(self) -> tuple[str, ...]:
        """Every model glob, in order."""
        return tuple(glob for card in self._cards for glob in card.match)
