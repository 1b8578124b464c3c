"""A stage with one tool on it, at 0.01 USD a call and 0.002 a credit, its calls, and upstreams with types."""

import asyncio
import json
from typing import Any

from msgspec.structs import replace

from proxy.call.policy import Catalog, Policy
from proxy.endpoints.reading.pointer import pointer_of
from proxy.endpoints.sources import Place, Source
from proxy.endpoints.tool_plan import PLAIN, Measure, ToolPlan
from proxy.ledger.groups import Groups
from proxy.money import parse_amount
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.rates import Rate
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.call.fakes import Answered, Asked, Stage, Upstreams

CREDIT = 1_000_000
CREDIT_NANO = 2_000_000
CALL_NANO = 10_000_000
RATES = (
    Rate("requests", parse_amount("0.01"), 1),
    Rate("credits", parse_amount("0.002"), CREDIT),
)
JSON = "application/json"
EVENTS = "text/event-stream"


def source(place: Place, name: str) -> Source:
    return Source(place, name, pointer_of(name) if name.startswith("/") else ())


class Call(Asked):
    """A call of the tool."""

    path = "/v1/tool"

    def __init__(self, **members: object) -> None:
        super().__init__(False)
        self._members = members

    async def body(self) -> bytes:
        await asyncio.sleep(0)
        return json.dumps(self._members).encode() if self._members else b""


class Typed(Upstreams):
    """An upstream whose answers have a type."""

    def __init__(self, kind: str, pieces: list[bytes], **how: Any) -> None:
        super().__init__(pieces, **how)
        make = self._make

        def typed() -> Answered:
            answer = make()
            answer.headers = [("Content-Type", kind)]
            return answer

        self._make = typed  # type: ignore[assignment] # It makes the same, with another head.


def told(used: object) -> bytes:
    return json.dumps({"results": [1, 2], "usage": {"credits": used}}).encode()


def staged(
    upstreams: Upstreams,
    *measures: Measure,
    rates: tuple[Rate, ...] = RATES,
    cases: tuple[Case, ...] = (),
    plan: ToolPlan = PLAIN,
    policy: Policy | None = None,
    **how: Any,
) -> Stage:
    """A stage with one tool at these rates, 0.01 USD a call and 0.002 a credit."""
    stage = Stage(upstreams, policy, **how)
    target = Target(Upstream("up", "http://up"), path="/tool")
    route = Route(
        "tool",
        (target,),
        path="/v1/tool",
        methods=("POST",),
        rate_card="t",
        plan=replace(plan, measures=measures),
    )
    book = PriceBook([RateCard("t", (), rates, cases=cases)])
    stage.relay.catalog = Catalog(Routes([route]), book, Groups(), policy or Policy())
    return stage
