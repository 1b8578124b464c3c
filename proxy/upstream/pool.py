"""The way to one origin: the connections to it that are kept, and new ones when none is."""

import asyncio

from aiohttp import (
    ClientRequest,
    ClientTimeout,
    ConnectionTimeoutError,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.connector import Connection as ConnectorLease
from yarl import URL

from proxy.upstream.connection import Connection


class ConnectionPool:
    """Connections to the host and port of `url`, kept for `keepalive_seconds` between requests.

    Satisfies `proxy.upstream.connection.Keeper`.
    """

    def __init__(self, connector: TCPConnector, url: URL, keepalive_seconds: float) -> None:
        self._connector = connector
        self._wanted = ClientRequest("GET", url, loop=asyncio.get_running_loop())
        self._keepalive_seconds = keepalive_seconds
        self._kept: dict[Connection, None] = {}

    def kept(self) -> Connection | None:
        """The connection that was used last, if one is kept; it is nobody else's from here on."""
        while self._kept:
            connection, _ = self._kept.popitem()
            if connection.is_usable():
                return connection
            connection.stop()
        return None

    async def new(self, connect_seconds: float) -> Connection:
        """A new connection. Raises ClientConnectorError and its kin, ConnectionTimeoutError among them."""
        connecting = ClientTimeout(total=None, connect=connect_seconds)
        try:
            lease = await self._connector.connect(self._wanted, [], connecting)
        except TimeoutError:
            raise ConnectionTimeoutError from None
        return self._taken_over(lease)

    def keep(self, connection: Connection) -> None:
        """Let the next request have it, or close it when none comes in time."""
        connection.watch(self._keepalive_seconds)
        self._kept[connection] = None

    def forget(self, connection: Connection) -> None:
        """Let go of a wire that has ended; one that is not kept is no fault."""
        self._kept.pop(connection, None)

    def _taken_over(self, lease: ConnectorLease) -> Connection:
        """A wire in the place of the connector's own protocol, with what that one has already read."""
        protocol, transport = lease.protocol, lease.transport
        if protocol is None or transport is None:
            lease.close()
            raise ServerDisconnectedError
        early = _Early()
        protocol.set_parser(early, None)
        connection = Connection(lease, early.data, self)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        return connection


class _Early:
    """What an upstream says before it is asked, in the place of a parser."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing follows from the end of the connection here."""
