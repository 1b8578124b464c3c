"""What must hold of every family of the registry: one that has no row here fails.

Each call goes through the real relay and ledger, at a card that prices every meter.
"""

import asyncio
import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from proxy.call.policy import Policy
from proxy.errors import Refusal
from proxy.ledger.rows import Receipt
from proxy.metering.usage import METERS
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from tests.call.fakes import Sent, Stage, Upstreams, until
from tests.call.family_rows import PATHS, QUANTITY, ROWS, asked, planted, told, without
from tests.call.hostile import Body
from tests.endpoints.least import FORMS

PRICES = tuple(Rate(name, Fraction(1_000), 1) for name in METERS if name != "requests")
CARD = RateCard("all", ("*",), PRICES, 100, input_allowance=1_000)
FUNDS_NANO = 10**12
ABSURD = [
    b"-1",
    b"1e30",
    b"1" + b"0" * 40,
    b"NaN",
    b"Infinity",
    b'"many"',
    b'"-9"',
    b"true",
    b"[9]",
    b'{"n":9}',
    b"9e7",
]
ODD = {b'"9"': 9, b"8.5": 9, b"9.0": 9}
"""Figures that are read all the same."""
PLANT: dict[str, Any] = {
    "usage": {
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"), 77_777),
        "total_tokens": 155_554,
        "search_units": 77_777,
    }
}
ECHOED: dict[str, Any] = {
    "metadata": PLANT,
    "tools": [{"type": "function", "name": "f", "parameters": PLANT}],
    "instructions": json.dumps(PLANT),
    "prompt": {"variables": PLANT},
    "choice": PLANT,
    "x": [PLANT, {"response": PLANT}],
}

STREAMING = [name for name, row in ROWS.items() if row.events]
BILLED = [name for name, row in ROWS.items() if not row.is_free and not row.begins]
WAYS = [(name, stream) for name, row in ROWS.items() for stream in (False, True) if row.events or not stream]
TELLING = [(name, stream) for name, stream in WAYS if ROWS[name].tells(stream=stream)]


class Played(msgspec.Struct):
    """What came of a call: its receipt, what the client got, and what went wrong."""

    row: Receipt | None
    sent: Sent
    refusal: str = ""
    excesses: int = 0

    @property
    def told(self) -> tuple[object, ...]:
        """What must not depend on how the answer came."""
        assert self.row is not None
        outcome = self.row.outcome
        return (
            outcome.outcome,
            outcome.basis,
            outcome.usage,
            outcome.anomalies,
            self.row.charged_nano,
            self.sent.data,
        )


def stage_for(pieces: Sequence[bytes], status: int = 200, **upstream: Any) -> tuple[Stage, Upstreams]:
    upstreams = Upstreams(list(pieces), status, **upstream)
    stage = Stage(upstreams, Policy(), rates=PRICES, funds_nano=FUNDS_NANO)
    stage.relay.catalog = replace(stage.catalog, book=PriceBook([CARD]))
    return stage, upstreams


async def played(
    name: str,
    pieces: Sequence[bytes],
    status: int = 200,
    *,
    stream: bool = False,
    breaks: bool = False,
    **members: Any,
) -> Played:
    """Have a call answered so; its charge is never more than was held, and agrees with its lines."""
    stage, _ = stage_for(pieces, status, breaks=breaks)
    body, headers = asked(name, stream=stream, **members)
    sent, refusal = Sent(), ""
    try:
        await stage.relay.relay(Body(PATHS[name], body, headers=headers), sent)
    except Refusal as caught:
        refusal = caught.code
    await stage.rest()
    assert stage.heard.faults == []
    if ROWS[name].begins and not stage.store.books.new_receipts:
        return Played(None, sent, refusal)
    (row,) = stage.rows()
    assert row.charged_nano == sum(line.amount_nano for line in row.charge.lines) == row.charge.total_nano
    if not stage.heard.excesses:
        assert row.charged_nano <= row.hold_nano
    return Played(row, sent, refusal, len(stage.heard.excesses))


def test_every_family_has_a_row() -> None:
    assert ROWS.keys() == PATHS.keys()


@pytest.mark.parametrize(("name", "stream"), WAYS)
async def test_a_complete_answer_passes_as_it_came_and_costs_what_it_tells(name: str, stream: bool) -> None:
    pieces = told(ROWS[name].answer(stream=stream))
    found = await played(name, pieces, stream=stream)
    assert (found.sent.data, found.sent.ended, found.excesses) == (b"".join(pieces), True, 0)
    if found.row is None:
        return
    outcome = found.row.outcome
    assert (outcome.outcome, outcome.anomalies) == ("complete", 0)
    assert (found.row.charged_nano == 0) == ROWS[name].is_free
    if ROWS[name].tells(stream=stream):
        assert (outcome.usage, outcome.basis) == (dict(ROWS[name].usage), "reported")


@pytest.mark.parametrize("are_named", [True, False])
@pytest.mark.parametrize(("name", "stream"), WAYS)
async def test_five_chunkings_make_the_same_receipt(name: str, stream: bool, *, are_named: bool) -> None:
    """As it comes, in one piece, in halves, by seven bytes and by each; with names of events or without."""
    if ROWS[name].begins:
        return
    pieces = told(ROWS[name].answer(stream=stream))
    if not are_named:
        pieces = [
            piece[piece.find(b"data: ") :] if piece.startswith(b"event: ") else piece for piece in pieces
        ]
    for way in (pieces, without(pieces, ROWS[name].untold)):
        data = b"".join(way)
        sizes = (len(data), -(-len(data) // 2), 7, 1)
        ways = [way, *([data[at : at + size] for at in range(0, len(data), size)] for size in sizes)]
        receipts = [(await played(name, each, stream=stream)).told for each in ways]
        assert receipts[1:] == receipts[:-1]


@pytest.mark.parametrize(("name", "stream"), [way for way in WAYS if way[0] in BILLED])
async def test_without_a_usage_it_is_counted(name: str, stream: bool) -> None:
    """From the request and the answer; that is no anomaly, and never free."""
    pieces = without(told(ROWS[name].answer(stream=stream)), ROWS[name].untold)
    found = await played(name, pieces, stream=stream)
    assert found.row is not None
    assert found.sent.data == b"".join(pieces)
    outcome = found.row.outcome
    assert (outcome.outcome, outcome.basis, outcome.anomalies) == ("complete", "counted", 0)
    assert found.row.charged_nano > 0
    assert outcome.usage.keys() >= {name for name in ROWS[name].usage if name == "output_tokens"}


@pytest.mark.parametrize("figure", ABSURD)
@pytest.mark.parametrize(("name", "stream"), TELLING)
async def test_an_absurd_figure_is_an_anomaly_and_never_a_charge(
    name: str, stream: bool, figure: bytes
) -> None:
    """What is no JSON may be refused as a whole: then nothing of it passes."""
    pieces = told(ROWS[name].answer(stream=stream), figure)
    found = await played(name, pieces, stream=stream)
    assert found.row is not None
    if found.refusal or not found.sent.ended:
        assert figure in {b"NaN", b"Infinity"}
        return
    assert found.sent.data == b"".join(pieces)
    if figure == b"9e7":
        # A figure that is only large may be true: what it costs beyond the hold is told.
        assert found.excesses == 1
        return
    assert found.row.outcome.anomalies >= 1
    assert found.excesses == 0
    counted = await played(name, without(told(pieces), ROWS[name].untold), stream=stream)
    assert counted.row is not None
    assert found.row.charged_nano <= counted.row.hold_nano


@pytest.mark.parametrize("figure", ODD)
@pytest.mark.parametrize(("name", "stream"), TELLING)
async def test_a_figure_that_can_be_read_counts(name: str, stream: bool, figure: bytes) -> None:
    found = await played(name, told(ROWS[name].answer(stream=stream), figure), stream=stream)
    assert found.row is not None
    assert (found.row.outcome.usage, found.row.outcome.anomalies) == (dict(ROWS[name].usage), 0)


@pytest.mark.parametrize(("name", "stream"), WAYS)
async def test_a_usage_that_a_client_has_planted_changes_nothing(name: str, stream: bool) -> None:
    """In its request, or in what an upstream repeats of it, beside the usage and without one."""
    row = ROWS[name]
    if row.begins or not row.is_json:
        return
    more: dict[str, Any] = {} if name in FORMS else {"metadata": {"user_id": "u", **PLANT}}
    ordinary = told(ROWS[name].answer(stream=stream))
    for pieces in (ordinary, without(ordinary, row.untold)):
        plain = await played(name, pieces, stream=stream)
        echoing = planted(pieces, ECHOED)
        found = await played(name, echoing, stream=stream, **more)
        assert plain.row is not None
        assert found.row is not None
        assert found.sent.data == b"".join(echoing)
        one, other = plain.row.outcome, found.row.outcome
        assert {m: n for m, n in one.usage.items() if m != "output_tokens"} == {
            m: n for m, n in other.usage.items() if m != "output_tokens"
        }
        assert one.basis == other.basis
        assert other.usage.get("output_tokens", 0) - one.usage.get("output_tokens", 0) in (
            {0} if pieces is ordinary else range(400)
        )


@pytest.mark.parametrize("name", STREAMING)
async def test_a_stream_that_breaks_off_costs_no_more_than_all_of_it(name: str) -> None:
    """After each of its events: what came is what the client has, and no end that looks proper."""
    pieces = told(ROWS[name].answer(stream=True))
    whole = await played(name, pieces, stream=True)
    assert whole.row is not None
    for count in range(len(pieces)):
        found = await played(name, pieces[:count], stream=True, breaks=True)
        assert found.row is not None
        came = b"".join(pieces[:count])
        assert came.startswith(found.sent.data[: len(came)])
        assert not found.sent.ended
        assert found.row.charged_nano <= max(whole.row.charged_nano, found.row.hold_nano)
        if count == 0:
            assert (found.row.charged_nano, found.refusal) == (0, "upstream_failed")


@pytest.mark.parametrize("name", STREAMING)
async def test_a_client_that_leaves_is_charged_once(name: str) -> None:
    """After each event, while the rest is still to come: by what came, or by what the end tells."""
    pieces = told(ROWS[name].answer(stream=True))
    for count in range(len(pieces)):
        end = asyncio.Event()
        stage, upstreams = stage_for(pieces[:count], end=end, then=pieces[count:])
        body, headers = asked(name, stream=True)
        task = asyncio.ensure_future(stage.relay.relay(Body(PATHS[name], body, headers=headers), Sent()))
        await until(lambda up=upstreams: any(answer.waits for answer in up.answers))  # type: ignore[misc]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        end.set()
        await stage.rest()
        (row,) = stage.rows()
        assert row.outcome.outcome == "client_left"
        assert row.charged_nano <= row.hold_nano
        assert all(answer.closed for answer in upstreams.answers)


@pytest.mark.parametrize(("name", "stream"), [way for way in WAYS if ROWS[way[0]].is_json or way[1]])
async def test_an_error_in_a_good_answer_is_no_complete_one(name: str, stream: bool) -> None:
    error = b'{"type":"error","error":{"type":"server_error","message":"It broke."}}'
    pieces = [b"event: error\ndata: " + error + b"\n\n"] if stream else [error]
    found = await played(name, pieces, stream=stream)
    assert found.row is not None
    assert found.row.outcome.outcome != "complete"
    assert found.row.charged_nano == 0


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("name", ROWS)
async def test_an_upstreams_refusal_passes_and_costs_nothing(name: str, status: int) -> None:
    error = b'{"error":{"message":"no"},"usage":{"prompt_tokens":5,"completion_tokens":5}}'
    found = await played(name, [error], status)
    assert found.row is not None
    assert (found.row.outcome.basis, found.row.charged_nano) == ("void", 0)


def test_the_quantity_is_found_in_every_rows_usage() -> None:
    assert all({QUANTITY, QUANTITY + 2} & {*ROWS[name].usage.values()} for name, _ in TELLING)
