"""The table of outcomes, driven cell by cell: what each ending in each phase makes of a call."""

import asyncio
import json
from collections.abc import Sequence

import msgspec
import pytest

from proxy.call.admission import Admission
from proxy.call.base import AdmittedCall, InboundRequest, RoutedCall
from proxy.call.outcomes import CLIENT_LEFT_STATUS, OUTCOMES, Ending, Phase, ending_of, rule_of
from proxy.call.policy import Catalog, Policy
from proxy.errors import Refusal
from proxy.ledger.commands import Authorize, Close, Command, Granted, Recover, Result
from proxy.ledger.rows import Call, Receipt
from proxy.ledger.store import LedgerUnavailable
from proxy.metering.usage import Basis
from proxy.money import parse_amount
from proxy.pricing.rates import Rate
from proxy.storage.postgres.batch import UnansweredBatch
from proxy.upstream.base import UpstreamFailure, UpstreamRequest
from proxy.upstream.routes import Target
from tests.call.fakes import CHUNKS, NOW_US, RATES, WHOLE, Answered, Asked, Sent, Stage, Upstreams, until
from tests.call.test_faults import Twisted, broken, twisting, with_tally
from tests.ledger.memory import MemoryStore

PER_CALL = (Rate("requests", parse_amount("0.000007"), 1),)
SILENT = [b'{"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}']
ERROR_EVENT = b'data: {"error": {"message": "overloaded"}}\n\n'
LONG = {"choices": [{"index": 0, "delta": {"content": "word " * 900}, "finish_reason": "stop"}]}
GROWN = b"data: " + json.dumps(LONG).encode() + b"\n\n"
FREE = Policy(on_upstream_failure="free")
COUNTING = Policy(on_disconnect="count")
DRAINING = Policy(on_disconnect="drain")
FUNDS_NANO = 300_000


class Silent:
    """An upstream that never answers, or fails at once."""

    def __init__(self, failure: UpstreamFailure | None = None) -> None:
        self.asked = False
        self._failure = failure

    async def send(self, target: Target, request: UpstreamRequest) -> Answered:
        self.asked = True
        if self._failure is not None:
            raise self._failure
        await asyncio.Event().wait()
        raise AssertionError


class Leaving(Admission):
    """A client that leaves while its call is authorized."""

    async def authorize(
        self, request: InboundRequest, call: Call, routed: RoutedCall, catalog: Catalog
    ) -> AdmittedCall:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return await super().authorize(request, call, routed, catalog)


class Scene(msgspec.Struct, frozen=True):
    """One way to a cell of the table.

    With `leaves` the client, or the process, goes when all pieces have come; the upstream ends its answer
    after that, unless it `stalls`.
    """

    phase: Phase
    ending: Ending
    basis: Basis
    pieces: list[bytes] = []
    status: int = 200
    breaks: bool = False
    leaves: bool = False
    stalls: bool = False
    per_call: bool = False
    policy: Policy = Policy()
    admission: type[Admission] = Admission
    upstream: Silent | None = None


GROWING = with_tally(
    lambda tally: Twisted(tally, produced_size=10**6, produced=lambda *_: {"output_tokens": 10**6})
)
FAULTY = with_tally(lambda tally: Twisted(tally, feed=broken(TypeError("no"))))
UNSENT = twisting(lambda ask: Twisted(ask, forward_body=broken(TypeError("no"))))
BAD_STATUS = [b'{"error": {"message": "no"}}']
DENIED = UpstreamFailure("upstream_timeout", "It was silent.")


def complete() -> list[Scene]:
    ways: list[tuple[Phase, Basis, list[bytes], bool]] = [
        ("whole", "reported", WHOLE, False),
        ("whole", "counted", SILENT, False),
        ("whole", "per_call", WHOLE, True),
        ("stream", "reported", CHUNKS, False),
        ("stream", "counted", [*CHUNKS[:2], CHUNKS[3]], False),
        ("stream", "per_call", CHUNKS, True),
    ]
    return [
        Scene(phase, "complete", basis, pieces=pieces, per_call=per_call)
        for phase, basis, pieces, per_call in ways
    ]


SCENES: tuple[Scene, ...] = (
    *complete(),
    Scene("authorizing", "client_left", "void", admission=Leaving),
    Scene("unanswered", "client_left", "void", upstream=Silent(), leaves=True),
    Scene("error", "client_left", "void", pieces=BAD_STATUS, status=500, leaves=True),
    Scene("stream", "client_left", "reported", pieces=CHUNKS[:3], leaves=True),
    Scene("stream", "client_left", "counted", pieces=CHUNKS[:1], leaves=True, stalls=True),
    Scene("stream", "client_left", "counted", pieces=CHUNKS[:1], leaves=True, policy=COUNTING),
    Scene("stream", "client_left", "reported", pieces=CHUNKS[:3], leaves=True, policy=DRAINING),
    Scene("stream", "client_left", "per_call", pieces=CHUNKS[:1], leaves=True, per_call=True),
    Scene("whole", "client_left", "reported", pieces=WHOLE, leaves=True),
    Scene("whole", "client_left", "counted", pieces=SILENT, leaves=True),
    Scene("whole", "client_left", "per_call", pieces=WHOLE, leaves=True, per_call=True),
    Scene("whole", "client_left", "void", pieces=WHOLE[:1], leaves=True, breaks=True),
    Scene("error", "upstream_refused", "void", pieces=BAD_STATUS, status=404),
    Scene("error", "upstream_denied", "void", pieces=BAD_STATUS, status=401),
    Scene("unanswered", "upstream_failed", "void", upstream=Silent(DENIED)),
    Scene("stream", "upstream_failed", "reported", pieces=CHUNKS[:3], breaks=True),
    Scene("stream", "upstream_failed", "counted", pieces=CHUNKS[:1]),
    Scene("stream", "upstream_failed", "per_call", pieces=CHUNKS[:1], breaks=True, per_call=True),
    Scene("stream", "upstream_failed", "void", pieces=CHUNKS[:1], breaks=True, policy=FREE),
    Scene("stream", "upstream_failed", "void", pieces=[b": ping\n\n"], breaks=True),
    Scene("stream", "error_reported", "counted", pieces=[*CHUNKS[:1], ERROR_EVENT]),
    Scene("stream", "error_reported", "per_call", pieces=[*CHUNKS[:1], ERROR_EVENT], per_call=True),
    Scene("stream", "error_reported", "void", pieces=[ERROR_EVENT]),
    Scene("error", "upstream_failed", "void", pieces=BAD_STATUS, status=500, breaks=True),
    Scene("whole", "upstream_failed", "void", pieces=WHOLE[:1], breaks=True),
    Scene("whole", "upstream_failed", "void", pieces=[b"<html>"]),
    Scene("whole", "error_reported", "void", pieces=BAD_STATUS),
    Scene("stream", "outgrown", "counted", pieces=[GROWN]),
    Scene("stream", "outgrown", "reported", pieces=[GROWN + CHUNKS[2]]),
    Scene("whole", "outgrown", "counted", pieces=SILENT, admission=GROWING),
    Scene("unanswered", "our_fault", "void", admission=UNSENT),
    Scene("error", "our_fault", "void", status=500, pieces=[None]),  # type: ignore[list-item]
    Scene("whole", "our_fault", "void", pieces=WHOLE, admission=FAULTY),
    Scene("stream", "our_fault", "void", pieces=CHUNKS, admission=FAULTY),
    Scene("unanswered", "crash", "recovered", upstream=Silent(), leaves=True),
    Scene("error", "crash", "recovered", pieces=BAD_STATUS, status=500, leaves=True),
    Scene("whole", "crash", "recovered", pieces=WHOLE, leaves=True),
    Scene("stream", "crash", "recovered", pieces=CHUNKS[:1], leaves=True, stalls=True),
)


async def crash(stage: Stage) -> None:
    """Have the next process find the hold of a call that is in flight here, and close it."""
    watch = asyncio.ensure_future(stage.closing.watch(lambda: 0.0))
    for _ in range(50):
        await asyncio.sleep(0)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    (hold,) = await stage.store.orphans(NOW_US)
    stage.store.commit([Recover(hold.call, hold.created_at_us, NOW_US)])


async def played(scene: Scene) -> tuple[Receipt, Sent]:
    """The receipt of the one call of a scene, and what its client got."""
    end = asyncio.Event() if scene.leaves else None
    upstreams = Upstreams(scene.pieces, scene.status, breaks=scene.breaks, end=end)
    stage = Stage(
        scene.upstream or upstreams,
        scene.policy,
        admission=scene.admission,
        rates=PER_CALL if scene.per_call else RATES,
        funds_nano=FUNDS_NANO,
    )
    sent = Sent()
    task = asyncio.ensure_future(stage.relay.relay(Asked(scene.phase == "stream"), sent))
    if end is not None:
        silent = scene.upstream
        await until(lambda: silent.asked if silent else any(one.waits for one in upstreams.answers))
        if scene.ending == "crash":
            await crash(stage)
        task.cancel()
        if not scene.stalls:
            end.set()
    await asyncio.gather(task, return_exceptions=True)
    await stage.rest()
    (row,) = stage.rows()
    assert [type(fault) for _, fault in stage.heard.faults] == [TypeError] * (scene.ending == "our_fault")
    assert all(answer.closed for answer in upstreams.answers)
    return row, sent


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.phase}-{scene.ending}-{scene.basis}")
async def test_every_ending_is_what_the_table_says(scene: Scene) -> None:
    """Outcome, basis, status and charge of the receipt are those of the rule for phase and ending."""
    rule = rule_of(scene.phase, scene.ending)
    row, sent = await played(scene)
    assert (row.outcome.outcome, row.outcome.basis) == (rule.outcome, scene.basis)
    if rule.status == "upstream":
        assert row.outcome.status == scene.status
    elif rule.status == "refusal":
        assert 400 <= row.outcome.status <= 504
    else:
        assert row.outcome.status == rule.status
    # Only streams are observed, so that nothing else costs anything after a crash.
    free = scene.basis == "void" or (scene.ending == "crash" and scene.phase != "stream")
    assert (row.charged_nano == 0) == free
    assert sent.ended == (scene.ending in {"complete", "upstream_refused", "error_reported"})


async def test_a_connection_lost_while_authorizing_voids_what_it_held() -> None:
    """Nobody was told of the hold, so nothing can have come of it."""
    rule = rule_of("authorizing", "ledger_lost")
    stage = Stage(Upstreams(WHOLE))
    call = Call("req_1", "acct_1", "key_1", "chat.completions", "m", "up", "m", False, NOW_US)
    command = Authorize(call, 1_000, 1_000, 10, NOW_US, "test")
    (granted,) = stage.store.commit([command])
    assert isinstance(granted, Granted)
    stage.store.commit([void for _, void in UnansweredBatch(1, [command], [granted]).voids()])
    await stage.rest()
    (row,) = stage.rows()
    assert (row.outcome.outcome, row.outcome.status) == (rule.outcome, rule.status)
    assert (row.outcome.basis, row.charged_nano) == ("void", 0)


class AwayStore(MemoryStore):
    """A store that cannot close a hold before it is `back`."""

    def __init__(self) -> None:
        super().__init__()
        self.back = asyncio.Event()

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        if not self.back.is_set() and any(isinstance(command, Close) for command in commands):
            raise LedgerUnavailable("The disk is full.")
        return await super().apply(commands)


@pytest.mark.parametrize(
    ("pieces", "status", "breaks", "phase", "ending", "basis"),
    [
        (WHOLE, 200, False, "whole", "ledger_lost", "void"),
        (CHUNKS, 200, False, "stream", "complete", "reported"),
        (CHUNKS[:1], 200, True, "stream", "upstream_failed", "counted"),
        (BAD_STATUS, 404, False, "error", "upstream_refused", "void"),
    ],
)
async def test_a_client_does_not_wait_for_a_ledger_that_stays_away(
    pieces: list[bytes], status: int, breaks: bool, phase: Phase, ending: Ending, basis: Basis
) -> None:
    """It gets an error in place of the end; the hold is closed by the table when the ledger is back."""
    store = AwayStore()
    stage = Stage(Upstreams(pieces, status, breaks=breaks), store=store, patience_seconds=0)
    sent, streams = Sent(), phase == "stream"
    asked = asyncio.gather(stage.relay.relay(Asked(streams), sent), return_exceptions=True)
    async with asyncio.timeout(10):
        (failure,) = await asked
    assert not sent.ended
    if streams:
        code = "upstream_failed" if breaks else "ledger_unavailable"
        assert sent.data.endswith(Refusal(code, "").body("req_1")[-20:])
        assert code.encode() in sent.data
    else:
        assert isinstance(failure, Refusal)
        assert failure.code == "ledger_unavailable"
    assert store.books.new_receipts == []
    store.back.set()
    await stage.rest()
    (row,) = stage.rows()
    rule = rule_of(phase, ending)
    assert (row.outcome.outcome, row.outcome.basis) == (rule.outcome, basis)
    assert (row.charged_nano == 0) == (basis == "void")
    assert stage.heard.faults == []


def test_every_cell_of_the_table_is_driven() -> None:
    """The scenes reach each phase, each ending and each basis that a rule names, and nothing else.

    The ends of jobs have a file of their own.
    """
    lost = {("authorizing", "ledger_lost", "void"), ("whole", "ledger_lost", "void")}
    reached = {(scene.phase, scene.ending, scene.basis) for scene in SCENES} | lost
    cells = {(phase, rule.ending) for rule in OUTCOMES for phase in rule.phases if phase != "running"}
    assert {(phase, ending) for phase, ending, _ in reached} == cells
    for rule in (rule for rule in OUTCOMES if "running" not in rule.phases):
        bases = {basis for phase, ending, basis in reached if ending == rule.ending and phase in rule.phases}
        assert bases == set(rule.bases), rule.how


def test_no_cell_has_two_rules() -> None:
    cells = [(phase, rule.ending) for rule in OUTCOMES for phase in rule.phases]
    assert len(cells) == len(set(cells))
    assert len({rule.how for rule in OUTCOMES}) == len(OUTCOMES)


@pytest.mark.parametrize(
    ("failure", "ending"),
    [
        (asyncio.CancelledError(), "client_left"),
        (ConnectionResetError(), "client_left"),
        (KeyboardInterrupt(), "client_left"),
        (UpstreamFailure("upstream_unreachable", ""), "upstream_failed"),
        (UpstreamFailure("upstream_denied", ""), "upstream_denied"),
        (Refusal("upstream_invalid", ""), "upstream_failed"),
        (Refusal("ledger_unavailable", ""), "upstream_failed"),
        (Refusal("hold_outgrown", ""), "outgrown"),
        (Refusal("internal_error", ""), "our_fault"),
        (TimeoutError(), "our_fault"),
        (KeyError(), "our_fault"),
    ],
)
def test_who_ended_a_call_is_told_by_the_failure(failure: BaseException, ending: Ending) -> None:
    """That the client has left is decided here and nowhere else: by its connection, or by a cancel."""
    assert ending_of(failure) == ending
    assert CLIENT_LEFT_STATUS == 499
