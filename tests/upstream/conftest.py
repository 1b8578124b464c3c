"""What the tests of upstreams share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from proxy.upstream.client import HttpUpstreams


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Sockets end differently on the loop that serves and on the one of the standard library."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def client() -> AsyncIterator[HttpUpstreams]:
    client = HttpUpstreams()
    await client.open()
    yield client
    await client.close()
