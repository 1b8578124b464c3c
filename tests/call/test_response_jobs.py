"""Background responses: jobs that are held for at once, and charged by what their end reports."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.call.policy import Policy
from proxy.endpoints.openai.responses.responses import RESPONSES
from proxy.money import parse_amount
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from tests.call.videos import VideoStage
from tests.endpoints.openai.responses.replies import response, text, usage

INPUT_NANO, OUTPUT_NANO, SEARCH_NANO = 1_000, 2_000, 10_000_000
CARD = RateCard(
    "gpt",
    ("*",),
    (
        Rate("input_tokens", parse_amount("1.00"), 1_000_000),
        Rate("output_tokens", parse_amount("2.00"), 1_000_000),
        Rate("web_searches", parse_amount("0.01"), 1),
    ),
    1_000,
    input_allowance=100,
)
WANTED = {"model": "m", "input": "Say hello", "background": True}
PATH = "/v1/responses/resp_1"
HELD = 10**9
"""As much output as was held for."""


def told(status: str, *output: object, **members: Any) -> bytes:
    """The JSON of a response that is this far."""
    return json.dumps(response(*output, **{"status": status, "usage": None, **members})).encode()


async def begun(policy: Policy | None = None) -> VideoStage:
    """A stage on which a response is made, which has begun."""
    stage = VideoStage(policy, kinds=(RESPONSES,))
    stage.stage.relay.catalog = replace(stage.stage.catalog, book=PriceBook([CARD]))
    stage.studio.says("POST", "/responses", told("queued"))
    await stage.ask("POST", "/v1/responses", WANTED)
    return stage


def held(stage: VideoStage) -> bool:
    return any(hold.state == "open" for hold in stage.store.books.holds.values())


async def test_the_hold_outlives_the_request_and_the_end_says_what_it_used() -> None:
    """Whoever sees it first: here the client, whose poll is free."""
    stage = await begun()
    assert (held(stage), stage.store.books.new_receipts) == (True, [])
    stage.studio.says("GET", "/responses/resp_1", told("in_progress"))
    await stage.ask("GET", PATH)
    assert held(stage)
    stage.studio.says("GET", "/responses/resp_1", told("completed", text("Hello"), usage=usage(36, 87)))
    await stage.ask("GET", PATH)
    await stage.rest()
    (row,) = [row for row in stage.store.books.new_receipts if row.call.endpoint == "responses"]
    assert row.charged_nano == 36 * INPUT_NANO + 87 * OUTPUT_NANO
    assert (row.outcome.basis, row.outcome.usage) == ("reported", {"input_tokens": 36, "output_tokens": 87})
    assert row.charge.price_id == CARD.price_id
    assert not held(stage)


async def test_the_poller_ends_what_nobody_asks_for_at_the_rates_of_the_beginning() -> None:
    """A price that has changed meanwhile is for later calls; what tools did is charged by their items."""
    stage = await begun()
    dearer = replace(CARD, rates=tuple(replace(rate, price=rate.price * 100) for rate in CARD.rates))
    stage.stage.relay.catalog = replace(stage.stage.catalog, book=PriceBook([dearer]))
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    ended = told("completed", searched, text("x" * 400_000), usage=usage(36, 87))
    stage.studio.says("GET", "/responses/resp_1", ended)
    stage.clock.at_us += 10_000_000
    await stage.poller().round()
    await stage.rest()
    assert stage.faults == []
    (row,) = stage.store.books.new_receipts
    assert row.charged_nano == 36 * INPUT_NANO + 87 * OUTPUT_NANO + SEARCH_NANO
    assert row.charge.price_id == CARD.price_id


@pytest.mark.parametrize(
    ("ended", "nano"),
    [
        (
            told("incomplete", text("Hel"), usage=usage(36, 5, total_tokens=41)),
            36 * INPUT_NANO + 5 * OUTPUT_NANO,
        ),
        (told("cancelled", usage=usage(36, 5, total_tokens=41)), 36 * INPUT_NANO + 5 * OUTPUT_NANO),
        (told("failed", usage=usage(36, 5, total_tokens=41)), 36 * INPUT_NANO + 5 * OUTPUT_NANO),
        (told("failed", error={"code": "server_error"}), 0),
        (told("completed", text("Hello"), usage=usage(10**7, 1, total_tokens=None)), 10**9),
    ],
)
async def test_what_is_reported_is_charged_whatever_the_end(ended: bytes, nano: int) -> None:
    """Up to the funds; a failure that reports nothing costs nothing."""
    stage = await begun()
    stage.studio.says("POST", "/responses/resp_1/cancel", ended)
    await stage.ask("POST", f"{PATH}/cancel")
    await stage.rest()
    (row,) = [row for row in stage.store.books.new_receipts if row.call.endpoint == "responses"]
    assert row.charged_nano == nano


@pytest.mark.parametrize("status", ["cancelled", "completed", "incomplete"])
@pytest.mark.parametrize("by", ["client", "poller"])
@pytest.mark.parametrize(
    ("after_us", "a_second", "output"),
    [
        (0, 100, 0),
        (7_000_001, 100, 800),
        (9_000_000, 100, 900),
        (3_600_000_000, 100, HELD),
        (9_000_000, 0, 0),
    ],
)
async def test_one_that_ends_and_reports_nothing_costs_what_it_can_have_produced(
    after_us: int, a_second: int, output: int, by: str, status: str
) -> None:
    """Its input, and output by the time until its end was seen; no more than was held."""
    stage = await begun(Policy(job_output_per_second=a_second))
    hold_nano = stage.held_nano()
    stage.clock.at_us += after_us
    stage.studio.says("POST", "/responses/resp_1/cancel", told(status))
    stage.studio.says("GET", "/responses/resp_1", told(status))
    if by == "client" or after_us < 5_000_000:
        await stage.ask("POST", f"{PATH}/cancel")
    else:
        await stage.poller().round()
    await stage.rest()
    (row,) = [row for row in stage.store.books.new_receipts if row.call.endpoint == "responses"]
    tokens, input_nano = row.outcome.usage["output_tokens"], row.outcome.usage["input_tokens"] * INPUT_NANO
    if output == HELD:
        assert hold_nano - OUTPUT_NANO < row.charged_nano <= hold_nano
    else:
        assert tokens == output
    assert input_nano > 0
    assert row.charged_nano == input_nano + tokens * OUTPUT_NANO
    assert (row.outcome.basis, row.outcome.inferred) == ("counted", {"output_tokens": "assumed"})


@pytest.mark.parametrize(("after_us", "output"), [(0, 0), (7_000_001, 800), (3_600_000_000, HELD)])
async def test_one_that_is_deleted_while_it_runs_costs_what_it_can_have_produced(
    after_us: int, output: int
) -> None:
    """As one that is cancelled: who has read it as it streamed saves nothing by deleting it."""
    stage = await begun()
    hold_nano = stage.held_nano()
    stage.clock.at_us += after_us
    stage.studio.says("DELETE", "/responses/resp_1", b'{"id":"resp_1","deleted":true}')
    await stage.ask("DELETE", PATH)
    await stage.rest()
    (row,) = [row for row in stage.store.books.new_receipts if row.call.endpoint == "responses"]
    tokens, input_nano = row.outcome.usage["output_tokens"], row.outcome.usage["input_tokens"] * INPUT_NANO
    assert (row.outcome.outcome, row.outcome.basis) == ("job_deleted", "counted")
    if output == HELD:
        assert hold_nano - OUTPUT_NANO < row.charged_nano <= hold_nano
    else:
        assert tokens == output
    assert row.charged_nano == input_nano + tokens * OUTPUT_NANO
    assert not held(stage)


async def test_its_items_can_be_named_once_it_has_ended() -> None:
    stage = await begun()
    stage.studio.says("GET", "/responses/resp_1", told("completed", text("Hello"), usage=usage()))
    await stage.ask("GET", PATH)
    await stage.rest()
    assert {(row.kind, row.id) for row in stage.store.books.objects.values()} == {
        ("response", "resp_1"),
        ("response.item", "msg_1"),
    }


async def test_a_stream_of_it_passes_and_ends_nothing() -> None:
    stage = await begun()
    stage.studio.says("GET", "/responses/resp_1", told("completed", usage=usage()))
    await stage.ask("GET", PATH, query="stream=true&starting_after=3")
    await stage.rest()
    assert held(stage)


@pytest.mark.parametrize(
    ("members", "param"),
    [({"stream": "yes"}, "stream"), ({"background": "yes"}, "background")],
)
async def test_what_cannot_be_served_is_refused(members: dict[str, Any], param: str) -> None:
    stage = await begun()
    refusal = await stage.refused("POST", "/v1/responses", WANTED | members)
    assert (refusal.code, refusal.param) == ("invalid_value", param)


async def test_one_that_is_not_to_be_stored_is_a_job_all_the_same() -> None:
    """Whatever the upstream makes of it: it goes on, and would be nobody's."""
    stage = await begun()
    stage.studio.says("POST", "/responses", told("queued", id="resp_2"))
    await stage.ask("POST", "/v1/responses", WANTED | {"store": False})
    await stage.rest()
    assert sum(hold.state == "open" for hold in stage.store.books.holds.values()) == 2


async def test_one_that_is_complete_at_once_is_charged_at_once() -> None:
    stage = VideoStage(Policy(), kinds=(RESPONSES,))
    stage.stage.relay.catalog = replace(stage.stage.catalog, book=PriceBook([CARD]))
    stage.studio.says("POST", "/responses", told("completed", text("Hi"), usage=usage(36, 87)))
    await stage.ask("POST", "/v1/responses", WANTED)
    await stage.rest()
    (row,) = stage.store.books.new_receipts
    assert row.charged_nano == 36 * INPUT_NANO + 87 * OUTPUT_NANO


async def test_a_job_that_comes_to_more_than_was_held_is_an_incident() -> None:
    """As of any call: the account's funds pay it as far as they go."""
    stage = await begun()
    stage.studio.says("GET", "/responses/resp_1", told("completed", usage=usage(10**5, 1, total_tokens=None)))
    await stage.ask("GET", PATH)
    await stage.rest()
    assert [call.endpoint for call, *_ in stage.stage.heard.excesses] == ["responses"]
