"""The end of objects: what was deleted or is old leaves the database, a bounded number at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest
from msgspec.structs import replace

from proxy.jobs.retention import DAY_US, ENDED_US, PAGE, PAGES, Retention
from proxy.ledger.commands import Command, Forget, Result
from proxy.ledger.rows import Object
from proxy.ledger.store import LedgerUnavailable, Row
from tests.call.fakes import NOW_US
from tests.call.videos import VideoStage, video
from tests.ledger.memory import MemoryStore

KEEP_DAYS = 30
SHOWN = "/videos/video_1"


class WatchedStore(MemoryStore):
    """Notes how many objects each command was to forget, and whether it has the lease."""

    def __init__(self) -> None:
        super().__init__("")
        self.forgot: list[int] = []
        self.leads = True
        self.is_away = False

    def commit(self, commands: Sequence[Command]) -> list[Result]:
        self.forgot += (len(command.objects) for command in commands if isinstance(command, Forget))
        return super().commit(commands)

    async def take_lease(self, name: str, seconds: float) -> bool:
        return self.leads

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        if self.is_away:
            raise LedgerUnavailable("the disk is full")
        return await super().query(name, params)


def retention(
    stage: VideoStage, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, keep_days: int = KEEP_DAYS
) -> Retention:
    return Retention(
        store=stage.store,
        ledger=stage.stage.ledger,
        clock=stage.clock,
        keep_days=lambda: keep_days,
        on_fault=lambda _, fault: stage.faults.append(fault),
        sleep=sleep,
    )


def ids(stage: VideoStage) -> set[str]:
    return {id_ for _, id_ in stage.store.books.objects}


async def made() -> VideoStage:
    """A video that is complete."""
    stage = VideoStage(store=WatchedStore())
    await stage.create()
    stage.studio.says("GET", SHOWN, video("completed"))
    await stage.ask("GET", "/v1/videos/video_1")
    return stage


async def test_what_was_deleted_is_marked_at_once_and_swept_a_day_later() -> None:
    """In between an answer that was on its way when it was deleted does not bring it back."""
    stage = await made()
    stage.studio.says("DELETE", SHOWN, b'{"id":"video_1","deleted":true}')
    await stage.ask("DELETE", "/v1/videos/video_1")
    assert (await stage.refused("GET", "/v1/videos/video_1")).code == "not_found"
    stage.clock.at_us += ENDED_US - 1
    await retention(stage).round()
    assert ids(stage) == {"video_1"}
    stage.clock.at_us += 1
    await retention(stage).round()
    assert ids(stage) == set()
    assert (await stage.refused("GET", "/v1/videos/video_1")).code == "not_found"
    await stage.rest()


@pytest.mark.parametrize(("older_us", "stays"), [(0, True), (1, False)])
async def test_what_is_older_than_objects_are_kept_is_swept(older_us: int, stays: bool) -> None:
    stage = await made()
    stage.clock.at_us += KEEP_DAYS * DAY_US + older_us
    await retention(stage).round()
    assert ("video_1" in ids(stage)) == stays
    await stage.rest()


async def test_what_a_job_makes_stays_until_the_job_has_ended() -> None:
    """However old it is: the poller asks about the job by the object's id."""
    stage = VideoStage(store=WatchedStore())
    await stage.create()
    stage.clock.at_us += 2 * KEEP_DAYS * DAY_US
    await retention(stage).round()
    assert ids(stage) == {"video_1"}
    stage.studio.says("GET", SHOWN, video("completed"))
    await stage.ask("GET", "/v1/videos/video_1")
    await retention(stage).round()
    assert ids(stage) == set()
    await stage.rest()


@pytest.mark.parametrize("most", [1, PAGE, 2 * PAGE + 1])
async def test_no_command_forgets_more_than_one_look_finds(most: int) -> None:
    """So that calls of others are carried out in between."""
    stage = await made()
    fill(stage, most)
    await retention(stage).round()
    assert ids(stage) == set()
    assert isinstance(stage.store, WatchedStore)
    assert max(stage.store.forgot) <= PAGE
    assert sum(stage.store.forgot) == most
    await stage.rest()


async def test_a_round_is_bounded_and_the_next_goes_on() -> None:
    stage = await made()
    fill(stage, PAGE * PAGES + 1)
    await retention(stage).round()
    assert len(ids(stage)) == 1
    await retention(stage).round()
    assert ids(stage) == set()
    await stage.rest()


async def test_who_does_not_have_the_lease_sweeps_nothing() -> None:
    stage = await made()
    stage.clock.at_us += 2 * KEEP_DAYS * DAY_US
    assert isinstance(stage.store, WatchedStore)
    stage.store.leads = False
    await retention(stage).round()
    assert ids(stage) == {"video_1"}
    await stage.rest()


async def test_an_outage_of_the_database_ends_one_round_and_not_the_others() -> None:
    stage = await made()
    stage.clock.at_us += 2 * KEEP_DAYS * DAY_US
    store = stage.store
    assert isinstance(store, WatchedStore)
    store.is_away = True
    rounds: list[float] = []

    async def sleep(seconds: float) -> None:
        rounds.append(seconds)
        store.is_away = len(rounds) == 1
        if len(rounds) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await retention(stage, sleep).run()
    assert ids(stage) == set()
    await stage.rest()


async def test_a_fault_of_ours_is_told_and_the_next_round_goes_on() -> None:
    stage = await made()
    turns = 0

    async def sleep(seconds: float) -> None:
        nonlocal turns
        turns += 1
        if turns == 2:
            raise asyncio.CancelledError

    broken = retention(stage, sleep)
    broken._keep_days = lambda: 1 // 0
    with pytest.raises(asyncio.CancelledError):
        await broken.run()
    assert [type(fault) for fault in stage.faults] == [ZeroDivisionError]
    await stage.stage.rest()


def fill(stage: VideoStage, most: int) -> None:
    """As many old objects in place of those there are, of calls that ended long ago."""
    (row,) = stage.store.books.objects.values()
    stage.store.books.objects.clear()
    old: list[Object] = [
        replace(row, id=f"video_{number}", created_at_us=NOW_US - KEEP_DAYS * DAY_US - 1)
        for number in range(most)
    ]
    stage.store.books.objects |= {(each.account_id, each.id): each for each in old}
