"""The ledger's verbs for calls that become jobs or go to another upstream, and what recovery leaves alone."""

from collections.abc import AsyncIterator

import pytest

from proxy.errors import Refusal
from proxy.ledger.commands import Done, Refused
from proxy.ledger.ledger import Ledger
from proxy.tasks import Tasks
from tests.ledger.desk import NOON_US, Desk


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.grant(100)
    for call_id in ("call", "job"):
        desk.hold(10, call_id)
    return desk


@pytest.fixture
async def ledger(desk: Desk) -> AsyncIterator[Ledger]:
    """A ledger that carries commands out, of which no task may fail."""

    def fail(name: str, error: BaseException) -> None:
        raise error

    ledger = Ledger(desk.store, Tasks(fail))
    ledger.start()
    yield ledger
    await ledger.close()


async def test_recovery_leaves_jobs_alone(desk: Desk, ledger: Ledger) -> None:
    """After their deadline as well: the poller asks about them once more, and ends them."""
    assert await ledger.detach(desk.detachment("job", 90)) == Done()
    assert len(await ledger.recover(NOON_US + 89)) == 1
    assert {hold.id: hold.state for hold in desk.store.books.holds.values()} == {
        "call": "expired",
        "job": "open",
    }
    assert len(await ledger.recover(NOON_US + 90)) == 0
    assert desk.account.held_nano == 10


async def test_a_hold_that_is_detached_while_it_is_recovered_is_not_counted(
    desk: Desk, ledger: Ledger
) -> None:
    """Recovery read it as an orphan, and comes too late."""
    detached = ledger.submit(desk.detachment("job", 90))
    assert len(await ledger.recover(NOON_US + 1)) == 1
    assert await detached == Done()
    assert desk.account.held_nano == 10


async def test_a_rerouted_call_is_on_the_ledger_before_it_is_sent(desk: Desk, ledger: Ledger) -> None:
    assert await ledger.reroute(desk.rerouting("call", "second")) == Done()
    assert desk.store.books.holds["call"].call.upstream == "second"
    desk.void("call")
    refused = await ledger.reroute(desk.rerouting("call", "third"))
    assert isinstance(refused, Refused)
    assert refused.code == "conflict"


async def test_a_ledger_that_ends_neither_reroutes_nor_detaches(desk: Desk, ledger: Ledger) -> None:
    await ledger.close()
    for verb in (ledger.reroute(desk.rerouting("call", "second")), ledger.detach(desk.detachment("job", 9))):
        with pytest.raises(Refusal, match="cannot be written"):
            await verb
