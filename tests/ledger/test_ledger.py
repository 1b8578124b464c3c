"""The ledger's verbs: batches, backpressure, cancellation, outages, and an orderly end."""

import asyncio

import pytest

from proxy.errors import Refusal
from proxy.ledger.commands import (
    Adjust,
    Command,
    Done,
    Grant,
    Granted,
    Observe,
    Refused,
    Settled,
)
from proxy.ledger.rows import Observed
from proxy.ledger.store import LedgerUnavailable
from tests.ledger.desk import ACCOUNT, NOON_US, charge_of
from tests.ledger.house import House, code_of, settled


async def test_what_waits_while_a_batch_is_written_is_the_next_batch(house: House) -> None:
    """A lone command goes at once, and the crowd that comes meanwhile together; neither waits for a timer."""
    house.ledger.start()
    house.store.gate.clear()
    futures = [house.ledger.submit(command) for command in house.sweeps(1)]
    await settled()
    futures += [house.ledger.submit(command) for command in house.sweeps(9)]
    assert house.ledger.waiting == 10
    house.store.gate.set()
    assert all(isinstance(result, Done) for result in await asyncio.gather(*futures))
    assert (house.store.tried, house.batches, house.ledger.waiting) == ([1, 9], [1, 9], 0)
    assert house.slept == []


async def test_a_batch_has_a_largest_size(house: House) -> None:
    house.ledger = house.new_ledger(max_batch=4)
    futures = [house.ledger.submit(command) for command in house.sweeps(10)]
    house.ledger.start()
    await asyncio.gather(*futures)
    assert house.batches == [4, 4, 2]


async def test_each_command_gets_its_own_result_in_order(house: House) -> None:
    house.ledger.start()
    first = house.ledger.submit(house.desk.ask(60, call_id="first"))
    second = house.ledger.submit(house.desk.ask(60, call_id="second"))
    third = house.ledger.submit(house.desk.ask(40, call_id="third"))
    results = await asyncio.gather(first, second, third)
    assert [type(result) for result in results] == [Granted, Refused, Granted]
    assert house.batches == [3]


async def test_the_verbs_do_what_they_say(house: House) -> None:
    house.ledger.start()
    desk, ledger = house.desk, house.ledger
    assert await ledger.authorize(desk.ask(30, call_id="call")) == Granted(30, 70)
    assert await ledger.extend(desk.extension("call", 10)) == Granted(40, 60)
    assert isinstance(await ledger.authorize(desk.ask(61)), Refused)
    assert await ledger.settle(desk.settlement("call", 35)) == Settled(35, 0, 65, 65)
    await ledger.authorize(desk.ask(5, call_id="other"))
    assert await ledger.void(desk.voiding("other")) == Settled(0, 0, 65, 65)
    done = await ledger.command(Grant(ACCOUNT, "g", "lot", 5, NOON_US))
    assert done == Done(desk.account, entry=desk.entries[-1])


async def test_a_refused_administration_raises(house: House) -> None:
    house.ledger.start()
    with pytest.raises(Refusal) as refused:
        await house.ledger.command(Adjust(ACCOUNT, "a", "lot", -101_000_000_000, "why", NOON_US))
    assert refused.value.code == "conflict"
    assert refused.value.details["required"] == "101.00"


async def test_closing_a_hold_that_is_not_there_is_answered_not_raised(house: House) -> None:
    house.ledger.start()
    house.desk.ask(1, call_id="never made")
    assert isinstance(await house.ledger.void(house.desk.voiding("never made")), Refused)


async def test_a_full_inbox_turns_away_all_but_what_closes_holds(house: House) -> None:
    house.desk.hold(10, "call")
    house.ledger = house.new_ledger(max_waiting=2)
    waiting = [house.ledger.submit(command) for command in house.sweeps(2)]
    with pytest.raises(Refusal, match="cannot be written"):
        await house.ledger.authorize(house.desk.ask(1))
    settlement = house.ledger.settle(house.desk.settlement("call", 10))
    house.ledger.start()
    assert await settlement == Settled(10, 0, 90, 90)
    assert all(future.done() for future in waiting)


@pytest.mark.parametrize("steps", range(8))
async def test_a_caller_that_is_cancelled_leaves_no_hold(house: House, steps: int) -> None:
    """At whatever moment: before the batch is taken, while it is written, when the answer is on its way."""
    command = house.desk.ask(30, call_id="call")
    caller = house.tasks.spawn(house.ledger.authorize(command), name="caller")
    await asyncio.sleep(0)
    house.ledger.start()
    await settled(steps)
    if caller.cancel():
        with pytest.raises(asyncio.CancelledError):
            await caller
        await house.ledger.close()
        (receipt,) = house.desk.receipts
        assert (receipt.outcome.outcome, receipt.outcome.status) == ("client_left", 499)
        assert (house.desk.account.held_nano, house.desk.account.available_nano) == (0, 100)
    else:
        assert await caller == Granted(30, 70)


async def test_a_caller_cancelled_while_its_batch_is_written_leaves_no_hold(house: House) -> None:
    house.ledger.start()
    house.store.gate.clear()
    caller = house.tasks.spawn(house.ledger.authorize(house.desk.ask(30, call_id="call")), name="caller")
    await settled()
    caller.cancel()
    await settled()
    assert caller.cancelled()
    house.store.gate.set()
    await house.ledger.close()
    assert (house.store.tried, house.desk.account.held_nano) == ([1, 1], 0)


async def test_a_close_nobody_waits_for_any_more_is_carried_out(house: House) -> None:
    house.desk.hold(10, "call")
    future = house.ledger.settle(house.desk.settlement("call", 10))
    future.cancel()
    house.ledger.start()
    await house.ledger.close()
    assert house.desk.account.balance_nano == 90


async def test_one_command_at_fault_fails_alone_and_is_reported(house: House) -> None:
    house.desk.hold(10, "call")
    house.store.poison = Adjust
    commands: list[Command] = [
        house.desk.ask(5),
        Adjust(ACCOUNT, "a", "lot", -1, "why", NOON_US),
        house.desk.settlement("call", 10),
    ]
    good, bad, close = (house.ledger.submit(command) for command in commands)
    house.ledger.start()
    assert isinstance(await close, Settled)
    assert isinstance(await good, Granted)
    assert code_of(bad) == "ledger_unavailable"
    assert house.store.tried == [3, 1, 1, 1]
    await settled()
    assert [type(fault) for fault in house.faults] == [ZeroDivisionError, ZeroDivisionError]


async def test_closing_carries_out_what_waits_and_then_turns_away(house: House) -> None:
    house.desk.hold(10, "call")
    house.ledger.start()
    waiting = house.ledger.submit(house.desk.ask(5))
    end = house.tasks.spawn(house.ledger.close(), name="end")
    await asyncio.sleep(0)
    late_call = house.ledger.submit(house.desk.ask(5))
    late_close = house.ledger.settle(house.desk.settlement("call", 10))
    await end
    assert isinstance(waiting.result(), Granted)
    assert isinstance(late_close.result(), Settled)
    assert code_of(late_call) == "ledger_unavailable"
    await house.ledger.close()
    assert code_of(house.ledger.settle(house.desk.settlement("call", 10))) == "ledger_unavailable"


async def test_closing_in_an_outage_gives_every_close_a_last_chance_and_ends(house: House) -> None:
    for call_id in ("first", "second"):
        house.desk.hold(10, call_id)
    house.ledger = house.new_ledger(max_batch=1)
    first = house.ledger.settle(house.desk.settlement("first", 10))
    second = house.ledger.settle(house.desk.settlement("second", 10))
    house.store.faults.append(LedgerUnavailable())
    end = house.tasks.spawn(house.ledger.close(), name="end")
    house.ledger.start()
    await house.ledger.close()
    await end
    assert code_of(first) == "ledger_unavailable"
    assert isinstance(second.result(), Settled)
    assert house.slept == []


async def test_a_ledger_that_never_started_closes(house: House) -> None:
    waiting = house.ledger.submit(house.desk.ask(5))
    await house.ledger.close()
    assert code_of(waiting) == "ledger_unavailable"


async def test_if_the_committer_is_cancelled_nobody_waits_in_vain(house: House) -> None:
    house.ledger.start()
    house.store.gate.clear()
    taken = house.ledger.submit(house.desk.ask(5))
    await settled()
    queued = house.ledger.submit(house.desk.ask(5))
    assert await house.tasks.drain(0) == 1
    assert (code_of(taken), code_of(queued)) == ("ledger_unavailable", "ledger_unavailable")
    assert code_of(house.ledger.submit(house.desk.ask(5))) == "ledger_unavailable"


async def test_recovery_closes_every_orphan_once(house: House) -> None:
    for call_id in ("observed", "silent"):
        house.desk.hold(10, call_id)
    house.desk.observe("observed", 4)
    house.ledger.start()
    assert len(await house.ledger.recover(NOON_US + 9)) == 2
    assert (house.desk.account.balance_nano, house.desk.account.held_nano) == (96, 0)
    assert len(await house.ledger.recover(NOON_US + 9)) == 0


async def test_an_observation_nobody_waits_for_makes_no_noise(house: House) -> None:
    house.desk.hold(10, "call")
    house.ledger.start()
    observed = Observed({"output_tokens": 3}, charge_of(4))
    house.ledger.observe(Observe("call", ACCOUNT, observed))
    house.ledger.observe(Observe("no such call", ACCOUNT, observed))
    await settled()
    house.store.faults.append(LedgerUnavailable())
    house.ledger.observe(Observe("call", ACCOUNT, observed))
    await house.ledger.close()
    assert house.store.books.holds["call"].observed == observed


async def test_two_hundred_callers_at_once_get_the_thirty_seven_calls_there_is_money_for(
    house: House,
) -> None:
    """To look at the balance, call, and charge afterwards lets all of them through: hence the holds."""
    house.desk.adjust(-63)
    house.ledger.start()

    async def call(number: int) -> bool:
        granted = await house.ledger.authorize(house.desk.ask(1, call_id=f"call {number}"))
        if isinstance(granted, Granted):
            await asyncio.sleep(0)
            await house.ledger.settle(house.desk.settlement(f"call {number}", 1))
        return isinstance(granted, Granted)

    async def careless_call() -> bool:
        enough = careless.balance_nano >= 1
        await asyncio.sleep(0)
        return enough

    careless = house.desk.account
    assert sum(await asyncio.gather(*(careless_call() for _ in range(200)))) == 200
    assert sum(await asyncio.gather(*(call(number) for number in range(200)))) == 37
    assert (house.desk.account.balance_nano, house.desk.account.held_nano) == (0, 0)
    assert len(house.batches) < 50
