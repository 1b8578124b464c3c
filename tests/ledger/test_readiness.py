"""When a ledger says that calls would get through."""

import pytest

from proxy.errors import Refusal
from proxy.ledger.commands import Granted
from proxy.ledger.ledger import Ledger
from proxy.ledger.rows import Key
from proxy.ledger.store import LedgerUnavailable
from proxy.tasks import Tasks
from tests.ledger.desk import Desk
from tests.ledger.memory import MemoryStore


class HalfStore(MemoryStore):
    """A store that finds keys only while `is_readable`, and takes batches all the time."""

    is_readable = True

    async def key_by_digest(self, digest: str) -> Key | None:
        if not self.is_readable:
            raise LedgerUnavailable("no connection is left")
        return await super().key_by_digest(digest)


async def test_a_ledger_that_takes_batches_and_finds_no_key_is_not_ready() -> None:
    """No call would get as far as a batch."""
    faults: list[BaseException] = []
    store, tasks = HalfStore(), Tasks(lambda _, error: faults.append(error))
    desk, ledger = Desk(store), Ledger(store, tasks)
    desk.grant(100)
    ledger.start()
    assert await ledger.is_ready()
    store.is_readable = False
    assert isinstance(await ledger.authorize(desk.ask(5)), Granted)
    assert not await ledger.is_ready()
    store.is_readable = True
    assert await ledger.is_ready()
    await ledger.close()
    assert not await ledger.is_ready()
    with pytest.raises(Refusal):
        await ledger.authorize(desk.ask(5))
    assert faults == []
