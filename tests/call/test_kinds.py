"""A kind of objects is a value with rows for its routes: nothing else says what may be asked of it."""

from itertools import product

import pytest
from msgspec.structs import replace

from proxy.call.policy import Catalog
from proxy.endpoints.objects import ObjectKind, ObjectRoute
from proxy.endpoints.openai.videos import read_video
from proxy.endpoints.tallies.sighted import Sighting
from proxy.ledger.commands import Authorize, Detach
from proxy.ledger.groups import Groups
from proxy.ledger.rows import Call, Observed
from proxy.money import parse_amount
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.charge import Charge, Line
from proxy.pricing.rates import Rate
from proxy.upstream.routes import Routes
from tests.call.fakes import NOW_US
from tests.call.test_objects import put
from tests.call.videos import SECOND_NANO, VideoStage, video

LETTERS = ObjectKind(
    name="letter",
    endpoint="letters",
    path="/v1/letters",
    upstream_path="/letters",
    meters=("video_seconds",),
    read=read_video,
    routes=(
        ObjectRoute("retrieve", "GET", "One letter."),
        ObjectRoute("cancel", "POST", "Stop a letter.", "/cancel"),
        ObjectRoute("lines", "GET", "What is in it.", "/lines", "nothing"),
        ObjectRoute("delete", "DELETE", "Delete it.", tells="deletion"),
    ),
)
"""A made-up kind: like responses, it can be cancelled, and has parts."""

COST = Observed({"video_seconds": 3}, Charge(77, (Line("video_seconds", 3, "77", 3, 77),), "card@1"))


@pytest.fixture
async def stage() -> VideoStage:
    """A stage that knows of letters alone, one of which is there."""
    stage = VideoStage(kinds=(LETTERS,))
    put(stage, LETTERS, "letter_1", call_id="call_1")
    return stage


async def running(stage: VideoStage) -> None:
    """Begin the job of the letter."""
    call = Call("call_1", "acct_1", "key_1", "letters", "m", "up", "m", False, NOW_US)
    await stage.stage.ledger.authorize(Authorize(call, 100, 100, 0, NOW_US, stage.store.owner))
    await stage.stage.ledger.detach(Detach(call, NOW_US, NOW_US, NOW_US + 10**12, COST))


async def test_a_kind_without_code_of_its_own_is_asked_polled_and_ended(stage: VideoStage) -> None:
    """Each row is a path; what its answer tells ends the job, and what tells nothing does not."""
    await running(stage)
    stage.studio.says("GET", "/letters/letter_1/lines", video("completed", "letter_1"))
    stage.studio.says("POST", "/letters/letter_1/cancel", video("in_progress", "letter_1"))
    for method, below in (("GET", "/lines"), ("POST", "/cancel")):
        sent = await stage.ask(method, f"/v1/letters/letter_1{below}")
        assert sent.ended
        assert stage.store.books.holds["call_1"].state == "open"
    assert stage.studio.requests[-1].body == b""
    stage.studio.says("POST", "/letters/letter_1/cancel", video("cancelled", "letter_1"))
    await stage.ask("POST", "/v1/letters/letter_1/cancel")
    (receipt,) = [row for row in stage.store.books.new_receipts if row.call.id == "call_1"]
    assert (receipt.outcome.outcome, receipt.charged_nano) == ("job_failed", 0)
    await stage.rest()


async def test_a_cancel_that_is_charged_is_charged_once(stage: VideoStage) -> None:
    """An upstream may have done the work by then: what it says counts."""
    await running(stage)
    stage.studio.says("POST", "/letters/letter_1/cancel", video("completed", "letter_1"))
    for _ in range(2):
        await stage.ask("POST", "/v1/letters/letter_1/cancel")
    receipts = [row for row in stage.store.books.new_receipts if row.call.id == "call_1"]
    assert [(row.outcome.outcome, row.charged_nano) for row in receipts] == [("complete", 77)]
    await stage.rest()


async def test_a_kind_that_a_route_brings_is_asked_and_polled_as_any() -> None:
    """It comes and goes with the catalog, and what says no id is about the one that was asked for."""

    def without_id(data: bytes) -> Sighting | None:
        seen = read_video(data)
        return None if seen is None else replace(seen, id="")

    stage = VideoStage(kinds=())
    put(stage, LETTERS, "letter_1", call_id="call_1")
    await running(stage)
    assert (await stage.refused("GET", "/v1/letters/letter_1")).code == "not_found"
    before = stage.stage.catalog
    status = replace(LETTERS, read=without_id, routes=(ObjectRoute("status", "GET", "One.", "/status"),))
    route = replace(before.routes.all[0], makes=status)
    stage.stage.catalog = stage.stage.relay.catalog = replace(before, routes=Routes([route]))
    stage.clock.at_us += 10**7
    stage.studio.says("GET", "/letters/letter_1/status", video("completed", "another"))
    await stage.poller().round()
    (receipt,) = [row for row in stage.store.books.new_receipts if row.call.id == "call_1"]
    assert (receipt.outcome.outcome, receipt.charged_nano) == ("complete", 77)
    assert (await stage.ask("GET", "/v1/letters/letter_1/status")).ended
    await stage.rest()


async def test_what_no_row_names_is_not_served(stage: VideoStage) -> None:
    for method, below in product(("GET", "POST", "DELETE"), ("/lines/1", "/content", "/cancel/x", "/../x")):
        assert (await stage.refused(method, f"/v1/letters/letter_1{below}")).kind.status == 404
    assert (await stage.refused("GET", "/v1/letters/letter_1/cancel")).headers == {"Allow": "POST"}
    assert (await stage.refused("GET", "/v1/videos/letter_1")).code == "not_found"
    assert stage.studio.requests == []
    await stage.rest()


@pytest.mark.parametrize(
    ("size", "nano"), [("1792x1024", 3 * SECOND_NANO), ("720x1280", SECOND_NANO), (None, SECOND_NANO)]
)
async def test_a_videos_price_depends_on_its_size_and_so_does_what_is_made_from_it(
    size: str | None, nano: int
) -> None:
    """The hold and the charge are by the same case."""
    stage = VideoStage()
    plain = RateCard("card", ("*",), (Rate("video_seconds", parse_amount("0.001"), 1),))
    large = RateCard("card+size", ("*",), (Rate("video_seconds", parse_amount("0.003"), 1),))
    card = RateCard("card", ("*",), plain.rates, cases=(Case((("size", "1792x1024"),), large),))
    before = stage.stage.relay.catalog
    stage.stage.relay.catalog = Catalog(before.routes, PriceBook([card]), Groups(), before.policy)
    stage.studio.says("POST", "/videos", video("queued", size=size or "720x1280"))
    await stage.create({"model": "m", "prompt": "x", "seconds": "8"} | ({"size": size} if size else {}))
    assert stage.held_nano() == 8 * nano
    stage.studio.says("POST", "/videos/video_1/remix", video("queued", "video_2", size=size or "720x1280"))
    await stage.ask("POST", "/v1/videos/video_1/remix", {"prompt": "x"})
    assert stage.held_nano() == 16 * nano
    for id_ in ("video_1", "video_2"):
        stage.studio.says("GET", f"/videos/{id_}", video("completed", id_))
        await stage.ask("GET", f"/v1/videos/{id_}")
    assert [charged for *_, charged in stage.charged().values()] == [8 * nano, 8 * nano]
    await stage.rest()
