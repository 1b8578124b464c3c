"""Invoices: what the entries of an account came to since its invoice before, fixed once it is issued."""

from typing import Final

import msgspec

from proxy.ledger import kinds
from proxy.ledger.command import Command
from proxy.ledger.invoice_rows import Invoice, Parties
from proxy.ledger.needs import Needs

LINES_MAX: Final = 1_000
"""The most lines of one invoice."""


class IssueInvoice(Command, frozen=True):
    """Issue an invoice, once for its account, period and part; it begins where the one before it ends."""

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
        """Add the account, its newest invoice, the one that is there, both end entries, and credit notes."""
        invoice = self.invoice
        needs.accounts.add(invoice.account_id)
        needs.add(kinds.INVOICE, (invoice.account_id, invoice.period, invoice.part))
        needs.add(kinds.CREDIT_NOTES_FROM, (invoice.account_id, invoice.first_seq))
        needs.add(kinds.NEWEST_INVOICE, invoice.account_id)
        needs.add(
            kinds.ENTRY, *((invoice.account_id, seq) for seq in (invoice.first_seq - 1, invoice.last_seq))
        )


class InvoicePolicy(msgspec.Struct, frozen=True):
    """Who issues invoices, how they are numbered, and on which day those of the month before are made.

    `number` has `{year}`, `{month}` and `{account}` where these stand; `note_number`, which is that of credit
    notes, `{account}` and `{serial}`. An account with a credit limit gets an early invoice once its usage
    that is on none is `threshold_nano`; None is never.
    """

    seller: str = ""
    address: tuple[str, ...] = ()
    tax_id: str = ""
    number: str = "INV-{year}{month}-{account}"
    day: int = 1
    note_number: str = "CN-{account}-{serial}"
    threshold_nano: int | None = None

    def number_of(self, account_id: str, period: str, part: int = 0) -> str:
        """The number of the invoice of an account for a month, or for an early part of it."""
        year, _, month = period.partition("-")
        number = _filled(self.number, year=year, month=month, account=account_id)
        return f"{number}-{part}" if part else number

    def note_number_of(self, account_id: str, serial: int) -> str:
        """The number of an account's credit note."""
        return _filled(self.note_number, account=account_id, serial=str(serial))

    def parties_with(self, account_name: str) -> Parties:
        """Who issues to whom."""
        return Parties(account_name, self.seller, self.address, self.tax_id)


def _filled(number: str, **values: str) -> str:
    for name, value in values.items():
        number = number.replace(f"{{{name}}}", value)
    return number
