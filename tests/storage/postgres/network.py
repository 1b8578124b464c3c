"""A network to PostgreSQL that can fail: before a message arrives, or after it was carried out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

Fate = Literal["cut before", "cut after", "stall"]
"""The fate of a message: the server never gets it, the client never gets its answer, or nothing moves."""

SOCKET: Final = ".s.PGSQL.5432"
TERMINATE: Final = b"X\x00\x00\x00\x04"
"""What a client says last. The server has carried out all that came before when it closes the connection."""


class Network:
    """A socket in `folder` that leads to the server at `location`; `location` with it is its own."""

    def __init__(self, location: str, folder: Path) -> None:
        (host,) = parse_qs(urlsplit(location).query)["host"]
        self.location = location.replace(host, str(folder))
        self._near, self._far = folder / SOCKET, f"{host}/{SOCKET}"
        self._mark = b""
        self._fate: Fate | None = None
        self._refusing = False

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Network"]:
        """Take connections until the end of the context."""
        server = await asyncio.start_unix_server(self._serve, self._near)
        try:
            yield self
        finally:
            server.close()

    def cut(self, mark: bytes, fate: Fate, *, for_good: bool = False) -> None:
        """Decide about the next message with a text in it, and whether there are connections after it."""
        self._mark, self._fate, self._refusing = mark, fate, False
        self._for_good = for_good

    def mend(self) -> None:
        """Let connections be made again."""
        self._refusing, self._fate = False, None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.close()
            return
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_unix_connection(self._far)
            heard = asyncio.Event()
            heard.set()
            back = asyncio.ensure_future(_pass_back(far_reader, writer, heard))
            try:
                while data := await reader.read(1 << 20):
                    fate = self._fate if self._fate and self._mark in data else None
                    if fate:
                        self._fate, self._refusing = None, self._for_good
                    if fate == "cut before":
                        break
                    if fate == "stall":
                        while await reader.read(1 << 20):
                            pass
                        break
                    if fate == "cut after":
                        heard.clear()
                        data += TERMINATE
                    far_writer.write(data)
                    if fate == "cut after":
                        await asyncio.wait({back})
                        break
            finally:
                back.cancel()
                far_writer.close()
                writer.close()


async def _pass_back(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.Event
) -> None:
    """Pass on what the server says, as long as the client is to hear it."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 20):
            if heard.is_set():
                writer.write(data)
    writer.close()
