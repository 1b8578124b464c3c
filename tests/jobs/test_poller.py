"""The poller: when it looks at a job, and how much it reads of what is answered."""

from msgspec.structs import replace

from proxy.call.policy import Policy
from proxy.endpoints.openai.videos import VIDEOS
from tests.call.fakes import NOW_US
from tests.call.videos import SECOND_NANO, VideoStage, begun, video

SHOWN = "/videos/video_1"
EIGHT = 8 * SECOND_NANO


async def test_a_clock_that_is_set_back_keeps_no_job_from_being_looked_at_and_ended() -> None:
    """It is looked at though its next look is far away by then, and it does not end before it began."""
    stage, call_id = await begun()
    poller = stage.poller()
    stage.clock.at_us += 10_000_000
    await poller.round()
    stage.clock.at_us -= 3_600_000_000
    stage.studio.says("GET", SHOWN, video("completed"))
    await poller.round()
    assert stage.charged() == {call_id: ("complete", "counted", EIGHT)}
    (ended,) = (row.outcome for row in stage.store.books.new_receipts if row.call.id == call_id)
    assert ended.ended_at_us == NOW_US
    await stage.rest()


async def test_a_job_is_looked_at_as_soon_as_its_longest_life_is_over() -> None:
    """Though its next look would come later."""
    stage, call_id = await begun(Policy(job_seconds=7))
    poller = stage.poller()
    for seconds, charged in ((5, {}), (2, {call_id: ("job_overdue", "counted", EIGHT)})):
        stage.clock.at_us += seconds * 1_000_000
        await poller.round()
        assert stage.charged() == charged
    await stage.rest()


async def test_no_more_is_read_of_an_answer_about_a_job_than_its_kind_allows() -> None:
    """What is longer says nothing, as an answer that nobody can read."""
    short, long = video("completed"), video("completed", pad="x" * 100)
    stage = VideoStage(kinds=[replace(VIDEOS, answer_bytes=len(short))])
    call_id = await stage.create()
    for answer, charged in ((long, {}), (short, {call_id: ("complete", "counted", EIGHT)})):
        stage.clock.at_us += 10_000_000
        stage.studio.says("GET", SHOWN, answer)
        await stage.poller().round()
        assert stage.charged() == charged
    await stage.rest()
