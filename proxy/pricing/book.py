"""The price book: which rate card prices a model."""

import re
from collections.abc import Sequence
from fnmatch import translate

from proxy.pricing.rates import RateCard

_GLOB_CHARS = frozenset("*?[")


class PriceBook:
    """Rate cards in order. A model is priced by the first card with a matching glob, else by none."""

    def __init__(self, cards: Sequence[RateCard]) -> None:
        self._cards = tuple(cards)
        self._by_id = {card.id: card for card in cards}
        # Most globs are plain names. These are looked up, so that many models do not slow a call down;
        # only true globs are tried one after the other.
        self._names: dict[str, int] = {}
        self._patterns: list[tuple[int, re.Pattern[str]]] = []
        for index, card in enumerate(self._cards):
            for glob in card.match:
                if _GLOB_CHARS & set(glob):
                    self._patterns.append((index, re.compile(translate(glob))))
                else:
                    self._names.setdefault(glob, index)

    def by_id(self, card_id: str) -> RateCard | None:
        """The card with this id, or None."""
        return self._by_id.get(card_id)

    def card_for(self, model: str) -> RateCard | None:
        """The card that prices `model`, or None: then the call must be refused."""
        named = self._names.get(model, len(self._cards))
        for index, pattern in self._patterns:
            if index >= named:
                break
            if pattern.match(model):
                return self._cards[index]
        return self._cards[named] if named < len(self._cards) else None

    def card_of(self, rate_card: str | None, model: str) -> RateCard | None:
        """The card a route names, else the one for its model; None: then the call must be refused."""
        return self.card_for(model) if rate_card is None else self._by_id.get(rate_card)

    @property
    def globs(self) -> tuple[str, ...]:
        """Every model glob, in order."""
        return tuple(glob for card in self._cards for glob in card.match)
