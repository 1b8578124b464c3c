"""Commands about events: who is told of them, what became of that, and their end."""

from proxy.ledger import kinds
from proxy.ledger.command import OfAccount
from proxy.ledger.events import DeliveryState
from proxy.ledger.needs import Needs


class RouteEvent(OfAccount, frozen=True):
    """Let endpoints be told of an event. One that is told already is left alone, unless it is `again`."""

    event_id: str
    endpoints: tuple[str, ...]
    at_us: int
    again: bool = False

    def add_needs(self, needs: Needs) -> None:
        """Add the account, the event, and what became of telling the endpoints."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.EVENT, (self.account_id, self.event_id))
        needs.add(kinds.DELIVERY, *((self.account_id, self.event_id, name) for name in self.endpoints))


class NoteDelivery(OfAccount, frozen=True):
    """Note what came of an attempt. It is the one after `attempts`; that of somebody else is a conflict.

    `next_at_us` is when a delivery is tried again that is still `pending`.
    """

    event_id: str
    endpoint: str
    attempts: int
    state: DeliveryState
    at_us: int
    next_at_us: int
    status: int = 0
    reason: str = ""

    def add_needs(self, needs: Needs) -> None:
        """Add the account and the delivery."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.DELIVERY, (self.account_id, self.event_id, self.endpoint))


class TellExpiry(OfAccount, frozen=True):
    """Tell that a lot expires soon, once for each lot, if something is left of it."""

    lot_id: str
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account, and its lots with it."""
        needs.accounts.add(self.account_id)


class ForgetEvents(OfAccount, frozen=True):
    """Delete events that are older than `before_us`, with what became of telling of them.

    `endpoints` are those that there may be deliveries to. One that is pending keeps its event.
    """

    event_ids: tuple[str, ...]
    endpoints: tuple[str, ...]
    before_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account, the events and their deliveries."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.EVENT, *((self.account_id, id_) for id_ in self.event_ids))
        needs.add(
            kinds.DELIVERY,
            *((self.account_id, id_, name) for id_ in self.event_ids for name in self.endpoints),
        )
