"""What usage from outside is priced by: the card of its type, at its moment, for its account's group."""

import asyncio
from typing import Final, Protocol

from proxy.endpoints.event_plan import EVENTS, EventPlan, EventPolicy
from proxy.errors import Refusal
from proxy.ledger.commands import Command, Done, Result
from proxy.ledger.groups import Groups
from proxy.money import MAX_NANO
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge, price

GROUP_TRIES: Final = 4
"""How often usage is told as the ledger then says that it is: of another group, or counted to somebody."""


class Ledger(Protocol):
    """The ledger as usage from outside needs it."""

    def submit(self, command: Command) -> asyncio.Future[Result]:
        """Put a command in the inbox."""
        ...

    async def command(self, command: Command) -> Done:
        """Carry out a command of the administration. Raises Refusal."""
        ...


class Terms(Protocol):
    """The part of the settings that decides about events. A reload replaces it."""

    @property
    def events(self) -> EventPolicy:
        """The types that are taken, and their bounds."""
        ...

    @property
    def book(self) -> PriceBook:
        """The price book."""
        ...

    @property
    def groups(self) -> Groups:
        """The groups, with the markups of their runs."""
        ...


def card_of(plan: EventPlan, book: PriceBook, group: str) -> RateCard:
    """The card of a type of events for a group, with all its changes. Raises Refusal `model_not_priced`."""
    card = book.card_of(plan.rate_card, plan.type, EVENTS, group)
    if card is None:
        message = f"The rate card {plan.rate_card!r} prices no {plan.type} for the group {group!r}."
        raise Refusal("model_not_priced", message, param="type")
    return card


def charged(card: RateCard, usage: dict[str, int]) -> Charge:
    """What a usage costs. Raises Refusal for more than there can be of money."""
    charge = price(card, usage)
    if charge.total_nano > MAX_NANO:
        raise Refusal("invalid_value", "The event would cost more than the largest amount there is.")
    return charge
