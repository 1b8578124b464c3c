"""The command about windows that have ended long ago: nothing reads what was spent and counted in them."""

from typing import Final

from proxy.ledger import kinds
from proxy.ledger.command import OfAccount
from proxy.ledger.needs import Needs
from proxy.ledger.windows import Window

KEPT_DAYS: Final = 400
"""How long a window is kept from its first day on.

That is longer than a call may still end in it, or usage from outside be told of it, or a month be settled.
"""


class ForgetWindows(OfAccount, frozen=True):
    """Delete buckets of an account, by scope, window and first day, and counters, by name and the same.

    What is younger than `KEPT_DAYS` stays, by the clock and by the latest day on which the account has spent
    anything; so does what is held, and what is of no window but the total.
    """

    at_us: int
    buckets: tuple[tuple[str, Window, int], ...] = ()
    counters: tuple[tuple[str, Window, int], ...] = ()

    def add_needs(self, needs: Needs) -> None:
        """Add the account, the buckets and the counters."""
        needs.accounts.add(self.account_id)
        needs.add(kinds.ENDED_BUCKET, *((self.account_id, *key) for key in self.buckets))
        needs.add(kinds.COUNTER, *((self.account_id, *key) for key in self.counters))
