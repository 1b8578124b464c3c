"""The command about usage that was never authorized: it has happened elsewhere, and is only told of."""

from typing import Final

import msgspec

from proxy.ledger import kinds
from proxy.ledger.command import Command
from proxy.ledger.needs import Needs
from proxy.ledger.rows import UNLIMITED, Call, Limits, OnShortfall, Outcome
from proxy.ledger.windows import DAY_US
from proxy.pricing.charge import NO_CHARGE, Charge

EVENT: Final = "event"
"""The kind of the object by which usage that was recorded is known."""


def seen_of(digest: str) -> str:
    """What is kept of all that was said, as the JSON of its object."""
    return msgspec.json.encode({"digest": digest}).decode()


class Record(Command, frozen=True):
    """Charge for usage without a hold, and leave its receipt, once for its `name` within the account.

    The name is kept as an object of the account, with the `digest` of all that was said: a repeat says the
    same. It is counted in the windows of `used_at_us`, which is not after `at_us`. Nobody can refuse what has
    been used, so that no limit and no lack of funds does, unless the debt would be beyond all amounts.
    `group` is the one that the account was taken to be in: the charge is at its prices, and `defaults` are
    the limits of its accounts that set none of their own, to which it counts for its end user.
    """

    call: Call
    name: str
    digest: str
    used_at_us: int
    at_us: int
    outcome: Outcome
    charge: Charge = NO_CHARGE
    on_shortfall: OnShortfall = "owe"
    group: str = ""
    defaults: Limits = UNLIMITED

    def add_needs(self, needs: Needs) -> None:
        """Add the account, its due lots, what is known under the name, and what was spent on that day."""
        account_id, key_id, day = self.call.account_id, self.call.key_id, self.used_at_us // DAY_US
        needs.add_lots(account_id, self.at_us)
        needs.add_hold(account_id, self.call.id)
        needs.add(kinds.OBJECT, (account_id, self.name))
        needs.days.add((account_id, account_id, day))
        if key_id:
            needs.keys.add((account_id, key_id))
            needs.days.add((account_id, key_id, day))
        if self.call.counts_user:
            needs.add(kinds.END_USER, (account_id, self.call.end_user))
        if self.charge.tiers:
            needs.add_counters(account_id, self.charge, self.used_at_us)
