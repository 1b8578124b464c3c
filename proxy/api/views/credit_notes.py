"""Credit notes as the APIs show them, and as tables, pages and PDF files do."""

from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.csv_export import Cell, Csv
from proxy.api.views.invoices import SellerView
from proxy.api.views.money import Display, Usd, When, display, instant
from proxy.api.views.sheets import Sheet
from proxy.ledger.invoice_rows import CreditNote
from proxy.money import Unit, usd_string

COLUMNS: Final = (
    *("number", "account_id", "invoice_number", "issued_at", "about", "ref", "name", "reason"),
    "amount_usd",
)


class CreditNoteView(Struct, frozen=True, kw_only=True):
    """A credit note: what was refunded of something that is on an invoice.

    It is `about` a call of the model `name`, some of whose charge was given back, or about a lot of the kind
    `name`, of which unused credit was paid back: then `amount` is below zero, as it left the account. `entry`
    is the number of the refund's entry, and `refunded_entry` that of the one on the invoice.
    """

    object: Literal["credit_note"] = "credit_note"
    id: str
    number: str
    account_id: str
    account_name: str
    invoice_id: str
    invoice_number: str
    about: Literal["call", "lot"]
    ref: str
    name: str
    amount: Usd
    reason: str
    entry: int
    refunded_entry: int
    issued_at: When
    seller: SellerView
    display: Display | UnsetType = UNSET


def credit_note_view(note: CreditNote, unit: Unit) -> CreditNoteView:
    """The view of a credit note."""
    parties = note.parties
    return CreditNoteView(
        id=note.id,
        number=note.number,
        account_id=note.account_id,
        account_name=parties.account,
        invoice_id=note.invoice_id,
        invoice_number=note.invoice_number,
        about=_about(note),
        ref=note.ref,
        name=note.name,
        amount=usd_string(note.amount_nano),
        reason=note.reason,
        entry=note.seq,
        refunded_entry=note.of_seq,
        issued_at=instant(note.issued_at_us),
        seller=SellerView(name=parties.seller, address=list(parties.address), tax_id=parties.tax_id or None),
        display=display(unit, amount=note.amount_nano),
    )


def credit_note_table(note: CreditNote) -> Csv:
    """The one line of a credit note."""
    return Csv(f"credit-note-{note.serial}", COLUMNS, _rows(note))


def credit_note_sheet(note: CreditNote) -> Sheet:
    """The paper of a credit note."""
    parties, amount = note.parties, usd_string(abs(note.amount_nano))
    what = "Given back for call" if note.amount_nano > 0 else "Paid back of credit"
    return Sheet(
        f"Credit note {note.number}",
        (parties.seller, *parties.address, parties.tax_id),
        (
            ("To invoice", note.invoice_number),
            ("Issued", instant(note.issued_at_us)),
            ("Account", f"{parties.account} ({note.account_id})"),
        ),
        ("Item", "Reason", "Amount (USD)"),
        [(f"{what} {note.ref} ({note.name})", note.reason, amount)],
        [("Credited", amount)],
    )


def _about(note: CreditNote) -> Literal["call", "lot"]:
    return "call" if note.amount_nano > 0 else "lot"


async def _rows(note: CreditNote) -> AsyncIterator[Sequence[Sequence[Cell]]]:
    row = (
        *(note.number, note.account_id, note.invoice_number, instant(note.issued_at_us), _about(note)),
        *(note.ref, note.name, note.reason, usd_string(note.amount_nano)),
    )
    yield [row]
