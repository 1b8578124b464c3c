"""What pictures cost, however a call for them ends: by a card with a price for each, and by one of tokens."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, Literal

import msgspec
import pytest
from msgspec.structs import replace

from proxy.call.policy import Policy
from proxy.ledger.commands import Recover
from proxy.ledger.rows import Receipt
from proxy.metering.tokens import COUNTER
from proxy.money import parse_amount
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from tests.call.fakes import NOW_US, Sent, Stage, Upstreams, until
from tests.call.hostile import Body
from tests.endpoints.openai.images.answers import (
    PICTURE,
    PICTURE_TOKENS,
    STREAM,
    completed,
    event,
    usage,
    whole,
)

GENERATIONS: Final = "/v1/images/generations"
PROMPT: Final = "A cat with a ticket in its paw"
GIVEN: Final = COUNTER.count(PROMPT, "m")
UNFINISHED: Final = 100
MOST: Final = 4_000
"""The most tokens that a picture takes, by the rate card."""
IMAGE_NANO: Final = 40_000_000
BY_IMAGE = RateCard("images", ("*",), (Rate("images", parse_amount("0.04"), 1),))
BY_TOKEN = RateCard(
    "tokens",
    ("*",),
    (
        Rate("input_tokens", parse_amount("1.00"), 1_000_000),
        Rate("input_image_tokens", parse_amount("2.00"), 1_000_000),
        Rate("output_tokens", parse_amount("4.00"), 1_000_000),
        Rate("output_image_tokens", parse_amount("8.00"), 1_000_000),
    ),
    MOST,
)
CARDS: Final = {"images": BY_IMAGE, "tokens": BY_TOKEN}
FUNDS_NANO: Final = 10**9
COUNTING = Policy(on_disconnect="count")
FREE = Policy(on_upstream_failure="free")
ERROR = event("error", error={"type": "image_generation_server_error", "message": "No."})
Cost = tuple[str, str, Mapping[str, int]]
"""An outcome, its basis, and what it is charged for."""


class Picture(Body):
    """A request for pictures."""

    def __init__(self, **members: Any) -> None:
        body = {"model": "m", "prompt": PROMPT, **members}
        super().__init__(GENERATIONS, json.dumps(body).encode())


class Scene(msgspec.Struct, frozen=True):
    """An answer in pieces and how it ends, with the members of the request for it."""

    pieces: Sequence[bytes]
    stream: bool = True
    breaks: bool = False
    leaves: bool = False
    policy: Policy = Policy()
    members: Mapping[str, Any] = {}
    then: Sequence[bytes] = ()
    """What comes when the client has left."""


def staged(
    upstreams: Upstreams, card: RateCard, policy: Policy | None = None, funds_nano: int = FUNDS_NANO
) -> Stage:
    stage = Stage(upstreams, policy, funds_nano=funds_nano)
    stage.relay.catalog = replace(stage.catalog, book=PriceBook([card]))
    return stage


async def played(scene: Scene, card: RateCard) -> tuple[Receipt, Sent]:
    """The receipt of a call, and what its client got."""
    end = asyncio.Event() if scene.leaves else None
    upstreams = Upstreams(list(scene.pieces), breaks=scene.breaks, end=end, then=scene.then)
    stage, sent = staged(upstreams, card, scene.policy), Sent()
    request = Picture(stream=scene.stream, **scene.members)
    task = asyncio.ensure_future(stage.relay.relay(request, sent))
    if end is not None:
        await until(lambda: any(answer.waits for answer in upstreams.answers))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        end.set()
    else:
        await asyncio.gather(task, return_exceptions=True)
    await stage.rest()
    (row,) = stage.rows()
    return row, sent


def chunkings(pieces: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Five ways in which the same bytes can come."""
    data = b"".join(pieces)
    yield list(pieces)
    yield [data]
    for size in (1_000, 101, 7):
        yield [data[at : at + size] for at in range(0, len(data), size)]


def whole_body(*pictures: dict[str, Any], **members: Any) -> list[bytes]:
    data = json.dumps(whole(*pictures, **members)).encode()
    return [data[:40], data[40:]]


FINISHED = STREAM[-1]
SILENT = [*STREAM[:-1], completed()]
ABSURD = usage(input_tokens=-3, output_tokens=10**15, total_tokens="many")
TWO = [{"b64_json": PICTURE}, {"b64_json": PICTURE}]
NO_USAGE_TOKENS = {"input_tokens": GIVEN, "output_tokens": 2 * UNFINISHED + PICTURE_TOKENS}
REPORTED = {"input_tokens": 50, "output_tokens": 1_256}
ONE = {"images": 1}
VOID: dict[str, int] = {}

SCENES: dict[str, tuple[Scene, dict[str, Cost]]] = {
    "complete": (
        Scene(STREAM),
        {"images": ("complete", "reported", ONE), "tokens": ("complete", "reported", REPORTED)},
    ),
    "complete in one piece": (
        Scene(whole_body(*TWO, usage=usage()), stream=False, members={"n": 2}),
        {
            "images": ("complete", "reported", {"images": 2}),
            "tokens": ("complete", "reported", {"input_tokens": 50, "output_tokens": 1_056}),
        },
    ),
    "fewer pictures than were asked for": (
        Scene(whole_body(TWO[0]), stream=False, members={"n": 4}),
        {
            "images": ("complete", "counted", ONE),
            "tokens": ("complete", "counted", {"input_tokens": GIVEN, "output_tokens": PICTURE_TOKENS}),
        },
    ),
    "no picture": (
        Scene(whole_body(), stream=False),
        {
            "images": ("complete", "counted", {"images": 0}),
            "tokens": ("complete", "counted", {"input_tokens": GIVEN}),
        },
    ),
    "usage missing": (
        Scene(SILENT),
        {"images": ("complete", "counted", ONE), "tokens": ("complete", "counted", NO_USAGE_TOKENS)},
    ),
    "usage absurd": (
        Scene([*STREAM[:-1], completed(usage=ABSURD)]),
        {"images": ("complete", "counted", ONE), "tokens": ("complete", "counted", NO_USAGE_TOKENS)},
    ),
    "an error within": (
        Scene([STREAM[0], ERROR]),
        {
            "images": ("upstream_failed", "counted", ONE),
            "tokens": ("upstream_failed", "counted", {"input_tokens": GIVEN, "output_tokens": UNFINISHED}),
        },
    ),
    "an error within, before anything": (
        Scene([ERROR]),
        dict.fromkeys(CARDS, ("upstream_failed", "void", VOID)),
    ),
    "an error within, for free": (
        Scene([STREAM[0], ERROR], policy=FREE),
        dict.fromkeys(CARDS, ("upstream_failed", "void", VOID)),
    ),
    "an error in one piece": (
        Scene([b'{"error": {"message": "overloaded"}}'], stream=False),
        dict.fromkeys(CARDS, ("upstream_failed", "void", VOID)),
    ),
    "broken off in one piece": (
        Scene(whole_body(*TWO)[:1], stream=False, breaks=True),
        dict.fromkeys(CARDS, ("upstream_failed", "void", VOID)),
    ),
    "gone while it is drawn": (
        Scene(STREAM[:1], leaves=True, then=STREAM[1:]),
        {"images": ("client_left", "reported", ONE), "tokens": ("client_left", "reported", REPORTED)},
    ),
    "gone, and nothing more comes": (
        Scene(STREAM[:2], leaves=True),
        {
            "images": ("client_left", "counted", ONE),
            "tokens": ("client_left", "counted", {"input_tokens": GIVEN, "output_tokens": 2 * UNFINISHED}),
        },
    ),
    "gone, and counted": (
        Scene(STREAM[:1], leaves=True, then=STREAM[1:], policy=COUNTING),
        {
            "images": ("client_left", "counted", ONE),
            "tokens": ("client_left", "counted", {"input_tokens": GIVEN, "output_tokens": UNFINISHED}),
        },
    ),
    "gone from an answer in one piece": (
        Scene([], stream=False, leaves=True, then=whole_body(TWO[0], usage=usage())),
        {
            "images": ("client_left", "reported", ONE),
            "tokens": ("client_left", "reported", {"input_tokens": 50, "output_tokens": 1_056}),
        },
    ),
}


def cost_nano(usage_: Mapping[str, int], card: RateCard) -> int:
    """All output of a picture is tokens of pictures."""
    if card is BY_IMAGE:
        return usage_.get("images", 0) * IMAGE_NANO
    return usage_.get("input_tokens", 0) * 1_000 + usage_.get("output_tokens", 0) * 8_000


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("name", SCENES)
async def test_each_ending_has_its_charge_however_its_bytes_come(
    name: str, card: Literal["images", "tokens"]
) -> None:
    """And the client gets what the upstream sent, as far as it came."""
    scene, costs = SCENES[name]
    outcome, basis, expected = costs[card]
    for pieces in chunkings(scene.pieces):
        row, sent = await played(replace(scene, pieces=pieces), CARDS[card])
        found = {meter: row.outcome.usage.get(meter, 0) for meter in expected}
        assert (row.outcome.outcome, row.outcome.basis, found) == (outcome, basis, expected)
        assert row.charged_nano == cost_nano(expected, CARDS[card])
        is_whole = outcome == "complete" or "an error" in name
        assert sent.ended == is_whole
        assert not is_whole or sent.data == b"".join(pieces)


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("breaks", [True, False])
@pytest.mark.parametrize("count", range(len(STREAM) + 1))
async def test_a_stream_cut_after_any_event_costs_what_was_delivered(
    count: int, card: str, *, breaks: bool
) -> None:
    """It is whole with its last event, though the connection breaks after that; nothing delivered is free."""
    for pieces in chunkings(STREAM[:count]):
        row, sent = await played(Scene([*pieces], breaks=breaks), CARDS[card])
        if count == len(STREAM):
            assert (row.outcome.outcome, row.outcome.basis) == ("complete", "reported")
            assert (row.charged_nano, sent.ended) == (cost_nano(REPORTED | ONE, CARDS[card]), True)
            continue
        assert (row.outcome.outcome, sent.ended) == ("upstream_failed", False)
        assert sent.data.startswith(b"".join(STREAM[:count]))
        assert row.outcome.basis == ("counted" if count else "void")
        delivered = {"input_tokens": GIVEN, "output_tokens": count * UNFINISHED, **ONE}
        assert row.charged_nano == (cost_nano(delivered, CARDS[card]) if count else 0)


def all_cuts() -> list[int]:
    """Within the line that an event ends with, at its end, and just after that."""
    ends = accumulate(map(len, STREAM[:-1]))
    return [at for end in ends for at in (end - 3, end, end + 1)]


@pytest.mark.parametrize("at", all_cuts())
async def test_what_of_an_event_had_come_when_a_stream_was_cut_is_no_picture(at: int) -> None:
    row, _ = await played(Scene([b"".join(STREAM)[:at]], breaks=True), BY_TOKEN)
    events = sum(end <= at for end in accumulate(map(len, STREAM)))
    assert row.outcome.usage.get("output_tokens", 0) == events * UNFINISHED


async def test_a_client_that_leaves_before_the_first_picture_is_read_on_for_its_usage() -> None:
    """What is being drawn does not show."""
    row, _ = await played(Scene([b": ping\n\n"], leaves=True, then=STREAM), BY_TOKEN)
    assert (row.outcome.basis, row.charged_nano) == ("reported", cost_nano(REPORTED, BY_TOKEN))


@pytest.mark.parametrize("card", CARDS)
async def test_a_crash_costs_what_was_observed(card: str) -> None:
    """A picture that was begun, and the tokens of what was not finished of it."""
    upstreams = Upstreams(STREAM[:2], end=asyncio.Event())
    stage = staged(upstreams, CARDS[card])
    task = asyncio.ensure_future(stage.relay.relay(Picture(stream=True), Sent()))
    watch = asyncio.ensure_future(stage.closing.watch(lambda: 0.0))

    def observed() -> bool:
        hold = stage.store.books.holds.get("req_1")
        seen = hold.observed.usage if hold is not None and hold.observed is not None else {}
        return seen.get("output_tokens") == 2 * UNFINISHED

    await until(observed)
    watch.cancel()
    stage.store.commit([Recover(stage.store.books.holds["req_1"].call, NOW_US, NOW_US)])
    task.cancel()
    await asyncio.gather(task, watch, return_exceptions=True)
    await stage.rest()
    (row,) = stage.rows()
    assert (row.outcome.outcome, row.outcome.basis) == ("crashed", "recovered")
    begun = {"input_tokens": GIVEN, "output_tokens": 2 * UNFINISHED, **ONE}
    assert row.charged_nano == cost_nano(begun, CARDS[card])
