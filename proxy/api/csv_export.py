"""Answers as CSV: rows are sent as they are read, so that however many there are take little memory."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Final

from aiohttp import hdrs, web

from proxy.edge.middleware import REQUEST_ID, name_ourselves, raw_path
from proxy.endpoints.dialects import dialect_of

MEDIA: Final = "text/csv"
SENT_AT_ONCE: Final = 64 * 1024
"""How many characters are gathered before they are sent."""
ROWS_AT_ONCE: Final = 40
"""How many rows a piece has at most: calls go on in between, and each row takes up to 0.1 milliseconds."""
_FORMULA: Final = frozenset("=+-@\t\r")
"""What spreadsheets take for the beginning of a formula."""

Cell = str | int | None
Piece = Sequence[Sequence[Cell]]
"""Some rows."""
Turn = Callable[[], AbstractAsyncContextManager[None]]
"""A turn to work on one piece."""


@dataclass(frozen=True)
class Csv:
    """A table: its name, the names of its columns, and its rows in pieces as they come.

    No piece has more than `ROWS_AT_ONCE` rows, so that the table holds the loop for none but these.
    """

    name: str
    columns: Sequence[str]
    pieces: AsyncIterator[Piece]

    async def send(self, request: web.Request, turn: Turn = nullcontext) -> web.StreamResponse:
        """Send it: each piece is read when it is its `turn`, and none is taken while the client is slow.

        A fault after the first piece breaks the connection off, so that no part passes for all.
        """
        response = web.StreamResponse()
        response.content_type = MEDIA
        response.charset = "utf-8"
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        response.headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{self.name}.csv"'
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self.columns)
        while True:
            async with turn():
                piece = await anext(self.pieces, None)
                writer.writerows([harmless(cell) for cell in row] for row in piece or ())
            if piece is None:
                break
            if not response.prepared:
                await self._begin(request, response)
            if text.tell() >= SENT_AT_ONCE:
                await response.write(text.getvalue().encode())
                text.seek(0)
                text.truncate()
        if not response.prepared:
            await self._begin(request, response)
        await response.write_eof(text.getvalue().encode())
        return response

    async def _begin(self, request: web.Request, response: web.StreamResponse) -> None:
        # Nobody names a response that is on its way.
        name_ourselves(response.headers, request[REQUEST_ID], dialect_of(raw_path(request), request.headers))
        await response.prepare(request)


async def in_pieces(rows: Iterable[Sequence[Cell]]) -> AsyncIterator[Piece]:
    """Rows that are there, in pieces, with other work in between."""
    rest = iter(rows)
    while piece := list(islice(rest, ROWS_AT_ONCE)):
        yield piece
        await asyncio.sleep(0)


def harmless(cell: Cell) -> Cell:
    """A cell that no spreadsheet takes for a formula: such a text gets an apostrophe before it."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA else cell


def wants_csv(request: web.Request) -> bool:
    """Whether the client prefers CSV: by `format=csv`, or by an `Accept` that names it first."""
    wanted = request.query.get("format", "")
    return wanted == "csv" or (not wanted and request.headers.get(hdrs.ACCEPT, "").startswith(MEDIA))
