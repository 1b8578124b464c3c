"""Credit notes: papers of their own for what is refunded once the invoice is issued that it was on."""

from proxy.ledger import kinds
from proxy.ledger.command import Command
from proxy.ledger.invoice_rows import CreditNote
from proxy.ledger.kinds import InvoiceKey
from proxy.ledger.needs import Needs


class IssueCreditNote(Command, frozen=True):
    """Issue a credit note, once for its refund, to an invoice of this period and part."""

    note: CreditNote
    period: str
    part: int

    @property
    def account_id(self) -> str:
        """The account."""
        return self.note.account_id

    @property
    def at_us(self) -> int:
        """When it is issued."""
        return self.note.issued_at_us

    @property
    def invoice_key(self) -> InvoiceKey:
        """The key of the invoice."""
        return self.note.account_id, self.period, self.part

    def add_needs(self, needs: Needs) -> None:
        """Add the account, both entries, the invoice, the newest one, the note and the newest of these."""
        note = self.note
        needs.accounts.add(note.account_id)
        needs.add(kinds.ENTRY, (note.account_id, note.seq), (note.account_id, note.of_seq))
        needs.add(kinds.INVOICE, self.invoice_key)
        needs.add(kinds.NEWEST_INVOICE, note.account_id)
        needs.add(kinds.CREDIT_NOTE, (note.account_id, note.seq))
        needs.add(kinds.NEWEST_CREDIT_NOTE, note.account_id)
