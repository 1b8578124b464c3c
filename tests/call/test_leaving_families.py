"""Whoever leaves a call pays for it as who stays: every family, at every moment, but for what a stream saves.

An upstream bills what it was sent whether anybody waits for it or not.
"""

import asyncio
import json
from typing import Any, Literal, get_args

import pytest

from proxy.call.policy import Catalog
from proxy.endpoints.registry import ENDPOINTS
from proxy.ledger.groups import Groups
from proxy.ledger.rows import Receipt
from proxy.money import parse_amount
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from proxy.upstream.base import UpstreamFailure, UpstreamRequest
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.call.fakes import CHUNKS, SECRET, WHOLE, Sent, Stage, until
from tests.call.test_response_jobs import told
from tests.call.tool_stage import RATES as TOOL_RATES
from tests.call.videos import video
from tests.endpoints.forms import HEADERS, form_of
from tests.endpoints.least import FORMS, LEAST
from tests.endpoints.openai.responses.replies import text, usage

Moment = Literal["before the head", "after the head", "in the body", "after the body"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)

METERS = (
    "input_tokens",
    "output_tokens",
    "characters",
    "audio_seconds",
    "video_seconds",
    "search_units",
    "images",
)
CARD = RateCard(
    "all",
    ("*",),
    tuple(Rate(meter, parse_amount("0.000001"), 1) for meter in METERS),
    100,
    input_allowance=100,
)
TOOL = "tools"
LARGE = "tools with an answer that passes before its end"
TOOL_PATH = "/v1/tool"
BACKGROUND = "responses in the background"


def said(**members: Any) -> bytes:
    return json.dumps(members).encode()


TOKENS = {"prompt_tokens": 7, "total_tokens": 7}
SPENT = {"prompt_tokens": 7, "total_tokens": 10}
RANKED = said(results=[{"index": 0, "relevance_score": 0.5}], meta={"billed_units": {"search_units": 1}})
REPLIES: dict[str, bytes] = {
    "chat.completions": b"".join(WHOLE),
    "completions": said(
        choices=[{"text": "Hi"}], usage={**TOKENS, "completion_tokens": 3, "total_tokens": 10}
    ),
    "embeddings": said(data=[{"embedding": [0.5]}], usage=TOKENS),
    "responses": told("completed", text("Hello"), usage=usage(36, 87)),
    "responses.compact": said(output=[], usage={"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}),
    "audio.transcriptions": said(text="Hello", usage={"type": "duration", "seconds": 9}),
    "audio.translations": said(text="Hello", usage={"type": "duration", "seconds": 9}),
    "moderations": said(results=[{"flagged": False}], model="m"),
    "rerank": said(
        results=[{"index": 0, "relevance_score": 0.5}], meta={"billed_units": {"search_units": 1}}
    ),
    "rerank.v2": said(
        results=[{"index": 0, "relevance_score": 0.5}], meta={"billed_units": {"search_units": 1}}
    ),
    "messages": said(content=[{"type": "text", "text": "Hi"}], usage={"input_tokens": 7, "output_tokens": 3}),
    "images.generations": said(created=1, data=[{"url": "https://x"}]),
    "images.edits": said(created=1, data=[{"url": "https://x"}]),
    TOOL: said(results=[1, 2]),
    LARGE: said(results=["x" * 200_000]),
}
"""A good answer of each family whose calls cost something, none of them a stream."""
STREAMS: dict[str, tuple[list[bytes], dict[str, Any]]] = {
    "chat.completions": (CHUNKS, {"stream": True}),
    "audio.speech": ([b"\xff\xfb" * 90, b"\xff\xfb" * 90], {}),
}
"""Answers that pass as they come, with what asks for them."""
JOBS: dict[str, bytes] = {"videos": video("queued"), BACKGROUND: told("queued")}
REQUESTS: dict[str, dict[str, Any]] = {
    **LEAST,
    BACKGROUND: {"model": "m", "input": "Hi", "background": True},
    TOOL: {"q": "Hi"},
    LARGE: {"q": "Hi"},
    "images.edits": {"model": "m", "prompt": "A cat", "image": b"\x89PNG\r\n\x1a\n"},
}
PATHS = {each.name: each.path for each in ENDPOINTS.values()} | {
    TOOL: TOOL_PATH,
    LARGE: TOOL_PATH,
    BACKGROUND: "/v1/responses",
}


class Request:
    """A client's request on an endpoint."""

    method = "POST"
    query = ""
    secret: str | None = SECRET
    wants_cost = False
    run = ""

    def __init__(self, family: str, **more: Any) -> None:
        self.id = "req_1"
        self.path = PATHS[family]
        self.facts: dict[str, str] = {}
        members = REQUESTS[family] | more
        is_form = family in FORMS or any(isinstance(value, bytes) for value in members.values())
        self.headers: tuple[tuple[str, str], ...] = tuple(HEADERS) if is_form else ()
        self._body = form_of(members) if is_form else json.dumps(members).encode()

    async def body_at_hand(self) -> bytes | None:
        return self._body

    async def body(self) -> bytes:
        return self._body


class Client(Sent):
    """A client that can leave, as a server has it: its task is cancelled, unless its call goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = False

    async def write(self, data: bytes) -> None:
        if self.gone:
            raise ConnectionResetError("the client is gone")
        await super().write(data)

    async def end(self, data: bytes = b"") -> None:
        if self.gone:
            raise ConnectionResetError("the client is gone")
        await super().end(data)

    def leave(self, task: "asyncio.Future[None]") -> None:
        self.gone = True
        if not self.goes_on():
            task.cancel()


class Slow:
    """An upstream that stops at a moment, until it may go on. It answers with `pieces`, or `fails`."""

    def __init__(
        self, pieces: list[bytes], at: Moment | None, *, status: int = 200, fails: bool = False
    ) -> None:
        self.at = at
        self.is_there = False
        self.may_go_on = asyncio.Event()
        self.status = status
        self.headers = [("Content-Type", "application/json")]
        self.closed = 0
        self.sent: list[str] = []
        self._pieces = pieces
        self._fails = fails
        self._passed = 0

    async def _reach(self, moment: Moment) -> None:
        if moment == self.at:
            self.is_there = True
            await self.may_go_on.wait()

    async def send(self, target: Target, request: UpstreamRequest) -> "Slow":
        self.sent.append(target.upstream.name)
        await self._reach("before the head")
        if self._fails:
            raise UpstreamFailure("upstream_timeout", "It was silent.")
        return self

    def chunks(self) -> "Slow":
        return self

    def __aiter__(self) -> "Slow":
        return self

    async def __anext__(self) -> bytes:
        if self._passed == 0:
            await self._reach("after the head")
        if self._passed == len(self._pieces) // 2:
            await self._reach("in the body")
        if self._passed == len(self._pieces):
            await self._reach("after the body")
            raise StopAsyncIteration
        self._passed += 1
        return self._pieces[self._passed - 1]

    def close(self) -> None:
        self.closed += 1


def pieces_of(reply: bytes) -> list[bytes]:
    return [reply[: len(reply) // 2], reply[len(reply) // 2 :]]


async def played(family: str, upstream: Slow, *, targets: int = 1, **more: Any) -> tuple[Stage, Client]:
    """The stage on which a client has left at the upstream's moment, or stayed if there is none."""
    stage, client = Stage(upstream), Client()
    places = tuple(Target(Upstream(f"up{number}", "http://up")) for number in range(targets))
    served = Route("all", places, models=("*",), endpoints=tuple(each.name for each in ENDPOINTS.values()))
    tool = Route("tool", places, path=TOOL_PATH, methods=("POST",), rate_card="t")
    book = PriceBook([CARD, RateCard("t", (), TOOL_RATES[:1])])
    stage.relay.catalog = Catalog(Routes([served, tool]), book, Groups(), stage.catalog.policy)
    task = asyncio.ensure_future(stage.relay.relay(Request(family, **more), client))
    if upstream.at is not None:
        await until(lambda: upstream.is_there or task.done())
        assert upstream.is_there, task
        client.leave(task)
        upstream.may_go_on.set()
    await asyncio.gather(task, return_exceptions=True)
    await stage.rest()
    assert stage.heard.faults == []
    return stage, client


async def receipt(family: str, upstream: Slow, **more: Any) -> Receipt:
    stage, _ = await played(family, upstream, **more)
    (row,) = stage.rows()
    return row


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("family", REPLIES)
async def test_who_leaves_pays_as_who_stays(family: str, moment: Moment) -> None:
    """To the nano-dollar, on the same basis, by the same usage."""
    pieces = pieces_of(REPLIES[family])
    stayed = await receipt(family, Slow(pieces, None))
    left = await receipt(family, Slow(pieces, moment))
    assert (stayed.outcome.outcome, stayed.outcome.basis != "void") == ("complete", True)
    assert (left.outcome.outcome, left.outcome.status) == ("client_left", 499)
    assert (left.charged_nano, left.outcome.basis) == (stayed.charged_nano, stayed.outcome.basis)
    assert left.outcome.usage == stayed.outcome.usage
    assert left.charged_nano > 0


def test_every_family_that_costs_is_in_the_table() -> None:
    """What is free, and pictures made like others, are left out."""
    free = {"responses.input_tokens", "messages.count_tokens", "images.variations"}
    assert {each.name for each in ENDPOINTS.values()} - free <= {*REPLIES, *STREAMS, *JOBS}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("family", JOBS)
async def test_a_job_goes_on_whose_client_has_left(family: str, moment: Moment) -> None:
    """Its id is on the ledger, so that its end is seen and charged."""
    stage, client = await played(family, Slow(pieces_of(JOBS[family]), moment))
    (hold,) = stage.store.books.holds.values()
    (made,) = stage.store.books.objects.values()
    assert (hold.state, made.call_id, client.ended) == ("open", "req_1", False)
    assert hold.deadline_us is not None


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("status", [400, 500])
async def test_an_upstreams_error_is_free_whether_anybody_waits(moment: Moment, status: int) -> None:
    row = await receipt(
        "chat.completions", Slow(pieces_of(said(error={"message": "no"})), moment, status=status)
    )
    assert (row.charged_nano, row.outcome.basis) == (0, "void")


async def test_an_upstream_that_never_answers_is_free_whether_anybody_waits() -> None:
    """And no other target is asked for who has left."""
    upstream = Slow([], "before the head", fails=True)
    row = await receipt("chat.completions", upstream, targets=2)
    assert (row.charged_nano, row.outcome.outcome, upstream.sent) == (0, "unreachable", ["up0"])
    upstream = Slow([], None, fails=True)
    await receipt("chat.completions", upstream, targets=2)
    assert upstream.sent == ["up0", "up1"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("family", STREAMS)
async def test_a_stream_pays_at_least_for_its_input(family: str, moment: Moment) -> None:
    """It is stopped once its upstream has begun to answer: that saves what is not produced any more."""
    pieces, more = STREAMS[family]
    stayed = await receipt(family, Slow(pieces, None), **more)
    upstream = Slow(pieces, moment)
    row = await receipt(family, upstream, **more)
    assert (row.outcome.outcome, row.outcome.status) == ("client_left", 499)
    assert row.outcome.usage["input_tokens"] > 0
    assert 0 < row.charged_nano <= stayed.charged_nano
    assert upstream.closed
