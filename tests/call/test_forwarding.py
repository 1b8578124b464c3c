"""Where a call goes: past targets that refuse Farebox's own credential, and what the receipt says of each."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from proxy.call.in_flight import ATTEMPTS_MAX
from proxy.endpoints.base import Endpoint
from proxy.errors import Refusal
from proxy.ledger.rows import Attempt, Receipt
from proxy.upstream.base import UpstreamFailure, UpstreamRequest
from proxy.upstream.denials import Denials
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.call.fakes import WHOLE, Answered, Asked, Sent, Stage, until
from tests.call.toys import SECOND_NANO, TOY_RATES, TOYS, AskedTranscript

OPENAI_QUOTA = {"message": "You exceeded your current quota", "type": "insufficient_quota"}
NO_PERMISSION = {"message": "The API key has no permission", "type": "permission_error"}
ERRORS: Mapping[str, tuple[int, Any]] = {
    "unknown": (401, {"message": "Incorrect API key"}),
    "broke": (402, {"message": "Insufficient balance"}),
    "barred": (403, NO_PERMISSION),
    "spent": (429, OPENAI_QUOTA),
    "busy": (503, {"message": "busy"}),
    "picky": (400, {"message": "No."}),
}
DENYING = ("unknown", "broke", "barred", "spent")


class Targets:
    """Upstreams that do what they are called after; all others answer well."""

    def __init__(self, pieces: list[bytes] = WHOLE) -> None:
        self.tried: list[str] = []
        self.answers: list[Answered] = []
        self.pieces = pieces
        self.never = asyncio.Event()

    async def send(self, target: Target, request: UpstreamRequest) -> Answered:
        await asyncio.sleep(0)
        name = target.upstream.name
        self.tried.append(name)
        if name == "down":
            raise UpstreamFailure("upstream_unreachable", "It is down.", untouched=True)
        if name == "silent":
            await self.never.wait()
        if name == "stalled":
            answer = Answered([], 403, breaks=True, end=None, then=[])
        elif name in ERRORS:
            status, error = ERRORS[name]
            body = json.dumps({"error": error}).encode()
            answer = Answered([body[:9], body[9:]], status, breaks=False, end=None, then=[])
        else:
            answer = Answered(self.pieces, 200, breaks=False, end=None, then=[])
        self.answers.append(answer)
        return answer


class Calls:
    """Calls of one route to these targets, and what an operator was told."""

    def __init__(self, *names: str, endpoints: Mapping[str, Endpoint] | None = None, **more: Any) -> None:
        self.told: list[object] = []
        self.targets = Targets()
        denials = Denials(on_denial=lambda *denied: self.told.append(denied), on_end=self.told.append)
        options = {**more, **({"endpoints": endpoints} if endpoints else {})}
        self.stage = Stage(self.targets, denials=denials, **options)
        served = tuple(each.name for each in endpoints.values()) if endpoints else ("chat.completions",)
        made = tuple(Target(Upstream(name, f"http://{name}")) for name in names)
        route = Route("all", made, models=("*",), endpoints=served)
        self.stage.relay.catalog = msgspec.structs.replace(self.stage.catalog, routes=Routes([route]))

    async def made(self, asked: Asked | None = None) -> tuple[Sent, Refusal | None]:
        sent = Sent()
        try:
            await self.stage.relay.relay(asked or Asked(False), sent)
        except Refusal as refusal:
            return sent, refusal
        return sent, None

    async def receipts(self) -> list[Receipt]:
        await self.stage.rest()
        return self.stage.rows()


@pytest.mark.parametrize("denying", DENYING)
async def test_a_target_that_refuses_the_credential_is_passed_over(denying: str) -> None:
    calls = Calls(denying, "up")
    sent, refusal = await calls.made()
    (row,) = await calls.receipts()
    assert (refusal, sent.data) == (None, b"".join(WHOLE))
    assert (row.call.upstream, row.outcome.outcome) == ("up", "complete")
    assert calls.told == [(denying, ERRORS[denying][0])]
    assert calls.targets.answers[0].closed


@pytest.mark.parametrize("denying", DENYING)
async def test_an_endpoint_that_may_not_be_repeated_is_passed_over_too(denying: str) -> None:
    """Who refuses the credential has not acted on the request."""
    calls = Calls(denying, "up", endpoints=TOYS, rates=TOY_RATES)
    calls.targets.pieces = [b'END{"audio_seconds": 10}']
    _, refusal = await calls.made(AskedTranscript())
    (row,) = await calls.receipts()
    assert (refusal, row.charged_nano) == (None, 10 * SECOND_NANO)
    assert calls.targets.tried == [denying, "up"]


@pytest.mark.parametrize("denying", DENYING)
async def test_when_all_refuse_it_the_client_learns_nothing_of_it(denying: str) -> None:
    calls = Calls("barred", denying)
    sent, refusal = await calls.made()
    (row,) = await calls.receipts()
    assert refusal is not None
    assert (refusal.code, sent.data) == ("upstream_denied", b"")
    assert (row.outcome.outcome, row.outcome.status, row.charged_nano) == ("upstream_failed", 502, 0)


async def test_what_comes_after_a_denial_is_the_answer() -> None:
    calls = Calls("unknown", "picky", "up")
    sent, refusal = await calls.made()
    (row,) = await calls.receipts()
    assert (refusal, json.loads(sent.data)["error"], sent.status) == (None, ERRORS["picky"][1], 400)
    assert row.outcome.outcome == "upstream_refused"


async def test_a_denial_is_told_once_and_its_end_too() -> None:
    calls = Calls("up", "spare")
    denying = True

    async def send(target: Target, request: UpstreamRequest) -> Answered:
        denied = denying and target.upstream.name == "up"
        return Answered([] if denied else WHOLE, 401 if denied else 200, breaks=False, end=None, then=[])

    calls.targets.send = send  # type: ignore[method-assign]
    for number in range(6):
        denying = number < 3
        assert (await calls.made(Asked(False, f"req_{number}")))[1] is None
    rows = await calls.receipts()
    assert [row.call.upstream for row in rows] == ["spare"] * 3 + ["up"] * 3
    assert calls.told == [("up", 401), "up"]


async def test_an_error_that_has_been_looked_at_passes_whole() -> None:
    """A 429 that is not about the quota, from the last target, is the client's, byte for byte."""
    calls = Calls("slow")
    body = b'{"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}'
    answer = Answered([body[:20], body[20:40], body[40:]], 429, breaks=False, end=None, then=[])

    async def send(target: Target, request: UpstreamRequest) -> Answered:
        return answer

    calls.targets.send = send  # type: ignore[method-assign]
    sent, refusal = await calls.made()
    assert (refusal, sent.data, sent.status) == (None, body, 429)
    assert calls.told == []
    await calls.receipts()


async def test_an_error_that_breaks_off_while_it_is_looked_at_is_the_upstreams_failure() -> None:
    calls = Calls("stalled")
    _, refusal = await calls.made()
    (row,) = await calls.receipts()
    assert refusal is not None
    assert (refusal.code, row.outcome.outcome) == ("upstream_failed", "upstream_failed")


async def test_the_receipt_has_each_attempt_in_order() -> None:
    calls = Calls("down", "unknown", "busy", "up", "unused")
    await calls.made()
    (row,) = await calls.receipts()
    assert row.outcome.attempts == (
        Attempt("down", None, 0),
        Attempt("unknown", 401, 0),
        Attempt("busy", 503, 0),
        Attempt("up", 200, 0),
    )


@pytest.mark.parametrize("name", ["down", "busy", "unknown"])
async def test_the_receipt_of_a_call_that_failed_has_its_attempts(name: str) -> None:
    calls = Calls("down", name)
    await calls.made()
    (row,) = await calls.receipts()
    assert [attempt.target for attempt in row.outcome.attempts] == ["down", name]


async def test_an_attempt_that_the_client_did_not_wait_for_is_one() -> None:
    calls = Calls("unknown", "silent")
    task = asyncio.ensure_future(calls.made())
    await until(lambda: "silent" in calls.targets.tried)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (row,) = await calls.receipts()
    assert row.outcome.attempts == (Attempt("unknown", 401, 0), Attempt("silent", None, 0))


async def test_a_receipt_has_no_more_attempts_than_a_bound_the_last_one_included() -> None:
    calls = Calls(*(["down"] * (2 * ATTEMPTS_MAX)), "up")
    await calls.made()
    (row,) = await calls.receipts()
    assert len(row.outcome.attempts) == ATTEMPTS_MAX
    assert row.outcome.attempts[-1] == Attempt("up", 200, 0)
