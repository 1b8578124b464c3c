"""How many pages a PDF has, by a library that reads hostile files as well."""

import io
import logging
from typing import Final

PDF_BYTES_MAX: Final = 8_388_608
"""Larger files are not opened."""


def pdf_pages(file: bytes) -> int | None:
    """The number of pages; None for what cannot be read, or is too large. Call it off the event loop."""
    if len(file) > PDF_BYTES_MAX:
        return None
    import pypdf  # noqa: PLC0415 - few calls need it, and importing it takes a while.

    logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)  # It quotes what it reads.
    try:
        pages = pypdf.PdfReader(io.BytesIO(file)).get_num_pages()
    except Exception:  # noqa: BLE001 - whatever is wrong with a file, its size is left.
        return None
    return pages if pages > 0 else None
