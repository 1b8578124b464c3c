"""Databases and open stores for the storage tests."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.ledger.store import Store
from tests.storage.engines import ENGINES, Engine, Postgres

OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """An empty database of each engine in turn."""
    return ENGINES[request.param](tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> Postgres:
    """An empty database of PostgreSQL."""
    return Postgres(tmp_path)


@pytest.fixture
async def open_store(engine: Engine) -> AsyncIterator[OpenStore]:
    """Open a further store on the database; all are closed after the test."""
    async with AsyncExitStack() as stack:

        async def open_another() -> Store:
            store = engine.store()
            stack.push_async_callback(store.close)
            await store.open()
            return store

        yield open_another


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    """An open store on the database."""
    return await open_store()
