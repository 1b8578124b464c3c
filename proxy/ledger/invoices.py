"""Invoices: what the entries of an account came to since its invoice before, fixed once it is issued."""

from typing import Final

import msgspec

from proxy.ledger import kinds
from proxy.ledger.command import Command
from proxy.ledger.invoice_rows import Invoice
from proxy.ledger.needs import Needs

LINES_MAX: Final = 1_000
"""The most lines of one invoice."""


class IssueInvoice(Command, frozen=True):
    """Issue an invoice, once for its account and period; it begins where the one before it ends."""

    invoice: Invoice

    @property
    def account_id(self) -> str:
        """The account."""
        return self.invoice.account_id

    @property
    def at_us(self) -> int:
        """When it is issued."""
        return self.invoice.issued_at_us

    def add_needs(self, needs: Needs) -> None:
        """Add the account, its newest invoice and that of this period, and the entries at both ends."""
        invoice = self.invoice
        needs.accounts.add(invoice.account_id)
        needs.add(kinds.INVOICE, (invoice.account_id, invoice.period))
        needs.add(kinds.NEWEST_INVOICE, invoice.account_id)
        needs.add(
            kinds.ENTRY, *((invoice.account_id, seq) for seq in (invoice.first_seq - 1, invoice.last_seq))
        )


class InvoicePolicy(msgspec.Struct, frozen=True):
    """Who issues invoices, how they are numbered, and on which day those of the month before are made.

    `number` has `{year}`, `{month}` and `{account}` where these stand.
    """

    seller: str = ""
    address: tuple[str, ...] = ()
    tax_id: str = ""
    number: str = "INV-{year}{month}-{account}"
    day: int = 1

    def number_of(self, account_id: str, period: str) -> str:
        """The number of the invoice of an account for a month."""
        year, _, month = period.partition("-")
        values = {"{year}": year, "{month}": month, "{account}": account_id}
        number = self.number
        for name, value in values.items():
            number = number.replace(name, value)
        return number
