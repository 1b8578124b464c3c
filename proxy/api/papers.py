"""Answers that are JSON, or a paper of the same as HTML or PDF: as `format` or `Accept` says."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal, TypeVar

from aiohttp import hdrs
from msgspec import Struct

from proxy.api.operations import Document
from proxy.api.reader import SUM_BYTES
from proxy.api.views.sheets import HTML_HEADERS, Sheet, html_of, pdf_of
from proxy.call.off_loop import off_loop

_View = TypeVar("_View")
_PDFS: Final = ThreadPoolExecutor(1, thread_name_prefix="pdf")
"""PDF files are made one after the other, so that they keep no call waiting for its thread."""
Format = Literal["json", "csv", "html", "pdf"]
PaperFormat = Literal["json", "html", "pdf"]
_MEDIA: Final[dict[str, Format]] = {"text/csv": "csv", "text/html": "html", "application/pdf": "pdf"}


class PaperQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """In which form a paper is asked for; without it, as `Accept` says."""

    format: PaperFormat | None = None


def format_of(wanted: Format | None, accept: str) -> Format:
    """The form that is asked for: what `Accept` names first decides where nothing else does."""
    first = accept.partition(",")[0].partition(";")[0].strip().lower()
    return wanted or _MEDIA.get(first, "json")


async def paper(
    form: Format, name: str, view: Callable[[], _View], sheet: Callable[[], Sheet], *, rows: int = 0
) -> _View | Document:
    """A view as JSON, or its paper, which a PDF file has the name of. It is made of so many `rows`."""
    size_bytes = rows * SUM_BYTES
    if form == "html":
        made = await off_loop(size_bytes, lambda: html_of(sheet()))
        return Document(made, "text/html", {**HTML_HEADERS})
    if form == "pdf":
        headers = {str(hdrs.CONTENT_DISPOSITION): f'attachment; filename="{name}.pdf"'}
        made = await asyncio.get_running_loop().run_in_executor(_PDFS, lambda: pdf_of(sheet()))
        return Document(made, "application/pdf", headers)
    return await off_loop(size_bytes, view)
