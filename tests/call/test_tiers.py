"""Calls whose price depends on what was used before: whoever tells a cost tells the one on the ledger."""

import asyncio
import json
from fractions import Fraction

import pytest

from proxy.call.quotes import Quotes
from proxy.ledger.commands import ChangeAccount, Recover
from proxy.ledger.rows import Limits
from proxy.pricing.rates import Rate
from proxy.pricing.tiers import Tier, Tiers
from tests.call.fakes import CHUNKS, FULL_NANO, NOW_US, WHOLE, Asked, Sent, Stage, Upstreams

FREE_INPUT = Tiers("tokens", "month", (Tier(15, "0"), Tier(0, "1000")))
TIERED = (
    Rate("input_tokens", Fraction(1000), 1, (), FREE_INPUT),
    Rate("output_tokens", Fraction(2000), 1),
)
OUTPUT_NANO = 5 * 2_000


def costs(stage: Stage) -> list[int]:
    return [row.charged_nano for row in stage.rows()]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_tells_what_it_came_to(stream: bool) -> None:
    """In its headers where they are not sent yet, in its usage, and to figures and logs."""
    stage = Stage(Upstreams(CHUNKS if stream else WHOLE), rates=TIERED)
    told = []
    for number in range(3):
        sent = Sent()
        asked = Asked(stream, f"req_{number}")
        asked.wants_cost = True
        await stage.relay.relay(asked, sent)
        texts = [line.removeprefix("data: ") for line in sent.data.decode().splitlines() if "usage" in line]
        told.append(Fraction(json.loads(texts[-1])["usage"]["cost"]) * 10**9)
        if not stream:
            assert Fraction(sent.headers["x-farebox-cost"]) * 10**9 == told[-1]
    await stage.rest()
    # Ten tokens of input are free, then five of the next ten, then none.
    assert told == costs(stage) == [OUTPUT_NANO, 5_000 + OUTPUT_NANO, FULL_NANO]
    assert [charge.total_nano for charge in stage.heard.charges] == told
    assert not any(charge.tiers for charge in stage.heard.charges)
    assert not stage.heard.excesses


async def test_calls_at_once_share_the_tiers() -> None:
    """Whichever ends first; each holds what it would cost at the dearest."""
    stage = Stage(Upstreams(WHOLE), rates=TIERED)
    sent = [Sent() for _ in range(4)]
    calls = (stage.relay.relay(Asked(False, f"req_{n}"), each) for n, each in enumerate(sent))
    await asyncio.gather(*calls)
    await stage.rest()
    assert sum(costs(stage)) == 4 * FULL_NANO - 15 * 1_000
    assert len({each.headers["x-farebox-hold"] for each in sent}) == 1


async def test_a_spending_limit_counts_what_calls_came_to() -> None:
    stage = Stage(Upstreams(WHOLE), rates=TIERED)
    stage.store.commit([ChangeAccount("acct_1", NOW_US, limits=Limits(day_nano=10**8))])
    await stage.relay.relay(Asked(False), Sent())
    await stage.rest()
    (_, *_), *_ = sums = stage.store.books.accounts["acct_1"].spending.sums
    assert [spent for spent, _ in sums] == [OUTPUT_NANO] * 4


async def test_a_crashed_call_is_charged_at_the_tiers_that_are_reached() -> None:
    """By what was observed of it, which has the tiers with it."""
    end = asyncio.Event()
    stage = Stage(Upstreams(CHUNKS[:1], end=end), rates=TIERED)
    task = asyncio.ensure_future(stage.relay.relay(Asked(True), Sent()))
    watch = asyncio.ensure_future(stage.closing.watch(lambda: 0.0))
    for _ in range(50):
        await asyncio.sleep(0)
    (hold,) = await stage.store.orphans(NOW_US)
    assert hold.observed is not None
    stage.store.commit([Recover.of(hold, NOW_US)])
    watch.cancel()
    end.set()
    await asyncio.gather(task, watch, return_exceptions=True)
    (row,) = stage.store.books.new_receipts
    used = row.outcome.usage
    assert row.charge.tiers == ()
    free = min(15, used["input_tokens"])
    assert row.charged_nano == (used["input_tokens"] - free) * 1_000 + used["output_tokens"] * 2_000
    assert sum(each.quantity for each in stage.store.books.counters.values()) == used["input_tokens"]


async def test_a_quote_is_at_the_tiers_that_are_reached_by_now() -> None:
    """And holds the dearest, as the call does."""
    stage = Stage(Upstreams(WHOLE), rates=TIERED)
    quotes = Quotes(admission=stage.admission, catalog=lambda: stage.catalog, counts=stage.counts)
    before = await quotes.of(Asked(False))
    await stage.relay.relay(Asked(False), Sent())
    await stage.relay.relay(Asked(False, "req_2"), Sent())
    after = await quotes.of(Asked(False))
    await stage.rest()
    tokens = before.floor.usage["input_tokens"]
    assert 0 < tokens < 15
    assert (before.floor.charge.total_nano, after.floor.charge.total_nano) == (0, tokens * 1_000)
    assert before.ceiling.charge.total_nano == before.hold_nano - tokens * 1_000
    assert after.ceiling.charge.total_nano == after.hold_nano == before.hold_nano
    assert not before.is_exact
