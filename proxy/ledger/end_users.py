"""The commands about end users: an account's limits for one of them, and the end of rows that are idle."""

from proxy.ledger import kinds
from proxy.ledger.command import OfAccount
from proxy.ledger.end_user_rows import EndUserLimits
from proxy.ledger.needs import Needs


class LimitEndUser(OfAccount, frozen=True):
    """Set the limits of one end user in place of those it has, in the account's own words for whom it is."""

    end_user: str
    limits: EndUserLimits
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account and what is known of the end user."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.END_USER, (self.account_id, self.end_user))


class ForgetEndUsers(OfAccount, frozen=True):
    """Delete what is known of end users of whom nothing is left to count."""

    end_users: tuple[str, ...]
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account and what is known of them."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.END_USER, *((self.account_id, each) for each in self.end_users))
