"""A store that cannot be written: nothing new passes, closes wait, and nobody waits for ever."""

import asyncio
from typing import Any

import pytest

from proxy.errors import Refusal
from proxy.ledger.commands import (
    Granted,
    Settled,
)
from proxy.ledger.ledger import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, Ledger
from proxy.ledger.store import LedgerLost, LedgerUnavailable
from tests.ledger.house import House, code_of, settled


async def test_in_an_outage_nothing_new_passes_and_closes_are_tried_until_they_succeed(house: House) -> None:
    house.desk.hold(10, "call")
    house.store.faults.extend([LedgerUnavailable()] * 7)
    new = house.ledger.submit(house.desk.ask(5))
    settlement = house.ledger.settle(house.desk.settlement("call", 10))
    house.ledger.start()
    assert await settlement == Settled(10, 0, 90, 90)
    assert code_of(new) == "ledger_unavailable"
    assert house.store.tried == [2, *[1] * 7]
    assert house.slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert (house.slept[0], house.slept[-1]) == (FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
    assert house.faults == []


async def test_when_an_outage_lasts_callers_are_told_and_their_closes_stay(house: House) -> None:
    """Once for all: the patience is with the outage, and not with each caller."""
    for call_id in ("first", "second"):
        house.desk.hold(10, call_id)
    house.ledger = Ledger(house.store, house.tasks, sleep=house.sleep, patience_seconds=0)
    house.store.faults.extend([LedgerUnavailable()] * 3)
    futures = [house.ledger.settle(house.desk.settlement(call_id, 10)) for call_id in ("first", "second")]
    house.ledger.start()
    for future in futures:
        with pytest.raises(Refusal, match="cannot be written"):
            await future
    await settled()
    assert [receipt.call.id for receipt in house.desk.receipts] == ["first", "second"]
    assert (house.ledger.waiting, house.desk.account.held_nano) == (0, 0)
    assert house.faults == []


async def test_a_ledger_whose_store_is_lost_turns_everything_away_at_once_and_for_good(house: House) -> None:
    """Closes too: nothing will ever be written, and the next process closes what is open."""
    house.desk.hold(10, "call")
    house.store.faults.append(LedgerLost("The file was taken away."))
    close, new = (
        house.ledger.settle(house.desk.settlement("call", 10)),
        house.ledger.submit(house.desk.ask(5)),
    )
    house.ledger.start()
    await settled()
    late = house.ledger.settle(house.desk.settlement("call", 10))
    assert {code_of(future) for future in (close, new, late)} == {"ledger_unavailable"}
    assert (house.store.tried, house.slept, house.outages) == ([2], [], ["The file was taken away."])
    assert not house.ledger.available


async def test_a_new_outage_is_waited_out_from_the_start(house: House) -> None:
    house.desk.hold(10, "a")
    house.desk.hold(10, "b")
    house.ledger.start()
    for call_id in "ab":
        house.store.faults.extend([LedgerUnavailable()] * 2)
        await house.ledger.settle(house.desk.settlement(call_id, 10))
    assert house.slept == [0.05, 0.1, 0.05, 0.1]


async def test_while_the_store_is_down_calls_fail_at_once_and_closes_queue_in_order(house: House) -> None:
    for call_id in ("first", "second"):
        house.desk.hold(10, call_id)
    asked: list[asyncio.Future[Any]] = []

    async def during_the_pause(seconds: float) -> None:
        asked.append(house.ledger.submit(house.desk.ask(5)))
        asked.append(house.ledger.settle(house.desk.settlement("second", 10)))

    house.ledger = Ledger(house.store, house.tasks, sleep=during_the_pause)
    house.store.faults.append(LedgerUnavailable())
    first = house.ledger.settle(house.desk.settlement("first", 10))
    house.ledger.start()
    await first
    assert code_of(asked[0]) == "ledger_unavailable"
    assert isinstance(await asked[1], Settled)
    assert [receipt.call.id for receipt in house.desk.receipts] == ["first", "second"]


async def test_without_anything_to_close_an_outage_is_not_waited_out(house: House) -> None:
    house.store.faults.append(LedgerUnavailable())
    house.ledger.start()
    with pytest.raises(Refusal):
        await house.ledger.authorize(house.desk.ask(5))
    assert isinstance(await house.ledger.authorize(house.desk.ask(5)), Granted)
    assert house.slept == []


async def test_an_outage_is_told_once(house: House) -> None:
    house.store.faults.extend([LedgerUnavailable("disk full")] * 2)
    house.ledger.start()
    for _ in range(2):
        with pytest.raises(Refusal):
            await house.ledger.authorize(house.desk.ask(5))
    assert house.outages == [house.ledger.outage] == ["disk full"]
