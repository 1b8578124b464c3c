"""The way to one origin: the connections to it that are kept, and new ones when none is."""

import asyncio

from aiohttp import (
    ClientRequest,
    ClientTimeout,
    ConnectionTimeoutError,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.connector import Connection
from yarl import URL

from proxy.upstream.connection import Wire


class Door:
    """Connections to the host and port of `url`, kept for `keepalive_seconds` between requests.

    Satisfies `proxy.upstream.connection.Keeper`.
    """

    def __init__(self, connector: TCPConnector, url: URL, keepalive_seconds: float) -> None:
        self._connector = connector
        self._wanted = ClientRequest("GET", url, loop=asyncio.get_running_loop())
        self._keepalive_seconds = keepalive_seconds
        self._kept: dict[Wire, None] = {}

    def kept(self) -> Wire | None:
        """The connection that was used last, if one is kept; it is nobody else's from here on."""
        while self._kept:
            wire, _ = self._kept.popitem()
            if wire.is_usable():
                return wire
            wire.stop()
        return None

    async def new(self, connect_seconds: float) -> Wire:
        """A new connection. Raises ClientConnectorError and its kin, ConnectionTimeoutError among them."""
        connecting = ClientTimeout(total=None, connect=connect_seconds)
        try:
            lease = await self._connector.connect(self._wanted, [], connecting)
        except TimeoutError:
            raise ConnectionTimeoutError from None
        return self._taken_over(lease)

    def keep(self, wire: Wire) -> None:
        """Let the next request have it, or close it when none comes in time."""
        wire.watch(self._keepalive_seconds)
        self._kept[wire] = None

    def forget(self, wire: Wire) -> None:
        """Let go of a wire that has ended; one that is not kept is no fault."""
        self._kept.pop(wire, None)

    def _taken_over(self, lease: Connection) -> Wire:
        """A wire in the place of the connector's own protocol, with what that one has already read."""
        protocol, transport = lease.protocol, lease.transport
        if protocol is None or transport is None:
            lease.close()
            raise ServerDisconnectedError
        early = _Early()
        protocol.set_parser(early, None)
        wire = Wire(lease, early.data, self)
        transport.set_protocol(wire)
        wire.connection_made(transport)
        return wire


class _Early:
    """What an upstream says before it is asked, in the place of a parser."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing follows from the end of the connection here."""
