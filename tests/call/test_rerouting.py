"""A hold names the target that its call goes to, before anything is sent there."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pytest

from proxy.errors import Refusal
from proxy.ledger.commands import Command, Recover, Reroute, Result
from proxy.ledger.store import LedgerUnavailable
from proxy.upstream.base import UpstreamFailure, UpstreamRequest
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.call.fakes import NOW_US, WHOLE, Answered, Asked, Sent, Stage, Upstreams, until
from tests.ledger.memory import MemoryStore

PATIENCE_SECONDS = 10.0
BUSY = [b'{"error": {"message": "busy"}}']


class Rerouting:
    """Targets by upstream's name: `down` refuses connections, `busy` answers 503, all others answer.

    `seen` has what the hold says each time something is sent.
    """

    def __init__(self, *, end: asyncio.Event | None = None) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self.stage: Stage | None = None
        self._end = end

    async def send(self, target: Target, request: UpstreamRequest) -> Answered:
        assert self.stage is not None
        call = self.stage.store.books.holds["req_1"].call
        self.seen.append((target.upstream.name, call.upstream, call.upstream_model))
        match target.upstream.name:
            case "down":
                raise UpstreamFailure("upstream_unreachable", "It is down.", untouched=True)
            case "busy":
                return await Upstreams(BUSY, 503).send(target, request)
            case _:
                return await Upstreams(WHOLE, end=self._end).send(target, request)


def stage_for(
    upstreams: Rerouting, *targets: tuple[str, str | None], store: MemoryStore | None = None
) -> Stage:
    """A stage whose calls have these targets: upstreams' names and models."""
    stage = upstreams.stage = Stage(upstreams, store=store)
    made = tuple(Target(Upstream(name, f"http://{name}"), model) for name, model in targets)
    route = Route("all", made, models=("*",), endpoints=("chat.completions",))
    stage.relay.catalog = msgspec.structs.replace(stage.catalog, routes=Routes([route]))
    return stage


async def test_each_target_is_on_the_hold_before_the_call_is_sent_there() -> None:
    upstreams = Rerouting()
    stage = stage_for(upstreams, ("down", None), ("busy", "b"), ("up", "c"))
    await stage.relay.relay(Asked(False), Sent())
    await stage.rest()
    assert upstreams.seen == [("down", "down", "m"), ("busy", "busy", "b"), ("up", "up", "c")]
    (row,) = stage.rows()
    assert (row.call.upstream, row.call.upstream_model, row.outcome.outcome) == ("up", "c", "complete")


async def test_after_a_crash_the_receipt_names_the_target_that_was_used() -> None:
    upstreams = Rerouting(end=asyncio.Event())
    stage = stage_for(upstreams, ("down", None), ("up", "c"))
    task = asyncio.ensure_future(stage.relay.relay(Asked(False), Sent()))
    await until(lambda: len(upstreams.seen) == 2)
    hold = stage.store.books.holds["req_1"]
    stage.store.commit([Recover(hold.call, hold.created_at_us, NOW_US)])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await stage.rest()
    (row,) = stage.rows()
    assert (row.call.upstream, row.call.upstream_model, row.outcome.outcome) == ("up", "c", "crashed")


class Counting(MemoryStore):
    """A store that does something else for each reroute, and counts them."""

    def __init__(self, instead: Callable[["Counting", Reroute], None]) -> None:
        super().__init__()
        self.reroutes = 0
        self._instead = instead

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        for command in commands:
            if isinstance(command, Reroute):
                self.reroutes += 1
                self._instead(self, command)
        return await super().apply(commands)


async def test_what_changes_neither_upstream_nor_model_is_not_written() -> None:
    store = Counting(lambda *_: None)
    upstreams = Rerouting()
    stage = stage_for(upstreams, ("busy", "m"), ("busy", None), ("busy", "other"), store=store)
    await stage.relay.relay(Asked(False), Sent())
    await stage.rest()
    assert store.reroutes == 1
    assert [model for _, _, model in upstreams.seen] == ["m", "m", "other"]


def recovered(store: Counting, command: Reroute) -> None:
    """Another process takes this one for dead and closes the hold."""
    store.commit([Recover(command.call, NOW_US, NOW_US)])


def unwritable(store: Counting, command: Reroute) -> None:
    """The disk is full."""
    raise LedgerUnavailable("the disk is full")


@pytest.mark.parametrize(
    ("instead", "code", "outcome"),
    [(recovered, "internal_error", "crashed"), (unwritable, "ledger_unavailable", "unreachable")],
)
async def test_nothing_is_sent_to_a_target_that_the_hold_cannot_name(
    instead: Callable[[Counting, Reroute], None], code: str, outcome: str
) -> None:
    upstreams = Rerouting()
    stage = stage_for(upstreams, ("down", None), ("up", None), store=Counting(instead))
    with pytest.raises(Refusal) as refused:
        await stage.relay.relay(Asked(False), Sent())
    await stage.rest()
    assert refused.value.code == code
    assert [name for name, _, _ in upstreams.seen] == ["down"]
    (row,) = stage.rows()
    assert (row.outcome.outcome, row.charged_nano) == (outcome, 0)


class Away(MemoryStore):
    """A store that takes no writes from the first reroute on until it is `back`."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = self.back = False

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        self.gone = self.gone or any(isinstance(command, Reroute) for command in commands)
        if self.gone and not self.back:
            raise LedgerUnavailable("the server is away")
        return await super().apply(commands)


async def test_a_client_does_not_wait_until_a_ledger_that_is_away_is_back() -> None:
    """The hold is closed when it is back."""
    store = Away()
    stage = stage_for(Rerouting(), ("down", None), ("up", None), store=store)
    with pytest.raises(Refusal, match="ledger") as refused:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await stage.relay.relay(Asked(False), Sent())
    assert refused.value.code == "ledger_unavailable"
    assert store.books.holds["req_1"].state == "open"
    store.back = True
    await stage.rest()
    (row,) = stage.rows()
    assert (row.outcome.outcome, row.charged_nano) == ("unreachable", 0)
