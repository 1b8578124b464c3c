"""The connections to one origin: idle ones, and new ones when none is idle."""

from aiohttp import TCPConnector
from yarl import URL

from proxy.upstream.aiohttp_client import connect, connect_request, take_over
from proxy.upstream.connection import Connection


class ConnectionPool:
    """Connections to the host and port of `url`; each stays open for `keepalive_seconds` between requests.

    Satisfies `proxy.upstream.connection.Keeper`.
    """

    def __init__(self, connector: TCPConnector, url: URL, keepalive_seconds: float) -> None:
        self._connector = connector
        self._request = connect_request(url)
        self._keepalive_seconds = keepalive_seconds
        self._idle: dict[Connection, None] = {}

    def idle_connection(self) -> Connection | None:
        """The connection that was used last, or None. It leaves the pool."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_usable():
                return connection
            connection.stop()
        return None

    async def new_connection(self, connect_seconds: float) -> Connection:
        """A new connection. Raises ClientConnectorError, ConnectionTimeoutError, ServerDisconnectedError."""
        lease = await connect(self._connector, self._request, connect_seconds)
        transport, early = take_over(lease)
        connection = Connection(lease, early, self)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        return connection

    def keep(self, connection: Connection) -> None:
        """Take a connection back for the next request, and close it if none comes in time."""
        connection.watch(self._keepalive_seconds)
        self._idle[connection] = None

    def forget(self, connection: Connection) -> None:
        """Drop a connection that has ended; it need not be in the pool."""
        self._idle.pop(connection, None)
