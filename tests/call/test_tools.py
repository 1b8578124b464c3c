"""A tool's call, from its first byte to its last: what is held, what is charged, what passes before that."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from proxy.call.policy import Policy
from proxy.endpoints.tool_plan import Failure, Measure, Multiple, Parameter, ToolPlan
from proxy.errors import Refusal
from proxy.ledger.commands import Recover
from proxy.ledger.rows import OnShortfall, Receipt
from proxy.money import parse_amount
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.rates import Rate
from tests.call.fakes import NOW_US, Asked, Sent, Stage, until
from tests.call.tool_stage import (
    CALL_NANO,
    CREDIT,
    CREDIT_NANO,
    EVENTS,
    JSON,
    RATES,
    Call,
    Typed,
    source,
    staged,
    told,
)

CREDITS = Measure("credits", source("answer", "/usage/credits"), most=5 * CREDIT, otherwise=3 * CREDIT)
PER_PAGE = Measure(
    "credits",
    source("answer", "/usage/credits"),
    2 * CREDIT,
    multiple=Multiple(source("request", "/limit"), 4),
)
OF_REQUEST = Measure("credits", source("request", "/limit"), most=9 * CREDIT)


async def receipt(stage: Stage, call: Asked, sent: Sent | None = None) -> Receipt:
    await stage.relay.relay(call, sent or Sent())
    await stage.rest()
    (row,) = stage.rows()
    return row


CASES: list[tuple[str, Sequence[bytes], int, str, dict[str, str], int]] = [
    (JSON, [told(2)], 2 * CREDIT, "reported", {}, 0),
    (JSON, [told(2)[:30], told(2)[30:]], 2 * CREDIT, "reported", {}, 0),
    (JSON, [told("0.5")], CREDIT // 2, "reported", {}, 0),
    (JSON, [told(0)], 0, "reported", {}, 0),
    (JSON, [told(-1)], 3 * CREDIT, "counted", {"credits": "assumed"}, 1),
    (JSON, [b"{}"], 3 * CREDIT, "counted", {"credits": "assumed"}, 1),
    (JSON, [], 3 * CREDIT, "counted", {"credits": "assumed"}, 1),
    (EVENTS, [b"data: " + told(1) + b"\n\n", b"data: " + told(4) + b"\n\n"], 4 * CREDIT, "reported", {}, 0),
]


@pytest.mark.parametrize(("kind", "pieces", "credit", "basis", "inferred", "anomalies"), CASES)
async def test_a_call_is_charged_what_its_answer_tells(
    kind: str, pieces: Sequence[bytes], credit: int, basis: str, inferred: dict[str, str], anomalies: int
) -> None:
    """The most is held. What the answer tells is charged, 0 too, and what it does not tell is assumed."""
    stage, sent = staged(Typed(kind, list(pieces)), CREDITS), Sent()
    row = await receipt(stage, Call(), sent)
    assert row.hold_nano == CALL_NANO + 5 * CREDIT_NANO
    assert row.charged_nano == CALL_NANO + credit * CREDIT_NANO // CREDIT
    assert row.outcome.usage == {"requests": 1, "credits": credit}
    assert (row.outcome.basis, row.outcome.inferred, row.outcome.anomalies) == (basis, inferred, anomalies)
    assert (sent.data, sent.ended) == (b"".join(pieces), True)
    assert stage.heard.excesses == []


@pytest.mark.parametrize(("members", "pages"), [({}, 4), ({"limit": 1}, 1), ({"limit": 100}, 100)])
async def test_the_request_bounds_what_its_answer_may_come_to(members: dict[str, int], pages: int) -> None:
    row = await receipt(staged(Typed(JSON, [told(2)]), PER_PAGE), Call(**members))
    assert row.hold_nano == CALL_NANO + pages * 2 * CREDIT_NANO
    assert row.charged_nano == CALL_NANO + 2 * CREDIT_NANO


async def test_what_the_request_says_itself_is_held_and_charged() -> None:
    """The answer cannot change it, and the receipt says who counted."""
    row = await receipt(staged(Typed(JSON, [told(1)]), OF_REQUEST), Call(limit=6))
    assert row.hold_nano == row.charged_nano == CALL_NANO + 6 * CREDIT_NANO
    assert (row.outcome.basis, row.outcome.inferred) == ("counted", {"credits": "counted"})
    assert row.outcome.usage == {"requests": 1, "credits": 6 * CREDIT}


async def test_a_figure_that_is_not_sane_is_refused_before_anything_is_sent() -> None:
    upstreams = Typed(JSON, [told(1)])
    stage = staged(upstreams, OF_REQUEST)
    with pytest.raises(Refusal) as refused:
        await stage.relay.relay(Call(limit=10), Sent())
    await stage.rest()
    assert (refused.value.code, refused.value.param, upstreams.requests) == ("invalid_value", "/limit", [])


async def test_what_cannot_be_paid_is_refused_whole() -> None:
    stage = staged(Typed(JSON, [told(1)]), PER_PAGE, funds_nano=CALL_NANO + 8 * CREDIT_NANO - 1)
    with pytest.raises(Refusal) as refused:
        await stage.relay.relay(Call(), Sent())
    await stage.rest()
    assert refused.value.code == "request_exceeds_balance"
    assert refused.value.details["required"] == "0.026"


@pytest.mark.parametrize(
    ("on_shortfall", "owed_nano", "shortfall_nano"),
    [("forgive", 0, 10 * CREDIT_NANO), ("owe", 10 * CREDIT_NANO, 0)],
)
async def test_what_is_told_beyond_the_most_is_an_incident(
    on_shortfall: OnShortfall, owed_nano: int, shortfall_nano: int
) -> None:
    """As for tokens: funds that nothing else holds pay it, the rest is a shortfall, and it is told."""
    funds_nano = CALL_NANO + 20 * CREDIT_NANO
    policy = Policy(on_shortfall=on_shortfall)
    stage = staged(Typed(JSON, [told(30)]), CREDITS, policy=policy, funds_nano=funds_nano)
    row = await receipt(stage, Call())
    assert row.charged_nano == funds_nano + owed_nano
    assert (row.owed_nano, row.shortfall_nano) == (owed_nano, shortfall_nano)
    assert len(stage.heard.excesses) == 1


async def test_a_call_may_cost_nothing_but_its_credits() -> None:
    row = await receipt(staged(Typed(JSON, [told(2)]), CREDITS, rates=RATES[1:]), Call())
    assert (row.hold_nano, row.charged_nano) == (5 * CREDIT_NANO, 2 * CREDIT_NANO)


async def test_a_measure_without_a_rate_is_refused() -> None:
    """The configuration sees to it; and if it did not, no such call would pass."""
    upstreams = Typed(JSON, [told(2)])
    stage = staged(upstreams, CREDITS, rates=(Rate("results", parse_amount("1"), 1),))
    with pytest.raises(Refusal) as refused:
        await stage.relay.relay(Call(), Sent())
    await stage.rest()
    assert (refused.value.code, upstreams.requests) == ("model_not_priced", [])


EVENT = b"data: {}\n\n"


@pytest.mark.parametrize("rates", [RATES, RATES[:1]])
async def test_nobody_holds_a_stream_that_is_not_on_the_ledger(rates: tuple[Rate, ...]) -> None:
    """Its events pass as they come, but not before its hold says what it costs should Farebox crash."""
    measures = (CREDITS,) if len(rates) == 2 else ()
    end, sent = asyncio.Event(), Sent()
    policy = Policy(drain_seconds=0.01)
    stage = staged(Typed(EVENTS, [EVENT, EVENT], end=end), *measures, rates=rates, policy=policy)
    observed: list[bool] = []
    write = sent.write

    async def seen(data: bytes) -> None:
        observed.append(stage.store.books.holds["req_1"].observed is not None)
        await write(data)

    sent.write = seen  # type: ignore[method-assign] # The same, but it looks at the ledger first.
    task = asyncio.ensure_future(stage.relay.relay(Call(), sent))
    await until(lambda: sent.data == 2 * EVENT)
    stage.store.commit([Recover(stage.store.books.holds["req_1"].call, NOW_US, NOW_US)])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await stage.rest()
    (row,) = stage.rows()
    assert observed == [True, True]
    assert row.outcome.outcome == "crashed"
    assert row.charged_nano == CALL_NANO + (3 * CREDIT_NANO if measures else 0)


@pytest.mark.parametrize("kind", [JSON, "audio/mpeg"])
async def test_nobody_holds_another_reply_whole_before_its_charge(kind: str) -> None:
    end, sent = asyncio.Event(), Sent()
    upstreams = Typed(kind, [b"x" * 100_000], end=end)
    stage = staged(upstreams)
    task = asyncio.ensure_future(stage.relay.relay(Call(), sent))
    await until(lambda: any(answer.waits for answer in upstreams.answers))
    assert sent.data == b"x" * 99_999
    end.set()
    await task
    await stage.rest()
    (row,) = stage.rows()
    assert (row.charged_nano, sent.data) == (CALL_NANO, b"x" * 100_000)


async def test_a_small_reply_has_its_cost_in_its_head() -> None:
    sent = Sent()
    await receipt(staged(Typed(JSON, [told(2)[:20], told(2)[20:]]), CREDITS), Call(), sent)
    assert sent.headers["x-farebox-cost"] == "0.014"


async def leave(upstreams: Typed, stage: Stage) -> Receipt:
    """Leave once all that comes by itself has come."""
    task = asyncio.ensure_future(stage.relay.relay(Call(), Sent()))
    await until(lambda: any(answer.waits for answer in upstreams.answers))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return await after(stage)


async def after(stage: Stage) -> Receipt:
    await stage.rest()
    (row,) = stage.rows()
    return row


async def test_who_leaves_a_stream_with_a_fixed_price_pays_it() -> None:
    upstreams = Typed(EVENTS, [EVENT], end=asyncio.Event())
    row = await leave(upstreams, staged(upstreams, rates=RATES[:1]))
    assert (row.outcome.outcome, row.outcome.basis, row.charged_nano) == (
        "client_left",
        "per_call",
        CALL_NANO,
    )


@pytest.mark.parametrize(("pieces", "credit"), [([EVENT], 3), ([b"data: " + told(1) + b"\n\n"], 1)])
async def test_who_leaves_a_measured_stream_pays_what_was_told_or_assumed(
    pieces: list[bytes], credit: int
) -> None:
    """Farebox reads on for what the end tells, for as long as the policy says; here it never comes."""
    upstreams = Typed(EVENTS, pieces, end=asyncio.Event())
    row = await leave(upstreams, staged(upstreams, CREDITS, policy=Policy(drain_seconds=0.01)))
    assert (row.outcome.outcome, row.outcome.basis) == ("client_left", "counted")
    assert row.charged_nano == CALL_NANO + credit * CREDIT_NANO


async def test_who_leaves_a_measured_stream_pays_what_its_end_tells() -> None:
    end = asyncio.Event()
    upstreams = Typed(EVENTS, [EVENT], end=end, then=[b"data: " + told(5) + b"\n\n"])
    stage = staged(upstreams, CREDITS)
    task = asyncio.ensure_future(stage.relay.relay(Call(), Sent()))
    await until(lambda: any(answer.waits for answer in upstreams.answers))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    end.set()
    row = await after(stage)
    assert (row.outcome.basis, row.charged_nano) == ("reported", CALL_NANO + 5 * CREDIT_NANO)


BROKEN: list[tuple[str, list[bytes], Policy, int]] = [
    (EVENTS, [EVENT], Policy(), CALL_NANO + 3 * CREDIT_NANO),
    (EVENTS, [b"data: " + told(1) + b"\n\n"], Policy(), CALL_NANO + CREDIT_NANO),
    (EVENTS, [], Policy(), 0),
    (EVENTS, [EVENT], Policy(on_upstream_failure="free"), 0),
    (JSON, [told(2)], Policy(), 0),
    ("audio/mpeg", [b"x" * 1_000], Policy(), 0),
]


@pytest.mark.parametrize(("kind", "pieces", "policy", "charged_nano"), BROKEN)
async def test_a_reply_that_breaks_off_costs_what_streams_and_others_do(
    kind: str, pieces: list[bytes], policy: Policy, charged_nano: int
) -> None:
    stage = staged(Typed(kind, pieces, breaks=True), CREDITS, policy=policy)
    with contextlib.suppress(Refusal):  # Where nothing has passed, it is raised for the edge to answer.
        await stage.relay.relay(Call(), Sent())
    row = await after(stage)
    assert (row.outcome.outcome, row.charged_nano) == ("upstream_failed", charged_nano)


STEALTH = Parameter("stealth", source("request", "/stealth"), "false")
DEARER = Case(
    (("stealth", "true"),), RateCard("t+stealth=true", (), (Rate("requests", parse_amount("0.05"), 1),))
)


@pytest.mark.parametrize(
    ("members", "price_id", "charged_nano"),
    [
        ({}, "t", CALL_NANO),
        ({"stealth": False}, "t", CALL_NANO),
        ({"stealth": True}, "t+stealth=true", 5 * CALL_NANO),
        ({"stealth": "True"}, "t+stealth=true", 5 * CALL_NANO),
    ],
)
async def test_a_price_may_depend_on_what_the_request_turns_on(
    members: dict[str, object], price_id: str, charged_nano: int
) -> None:
    """It is found before anything is held, once, and the receipt names it."""
    stage = staged(
        Typed(JSON, [b"{}"]), plan=ToolPlan(parameters=(STEALTH,)), cases=(DEARER,), rates=RATES[:1]
    )
    row = await receipt(stage, Call(**members))
    assert row.hold_nano == row.charged_nano == charged_nano
    assert row.charge.price_id.partition("@")[0] == price_id


async def test_an_answer_that_is_no_success_is_free() -> None:
    row = await receipt(staged(Typed(JSON, [told(5)], status=500), CREDITS), Call())
    assert (row.outcome.outcome, row.charged_nano) == ("upstream_refused", 0)


async def test_a_status_that_the_route_charges_is_charged_as_2xx_is() -> None:
    """Some APIs bill that nothing was found. Its error passes, and its figures count."""
    plan, sent = ToolPlan(charged_statuses=frozenset({404})), Sent()
    row = await receipt(staged(Typed(JSON, [told(1)], status=404), CREDITS, plan=plan), Call(), sent)
    assert (row.outcome.outcome, row.outcome.status, sent.data) == ("complete", 404, told(1))
    assert row.charged_nano == CALL_NANO + CREDIT_NANO


FAILURE = Failure(source("answer", "/error"))


@pytest.mark.parametrize("status", [200, 404])
async def test_an_answer_that_tells_an_error_is_free(status: int) -> None:
    plan = ToolPlan(charged_statuses=frozenset({404}), failure=FAILURE)
    sent = Sent()
    upstreams = Typed(JSON, [b'{"error": "no", "usage": {"credits": 5}}'], status=status)
    row = await receipt(staged(upstreams, CREDITS, plan=plan), Call(), sent)
    assert (row.outcome.outcome, row.outcome.status, row.charged_nano) == ("upstream_failed", status, 0)
    assert sent.ended


async def test_a_stream_that_tells_an_error_costs_what_came_before() -> None:
    pieces = [b"data: " + told(1) + b"\n\n", b'data: {"error": "no"}\n\n']
    row = await receipt(staged(Typed(EVENTS, pieces), CREDITS, plan=ToolPlan(failure=FAILURE)), Call())
    assert (row.outcome.outcome, row.charged_nano) == ("upstream_failed", CALL_NANO + CREDIT_NANO)
