"""Recovery closes what it can: one hold that cannot be closed is in nobody else's way."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from proxy.errors import Refusal
from proxy.ledger.commands import Command, CreateKey, Grant, OpenAccount, Result
from proxy.ledger.ledger import Ledger
from proxy.ledger.store import LedgerUnavailable
from proxy.tasks import Tasks
from tests.ledger.desk import ACCOUNT, NOON_US, Desk
from tests.ledger.memory import MemoryStore


def with_an_orphan_each(store: MemoryStore) -> Desk:
    """Two accounts, each with a call in flight of a process that is gone."""
    desk = Desk(store)
    desk.grant(100)
    desk.hold(10, "call")
    other = desk.ask(10, call_id="other")
    other = replace(other, call=replace(other.call, account_id="account_2", key_id="key_2"))
    store.commit(
        [
            OpenAccount("account_2", "Another", NOON_US),
            CreateKey("account_2", "key_2", "A key", "another digest", "hint", NOON_US),
            Grant("account_2", "grant", "lot", 100, NOON_US),
            other,
        ]
    )
    return desk


async def test_an_account_that_does_not_add_up_keeps_no_other_from_being_recovered() -> None:
    """Nor the process from starting; the fault is reported, once by each batch that meets it."""
    faults: list[BaseException] = []
    desk = with_an_orphan_each(MemoryStore())
    desk.store.books.put_account(replace(desk.account, held_nano=9))
    tasks = Tasks(lambda _, error: faults.append(error))
    ledger = Ledger(desk.store, tasks)
    ledger.start()
    assert len(await ledger.recover(NOON_US + 1)) == 1
    assert len(await ledger.recover(NOON_US + 2)) == 0
    holds = desk.store.books.holds
    assert (holds["call"].state, holds["other"].state) == ("open", "expired")
    await ledger.close()
    assert {type(fault) for fault in faults} == {AssertionError}


async def test_recovery_that_the_end_of_the_ledger_cuts_short_says_so() -> None:
    class Down(MemoryStore):
        async def apply(self, commands: Sequence[Command]) -> list[Result]:
            raise LedgerUnavailable("down")

    store = Down()
    desk = with_an_orphan_each(store)
    tasks = Tasks(lambda _, error: pytest.fail(repr(error)))
    ledger = Ledger(store, tasks)
    ledger.start()
    recovery = tasks.spawn(_refused(ledger), name="recovery")
    await asyncio.sleep(0)
    await ledger.close()
    assert await recovery == "ledger_unavailable"
    assert desk.store.books.holds["call"].account_id == ACCOUNT


async def _refused(ledger: Ledger) -> str:
    with pytest.raises(Refusal) as refused:
        await ledger.recover(NOON_US)
    return refused.value.code
