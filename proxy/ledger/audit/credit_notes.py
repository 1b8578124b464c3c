"""What must hold of credit notes: each is of a refund of what is on its invoice, in a series without gaps."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import astuple

from proxy.ledger.audit.invoice_rows import CreditNoteRow, InvoiceRow
from proxy.ledger.audit.rows import Difference, EntryRow, compare
from proxy.ledger.rows import Draw
from proxy.ledger.seals import seal_of

_decode_draws = msgspec.json.Decoder(tuple[Draw, ...]).decode


class Noted:
    """The credit notes of one account, compared with its entries as these pass by in their order."""

    def __init__(self, notes: Iterable[CreditNoteRow], invoices: Iterable[InvoiceRow]) -> None:
        self.of_refunds = {note.seq: note for note in notes}
        self._left = dict(self.of_refunds)
        self._origins: dict[int, EntryRow | None] = {note.of_seq: None for note in self._left.values()}
        self._invoices = {invoice.id: invoice for invoice in invoices} if self._left else {}

    @property
    def is_over(self) -> bool:
        """Whether there is none left, so that no entry has to be looked at."""
        return not self._left

    def pass_by(self, entry: EntryRow) -> Iterator[Difference]:
        """Add the next entry. Yields what is wrong with the credit note that is of it."""
        if entry.seq in self._origins:
            self._origins[entry.seq] = entry
        note = self._left.pop(entry.seq, None)
        if note is None:
            return
        yield from compare("credit_notes", note.id, "amount_nano", entry.amount_nano, note.amount_nano)
        yield from compare("credit_notes", note.id, "ref", entry.ref, note.ref)
        yield from compare("credit_notes", note.id, "seq", "refund", entry.kind)
        origin = self._origins.get(note.of_seq)
        if origin is None or not _is_refund_of(entry, origin):
            yield Difference("credit_notes", note.id, "of_seq", "what was refunded", str(note.of_seq))

    def rest_faults(self) -> Iterator[Difference]:
        """What is left when all entries have passed by, and what is wrong with the notes themselves."""
        for note in self._left.values():
            yield Difference("credit_notes", note.id, "seq", "the number of an entry", str(note.seq))
        notes = sorted(self.of_refunds.values(), key=lambda each: each.serial)
        for serial, note in enumerate(notes, 1):
            yield from compare("credit_notes", note.id, "serial", serial, note.serial)
            *sealed, seal = astuple(note)
            yield from compare("credit_notes", note.id, "seal", seal_of(*sealed), seal)
            invoice = self._invoices.get(note.invoice_id)
            if invoice is None or not invoice.first_seq <= note.of_seq <= invoice.last_seq < note.seq:
                yield Difference("credit_notes", note.id, "invoice_id", "its invoice", note.invoice_id)
            else:
                yield from compare(
                    "credit_notes", note.id, "invoice_number", invoice.number, note.invoice_number
                )


def _is_refund_of(refund: EntryRow, origin: EntryRow) -> bool:
    if refund.amount_nano > 0:
        return (origin.kind, origin.ref) == ("charge", refund.ref)
    try:
        draws = _decode_draws(origin.draws)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return False
    return bool(draws) and origin.kind in ("grant", "adjust") and draws[0].lot_id == refund.ref
