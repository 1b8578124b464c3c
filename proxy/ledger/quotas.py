"""Quotas: how many calls of a class of models an account may make in one UTC day."""

import msgspec

from proxy.ledger import kinds
from proxy.ledger.command import OfAccount
from proxy.ledger.needs import Needs


class Quota(msgspec.Struct, frozen=True):
    """At most so many calls a day, counted under a name."""

    name: str
    limit: int


class SetHoldings(OfAccount, frozen=True):
    """Note how much an account holds elsewhere, as of a time, and put it in the `group` that this is for.

    It is ignored where something later is known. An account that is in none of `groups`, which holdings
    decide about, stays where it is: that is a conflict.
    """

    held: int
    as_of_us: int
    group: str
    groups: tuple[str, ...]
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account and its membership."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.MEMBERSHIP, self.account_id)
