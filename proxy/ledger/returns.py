"""Commands that take credit back, or give it back: a lot's rest is voided or refunded, a call is refunded.

Each is carried out once for its `command_id`.
"""

from proxy.ledger import kinds
from proxy.ledger.command import OfAccount
from proxy.ledger.needs import Needs


class OfLot(OfAccount, frozen=True):
    """A command that takes something of one lot, but for what calls in flight may come to draw of it."""

    command_id: str
    lot_id: str
    reason: str
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account, its lots and those due, and what an earlier command with this id did."""
        needs.add_lots(self.account_id, self.at_us)
        needs.add(kinds.COMMAND, (self.account_id, self.command_id))


class VoidLot(OfLot, frozen=True):
    """Take all that can be taken of a lot."""


class RefundLot(OfLot, frozen=True, omit_defaults=True):
    """Take from a lot what its buyer gets back for it: all of the amount, or nothing.

    It has to be within `days` of when the lot was made; None is as long as the lot lasts.
    """

    amount_nano: int
    days: int | None = None


class RefundCall(OfAccount, frozen=True):
    """Give back some of what a call was charged. It may be refunded in parts, which are no more than that.

    `seq` is the number of the charge's entry, and `drawn` are the lots that it drew from. What cannot go back
    to one of these goes to a lot of its own, `lot_id`.
    """

    command_id: str
    lot_id: str
    call_id: str
    amount_nano: int
    reason: str
    at_us: int
    seq: int
    drawn: tuple[str, ...] = ()

    def add_needs(self, needs: Needs) -> None:
        """Add the account, the charge and its lots, what was refunded, and what an earlier command did."""
        needs.add_lots(self.account_id, self.at_us)
        # A lot that has something left again may fall due within the batch.
        needs.add_grant(self.at_us)
        needs.add(kinds.COMMAND, (self.account_id, self.command_id))
        needs.add(kinds.ENTRY, (self.account_id, self.seq))
        needs.add(kinds.REFUND, (self.account_id, self.call_id))
        needs.add(kinds.NAMED_LOT, *((self.account_id, lot_id) for lot_id in self.drawn))
