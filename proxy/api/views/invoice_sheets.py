"""An invoice as people read it."""

from typing import Final

from proxy.api.views.invoices import price_text
from proxy.api.views.money import instant
from proxy.api.views.sheets import Sheet
from proxy.ledger.invoice_rows import Invoice, InvoiceLine
from proxy.money import usd_string

HEADINGS: Final = ("Item", "Price", "Quantity", "Calls", "Amount (USD)")
_KINDS: Final = {
    "shortfall": "Not charged for want of funds",
    "other_usage": "Other usage",
    "credit": "Credit",
    "debit": "Debit",
}


def invoice_sheet(invoice: Invoice) -> Sheet:
    """The paper of an invoice: a row for each line, what it comes to, and what paid for its usage."""
    parties = invoice.parties
    figures = [
        ("Opening balance", invoice.opening_nano),
        *((("Credit notes", invoice.noted_nano),) if invoice.noted_nano else ()),
        ("Credits", invoice.credits_nano),
        ("Charges", -invoice.charges_nano),
        ("Closing balance", invoice.closing_nano),
        ("Amount due", invoice.debt_nano),
        *((f"Usage paid by: {paid.kind or 'other'}", paid.amount_nano) for paid in invoice.paid),
    ]
    return Sheet(
        f"Invoice {invoice.number}",
        (parties.seller, *parties.address, parties.tax_id),
        (
            ("Month", f"{invoice.period}, early ({invoice.part})" if invoice.part else invoice.period),
            ("Issued", instant(invoice.issued_at_us)),
            ("Account", f"{parties.account} ({invoice.account_id})"),
        ),
        HEADINGS,
        [_row(line) for line in invoice.lines],
        [(name, usd_string(nano)) for name, nano in figures],
    )


def _row(line: InvoiceLine) -> tuple[str, ...]:
    return (
        _item(line),
        f"{price_text(line)} / {line.per}" if line.price_nano else "",
        str(line.quantity) if line.meter else "",
        str(line.count),
        usd_string(line.amount_nano),
    )


def _item(line: InvoiceLine) -> str:
    if line.kind == "usage":
        return f"{line.name}: {line.meter} ({line.price_id})"
    return ": ".join(text for text in (_KINDS[line.kind], line.name) if text)
