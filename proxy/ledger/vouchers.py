"""Commands about vouchers.

A voucher is no account's, and may lie elsewhere than an account does. So it is redeemed by two commands: its
row is claimed, which is done once for an account, and then granted under an id that follows from the voucher.
Whoever redeems it again after a crash in between gets the rest.
"""

from proxy.ledger import kinds
from proxy.ledger.command import Command
from proxy.ledger.needs import Needs
from proxy.ledger.rows import Voucher


class MakeVoucher(Command, frozen=True):
    """Make a voucher from its digest; the code itself never comes here."""

    voucher: Voucher

    def add_needs(self, needs: Needs) -> None:
        """Add the voucher that may have this digest."""
        needs.add(kinds.VOUCHER, self.voucher.digest)


class ClaimVoucher(Command, frozen=True):
    """Use a voucher up by one for an account. A repeat finds the claim, and changes nothing."""

    digest: str
    account_id: str
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the voucher, and the account's claim of it."""
        needs.add(kinds.VOUCHER, self.digest)
        needs.add(kinds.CLAIM, (self.digest, self.account_id))
