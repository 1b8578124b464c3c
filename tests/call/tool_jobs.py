"""Tools whose calls are jobs, on a stage: crawls at 0.01 USD, and 0.002 a credit."""

import json

from msgspec.structs import replace

from proxy.call.policy import Catalog, Policy
from proxy.endpoints.objects import ObjectRoute
from proxy.endpoints.tool_jobs import kind_of
from proxy.endpoints.tool_plan import Failure, JobPlan, Measure, Multiple, ToolPlan
from proxy.ledger.groups import Groups
from proxy.ledger.rows import Receipt
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.call.tool_stage import CREDIT, RATES, source
from tests.call.videos import VideoStage

JOB = JobPlan(
    source("answer", "/id"), ("status",), frozenset({"completed", "cancelled"}), frozenset({"failed"})
)
PLAN = ToolPlan(
    (
        Measure(
            "credits",
            source("answer", "/creditsUsed"),
            most=CREDIT,
            multiple=Multiple(source("request", "/limit"), 20),
        ),
    ),
    failure=Failure(source("answer", "/success"), "false"),
    job=JOB,
)
ROUTES = (
    ObjectRoute("poll", "GET", "How far it is."),
    ObjectRoute("read", "GET", "Its errors.", "/errors", "nothing"),
    ObjectRoute("cancel", "DELETE", "Stop it.", "", "nothing"),
)
CRAWL = "/v1/crawl"
SHOWN = "/crawl/job_1"


def said(**told: object) -> bytes:
    return json.dumps(told).encode()


def crawling(status: str, **more: object) -> bytes:
    """How far a crawl is, as its upstream says: without any id."""
    return said(success=True, status=status, **more)


class CrawlStage(VideoStage):
    """A stage on which crawls are made, for two accounts with a dollar each."""

    def __init__(
        self, policy: Policy | None = None, *, plan: ToolPlan = PLAN, upstreams: tuple[str, ...] = ("up",)
    ) -> None:
        super().__init__(policy)
        self.studio.says("POST", "/crawl", said(success=True, id="job_1"))
        targets = tuple(Target(Upstream(name, f"http://{name}"), path="/crawl") for name in upstreams)
        route = Route(
            "crawl",
            targets,
            path=CRAWL,
            methods=("POST",),
            rate_card="t",
            plan=plan,
            makes=kind_of("crawl", plan, (CRAWL, "/crawl"), ROUTES),
        )
        book = PriceBook([RateCard("t", (), RATES)])
        self.stage.catalog = Catalog(Routes([route]), book, Groups(), policy or Policy())
        self.stage.relay.catalog = self.stage.catalog

    def repriced(self, *rates: object) -> None:
        """Let another rate card be in force from here on."""
        book = PriceBook([RateCard("t", (), rates)])  # type: ignore[arg-type]
        self.stage.catalog = self.stage.relay.catalog = replace(self.stage.catalog, book=book)

    def receipts(self) -> list[Receipt]:
        """Those of the jobs."""
        return [row for row in self.store.books.new_receipts if row.call.endpoint == "tools"]

    def ended(self) -> list[tuple[str, str, int]]:
        """Outcome, basis and charge of each job that has ended."""
        return [(row.outcome.outcome, row.outcome.basis, row.charged_nano) for row in self.receipts()]
