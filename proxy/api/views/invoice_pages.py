"""An invoice as a page of HTML and as a PDF file."""

import io
from html import escape
from importlib.util import find_spec
from typing import Any, Final

from proxy.api.views.invoices import price_text
from proxy.api.views.money import instant
from proxy.errors import Refusal
from proxy.ledger.invoices import Invoice, InvoiceLine
from proxy.money import usd_string

_STYLE: Final = (
    "body{font:14px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}"
    "td,th{border-bottom:1px solid #ccc;padding:.3rem .5rem;text-align:left}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}"
)
# A page that was made of stored text runs no script and loads nothing, whatever that text is.
HTML_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}
_WIDTHS: Final = (200, 110, 70, 50, 80)
HEADINGS: Final = ("Item", "Price", "Quantity", "Calls", "Amount (USD)")
_KINDS: Final = {
    "shortfall": "Not charged for want of funds",
    "other_usage": "Other usage",
    "credit": "Credit",
    "debit": "Debit",
}


def rows_of(invoice: Invoice) -> list[tuple[str, str, str, str, str]]:
    """What the table of an invoice shows, a row for each line."""
    return [
        (
            _item(line),
            f"{price_text(line)} / {line.per}" if line.price_nano else "",
            str(line.quantity) if line.meter else "",
            str(line.count),
            usd_string(line.amount_nano),
        )
        for line in invoice.lines
    ]


def sums_of(invoice: Invoice) -> list[tuple[str, str]]:
    """What an invoice comes to, and what paid for its usage."""
    figures = [
        ("Opening balance", invoice.opening_nano),
        ("Credits", invoice.credits_nano),
        ("Charges", -invoice.charges_nano),
        ("Closing balance", invoice.closing_nano),
        ("Amount due", invoice.debt_nano),
        *((f"Usage paid by: {paid.kind or 'other'}", paid.amount_nano) for paid in invoice.paid),
    ]
    return [(name, usd_string(nano)) for name, nano in figures]


def html_of(invoice: Invoice) -> bytes:
    """The page. Every text is escaped."""
    parties = invoice.parties
    seller = "<br>".join(escape(text) for text in (parties.seller, *parties.address, parties.tax_id) if text)
    about = (
        ("Invoice", invoice.number),
        ("Month", invoice.period),
        ("Issued", instant(invoice.issued_at_us)),
        ("Account", f"{parties.account} ({invoice.account_id})"),
    )
    head = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in about)
    titles = "".join(f"<th>{escape(name)}</th>" for name in HEADINGS)
    body = "".join(_row(row) for row in rows_of(invoice))
    sums = "".join(
        f'<tr><th>{escape(name)}</th><td class="n">{text}</td></tr>' for name, text in sums_of(invoice)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(invoice.number)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>Invoice</h1><p>{seller}</p><table>{head}</table>"
        f"<table><tr>{titles}</tr>{body}</table><table>{sums}</table></body></html>"
    ).encode()


def pdf_of(invoice: Invoice) -> bytes:
    """The file. Raises Refusal `conflict` where the library is not installed that makes it."""
    if find_spec("reportlab") is None:
        raise Refusal("conflict", "PDF files need the extra `pdf`: pip install farebox[pdf].")
    # It is loaded only by those who ask for a file: most processes never do.
    from reportlab.lib import colors  # noqa: PLC0415
    from reportlab.lib.pagesizes import A4  # noqa: PLC0415
    from reportlab.lib.styles import getSampleStyleSheet  # noqa: PLC0415
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table  # noqa: PLC0415

    styles, parties = getSampleStyleSheet(), invoice.parties
    text = styles["BodyText"]
    ruled: list[Any] = [("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.grey), ("FONTSIZE", (0, 0), (-1, -1), 8)]
    issuer = (parties.seller, *parties.address, parties.tax_id)
    issued = f"{invoice.period}, issued {instant(invoice.issued_at_us)}"
    items: list[Any] = [HEADINGS]
    items += ((Paragraph(escape(first), text), *numbers) for first, *numbers in rows_of(invoice))
    to_the_right = ("ALIGN", (1, 0), (-1, -1), "RIGHT")
    file = io.BytesIO()
    document = SimpleDocTemplate(file, pagesize=A4, title=invoice.number, author=parties.seller, invariant=1)
    document.build(
        [
            Paragraph(escape(f"Invoice {invoice.number}"), styles["Title"]),
            Paragraph("<br/>".join(escape(line) for line in issuer if line), text),
            Paragraph(escape(f"{issued}, for {parties.account} ({invoice.account_id})"), text),
            Spacer(1, 12),
            Table(items, colWidths=_WIDTHS, repeatRows=1, style=[*ruled, to_the_right]),
            Spacer(1, 12),
            Table(sums_of(invoice), hAlign="RIGHT", style=[*ruled, to_the_right]),
        ]
    )
    return file.getvalue()


def _row(row: tuple[str, str, str, str, str]) -> str:
    first, *numbers = row
    cells = "".join(f'<td class="n">{escape(text)}</td>' for text in numbers)
    return f"<tr><td>{escape(first)}</td>{cells}</tr>"


def _item(line: InvoiceLine) -> str:
    if line.kind == "usage":
        return f"{line.name}: {line.meter} ({line.price_id})"
    return ": ".join(text for text in (_KINDS[line.kind], line.name) if text)
