"""Background responses that are streamed: jobs that are on the ledger before anything of them passes."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.errors import Refusal
from proxy.ledger.commands import Recover
from proxy.pricing.book import PriceBook
from proxy.upstream.base import UpstreamRequest
from proxy.upstream.routes import Target
from tests.call.fakes import Answered, Sent, until
from tests.call.test_response_jobs import CARD, INPUT_NANO, OUTPUT_NANO, told
from tests.call.videos import AskedVideo, Studio, VideoStage
from tests.endpoints.openai.responses.replies import event, response, text, usage

WANTED = {"model": "m", "input": "Say hello", "background": True, "stream": True}
PATH = "/v1/responses/resp_1"


def at(kind: str, status: str, **members: Any) -> bytes:
    return event(f"response.{kind}", response=response(**{"status": status, "usage": None, **members}))


CREATED = at("created", "queued")
SAYS = event("response.output_text.delta", output_index=0, item_id="msg_1", delta="Hello")
BEGINNING = [CREATED, at("in_progress", "in_progress"), SAYS]
COMPLETED = event("response.completed", response=response(text("Hello"), usage=usage(36, 87)))
FULL_NANO = 36 * INPUT_NANO + 87 * OUTPUT_NANO


class Streaming(Studio):
    """An upstream that streams each response that it makes."""

    def __init__(self, *pieces: bytes, breaks: bool = False, waits: bool = False) -> None:
        super().__init__()
        self._pieces = list(pieces)
        self._breaks = breaks
        self.end = asyncio.Event() if waits else None

    async def send(self, target: Target, request: UpstreamRequest) -> Answered:
        if request.method == "POST" and request.path == "/responses":
            self.requests.append(request)
            return Answered(self._pieces, 200, breaks=self._breaks, end=self.end, then=[])
        return await super().send(target, request)


class StreamStage(VideoStage):
    """A stage with such an upstream."""

    def __init__(self, *pieces: bytes, **more: bool) -> None:
        super().__init__(studio=Streaming(*pieces, **more))
        self.stage.relay.catalog = replace(self.stage.catalog, book=PriceBook([CARD]))

    @property
    def receipts(self) -> list[tuple[str, str, int]]:
        rows = [row for row in self.store.books.new_receipts if row.call.endpoint == "responses"]
        return [(row.outcome.outcome, row.outcome.basis, row.charged_nano) for row in rows]

    @property
    def running(self) -> bool:
        """Whether there is a job on the ledger: a hold that outlives its process, and its object."""
        holds = [hold for hold in self.store.books.holds.values() if hold.state == "open"]
        return any(hold.deadline_us is not None for hold in holds) and bool(self.store.books.objects)

    async def poll(self, ended: bytes) -> None:
        self.studio.says("GET", "/responses/resp_1", ended)
        self.clock.at_us += 60_000_000
        await self.poller().round()
        assert self.faults == []


async def asked(stage: StreamStage, body: Mapping[str, Any] = WANTED) -> Sent:
    return await stage.ask("POST", "/v1/responses", body)


@pytest.mark.parametrize("chunks", ["one", "each", "bytes"])
async def test_a_stream_that_is_whole_is_charged_once_by_what_its_end_reports(chunks: str) -> None:
    """The client gets the upstream's bytes, however they come."""
    whole = b"".join([*BEGINNING, COMPLETED])
    pieces = {"one": [whole], "each": [*BEGINNING, COMPLETED], "bytes": [bytes([each]) for each in whole]}
    stage = StreamStage(*pieces[chunks])
    sent = await asked(stage)
    assert (sent.data, sent.ended) == (whole, True)
    assert stage.receipts == [("complete", "reported", FULL_NANO)]
    await stage.poll(told("completed", text("Hello"), usage=usage(36, 999)))
    assert stage.receipts == [("complete", "reported", FULL_NANO)]


async def test_the_job_is_on_the_ledger_before_its_id_passes() -> None:
    """So that whoever has its id may ask for it, and no crash loses it."""
    stage = StreamStage(*BEGINNING, waits=True)
    sent = Sent()
    request = AskedVideo("POST", "/v1/responses", WANTED)
    seen: list[bool] = []
    write = sent.write

    async def watched(data: bytes) -> None:
        seen.append(stage.running)
        await write(data)

    sent.write = watched  # type: ignore[method-assign]
    call = asyncio.ensure_future(stage.stage.relay.relay(request, sent))
    await until(lambda: SAYS in sent.data)
    assert seen[0]
    assert sent.data == b"".join(BEGINNING)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call


async def left(stage: StreamStage) -> None:
    call = asyncio.ensure_future(asked(stage))
    await until(lambda: stage.running)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call


async def broken(stage: StreamStage) -> None:
    await asked(stage)


@pytest.mark.parametrize("ends", ["left", "broken"])
async def test_a_job_goes_on_without_its_stream_and_others_see_its_end(ends: str) -> None:
    """The client has left, or the upstream has broken off: what is made costs what it costs."""
    stage = StreamStage(*BEGINNING, breaks=ends == "broken", waits=ends == "left")
    await (left if ends == "left" else broken)(stage)
    assert (stage.running, stage.receipts) == (True, [])
    await stage.poll(told("in_progress"))
    assert (stage.running, stage.receipts) == (True, [])
    await stage.poll(told("completed", text("Hello"), usage=usage(36, 87)))
    assert stage.receipts == [("complete", "reported", FULL_NANO)]


async def test_a_job_is_no_orphan_of_the_process_that_has_streamed_it() -> None:
    stage = StreamStage(*BEGINNING, breaks=True)
    await asked(stage)
    (hold,) = [hold for hold in stage.store.books.holds.values() if hold.state == "open"]
    stage.store.commit([Recover(hold.call, hold.created_at_us, stage.clock.at_us)])
    assert stage.running


@pytest.mark.parametrize(
    ("end", "receipts"),
    [
        (at("failed", "failed", error={"code": "server_error"}), [("job_failed", "void", 0)]),
        (
            at("failed", "failed", usage=usage(36, 5, total_tokens=41)),
            [("complete", "reported", 36 * INPUT_NANO + 5 * OUTPUT_NANO)],
        ),
        (
            at("incomplete", "incomplete", usage=usage(36, 5, total_tokens=41)),
            [("complete", "reported", 36 * INPUT_NANO + 5 * OUTPUT_NANO)],
        ),
        (event("error", error={"code": "server_error"}), []),
    ],
)
async def test_what_the_end_of_the_stream_tells_ends_the_job(
    end: bytes, receipts: list[tuple[str, str, int]]
) -> None:
    """An error of the stream is none of the job."""
    stage = StreamStage(*BEGINNING, end)
    sent = await asked(stage)
    await stage.rest()
    assert sent.data == b"".join([*BEGINNING, end])
    assert stage.receipts == receipts
    assert stage.running is not bool(receipts)


async def test_an_end_without_usage_is_counted() -> None:
    stage = StreamStage(*BEGINNING, at("completed", "completed", output=[text("Hello")]))
    await asked(stage)
    await stage.rest()
    ((outcome, basis, nano),) = stage.receipts
    assert (outcome, basis) == ("complete", "counted")
    assert OUTPUT_NANO < nano < 100 * OUTPUT_NANO


async def test_whoever_sees_the_end_first_ends_it_and_nobody_else_does() -> None:
    stage = StreamStage(*BEGINNING, COMPLETED, waits=False)
    stage.studio.says("GET", "/responses/resp_1", told("completed", usage=usage(36, 5, total_tokens=41)))
    begin = stage.stage.closing._begin_streamed

    async def polled_at_once(*given: Any) -> None:
        await begin(*given)
        if stage.running:
            await stage.ask("GET", PATH)

    stage.stage.closing._begin_streamed = polled_at_once  # type: ignore[method-assign, assignment]
    await asked(stage)
    await stage.rest()
    assert stage.receipts == [("complete", "reported", 36 * INPUT_NANO + 5 * OUTPUT_NANO)]


async def test_a_stream_that_tells_no_id_is_a_stream_like_any_other() -> None:
    """It is charged at its end; one without an end is kept back no longer than a bound."""
    unnamed = event("response.created", response={"status": "queued"})
    long = [event("response.output_text.delta", output_index=0, delta="x" * 8_000) for _ in range(10)]
    stage = StreamStage(unnamed, *long, COMPLETED)
    sent = await asked(stage)
    await stage.rest()
    assert sent.data == b"".join([unnamed, *long, COMPLETED])
    assert stage.receipts == [("complete", "reported", FULL_NANO)]


async def test_an_id_that_another_calls_object_has_is_refused() -> None:
    stage = StreamStage(*BEGINNING, COMPLETED)
    await asked(stage)
    with pytest.raises(Refusal) as refused:
        await asked(stage)
    assert refused.value.code == "upstream_invalid"
    await stage.rest()
    assert stage.receipts == [("complete", "reported", FULL_NANO), ("upstream_failed", "void", 0)]
