"""Pages of PDFs are counted by a library; what it cannot read has none, and costs little."""

import zlib
from collections.abc import Callable

import pytest

from proxy.metering.documents import PDF_BYTES_MAX, pdf_pages


def written(objects: list[bytes]) -> bytes:
    """A PDF of these objects, the first of which is its root."""
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + head + table + tail


def pdf(pages: int) -> bytes:
    kids = b" ".join(b"%d 0 R" % number for number in range(3, 3 + pages))
    tree = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, pages)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] >>"
    return written([b"<< /Type /Catalog /Pages 2 0 R >>", tree, *[page] * pages])


@pytest.mark.parametrize("pages", [1, 3, 120])
def test_the_pages_of_a_pdf_are_counted(pages: int) -> None:
    assert pdf_pages(pdf(pages)) == pages


CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
STREAM = b"<< /Type /ObjStm /N 9 /First 9 /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream"


def bomb() -> bytes:
    packed = zlib.compress(b"\0" * 200_000_000, 9)
    return written([STREAM % (len(packed), packed)])


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no pdf": lambda: b"%PDF-1.7\nnothing",
    "cut": lambda: pdf(3)[:90],
    "a tree that is its own child": lambda: written([CATALOG, b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]),
    "a count that is absurd": lambda: written([CATALOG, b"<< /Type /Pages /Kids [] /Count 999999999 >>"]),
    "a table before itself": lambda: pdf(1).replace(b"/Size", b"/Prev 200 /Size"),
    "a bomb": bomb,
    "deep": lambda: written([CATALOG, b"[" * 50_000 + b"]" * 50_000]),
    "too large": lambda: pdf(1) + b"\0" * PDF_BYTES_MAX,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_has_no_pages_or_few(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised, nothing is logged, and it ends."""
    pages = pdf_pages(HOSTILE[name]())
    assert pages is None or 1 <= pages < 10
    assert caplog.text == ""
