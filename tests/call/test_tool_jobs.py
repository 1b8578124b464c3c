"""A tool's job is held for when it begins, and closed once, by the units that its end reports."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from proxy.call.policy import Policy
from proxy.endpoints.tool_plan import Measure
from proxy.errors import Refusal
from proxy.upstream.base import UpstreamFailure
from tests.call.tool_jobs import CRAWL, PLAN, SHOWN, CrawlStage, crawling, said
from tests.call.tool_stage import CALL_NANO, CREDIT_NANO, RATES, source
from tests.call.videos import OTHER_SECRET

MOST = CALL_NANO + 20 * CREDIT_NANO
TWELVE = CALL_NANO + 12 * CREDIT_NANO
HOUR_US = 3_600_000_000


async def begun(policy: Policy | None = None, body: object = None) -> CrawlStage:
    """A stage with a crawl that runs."""
    stage = CrawlStage(policy)
    await stage.ask("POST", CRAWL, body or {"url": "https://a"})
    stage.studio.says("GET", SHOWN, crawling("scraping", creditsUsed=3))
    return stage


@pytest.mark.parametrize(("body", "held"), [({}, MOST), ({"limit": 5}, CALL_NANO + 5 * CREDIT_NANO)])
async def test_what_a_job_may_come_to_is_held_while_it_runs(body: object, held: int) -> None:
    """Its answer passes byte for byte, and asking how far it is costs nothing."""
    stage = CrawlStage()
    sent = await stage.ask("POST", CRAWL, body)
    assert (sent.data, sent.ended) == (said(success=True, id="job_1"), True)
    stage.studio.says("GET", SHOWN, crawling("scraping", creditsUsed=3))
    stage.studio.says("GET", f"{SHOWN}/errors", said(errors=[]))
    assert (await stage.ask("GET", "/v1/crawl/job_1")).data == crawling("scraping", creditsUsed=3)
    assert (await stage.ask("GET", "/v1/crawl/job_1/errors")).data == said(errors=[])
    stage.clock.at_us += 10**7
    await stage.poller().round()
    assert (stage.held_nano(), stage.ended()) == (held, [])
    assert {row.charged_nano for row in stage.store.books.new_receipts} == {0}
    await stage.rest()


@pytest.mark.parametrize("by", ["client", "poller"])
@pytest.mark.parametrize(
    ("end", "ended"),
    [
        (crawling("completed", creditsUsed=12), ("complete", "reported", TWELVE)),
        (
            crawling("COMPLETED", creditsUsed="12", data=[{"creditsUsed": 99}]),
            ("complete", "reported", TWELVE),
        ),
        (crawling("cancelled", creditsUsed=0), ("complete", "reported", CALL_NANO)),
        (crawling("completed"), ("complete", "counted", MOST)),
        (crawling("completed", creditsUsed=-1), ("complete", "counted", MOST)),
        (crawling("completed", data={"creditsUsed": 1}), ("complete", "counted", MOST)),
        (crawling("failed", creditsUsed=12), ("job_failed", "void", 0)),
        (said(success=False, status="completed", creditsUsed=12), ("job_failed", "void", 0)),
    ],
)
async def test_whoever_sees_a_job_end_first_charges_what_its_end_reports(
    by: str, end: bytes, ended: tuple[str, str, int]
) -> None:
    """Once, whatever is seen of it later. Without a figure that can be believed it is what was held."""
    stage = await begun()
    stage.clock.at_us += 10**7
    stage.studio.says("GET", SHOWN, end)
    if by == "client":
        assert (await stage.ask("GET", "/v1/crawl/job_1")).data == end
    else:
        await stage.poller().round()
    assert (stage.ended(), stage.held_nano()) == ([ended], 0)
    for other in ("completed", "failed", "scraping"):
        stage.studio.says("GET", SHOWN, crawling(other, creditsUsed=1))
        await stage.ask("GET", "/v1/crawl/job_1")
        await stage.poller().round()
    assert stage.ended() == [ended]
    await stage.rest()


async def test_what_an_end_does_not_tell_is_an_anomaly_of_the_receipt() -> None:
    stage = await begun()
    stage.studio.says("GET", SHOWN, crawling("completed"))
    await stage.ask("GET", "/v1/crawl/job_1")
    (row,) = stage.receipts()
    assert (row.outcome.anomalies, row.outcome.inferred) == (1, {"credits": "assumed"})
    await stage.rest()


async def test_a_job_is_charged_at_the_rates_of_its_beginning() -> None:
    stage = await begun()
    stage.repriced(*(replace(rate, price=rate.price * 10) for rate in RATES))
    stage.studio.says("GET", SHOWN, crawling("completed", creditsUsed=12))
    await stage.ask("GET", "/v1/crawl/job_1")
    assert stage.ended() == [("complete", "reported", TWELVE)]
    await stage.rest()


@pytest.mark.parametrize(
    ("answer", "ended"),
    [
        (
            said(success=True, id="job_1", status="completed", creditsUsed=12),
            ("complete", "reported", TWELVE),
        ),
        (said(success=True, id="job_1", status="completed"), ("complete", "counted", MOST)),
        (said(success=True, id="job_1", status="failed"), ("upstream_failed", "void", 0)),
        (said(success=False, error="no such site"), ("upstream_failed", "void", 0)),
    ],
)
async def test_a_job_that_has_ended_at_once_is_closed_with_its_call(
    answer: bytes, ended: tuple[str, str, int]
) -> None:
    """The upstream's answer is passed on, an error too."""
    stage = CrawlStage()
    stage.studio.says("POST", "/crawl", answer)
    assert (await stage.ask("POST", CRAWL, {})).data == answer
    assert (stage.ended(), stage.held_nano()) == ([ended], 0)
    await stage.rest()


@pytest.mark.parametrize("answer", [b"no JSON", b"[]", said(success=True), said(success=True, id="a b")])
async def test_an_answer_without_an_id_begins_no_job(answer: bytes) -> None:
    """Nobody could ask for it."""
    stage = CrawlStage()
    stage.studio.says("POST", "/crawl", answer)
    refusal = await stage.refused("POST", CRAWL, {})
    assert (refusal.kind.status, stage.ended()) == (502, [("upstream_failed", "void", 0)])
    await stage.rest()


async def test_a_job_is_its_accounts_alone() -> None:
    """Another account's is answered as one that never was, and no upstream hears of it."""
    stage = await begun()
    heard = len(stage.studio.requests)
    for method, below in (("GET", ""), ("GET", "/errors"), ("DELETE", "")):
        path = f"/v1/crawl/job_1{below}"
        other = await stage.refused(method, path, secret=OTHER_SECRET)
        never = await stage.refused(method, path.replace("job_1", "job_2"))
        assert other.kind.status == never.kind.status == 404
        assert str(other).replace("job_1", "x") == str(never).replace("job_2", "x")
    assert len(stage.studio.requests) == heard
    assert (await stage.refused("PUT", "/v1/crawl/job_1")).kind.status == 405
    await stage.rest()


async def test_a_cancel_ends_a_job_when_the_upstream_says_so() -> None:
    """What it has used by then is told by what the upstream says of it, not by the answer to the cancel."""
    stage = await begun()
    stage.studio.says("DELETE", SHOWN, crawling("cancelled"))
    assert (await stage.ask("DELETE", "/v1/crawl/job_1")).data == crawling("cancelled")
    assert stage.ended() == []
    stage.studio.says("GET", SHOWN, crawling("cancelled", creditsUsed=12))
    stage.clock.at_us += 10**7
    await stage.poller().round()
    assert stage.ended() == [("complete", "reported", TWELVE)]
    await stage.rest()


@pytest.mark.parametrize(("policy", "nano"), [(None, MOST), (Policy(on_job_overdue="free"), 0)])
async def test_a_job_whose_end_nobody_sees_ends_after_its_longest_life(
    policy: Policy | None, nano: int
) -> None:
    stage = await begun(policy)
    stage.studio.says("GET", SHOWN, said(error="gone"), 404)
    stage.clock.at_us += 48 * HOUR_US
    await stage.poller().round()
    assert [(outcome, charged) for outcome, _, charged in stage.ended()] == [("job_overdue", nano)]
    await stage.rest()


async def test_a_job_of_a_fixed_price_costs_that_when_it_is_complete() -> None:
    """And nothing when it has failed."""
    for status, ended in (
        ("completed", ("complete", "per_call", CALL_NANO)),
        ("failed", ("job_failed", "void", 0)),
    ):
        stage = CrawlStage(plan=replace(PLAN, measures=()))
        stage.repriced(RATES[0])
        await stage.ask("POST", CRAWL, {})
        assert stage.held_nano() == CALL_NANO
        stage.studio.says("GET", SHOWN, crawling(status))
        await stage.ask("GET", "/v1/crawl/job_1")
        assert stage.ended() == [ended]
        await stage.rest()


async def test_what_the_request_says_is_charged_as_it_says() -> None:
    measure = Measure("credits", source("request", "/limit"), most=20_000_000, otherwise=5_000_000)
    stage = CrawlStage(plan=replace(PLAN, measures=(measure,)))
    await stage.ask("POST", CRAWL, {"limit": 7})
    stage.studio.says("GET", SHOWN, crawling("completed", creditsUsed=1))
    await stage.ask("GET", "/v1/crawl/job_1")
    assert [nano for *_, nano in stage.ended()] == [CALL_NANO + 7 * CREDIT_NANO]
    await stage.rest()


async def test_a_job_stays_with_the_upstream_that_has_it() -> None:
    """An upstream that could not be reached has begun nothing: the next one has."""
    stage = CrawlStage(upstreams=("down", "up"))
    answers: Iterator[tuple[int, bytes] | None] = iter([None, (200, said(id="job_1"))])

    def answer() -> tuple[int, bytes]:
        found = next(answers)
        if found is None:
            raise UpstreamFailure("upstream_unreachable", "Nobody is there.", untouched=True)
        return found

    stage.studio.answers["POST", "/crawl"] = answer
    await stage.ask("POST", CRAWL, {})
    stage.studio.says("GET", SHOWN, crawling("completed", creditsUsed=12))
    stage.clock.at_us += 10**7
    await stage.poller().round()
    await stage.ask("GET", "/v1/crawl/job_1")
    assert stage.studio.targets == ["down", "up", "up", "up"]
    assert stage.ended() == [("complete", "reported", TWELVE)]
    await stage.rest()


async def test_a_figure_beyond_what_was_held_is_told_of_and_charged() -> None:
    stage = await begun()
    stage.studio.says("GET", SHOWN, crawling("completed", creditsUsed=30))
    await stage.ask("GET", "/v1/crawl/job_1")
    assert [nano for *_, nano in stage.ended()] == [CALL_NANO + 30 * CREDIT_NANO]
    assert len(stage.stage.heard.excesses) == 1
    with pytest.raises(Refusal):
        await stage.ask("GET", "/v1/crawl/other")
    await stage.rest()
