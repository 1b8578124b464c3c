"""What Farebox takes for granted of aiohttp's client although no documentation promises it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import TCPConnector
from yarl import URL

from proxy.upstream.aiohttp_client import connect, connect_request, end_lease, take_over
from tests.aiohttp_names import CLIENT_NAMES, fault_of
from tests.upstream.scripted import Connection, scripted


@pytest.mark.parametrize("entry", CLIENT_NAMES)
def test_aiohttp_has_each_name_that_is_used(entry: str) -> None:
    """A name, a member or a parameter that a new aiohttp moved is the one that fails here."""
    assert fault_of(entry) is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("aiohttp.gone:Anything", "aiohttp.gone:Anything is gone"),
        ("aiohttp:TCPConnector.gone", "aiohttp:TCPConnector.gone is gone"),
        ("aiohttp:ClientRequest(method, gone)", "aiohttp:ClientRequest takes no gone"),
    ],
)
def test_what_aiohttp_lacks_is_named(entry: str, said: str) -> None:
    """A module, a member, or a parameter."""
    assert (fault_of(entry) or "").startswith(said)


@pytest.fixture
async def connector() -> AsyncIterator[TCPConnector]:
    connector = TCPConnector(limit=0, force_close=True)
    yield connector
    await connector.close()


async def test_a_connection_is_taken_over_with_what_has_come(connector: TCPConnector) -> None:
    """What the upstream sends before it is asked is handed over, and the connector forgets an ended one."""
    sent = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.send(b"early")
        sent.set()
        await connection.gone()

    async with scripted(script) as upstream:
        lease = await connect(connector, connect_request(URL(upstream.base_url)), 5.0)
        await sent.wait()
        for _ in range(3):  # The bytes are here, and the loop still has to read them.
            await asyncio.sleep(0)
        transport, early = take_over(lease)
        assert early == b"early"
        transport.abort()
        end_lease(lease, None)
        assert lease.protocol is None
        end_lease(lease, None)
