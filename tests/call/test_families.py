"""A family brings its meters, a ceiling and a tally, and the life of a call takes it as it takes any other.

The families here have no tokens; relay, admission and closing are the real ones, and name no meter.
"""

import ast
import asyncio
from collections.abc import Iterator
from functools import partial

import pytest

from proxy.call.policy import Policy
from proxy.errors import Refusal
from proxy.ledger.commands import Recover
from proxy.metering.usage import METERS
from tests.call.fakes import NOW_US, Sent, Stage, Upstreams, until
from tests.call.toys import (
    CHARACTER_NANO,
    PAGE_NANO,
    SECOND_NANO,
    TOY_RATES,
    TOYS,
    AskedPages,
    AskedTranscript,
)
from tests.sources import PROXY, Finding, Module, assert_clean

TEXT_NANO = 10 * CHARACTER_NANO
PAGE = b"page\n"
END = b'END{"characters": 10, "images": 3}'

stage_for = partial(Stage, endpoints=TOYS, rates=TOY_RATES)


async def test_reported_pages_are_charged_and_their_ceiling_was_held() -> None:
    """The hold is for the pages the client allows, in every copy; the charge is for those that came."""
    stage, sent = stage_for(Upstreams([PAGE, PAGE, PAGE, END])), Sent()
    await stage.relay.relay(AskedPages(pages=4, copies=2), sent)
    await stage.rest()
    (row,) = stage.rows()
    assert row.hold_nano == 2 * TEXT_NANO + 8 * PAGE_NANO
    assert (row.outcome.basis, row.outcome.usage) == ("reported", {"characters": 10, "images": 3})
    assert row.charged_nano == TEXT_NANO + 3 * PAGE_NANO
    assert (sent.data, sent.ended) == (3 * PAGE + END, True)
    assert stage.store.books.holds["req_1"].tokens == 0


async def test_the_cards_bound_holds_where_the_client_names_none() -> None:
    stage = stage_for(Upstreams([END]), funds_nano=10**10)
    await stage.relay.relay(AskedPages(), Sent())
    await stage.rest()
    assert stage.rows()[0].hold_nano == 2 * TEXT_NANO + 100 * PAGE_NANO


async def test_pages_are_clamped_to_what_the_funds_pay_for() -> None:
    """The text is counted exactly then; the upstream is told the bound, and so is the client."""
    upstreams, sent = Upstreams([PAGE, END]), Sent()
    stage = stage_for(upstreams, funds_nano=TEXT_NANO + 5 * PAGE_NANO + 7)
    await stage.relay.relay(AskedPages(pages=4, copies=2), sent)
    await stage.rest()
    assert upstreams.requests[0].body == b'{"most": 2}'
    assert sent.headers["x-farebox-output-clamped-to"] == "2"
    assert stage.rows()[0].hold_nano <= stage.funds_nano


@pytest.mark.parametrize("policy", [Policy(), Policy(when_short="refuse")])
async def test_what_cannot_even_be_clamped_is_refused_with_what_would_fit(policy: Policy) -> None:
    stage = stage_for(Upstreams([END]), policy, funds_nano=TEXT_NANO + PAGE_NANO)
    with pytest.raises(Refusal) as refused:
        await stage.relay.relay(AskedPages(pages=4, copies=2), Sent())
    await stage.rest()
    assert refused.value.code == "request_exceeds_balance"
    assert refused.value.details["affordable_images"] == 0
    assert stage.rows() == []


@pytest.mark.parametrize("pages", [1, 3])
async def test_a_client_that_leaves_pays_for_the_pages_that_came(pages: int) -> None:
    end = asyncio.Event()
    upstreams, stage = (up := Upstreams([PAGE] * pages, end=end)), stage_for(up)
    task = asyncio.ensure_future(stage.relay.relay(AskedPages(pages=4), Sent()))
    await until(lambda: any(answer.waits for answer in upstreams.answers))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await stage.rest()
    (row,) = stage.rows()
    assert (row.outcome.outcome, row.outcome.basis) == ("client_left", "counted")
    assert row.charged_nano == TEXT_NANO + pages * PAGE_NANO


async def test_more_pages_than_were_held_for_are_held_for_or_cut() -> None:
    """The hold is extended while there are funds, and the answer is cut when there are none."""
    rich, poor = (stage_for(Upstreams([PAGE] * 5 + [END]), funds_nano=nano) for nano in (10**9, 3 * 10**7))
    outcomes = []
    for stage in (rich, poor):
        await stage.relay.relay(AskedPages(pages=2), Sent())
        await stage.rest()
        (row,) = stage.rows()
        outcomes.append((row.outcome.outcome, row.outcome.usage["images"]))
    assert outcomes == [("complete", 3), ("cut", 3)]


async def test_a_crash_costs_the_pages_that_were_observed() -> None:
    end = asyncio.Event()
    stage = stage_for(Upstreams([PAGE, PAGE], end=end))
    task = asyncio.ensure_future(stage.relay.relay(AskedPages(pages=4), Sent()))
    watch = asyncio.ensure_future(stage.closing.watch(lambda: 0.0))

    def observed() -> bool:
        hold = stage.store.books.holds.get("req_1")
        return hold is not None and hold.observed is not None and hold.observed.usage["images"] == 2

    await until(observed)
    watch.cancel()
    stage.store.commit([Recover(stage.store.books.holds["req_1"].call, NOW_US, NOW_US)])
    task.cancel()
    await asyncio.gather(task, watch, return_exceptions=True)
    await stage.rest()
    (row,) = stage.rows()
    assert (row.outcome.outcome, row.outcome.usage) == ("crashed", {"characters": 10, "images": 2})
    assert row.charged_nano == TEXT_NANO + 2 * PAGE_NANO


@pytest.mark.parametrize(
    ("report", "basis"),
    [(b'{"audio_seconds": 8}', "reported"), (b'{"audio_seconds": 0}', "counted"), (b"0", "counted")],
)
async def test_a_family_without_an_elastic_meter_is_metered_as_well(report: bytes, basis: str) -> None:
    """What an upstream leaves out is counted from the request; there is nothing to clamp or cut."""
    stage, sent = stage_for(Upstreams([b"words\n" * 50, b"END" + report])), Sent()
    await stage.relay.relay(AskedTranscript(), sent)
    await stage.rest()
    (row,) = stage.rows()
    seconds = 8 if b"8" in report else 10
    assert row.hold_nano == 100 * SECOND_NANO
    assert (row.outcome.basis, row.outcome.usage) == (basis, {"audio_seconds": seconds})
    assert row.charged_nano == seconds * SECOND_NANO
    assert "x-farebox-output-clamped-to" not in sent.headers


@pytest.mark.parametrize(("funds_nano", "outcome"), [(10 * SECOND_NANO, "complete"), (9 * SECOND_NANO, None)])
async def test_it_fits_as_it_is_counted_or_is_refused(funds_nano: int, outcome: str | None) -> None:
    stage = stage_for(Upstreams([b'END{"audio_seconds": 10}']), funds_nano=funds_nano)
    if outcome is None:
        with pytest.raises(Refusal) as refused:
            await stage.relay.relay(AskedTranscript(), Sent())
        assert "required" in refused.value.details
        assert not any(name.startswith("affordable") for name in refused.value.details)
    else:
        await stage.relay.relay(AskedTranscript(), Sent())
    await stage.rest()
    assert [row.outcome.outcome for row in stage.rows()] == ([outcome] if outcome else [])


TOKEN_NAMES = {"min_output_tokens", "tokens", "tokens_of", "is_tokens", "_text_tokens", "text_tokens"}
"""The policy's own name, the ledger's, and those of text that is counted."""

RATE_LIMITS = ("proxy.call.headers", "requests")
"""There it is a kind of rate limit, and part of its headers' names."""


def meter_faults(module: Module) -> Iterator[Finding]:
    """Meters and tokens by name in a module of the life of a call."""
    if module.layer != "call":
        return
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Constant)
            and node.value in METERS
            and (module.name, node.value) != RATE_LIMITS
        ):
            yield node.lineno, f"{node.value} is a meter: a family names it, and nobody here"
        name = getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "arg", None) or ""
        if "token" in str(name) and name not in TOKEN_NAMES:
            yield getattr(node, "lineno", 1), f"{name}: not every family has tokens"


def test_the_life_of_a_call_names_no_meter() -> None:
    """What a family uses is its own business: `call/` asks for its ceiling and its tally."""
    assert_clean(meter_faults, PROXY)


@pytest.mark.parametrize(
    "text", ['usage["output_tokens"]', "f(requests=1, x='requests')", "self.counted_tokens = 1"]
)
def test_a_meter_by_name_is_found(text: str) -> None:
    assert list(meter_faults(Module("proxy/call/relay.py", text)))
    assert not list(meter_faults(Module("proxy/endpoints/openai/chat.py", text)))
