"""Commands about receivers: where an account has itself told of its own events."""

from proxy.ledger import kinds
from proxy.ledger.command import OfAccount
from proxy.ledger.events import Receiver
from proxy.ledger.needs import Needs


class AddReceiver(OfAccount, frozen=True):
    """Add a receiver of an account that has fewer than `most`."""

    receiver: Receiver
    at_us: int
    most: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account, and all receivers of it."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.RECEIVERS_OF, self.account_id)


class OfReceiver(OfAccount, frozen=True):
    """A command about one receiver of an account."""

    receiver_id: str
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account, and the receiver."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.RECEIVER, (self.account_id, self.receiver_id))


class RotateReceiver(OfReceiver, frozen=True):
    """Give a receiver another secret."""


class DropReceiver(OfReceiver, frozen=True):
    """Delete a receiver. What it was still to be told of goes with its events."""
