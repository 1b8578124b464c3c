"""Every name of aiohttp's client that it does not document, so that a new aiohttp can break this module only.

`tests/upstream/test_aiohttp_client.py` has a table of these names, and fails with the one that moved.
"""

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

__all__ = ["ConnectorLease", "connect", "connect_request", "end_lease", "take_over"]


def connect_request(url: URL) -> ClientRequest:
    """The request that tells a connector which origin to connect to."""
    return ClientRequest("GET", url, loop=asyncio.get_running_loop())


async def connect(connector: TCPConnector, request: ClientRequest, seconds: float) -> ConnectorLease:
    """A new connection. Raises ClientConnectorError, or ConnectionTimeoutError after `seconds`."""
    try:
        return await connector.connect(request, [], ClientTimeout(total=None, connect=seconds))
    except TimeoutError:
        raise ConnectionTimeoutError from None


def take_over(lease: ConnectorLease) -> tuple[asyncio.Transport, bytes]:
    """The transport of a connection, and the bytes that have come over it already.

    The caller sets a protocol of its own on the transport. Raises ServerDisconnectedError.
    """
    protocol, transport = lease.protocol, lease.transport
    if protocol is None or transport is None:
        lease.close()
        raise ServerDisconnectedError
    early = _EarlyBytes()
    protocol.set_parser(early, None)
    return transport, early.data


def end_lease(lease: ConnectorLease, error: BaseException | None) -> None:
    """Tell the connector that the connection has ended; idempotent."""
    if lease.protocol is not None:
        lease.protocol.connection_lost(error)
        lease.close()


class _EarlyBytes:
    """Takes the place of a parser, and collects what an upstream sends before it is asked."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """The end of the connection adds nothing."""
