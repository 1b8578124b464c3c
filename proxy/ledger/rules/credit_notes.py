"""The rule of credit notes: one for each refund of what is on an invoice, in a series without gaps."""

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.credit_notes import IssueCreditNote
from proxy.ledger.invoice_rows import CreditNote
from proxy.ledger.rows import Entry
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.invoices import newest_invoice
from proxy.ledger.rules.registry import carries_out
from proxy.money import usd_string


@carries_out(IssueCreditNote)
def issue_credit_note(books: Books, command: IssueCreditNote) -> Done | Refused:
    """Issue a credit note; a refund that has one keeps it. One that is on an invoice itself gets none."""
    note = command.note
    account = books.accounts.get(note.account_id)
    if account is None:
        return no_account(note.account_id)
    issued = books.credit_notes.get((account.id, note.seq))
    if issued is not None:
        return Done(replayed=True, credit_note=issued)
    refused = _wrong(books, command) or _out_of_turn(books, note)
    if refused:
        return refused
    books.credit_notes.put(note)
    books.put_event(
        *(account.id, "credit_note.issued", str(note.seq), note.issued_at_us),
        credit_note_id=note.id,
        number=note.number,
        invoice_id=note.invoice_id,
        amount=usd_string(note.amount_nano),
        ref=note.ref,
    )
    return Done(credit_note=note)


def is_refund_of(refund: Entry, origin: Entry) -> bool:
    """Whether an entry has given something back of another one: of a charge, or of what made a lot."""
    if refund.kind != "refund" or refund.seq <= origin.seq:
        return False
    if refund.amount_nano > 0:
        return (origin.kind, origin.ref) == ("charge", refund.ref)
    made = origin.draws[0].lot_id if origin.amount_nano > 0 and origin.draws else ""
    return origin.kind in ("grant", "adjust") and made == refund.ref


def _wrong(books: Books, command: IssueCreditNote) -> Refused | None:
    """Why it is no credit note to its invoice, or None."""
    note, invoice = command.note, books.invoices.get(command.invoice_key)
    newest = newest_invoice(books, note.account_id)
    if invoice is None or newest is None or invoice.id != note.invoice_id:
        return Refused("not_found", f"There is no invoice {note.invoice_id} of this account.")
    refund, origin = (books.entry(note.account_id, seq) for seq in (note.seq, note.of_seq))
    if refund is None or origin is None or not is_refund_of(refund, origin):
        return Refused("invalid_value", "The credit note is of no refund of such an entry.")
    if not invoice.first_seq <= note.of_seq <= invoice.last_seq:
        return Refused("invalid_value", "What was refunded is not on this invoice.")
    if note.seq <= newest.last_seq:
        return Refused("conflict", "The refund is on an invoice itself.")
    if (note.amount_nano, note.ref) != (refund.amount_nano, refund.ref):
        return Refused("invalid_value", "The credit note says something else than its refund.")
    return None


def _out_of_turn(books: Books, note: CreditNote) -> Refused | None:
    """Why its serial is not the next one, or None."""
    mine = (each.serial for each in books.credit_notes.values() if each.account_id == note.account_id)
    serial = max(mine, default=0) + 1
    if note.serial != serial:
        return Refused("conflict", f"The next credit note of the account is its {serial}.")
    return None
