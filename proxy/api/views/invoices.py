"""Invoices as the APIs show them, and as tables, pages and PDF files do."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.csv_export import Cell, Csv, in_pieces
from proxy.api.views.money import Display, Usd, When, display, instant
from proxy.ledger.invoice_rows import Invoice, InvoiceHead, InvoiceLine, LineKind
from proxy.money import NANO_PER_USD, Unit, decimal_string, usd_string

COLUMNS: Final = (
    *("number", "month", "account_id", "kind", "name", "price_id", "meter", "quantity", "price_usd", "per"),
    *("count", "amount_usd"),
)


class InvoiceLineView(Struct, frozen=True, kw_only=True):
    """One line; what the account was charged is below zero. Usage has its price, and a count of calls."""

    kind: LineKind
    name: str
    amount: Usd
    count: int
    price_id: str | None
    meter: str | None
    quantity: int | None
    price: Usd | None
    per: int | None


class PaidView(Struct, frozen=True, kw_only=True):
    """What paid for usage: lots of one kind, or `debt`."""

    kind: str
    amount: Usd


class SellerView(Struct, frozen=True, kw_only=True):
    """Who issued the invoice."""

    name: str
    address: list[str]
    tax_id: str | None


class InvoiceSummary(Struct, frozen=True, kw_only=True):
    """An invoice without its lines: `opening + credit_notes + credits - charges = closing`.

    These are the balance less all debt. `credit_notes` is what is on papers of their own, and on no line. An
    early invoice is the `part` of its month with this number, which is null for the one that ends it. `due`
    is what is owed after it: the credit limit that was drawn, and usage beyond all funds.
    """

    object: Literal["invoice"] = "invoice"
    id: str
    number: str
    account_id: str
    month: str
    issued_at: When
    opening: Usd
    credits: Usd
    charges: Usd
    closing: Usd
    due: Usd
    part: int | None
    credit_notes: Usd
    display: Display | UnsetType = UNSET


class InvoiceView(InvoiceSummary, frozen=True, kw_only=True):
    """An invoice as it was issued. Its entries are those from `first_entry` to `last_entry`."""

    account_name: str
    seller: SellerView
    first_entry: int
    last_entry: int
    usage: Usd
    lines: list[InvoiceLineView]
    paid: list[PaidView]


def invoice_summary(invoice: Invoice | InvoiceHead, unit: Unit) -> InvoiceSummary:
    """The view of an invoice without its lines."""
    return InvoiceSummary(**_members(invoice, unit))


def invoice_view(invoice: Invoice, unit: Unit) -> InvoiceView:
    """The view of an invoice."""
    parties = invoice.parties
    return InvoiceView(
        **_members(invoice, unit),
        account_name=parties.account,
        seller=SellerView(name=parties.seller, address=list(parties.address), tax_id=parties.tax_id or None),
        first_entry=invoice.first_seq,
        last_entry=invoice.last_seq,
        usage=usd_string(invoice.usage_nano),
        lines=[_line_view(line) for line in invoice.lines],
        paid=[PaidView(kind=paid.kind, amount=usd_string(paid.amount_nano)) for paid in invoice.paid],
    )


def invoice_table(invoice: Invoice) -> Csv:
    """The lines of an invoice."""
    return Csv(file_name(invoice), COLUMNS, in_pieces(_rows(invoice)))


def file_name(invoice: Invoice) -> str:
    """What a file with an invoice is called."""
    return f"invoice-{invoice.period}-{invoice.part}" if invoice.part else f"invoice-{invoice.period}"


def price_text(line: InvoiceLine) -> str:
    """The price of usage in US dollars, in full; empty for what has none."""
    return decimal_string(Fraction(Decimal(line.price_nano)) / NANO_PER_USD) if line.price_nano else ""


def _rows(invoice: Invoice) -> Iterator[Sequence[Cell]]:
    for line in invoice.lines:
        yield (
            *(invoice.number, invoice.period, invoice.account_id, line.kind, line.name, line.price_id),
            *(line.meter, line.quantity, price_text(line), line.per, line.count),
            usd_string(line.amount_nano),
        )


def _members(invoice: Invoice | InvoiceHead, unit: Unit) -> dict[str, Any]:
    figures = {
        name: getattr(invoice, f"{name}_nano") for name in ("opening", "credits", "charges", "closing")
    }
    figures |= {"due": invoice.debt_nano, "credit_notes": invoice.noted_nano}
    return {
        "id": invoice.id,
        "number": invoice.number,
        "account_id": invoice.account_id,
        "month": invoice.period,
        "part": invoice.part or None,
        "issued_at": instant(invoice.issued_at_us),
        **{name: usd_string(nano) for name, nano in figures.items()},
        "display": display(unit, **figures),
    }


def _line_view(line: InvoiceLine) -> InvoiceLineView:
    is_usage = line.kind == "usage"
    return InvoiceLineView(
        kind=line.kind,
        name=line.name,
        amount=usd_string(line.amount_nano),
        count=line.count,
        price_id=line.price_id if is_usage else None,
        meter=line.meter if is_usage else None,
        quantity=line.quantity if is_usage else None,
        price=price_text(line) if is_usage else None,
        per=line.per if is_usage else None,
    )
