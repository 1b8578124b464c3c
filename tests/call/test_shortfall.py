"""What an upstream reports beyond the ceiling is an incident: told, counted, and forgiven or owed."""

import asyncio
import contextlib

import pytest

from proxy.call.policy import Policy
from proxy.errors import Refusal
from proxy.ledger.commands import Grant
from proxy.ledger.rows import OnShortfall
from tests.call.fakes import CHUNKS, FULL_NANO, NOW_US, WHOLE, Asked, Sent, Stage, Upstreams

ONE_WORD = [CHUNKS[0].replace(b"}}]", b'}, "finish_reason": "stop"}]'), *CHUNKS[2:]]
FUNDS_NANO = 12_000
"""Enough for a prompt and one token of output, and not for what the upstream reports."""


async def called(on_shortfall: OnShortfall, *, stream: bool = True) -> Stage:
    """A call of at most one token whose upstream reports five of output."""
    policy = Policy(on_shortfall=on_shortfall)
    stage = Stage(Upstreams(ONE_WORD if stream else WHOLE), policy, funds_nano=FUNDS_NANO)
    await stage.relay.relay(Asked(stream, max_tokens=1), Sent())
    return stage


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("on_shortfall", ["forgive", "owe"])
async def test_what_no_funds_cover_is_forgiven_or_owed(on_shortfall: OnShortfall, stream: bool) -> None:
    stage = await called(on_shortfall, stream=stream)
    await stage.rest()
    (row,) = stage.rows()
    missing = FULL_NANO - FUNDS_NANO
    if on_shortfall == "owe":
        assert (row.charged_nano, row.shortfall_nano, row.owed_nano) == (FULL_NANO, 0, missing)
    else:
        assert (row.charged_nano, row.shortfall_nano, row.owed_nano) == (FUNDS_NANO, missing, 0)
    account = stage.store.books.accounts["acct_1"]
    assert (account.balance_nano, account.whole_debt_nano) == (0, row.owed_nano)


@pytest.mark.parametrize("on_shortfall", ["forgive", "owe"])
@pytest.mark.parametrize("funds_nano", [FUNDS_NANO, 10**9])
async def test_every_call_that_comes_to_more_than_its_hold_is_told(
    on_shortfall: OnShortfall, funds_nano: int
) -> None:
    """With the call, what was held and what was charged; also where the funds cover it."""
    much = ONE_WORD[1].replace(b'"completion_tokens": 5', b'"completion_tokens": 500')
    pieces = [ONE_WORD[0], much, ONE_WORD[2]]
    stage = Stage(Upstreams(pieces), Policy(on_shortfall=on_shortfall), funds_nano=funds_nano)
    await stage.relay.relay(Asked(True, max_tokens=1), Sent())
    await stage.rest()
    (row,) = stage.rows()
    ((call, hold_nano, settled),) = stage.heard.excesses
    assert (call, hold_nano) == (row.call, row.hold_nano)
    assert hold_nano < settled.charged_nano + settled.shortfall_nano == 10 * 1_000 + 500 * 2_000
    assert (settled.shortfall_nano, settled.owed_nano) == (row.shortfall_nano, row.owed_nano)


async def test_a_call_within_its_ceiling_is_no_incident() -> None:
    stage = Stage(Upstreams(ONE_WORD))
    await stage.relay.relay(Asked(stream=True), Sent())
    await stage.rest()
    assert stage.heard.excesses == []


@pytest.mark.parametrize("step", range(40))
async def test_it_is_told_once_even_if_nobody_waits_for_the_end(step: int) -> None:
    """A client that leaves while its call is settled keeps no incident from the log."""
    stage = Stage(Upstreams(ONE_WORD), Policy(on_disconnect="drain"), funds_nano=FUNDS_NANO)
    task = asyncio.ensure_future(stage.relay.relay(Asked(True, max_tokens=1), Sent()))
    for _ in range(step):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await stage.rest()
    reported = [row for row in stage.rows() if row.outcome.basis == "reported"]
    assert len(stage.heard.excesses) == len(reported) <= 1


async def test_who_owes_gets_no_further_and_the_next_grant_repays() -> None:
    stage = await called("owe")
    with pytest.raises(Refusal) as refused:
        await stage.relay.relay(Asked(True, "req_2", max_tokens=1), Sent())
    assert refused.value.code == "credit_balance_exhausted"
    await stage.ledger.command(Grant("acct_1", "g2", "lot_2", 10**6, NOW_US))
    account = stage.store.books.accounts["acct_1"]
    assert (account.owed_nano, account.balance_nano) == (0, 10**6 - (FULL_NANO - FUNDS_NANO))
    await stage.relay.relay(Asked(True, "req_3", max_tokens=5), Sent())
    await stage.rest()
