"""Quotes cost nothing, so that what they make a process work is bounded."""

import asyncio
import threading
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.call.admission import Admission
from proxy.call.base import InboundRequest, RoutedCall
from proxy.call.fitting import BOUND_OVER_COUNT, COUNTED_BYTES_MAX
from proxy.call.off_loop import LARGE_BYTES
from proxy.call.policy import Catalog
from proxy.call.quotes import Quotes
from proxy.endpoints.base import Ask
from proxy.errors import Refusal
from proxy.ledger.rows import Caller
from proxy.metering.ceiling import Ceiling
from tests.call.fakes import Asked, Stage, Upstreams

WAIT_SECONDS = 30.0
LARGE = partial(Asked, False, metadata={"a": "b" * LARGE_BYTES})


class Counted:
    """A large request that is counted for as long as a gate is shut; it notes how many are at once."""

    most = now = 0
    gate = threading.Event()

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ask, name)

    def ceiling_exact(self) -> Ceiling:
        Counted.now += 1
        Counted.most = max(Counted.most, Counted.now)
        assert self.gate.wait(WAIT_SECONDS)
        Counted.now -= 1
        return self._ask.ceiling_exact()


class Gated(Admission):
    """An admission of such requests."""

    async def route(self, request: InboundRequest, caller: Caller, catalog: Catalog) -> RoutedCall:
        routed = await super().route(request, caller, catalog)
        return replace(routed, ask=Counted(routed.ask)) if len(routed.body) > LARGE_BYTES else routed


def quotes(admission: type[Admission] = Gated, turn_seconds: float = 5.0) -> Quotes:
    stage = Stage(Upstreams([]), admission=admission)
    Counted.most = Counted.now = 0
    Counted.gate.clear()
    return Quotes(
        admission=stage.admission,
        catalog=lambda: stage.catalog,
        counts=stage.counts,
        turn_seconds=turn_seconds,
    )


async def test_large_ones_are_counted_one_after_the_other() -> None:
    """A small one goes past them."""
    made = quotes()
    large = [asyncio.ensure_future(made.of(LARGE())) for _ in range(4)]
    while not Counted.now:
        await asyncio.sleep(0.001)
    assert (await made.of(Asked(False))).hold_nano > 0
    Counted.gate.set()
    assert len({quote.hold_nano for quote in await asyncio.gather(*large)}) == 1
    assert Counted.most == 1


async def test_one_that_waits_too_long_for_its_turn_is_refused_and_one_that_leaves_gives_it_up() -> None:
    made = quotes(turn_seconds=0.01)
    first = asyncio.ensure_future(made.of(LARGE()))
    while not Counted.now:
        await asyncio.sleep(0.001)
    with pytest.raises(Refusal) as caught:
        await made.of(LARGE())
    assert caught.value.code == "overloaded"
    first.cancel()
    Counted.gate.set()
    assert (await made.of(LARGE())).hold_nano > 0


async def test_what_is_longer_than_any_model_reads_is_not_counted() -> None:
    """Its floor says the least that so much text can be."""
    made = quotes(Admission)
    quote = await made.of(Asked(False, metadata={"a": "b" * COUNTED_BYTES_MAX}))
    tokens = quote.ceiling.usage["input_tokens"]
    assert tokens > COUNTED_BYTES_MAX
    assert quote.floor.usage["input_tokens"] == tokens // BOUND_OVER_COUNT
