"""What an audit reads of invoices."""

import msgspec


class InvoiceRow(msgspec.Struct, frozen=True, gc=False):
    """All of an invoice, with its seal."""

    account_id: str
    period: str
    id: str
    number: str
    first_seq: int
    last_seq: int
    opening_nano: int
    credits_nano: int
    charges_nano: int
    closing_nano: int
    debt_nano: int
    issued_at_us: int
    lines: str
    paid: str
    parties: str
    part: int
    noted_nano: int
    seal: int


class CreditNoteRow(msgspec.Struct, frozen=True, gc=False):
    """All of a credit note, with its seal."""

    account_id: str
    seq: int
    id: str
    number: str
    serial: int
    invoice_id: str
    invoice_number: str
    of_seq: int
    amount_nano: int
    ref: str
    name: str
    reason: str
    issued_at_us: int
    parties: str
    seal: int
