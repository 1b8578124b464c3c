"""Leaving early is no discount: what a client has not seen of its answer is charged like the rest."""

import asyncio
import base64
import json
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from proxy.call.policy import Policy
from proxy.call.reasoning import MODELS_MAX, ReasoningModels
from proxy.endpoints.tallies.payload import DATA_BYTES_PER_TOKEN
from proxy.ledger.rows import Call, Receipt
from tests.call.fakes import CHUNKS, NOW_US, RATES, Asked, Sent, Stage, Upstreams, until
from tests.call.test_outcomes import PER_CALL

CALL = Call("req_1", "acct_1", "key_1", "chat.completions", "m", "up", "m-1", True, NOW_US)
PICTURE_BYTES = 20 * DATA_BYTES_PER_TOKEN
PICTURE = base64.b64encode(bytes(range(256)) * (PICTURE_BYTES // 256)).decode()
FIRST = CHUNKS[:1]
SEEN_NANO = (8 * 1_000) + 1 * 2_000
"""A prompt of 8 tokens and the one token that the client got."""


def event(**members: Any) -> bytes:
    return b"data: " + json.dumps(members).encode() + b"\n\n"


def delta(**members: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": members}])


def usage(output: int, reasoning: int) -> bytes:
    details = {"reasoning_tokens": reasoning}
    figures = {"prompt_tokens": 8, "completion_tokens": output, "completion_tokens_details": details}
    return event(choices=[], usage=figures)


REASONED = [*FIRST, CHUNKS[1], usage(90, 80), CHUNKS[3]]
PLAIN = [*FIRST, CHUNKS[1], usage(3, 0), CHUNKS[3]]
PICTURED = [delta(images=[{"image_url": {"url": f"data:image/png;base64,{PICTURE}"}}])]
SPOKEN = [delta(audio={"id": "a", "data": PICTURE})]


class Takes:
    """One upstream after the other, as if one: a call each."""

    def __init__(self, *upstreams: Upstreams) -> None:
        self._upstreams = list(upstreams)

    async def send(self, target: Any, request: Any) -> Any:
        return await self._upstreams.pop(0).send(target, request)


async def left(stage: Stage, upstreams: Upstreams, end: asyncio.Event, id_: str = "req_left") -> Receipt:
    """The receipt of a call whose client leaves when the first pieces have come; the rest comes then."""
    task = asyncio.ensure_future(stage.relay.relay(Asked(True, id_), Sent()))
    await until(lambda: any(answer.waits for answer in upstreams.answers))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    end.set()
    await until(lambda: not any(hold.state == "open" for hold in stage.store.books.holds.values()))
    assert all(answer.closed for answer in upstreams.answers)
    return stage.store.books.new_receipts[-1]


async def played(
    pieces: list[bytes],
    then: list[bytes],
    *,
    known: list[bytes] | None = None,
    mode: Literal["auto", "count", "drain"] = "auto",
    per_call: bool = False,
) -> Receipt:
    """What a call costs whose client leaves after `pieces`, when `then` would follow.

    A whole call with the events of `known` comes before it.
    """
    end = asyncio.Event()
    leaving = Upstreams(pieces, end=end, then=then)
    before = [] if known is None else [Upstreams(known)]
    rates = PER_CALL if per_call else RATES
    stage = Stage(Takes(*before, leaving), Policy(on_disconnect=mode), rates=rates)
    for number, _ in enumerate(before):
        await stage.relay.relay(Asked(True, f"req_{number}"), Sent())
    row = await left(stage, leaving, end)
    await stage.rest()
    return row


async def test_a_model_that_reports_reasoning_is_read_on_for_its_usage() -> None:
    row = await played(FIRST, REASONED[1:], known=REASONED)
    assert (row.outcome.basis, row.outcome.usage["output_tokens"]) == ("reported", 90)
    assert row.charged_nano == 8 * 1_000 + 90 * 2_000


async def test_a_model_that_reports_none_is_counted_and_stopped() -> None:
    row = await played(FIRST, REASONED[1:], known=PLAIN)
    assert (row.outcome.basis, row.charged_nano) == ("counted", SEEN_NANO)


async def test_one_client_may_leave_a_model_that_is_not_known_and_then_farebox_learns() -> None:
    """So that callers who never stay pay for hidden reasoning too."""
    ends = [asyncio.Event() for _ in range(3)]
    calls = [Upstreams(FIRST, end=end, then=REASONED[1:]) for end in ends]
    stage = Stage(Takes(*calls))
    bases = [
        (await left(stage, call, end, f"req_{at}")).outcome.basis
        for at, (call, end) in enumerate(zip(calls, ends, strict=True))
    ]
    await stage.rest()
    assert bases == ["counted", "reported", "reported"]


@pytest.mark.parametrize("pieces", [PICTURED, SPOKEN])
@pytest.mark.parametrize("known", [None, PLAIN])
async def test_pictures_and_sounds_are_read_on_for_their_usage(
    pieces: list[bytes], known: list[bytes] | None
) -> None:
    row = await played(pieces, [CHUNKS[1], usage(70, 0), CHUNKS[3]], known=known)
    assert (row.outcome.basis, row.outcome.usage["output_tokens"]) == ("reported", 70)


async def test_pictures_whose_usage_never_comes_are_charged_by_their_size() -> None:
    """However the stream ends: its client leaves and nothing more comes, or the upstream breaks it off."""
    row = await played(PICTURED, [])
    assert (row.outcome.basis, row.outcome.usage["output_tokens"]) == ("counted", 20)
    stage = Stage(Upstreams(PICTURED, breaks=True))
    await stage.relay.relay(Asked(stream=True), Sent())
    await stage.rest()
    (broken,) = stage.rows()
    assert (broken.outcome.outcome, broken.outcome.basis) == ("upstream_failed", "counted")
    assert broken.charged_nano == row.charged_nano == 8 * 1_000 + 20 * 2_000


@pytest.mark.parametrize(("mode", "basis"), [("count", "counted"), ("drain", "reported")])
async def test_an_operator_may_force_either_way(mode: Any, basis: str) -> None:
    for pieces, known in ((FIRST, REASONED), (FIRST, PLAIN), (PICTURED, None)):
        row = await played(pieces, REASONED[1:], known=known, mode=mode)
        assert row.outcome.basis == basis


async def test_a_fixed_price_needs_no_usage() -> None:
    """What costs the same however much it is, is not read on."""
    row = await played(PICTURED, REASONED[1:], known=REASONED, per_call=True)
    assert (row.outcome.basis, row.outcome.usage) == ("per_call", {"requests": 1})


async def test_data_costs_no_more_than_the_bound_on_output() -> None:
    """What is charged by its size is still within what was held for it."""
    stage = Stage(Upstreams(PICTURED, breaks=True))
    await stage.relay.relay(Asked(True, max_completion_tokens=20), Sent())
    await stage.rest()
    (row,) = stage.rows()
    assert row.outcome.usage["output_tokens"] == 20
    assert row.charged_nano <= row.hold_nano


def test_reasoning_that_was_seen_once_is_remembered() -> None:
    models = ReasoningModels()
    models.learn(CALL, {"reasoning_tokens": 5}, whole=False)
    models.learn(CALL, {"output_tokens": 5}, whole=True)
    assert models.may_hide(CALL)


def test_a_model_is_known_by_its_upstream_and_its_name_there() -> None:
    models = ReasoningModels()
    models.learn(CALL, {"reasoning_tokens": 5}, whole=True)
    for other in (replace(CALL, upstream="spare"), replace(CALL, upstream_model="m-2")):
        assert not models.may_hide(other)
    assert models.may_hide(replace(CALL, model="other name", key_id="key_2"))


def test_usage_that_was_not_whole_does_not_clear_a_model() -> None:
    models = ReasoningModels()
    assert not models.may_hide(CALL)
    models.learn(CALL, {"output_tokens": 5}, whole=False)
    assert models.may_hide(CALL)
    models.learn(CALL, {"output_tokens": 5}, whole=True)
    assert not models.may_hide(CALL)


def test_no_more_models_are_remembered_than_the_bound() -> None:
    models = ReasoningModels(2)
    for name in ("a", "b", "c"):
        models.learn(replace(CALL, upstream_model=name), {"reasoning_tokens": 1}, whole=True)
    known = [models.may_hide(replace(CALL, upstream_model=name)) for name in ("c", "b", "a")]
    assert known == [True, True, False]
    assert MODELS_MAX >= 100
