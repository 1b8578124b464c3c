"""A job's hold outlives its request, and is closed exactly once, whoever sees its end and however often."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable

import pytest

from proxy.call.outcomes import OUTCOMES
from proxy.call.policy import Policy
from proxy.errors import Refusal
from proxy.jobs.poller import AT_ONCE, OF_AN_ACCOUNT
from proxy.ledger.commands import Adjust, ChangeAccount, ChangeKey
from proxy.ledger.rows import NEVER_US, Limits
from tests.call.fakes import NOW_US
from tests.call.videos import OTHER_SECRET, SECOND_NANO, WANTED, VideoStage, begun, video

SHOWN = "/videos/video_1"
EIGHT = 8 * SECOND_NANO
DAY_US = 86_400_000_000


async def test_a_hold_stays_while_its_job_runs() -> None:
    """The answer passes byte for byte, there is no receipt yet, and nobody recovers the hold."""
    stage, call_id = await begun()
    sent = await stage.ask("GET", "/v1/videos/video_1")
    assert (sent.data, sent.ended) == (video("in_progress"), True)
    assert (stage.held_nano(), stage.charged()) == (EIGHT, {})
    hold = stage.store.books.holds[call_id]
    assert (hold.state, hold.deadline_us) == ("open", NOW_US + 172_800_000_000)
    assert await stage.stage.ledger.recover(NOW_US + 30 * DAY_US) == []
    await stage.rest()


async def test_the_answer_that_begins_a_job_says_what_is_held_and_no_cost() -> None:
    stage = VideoStage()
    sent = await stage.ask("POST", "/v1/videos", {"model": "m", "prompt": "A cat", "seconds": "8"})
    assert sent.data == video("queued")
    assert sent.headers == {"x-farebox-hold": "0.008"}
    await stage.rest()


@pytest.mark.parametrize(
    ("status", "ended"),
    [("completed", ("complete", "counted", EIGHT)), ("failed", ("job_failed", "void", 0))],
)
@pytest.mark.parametrize("by", ["client", "poller"])
async def test_whoever_sees_the_end_first_closes_the_job(
    status: str, ended: tuple[str, str, int], by: str
) -> None:
    """Before the answer that shows it is complete; what is seen of it later changes nothing."""
    stage, call_id = await begun()
    stage.clock.at_us += 10_000_000
    stage.studio.says("GET", SHOWN, video(status))
    if by == "client":
        await stage.ask("GET", "/v1/videos/video_1")
    else:
        await stage.poller().round()
    assert stage.charged() == {call_id: ended}
    for other in ("completed", "failed", "in_progress"):
        stage.studio.says("GET", SHOWN, video(other))
        await stage.ask("GET", "/v1/videos/video_1")
        await stage.poller().round()
    assert stage.charged() == {call_id: ended}
    assert stage.held_nano() == 0
    await stage.rest()


async def test_a_job_that_is_done_or_failed_at_once_is_closed_with_its_call() -> None:
    """And its object is there all the same."""
    for status, ended in (
        ("completed", ("complete", "counted", EIGHT)),
        ("failed", ("upstream_failed", "void", 0)),
    ):
        stage = VideoStage()
        stage.studio.says("POST", "/videos", video(status))
        call_id = await stage.create()
        assert stage.charged() == {call_id: ended}
        stage.studio.says("GET", SHOWN, video(status))
        assert (await stage.ask("GET", "/v1/videos/video_1")).data == video(status)
        assert stage.charged() == {call_id: ended}
        await stage.rest()


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, b'{"error":{"message":"no"}}'),
        (500, b"oops"),
        (200, b"no JSON"),
        (200, b"{}"),
        (200, b'{"id":"x/y","status":"queued"}'),
    ],
)
async def test_a_create_that_fails_is_voided_at_once(status: int, data: bytes) -> None:
    """So is one whose answer names nothing that could be asked for."""
    stage = VideoStage()
    stage.studio.says("POST", "/videos", data, status)
    with contextlib.suppress(Refusal):  # An answer that cannot be read is not passed on.
        await stage.create()
    assert [(basis, nano) for _, basis, nano in stage.charged().values()] == [("void", 0)]
    assert (stage.held_nano(), stage.store.books.objects) == (0, {})
    await stage.rest()


async def test_content_shows_that_a_job_is_complete() -> None:
    """Who never asks how a video is, and only fetches it, pays for it before it is whole."""
    stage, call_id = await begun()
    for status in (404, 202):
        stage.studio.says("GET", f"{SHOWN}/content", b'{"error":{"message":"not ready"}}', status)
        await stage.ask("GET", "/v1/videos/video_1/content")
        assert stage.charged() == {}
    stage.studio.says("GET", f"{SHOWN}/content", b"\x00mp4")
    assert (await stage.ask("GET", "/v1/videos/video_1/content")).data == b"\x00mp4"
    assert stage.charged() == {call_id: ("complete", "counted", EIGHT)}
    await stage.rest()


async def test_a_delete_ends_a_job_only_when_the_upstream_says_so() -> None:
    """Then nobody can see its end any more, so that it is charged; and the object is gone."""
    stage, call_id = await begun()
    for answer, status in (
        (b'{"error":{"message":"busy"}}', 409),
        (b'{"id":"video_1","deleted":false}', 200),
    ):
        stage.studio.says("DELETE", SHOWN, answer, status)
        await stage.ask("DELETE", "/v1/videos/video_1")
        assert stage.charged() == {}
    stage.studio.says("DELETE", SHOWN, b'{"id":"video_1","deleted":true}')
    await stage.ask("DELETE", "/v1/videos/video_1")
    assert stage.charged() == {call_id: ("job_deleted", "counted", EIGHT)}
    assert (await stage.refused("GET", "/v1/videos/video_1")).code == "not_found"
    await stage.rest()


async def test_an_answer_about_another_object_says_nothing_of_this_one() -> None:
    stage, _ = await begun()
    stage.clock.at_us += 10_000_000
    stage.studio.says("GET", SHOWN, video("completed", "video_2"))
    await stage.ask("GET", "/v1/videos/video_1")
    await stage.poller().round()
    stage.studio.says("DELETE", SHOWN, b'{"id":"video_2","deleted":true}')
    await stage.ask("DELETE", "/v1/videos/video_1")
    assert (stage.charged(), stage.held_nano()) == ({}, EIGHT)
    await stage.rest()


def _gone(stage: VideoStage) -> None:
    stage.studio.says("GET", SHOWN, b'{"error":{"message":"no such video"}}', 404)


def _away(stage: VideoStage) -> None:
    del stage.studio.answers["GET", SHOWN]


def _slow(stage: VideoStage) -> None:
    stage.studio.says("GET", SHOWN, video("in_progress"))


@pytest.mark.parametrize("upstream", [_gone, _away, _slow])
@pytest.mark.parametrize(
    ("policy", "ended"),
    [
        (Policy(), ("job_overdue", "counted", EIGHT)),
        (Policy(on_job_overdue="free"), ("job_overdue", "void", 0)),
    ],
)
async def test_a_job_whose_end_nobody_sees_ends_by_the_policy(
    upstream: Callable[[VideoStage], None], policy: Policy, ended: tuple[str, str, int]
) -> None:
    """Not before its longest life is over, and by a poller that has just begun as well."""
    stage, call_id = await begun(policy)
    upstream(stage)
    poller = stage.poller()
    for _ in range(47):
        stage.clock.at_us += 3_600_000_000
        await poller.round()
    assert stage.charged() == {}
    stage.clock.at_us += 3_600_000_000
    await stage.poller().round()
    assert stage.charged() == {call_id: ended}
    assert stage.held_nano() == 0
    await stage.rest()


async def test_an_overdue_job_is_asked_about_once_more() -> None:
    """After days in which no process ran."""
    stage, call_id = await begun()
    stage.clock.at_us += 90 * DAY_US
    stage.studio.says("GET", SHOWN, video("failed"))
    await stage.poller().round()
    assert stage.charged() == {call_id: ("job_failed", "void", 0)}
    await stage.rest()


async def test_two_pollers_and_a_client_at_once_close_a_job_once() -> None:
    """Each is answered something else."""
    for turn in range(6):
        stage, call_id = await begun()
        stage.clock.at_us += 10_000_000
        answers = [video("completed"), video("failed"), video("completed")]
        answers = answers[turn % 3 :] + answers[: turn % 3]
        stage.studio.answers["GET", SHOWN] = lambda answers=answers: (200, answers.pop())  # type: ignore[misc]
        await asyncio.gather(
            stage.poller().round(), stage.ask("GET", "/v1/videos/video_1"), stage.poller().round()
        )
        (outcome,) = stage.charged().values()
        assert outcome in {("complete", "counted", EIGHT), ("job_failed", "void", 0)}
        assert list(stage.charged()) == [call_id]
        ends = [ended for ended in stage.stage.heard.outcomes if ended.outcome in {"complete", "job_failed"}]
        assert len([ended for ended in ends if ended.usage != {"requests": 0}]) == 1
        assert stage.held_nano() == 0
        await stage.rest()


async def test_looks_at_a_job_grow_rarer_with_its_age() -> None:
    """At first every five seconds, at last every five minutes; another poller looks once at every job."""
    stage, _ = await begun()
    poller, looked = stage.poller(), []
    for second in range(7_200):
        stage.clock.at_us = NOW_US + second * 1_000_000
        before = len(stage.studio.requests)
        await poller.round()
        looked += [second] * (len(stage.studio.requests) - before)
    gaps = [later - sooner for sooner, later in itertools.pairwise(looked)]
    assert looked[0] == gaps[0] == 5
    assert gaps == sorted(gaps)
    assert gaps[-1] == 300
    before = len(stage.studio.requests)
    await stage.poller().round()
    assert len(stage.studio.requests) == before + 1
    await stage.rest()


async def test_an_upstream_that_does_not_answer_keeps_no_other_from_being_asked() -> None:
    """It is asked about a few jobs in a round, and those that are left come in the next."""
    stage = VideoStage()
    for number in range(40):
        stage.studio.says("POST", "/videos", video("queued", f"video_{number}"))
        await stage.create()
    stage.clock.at_us += 10_000_000
    before = len(stage.studio.requests)
    poller = stage.poller()
    for round_ in range(1, 6):
        await poller.round()
        assert len(stage.studio.requests) == before + AT_ONCE * round_
    await poller.round()
    assert len(stage.studio.requests) == before + 40
    await stage.rest()


async def test_an_account_with_many_jobs_keeps_no_other_from_being_asked_about() -> None:
    """Accounts take turns, and a round asks about a few jobs of each; the others' come in the next ones."""
    stage = VideoStage()
    for number in range(3 * OF_AN_ACCOUNT + 1):
        stage.studio.says("POST", "/videos", video("queued", f"video_{number}"))
        stage.studio.says("GET", f"/videos/video_{number}", video("queued", f"video_{number}"))
        await stage.create()
    for name in ("other", "another"):
        stage.studio.says("POST", "/videos", video("queued", name))
        stage.studio.says("GET", f"/videos/{name}", video("queued", name))
        await stage.create(secret=OTHER_SECRET)
    stage.clock.at_us += 10_000_000
    poller, rounds = stage.poller(), []
    for _ in range(5):
        before = len(stage.studio.requests)
        await poller.round()
        rounds.append([request.path for request in stage.studio.requests[before:]])
    assert {"/videos/other", "/videos/another"} <= set(rounds[0][:AT_ONCE])
    assert [len(asked) for asked in rounds] == [OF_AN_ACCOUNT + 2, OF_AN_ACCOUNT, OF_AN_ACCOUNT, 1, 0]
    assert len({path for asked in rounds for path in asked}) == 3 * OF_AN_ACCOUNT + 3
    await stage.rest()


async def test_polls_of_clients_count_as_requests_of_the_key() -> None:
    """They cost nothing, so that only a rate bounds them; a refused one asks no upstream."""
    stage, _ = await begun()
    stage.studio.says("GET", SHOWN, video("queued"))
    stage.store.commit([ChangeKey("acct_1", "key_1", NOW_US, limits=Limits(rpm=3))])
    for _ in range(3):
        await stage.ask("GET", "/v1/videos/video_1")
    before = len(stage.studio.requests)
    assert (await stage.refused("GET", "/v1/videos/video_1")).code == "rate_limit_exceeded"
    assert len(stage.studio.requests) == before
    await stage.rest()


async def test_as_many_jobs_run_as_the_account_has_calls_at_once_and_funds_to_hold() -> None:
    """Each keeps its hold and its place until it has ended."""
    stage, _ = await begun()
    stage.store.commit([ChangeAccount("acct_1", NOW_US, limits=Limits(concurrency=2))])
    stage.studio.says("POST", "/videos", video("queued", "video_2"))
    await stage.create()
    refusal = await stage.refused("POST", "/v1/videos", WANTED)
    assert (refusal.code, stage.held_nano()) == ("concurrency_limit_exceeded", 2 * EIGHT)
    stage.store.commit([ChangeAccount("acct_1", NOW_US, limits=Limits())])
    left_nano = stage.store.books.accounts["acct_1"].available_nano
    stage.store.commit([Adjust("acct_1", "adjust", "lot", EIGHT - 1 - left_nano, "spent", NOW_US)])
    assert (await stage.refused("POST", "/v1/videos", WANTED)).kind.status == 402
    await stage.rest()


async def test_a_job_without_an_object_ends_when_its_longest_life_is_over() -> None:
    """Nobody can ask about it; no such job begins by a call."""
    stage, call_id = await begun()
    stage.store.books.objects.clear()
    stage.clock.at_us += DAY_US
    await stage.poller().round()
    assert stage.charged() == {}
    stage.clock.at_us += DAY_US
    await stage.poller().round()
    assert stage.charged() == {call_id: ("job_overdue", "counted", EIGHT)}
    await stage.rest()


async def test_a_lease_is_asked_for_now_and_then() -> None:
    """When a third of its twenty seconds is over, with the next round."""
    stage, _ = await begun()
    asked = []

    async def taken(name: str, seconds: float) -> bool:
        asked.append(stage.clock.at_us - NOW_US)
        return True

    stage.store.take_lease = taken  # type: ignore[method-assign]
    poller = stage.poller()
    for _ in range(18):
        await poller.round()
        stage.clock.at_us += 1_000_000
    assert [at // 1_000_000 for at in asked] == [0, 7, 14]
    await stage.rest()


async def test_who_has_no_lease_asks_nobody() -> None:
    stage, _ = await begun()
    stage.clock.at_us += 10_000_000

    async def taken(name: str, seconds: float) -> bool:
        return False

    stage.store.take_lease = taken  # type: ignore[method-assign]
    before = len(stage.studio.requests)
    await stage.poller().round()
    assert len(stage.studio.requests) == before
    await stage.rest()


async def test_the_id_of_another_calls_object_begins_no_job() -> None:
    """The second is voided and its client told; the first job is what it was."""
    stage, call_id = await begun()
    assert (
        await stage.refused("POST", "/v1/videos", {"model": "m", "prompt": "x", "seconds": "4"})
    ).code == ("upstream_invalid")
    assert stage.held_nano() == EIGHT
    stage.studio.says("GET", SHOWN, video("completed"))
    await stage.ask("GET", "/v1/videos/video_1")
    assert stage.charged()[call_id] == ("complete", "counted", EIGHT)
    assert sorted(nano for *_, nano in stage.charged().values()) == [0, EIGHT]
    await stage.rest()


async def test_a_client_that_leaves_as_its_job_begins_has_begun_it() -> None:
    stage = VideoStage()
    task = asyncio.ensure_future(stage.create())
    while not stage.studio.requests:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await stage.stage.tasks.drain(5)
    (hold,) = stage.store.books.holds.values()
    objects = list(stage.store.books.objects.values())
    assert (hold.state == "open") == (hold.deadline_us is not None) == bool(objects)
    await stage.rest()


async def test_a_fixed_price_is_that_of_a_job_too() -> None:
    """An object that has expired never is a job's: what is charged is what the hold says."""
    stage, call_id = await begun()
    (made,) = stage.store.books.objects.values()
    assert (made.call_id, made.expires_at_us, made.upstream) == (call_id, NEVER_US, "up")
    assert made.seen == (
        '{"id":"video_1","object":"video","status":"queued","model":"m","seconds":"8","size":"720x1280"}'
    )
    await stage.rest()


def test_every_end_of_a_job_is_driven_here() -> None:
    endings = {rule.ending for rule in OUTCOMES if "running" in rule.phases}
    assert endings == {"complete", "job_failed", "job_deleted", "job_overdue"}
