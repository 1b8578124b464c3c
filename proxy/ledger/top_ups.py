"""Commands about top-ups: money that an account pays in through a provider.

A top-up is opened before anything is paid, and is credited once its provider says that it was. The credit is
put in by grants under ids that follow from the top-up's, so that it is never put in twice. These ids have
blanks in them, which no caller's id may have.
"""

from typing import Literal

from proxy.ledger import kinds
from proxy.ledger.command import OfAccount
from proxy.ledger.needs import Needs
from proxy.ledger.rows import OnShortfall
from proxy.ledger.top_up_rows import AutoState, TopUp
from proxy.ledger.windows import DAY_US


def purchase_id(top_up_id: str) -> str:
    """The id of the grant of what was bought."""
    return f"top-up {top_up_id}"


def bonus_id(top_up_id: str) -> str:
    """The id of the grant of what comes with it."""
    return f"top-up {top_up_id} bonus"


def reversal_id(top_up_id: str, cents: int) -> str:
    """The id of what was taken back when so many cents in all were."""
    return f"top-up {top_up_id} reversed by {cents}"


def bonus_return_id(command_id: str) -> str:
    """The id of what was taken of the bonus when a command took something of the purchase."""
    return f"{command_id} with bonus"


def owing_id(command_id: str) -> str:
    """The id of what has become owed when a command found it used."""
    return f"{command_id} beyond credit"


def is_of_top_up(command_id: str) -> bool:
    """Whether a command follows from a top-up, and not from what a caller has asked for under its own id."""
    return command_id.startswith("top-up ")


def is_owing(command_id: str) -> bool:
    """Whether an adjustment has this id because used credit was taken back, so that it is owed."""
    return is_of_top_up(command_id) and command_id.endswith(" beyond credit")


class OfTopUp(OfAccount, frozen=True):
    """A command about a top-up that was opened."""

    top_up_id: str
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account and the top-up."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.TOP_UP, (self.account_id, self.top_up_id))


class OpenTopUp(OfAccount, frozen=True):
    """Open a top-up. A repeat finds the one that was opened under its id, if that was for the same.

    An account has at most `most_pending` that are pending, and one that a low balance has asked for. What is
    offered to a `group` is for accounts in it, an empty one for those in none; without one it is for all.
    """

    top_up: TopUp
    most_pending: int = 10
    group: str | None = None

    def add_needs(self, needs: Needs) -> None:
        """Add the account, the top-up that may have this id, and those that are pending."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.TOP_UP, (self.account_id, self.top_up.id))
        needs.add(kinds.PENDING_TOP_UP, self.account_id)


class NoteTopUp(OfTopUp, frozen=True):
    """Note what the provider calls a pending top-up, and where it is paid."""

    provider: str
    reference: str
    url: str = ""

    def add_needs(self, needs: Needs) -> None:
        """Add the account, the top-up, and what has this name."""
        super().add_needs(needs)
        needs.add(kinds.REFERENCE, (self.provider, self.reference))


class ConfirmTopUp(OfTopUp, frozen=True):
    """Credit a top-up: its provider says that `price_cents` were paid. It is credited once.

    Also one that has failed or expired: what was paid is credited, whatever was thought of it before.
    """

    provider: str
    reference: str
    price_cents: int
    lot_id: str
    bonus_lot_id: str

    def add_needs(self, needs: Needs) -> None:
        """Add the account, its due lots, the top-up, and what its grants have done."""
        super().add_needs(needs)
        needs.add_lots(self.account_id, self.at_us)
        needs.add_grant(self.at_us + DAY_US)
        ids = (purchase_id(self.top_up_id), bonus_id(self.top_up_id))
        needs.add(kinds.COMMAND, *((self.account_id, command_id) for command_id in ids))
        if self.reference:
            needs.add(kinds.REFERENCE, (self.provider, self.reference))


class FailTopUp(OfTopUp, frozen=True):
    """Close a pending top-up that was not paid."""

    state: Literal["failed", "expired"]
    reason: str


class RefundTopUp(OfTopUp, frozen=True):
    """Take of a top-up's credit what its buyer gets back so many cents for; what is unused of its bonus goes.

    It takes all or nothing, and is carried out once for its `command_id`.
    """

    command_id: str
    cents: int
    reason: str

    def add_needs(self, needs: Needs) -> None:
        """Add the account, its lots, the top-up, and what earlier commands with these ids did."""
        super().add_needs(needs)
        needs.add_lots(self.account_id, self.at_us)
        ids = (self.command_id, bonus_return_id(self.command_id))
        needs.add(kinds.COMMAND, *((self.account_id, command_id) for command_id in ids))


class ReverseTopUp(OfTopUp, frozen=True):
    """Follow the provider, which has paid back or lost in a dispute so many cents of a top-up in all.

    What is unused is taken; what was used is owed, or let go. Sums that are known already change nothing.
    """

    refunded_cents: int
    disputed_cents: int
    reason: str
    on_used: OnShortfall = "owe"

    def add_needs(self, needs: Needs) -> None:
        """Add the account, its lots, and the top-up. Its ids follow from sums that only grow."""
        super().add_needs(needs)
        needs.add_lots(self.account_id, self.at_us)


class OfAuto(OfAccount, frozen=True):
    """A command about how an account is topped up by itself."""

    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account, and how it is topped up by now."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.AUTO_TOP_UP, self.account_id)


class SetAutoTopUp(OfAuto, frozen=True):
    """Have an account topped up by itself, or not. The means of payment that was saved stays."""

    state: AutoState
    threshold_nano: int = 0
    amount_nano: int = 0
    target_nano: int = 0
    daily_nano: int = 0
    monthly_nano: int = 0


class SaveMethod(OfAuto, frozen=True):
    """Save what the provider calls the buyer, and the means by which later payments may be made."""

    customer: str
    method: str
