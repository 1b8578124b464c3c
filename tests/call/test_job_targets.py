"""A call that begins a job is sent to a second target only where the first has surely not begun it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.endpoints.objects import ObjectKind, always
from proxy.endpoints.registry import KINDS
from proxy.errors import Refusal
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.upstream.base import UpstreamFailure
from proxy.upstream.routes import Routes, Target, Upstream
from tests.call.fakes import RATES
from tests.call.test_response_jobs import told
from tests.call.tool_jobs import CRAWL, CrawlStage, said
from tests.call.videos import RATES as VIDEO_RATES
from tests.call.videos import WANTED, VideoStage, video

ASKED: dict[str, tuple[str, str, dict[str, Any], bytes]] = {
    "video": ("/v1/videos", "/videos", WANTED, video("queued")),
    "response": (
        "/v1/responses",
        "/responses",
        {"model": "m", "input": "Hi", "background": True, "max_output_tokens": 9},
        told("queued"),
    ),
    "crawl": (CRAWL, "/crawl", {"limit": 2}, said(success=True, id="job_1")),
}
"""What begins a job of each kind, and the answer that has begun one."""
PLAIN = (
    "/v1/responses",
    "/responses",
    {"model": "m", "input": "Hi", "max_output_tokens": 9},
    told("completed"),
)

Answers = Callable[[], tuple[int, bytes]]


def fails(code: Any, *, untouched: bool = False) -> Answers:
    def answer() -> tuple[int, bytes]:
        raise UpstreamFailure(code, "It failed.", untouched=untouched)

    return answer


def says(status: int) -> Answers:
    return lambda: (status, b'{"error":{"message":"Incorrect API key"}}')


REFUSED: dict[str, Answers] = {
    "no connection": fails("upstream_unreachable", untouched=True),
    "too often": says(429),
    "no credential": says(401),
}
PERHAPS_BEGUN: dict[str, Answers] = {
    "silence": fails("upstream_timeout"),
    "a broken connection": fails("upstream_failed"),
    "no HTTP": fails("upstream_invalid"),
    **{str(status): says(status) for status in (500, 502, 503, 504)},
}


async def tried(asked: tuple[str, str, dict[str, Any], bytes], first: Answers) -> list[str]:
    """The targets that a call was sent to, of which the first does as it is told."""
    path, upstream_path, body, good = asked
    stage: VideoStage = CrawlStage(upstreams=("one", "two")) if path == CRAWL else VideoStage()
    if path != CRAWL:
        before = stage.stage.catalog
        targets = tuple(Target(Upstream(name, f"http://{name}")) for name in ("one", "two"))
        route = replace(before.routes.all[0], targets=targets, endpoints=("videos", "responses"))
        book = PriceBook([RateCard("all", ("*",), (*RATES, *VIDEO_RATES), 100)])
        stage.stage.relay.catalog = replace(before, routes=Routes([route]), book=book)
    answers: Iterator[Answers] = iter([first, lambda: (200, good)])

    def answer() -> tuple[int, bytes]:
        return next(answers)()

    stage.studio.answers["POST", upstream_path] = answer
    with contextlib.suppress(Refusal):
        await stage.ask("POST", path, body)
    await stage.rest()
    return stage.studio.targets


@pytest.mark.parametrize("first", REFUSED)
@pytest.mark.parametrize("kind", ASKED)
async def test_the_next_target_has_what_the_first_has_not_begun(kind: str, first: str) -> None:
    assert await tried(ASKED[kind], REFUSED[first]) == ["one", "two"]


@pytest.mark.parametrize("first", PERHAPS_BEGUN)
@pytest.mark.parametrize("kind", ASKED)
async def test_no_other_target_has_what_the_first_may_have_begun(kind: str, first: str) -> None:
    """It would go on there, and be paid for, and nobody would see it."""
    assert await tried(ASKED[kind], PERHAPS_BEGUN[first]) == ["one"]


@pytest.mark.parametrize("first", [*REFUSED, *PERHAPS_BEGUN])
async def test_what_begins_no_job_is_repeated_as_any_call(first: str) -> None:
    """A response that is not in the background."""
    assert await tried(PLAIN, (REFUSED | PERHAPS_BEGUN)[first]) == ["one", "two"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_such_a_call(kind: ObjectKind) -> None:
    assert kind.name in ASKED or kind.begins_job is not always
