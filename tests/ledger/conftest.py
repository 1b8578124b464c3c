"""What tests of the ledger share."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from tests.ledger.house import House


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A house whose ledger is closed at the end; nothing may have gone wrong without anybody looking."""
    house = House()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: house.unseen.append(context))
    yield house
    house.store.gate.set()
    await house.ledger.close()
    await house.tasks.drain(1)
    gc.collect(1)
    assert house.unseen == []
