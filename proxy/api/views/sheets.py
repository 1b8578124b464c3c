"""Papers that people keep, as a page of HTML or a PDF file: who issued them, a table, and its sums."""

import io
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from typing import Any, Final

import msgspec

from proxy.errors import Refusal

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
_PAGE_WIDTH: Final = 510
"""What a table may take of the width of a page, in points."""
_FIRST_SHARE: Final = 0.4
"""How much of that its first column takes."""


class Sheet(msgspec.Struct, frozen=True):
    """A paper: its title, who issued it line by line, facts about it, a table, and sums below that."""

    title: str
    issuer: tuple[str, ...]
    about: tuple[tuple[str, str], ...]
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    sums: Sequence[tuple[str, str]]


def html_of(sheet: Sheet) -> bytes:
    """The page. Every text is escaped."""
    issuer = "<br>".join(escape(text) for text in sheet.issuer if text)
    about = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in sheet.about)
    headings = "".join(f"<th>{escape(name)}</th>" for name in sheet.headings)
    rows = "".join(_row(row) for row in sheet.rows)
    sums = "".join(_row(row) for row in sheet.sums)
    title = escape(sheet.title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{issuer}</p><table>{about}</table>"
        f"<table><tr>{headings}</tr>{rows}</table><table>{sums}</table></body></html>"
    ).encode()


def pdf_of(sheet: Sheet) -> bytes:
    """The file. Raises Refusal `conflict` where the library is not installed that makes it."""
    if find_spec("reportlab") is None:
        raise Refusal("conflict", "PDF files need the extra `pdf`: pip install farebox[pdf].")
    # It is loaded only by those who ask for a file: most processes never do.
    from reportlab.lib import colors  # noqa: PLC0415
    from reportlab.lib.pagesizes import A4  # noqa: PLC0415
    from reportlab.lib.styles import getSampleStyleSheet  # noqa: PLC0415
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table  # noqa: PLC0415

    styles = getSampleStyleSheet()
    text = styles["BodyText"]
    ruled: list[Any] = [("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.grey), ("FONTSIZE", (0, 0), (-1, -1), 8)]
    to_the_right = ("ALIGN", (1, 0), (-1, -1), "RIGHT")
    rows: list[Any] = [sheet.headings]
    rows += ((Paragraph(escape(first), text), *others) for first, *others in sheet.rows)
    file = io.BytesIO()
    issuer = [line for line in sheet.issuer if line]
    author = issuer[0] if issuer else ""
    document = SimpleDocTemplate(file, pagesize=A4, title=sheet.title, author=author, invariant=1)
    document.build(
        [
            Paragraph(escape(sheet.title), styles["Title"]),
            Paragraph("<br/>".join(map(escape, issuer)), text),
            *(Paragraph(escape(f"{name}: {about}"), text) for name, about in sheet.about),
            Spacer(1, 12),
            Table(rows, colWidths=_widths(len(sheet.headings)), repeatRows=1, style=[*ruled, to_the_right]),
            Spacer(1, 12),
            *([Table(list(sheet.sums), hAlign="RIGHT", style=[*ruled, to_the_right])] if sheet.sums else []),
        ]
    )
    return file.getvalue()


def _widths(columns: int) -> list[float]:
    first = _PAGE_WIDTH * _FIRST_SHARE
    return [first, *[(_PAGE_WIDTH - first) / (columns - 1)] * (columns - 1)]


def _row(row: tuple[str, ...]) -> str:
    first, *numbers = row
    cells = "".join(f'<td class="n">{escape(text)}</td>' for text in numbers)
    return f"<tr><td>{escape(first)}</td>{cells}</tr>"
