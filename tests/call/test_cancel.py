"""A cancel at any await closes the hold exactly once, and charges what the charge table says."""

import asyncio
from typing import Any

import pytest

from proxy.call.policy import Policy
from tests.call.fakes import CHUNKS, FULL_NANO, GRANT_NANO, WHOLE, Asked, Heard, Sent, Stage, Upstreams
from tests.ledger.memory import MemoryStore

STEPS = 60
"""More than any call here has awaits: the last ones are cancelled after the end, which changes nothing."""


async def cancelled_at(
    step: int, stream: bool, policy: Policy, upstreams: Upstreams | None = None
) -> tuple[MemoryStore, Heard, Sent, Upstreams]:
    """Run one call and cancel its task after `step` turns of the loop; wait until all has come to rest."""
    upstreams = upstreams or Upstreams(CHUNKS if stream else WHOLE)
    stage, sent = Stage(upstreams, policy), Sent()
    task = asyncio.ensure_future(stage.relay.relay(Asked(stream), sent))
    for _ in range(step):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await stage.rest()
    assert stage.heard.faults == []
    return stage.store, stage.heard, sent, upstreams


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("on_disconnect", ["auto", "count", "drain"])
@pytest.mark.parametrize("step", range(STEPS))
async def test_a_cancel_at_any_await_closes_the_hold_once(
    step: int, on_disconnect: Any, stream: bool
) -> None:
    """No hold stays open, none is closed twice, and the money says what the receipt says."""
    policy = Policy(on_disconnect=on_disconnect)
    store, heard, sent, upstreams = await cancelled_at(step, stream, policy)
    account = store.books.accounts["acct_1"]
    assert account.held_nano == 0
    assert account.open_holds == 0
    assert store.books.keys["key_1"].open_holds == 0
    assert all(hold.state != "open" for hold in store.books.holds.values())
    rows = store.books.new_receipts
    assert len(rows) == len(store.books.holds) <= 1
    assert len(heard.outcomes) <= 1
    assert account.balance_nano == GRANT_NANO - sum(row.charged_nano for row in rows)
    assert all(answer.closed for answer in upstreams.answers)
    if sent.ended:
        assert rows[0].charged_nano == FULL_NANO
    if rows and rows[0].outcome.outcome == "complete":
        assert rows[0].charged_nano == FULL_NANO
    if rows and on_disconnect == "drain" and rows[0].outcome.first_byte_at_us:
        assert rows[0].charged_nano == FULL_NANO


@pytest.mark.parametrize(
    ("pieces", "status", "breaks", "stream"),
    [(CHUNKS[:2], 200, True, True), (WHOLE[:1], 200, True, False), ([b"{}"], 500, False, False)],
    ids=["a stream that breaks off", "a body that breaks off", "an error"],
)
@pytest.mark.parametrize("step", range(STEPS))
async def test_a_cancel_while_a_call_fails_closes_the_hold_once(
    step: int, pieces: list[bytes], status: int, breaks: bool, stream: bool
) -> None:
    """Nor does a client that leaves while its call is failing anyway leave a hold behind."""
    failing = Upstreams(pieces, status, breaks=breaks)
    store, heard, _, _ = await cancelled_at(step, stream, Policy(), failing)
    account = store.books.accounts["acct_1"]
    assert (account.held_nano, account.open_holds) == (0, 0)
    assert all(hold.state != "open" for hold in store.books.holds.values())
    rows = store.books.new_receipts
    assert len(rows) == len(store.books.holds) <= 1
    assert len(heard.outcomes) <= 1
    assert account.balance_nano == GRANT_NANO - sum(row.charged_nano for row in rows)
    if not stream:
        assert account.balance_nano == GRANT_NANO


async def test_the_steps_reach_every_part_of_a_call() -> None:
    """Among the cancels above some hit before the hold, some while it is open, and some after the end."""
    endings = set()
    for step in range(STEPS):
        store, _, sent, _ = await cancelled_at(step, True, Policy())
        rows = store.books.new_receipts
        endings.add((rows[0].outcome.outcome if rows else "no hold", sent.ended))
    assert endings >= {("no hold", False), ("client_left", False), ("complete", False), ("complete", True)}
