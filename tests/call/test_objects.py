"""An object is its account's alone: to all others it is as if it never was, on every path of every kind."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.call.policy import Catalog
from proxy.endpoints.objects import ITEM, ObjectKind
from proxy.endpoints.openai.stored_chats import STORED_CHATS
from proxy.endpoints.openai.videos import VIDEOS
from proxy.endpoints.registry import KINDS
from proxy.ids import digest_of
from proxy.ledger.commands import CreateKey, OpenAccount
from proxy.ledger.groups import Groups
from proxy.ledger.rows import NEVER_US, Object
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.call.fakes import NOW_US
from tests.call.videos import OTHER_SECRET, RATES, SECOND_NANO, VideoStage, video


def ways(kind: ObjectKind) -> Iterator[tuple[str, str, str]]:
    """Every way to name an object of a kind: method, path, and the body's member that holds its id."""
    for method, path, *_ in kind.paths():
        if path != kind.path:
            yield method, path, "" if "{id}" in path else kind.name


WAYS = [(kind, *way) for kind in KINDS for way in ways(kind)]
BODY = {"prompt": "More", "seconds": "4"}
GIVEN = {"metadata": {"a": "b"}, "items": [{"role": "user", "content": "Hi"}]}
"""A value for each member that a route of an object takes."""


def asked(kind: ObjectKind, path: str, member: str, id_: str) -> tuple[str, object]:
    """The path and the body of a request that names an object."""
    there = path.replace("{id}", id_).replace(ITEM, "item_1")
    for route in kind.routes:
        if path == f"{kind.path}/{{id}}{route.below}":
            return there, {name: GIVEN[name] for name in route.takes}
    body = {name: value for name, value in BODY.items() if name != "seconds" or "extensions" in path}
    return there, body | ({member: {"id": id_}} if member else {})


def put(stage: VideoStage, kind: ObjectKind, id_: str, account_id: str = "acct_1", **more: object) -> None:
    """Make an object known, of whatever kind."""
    seen = json.dumps({"id": id_, "seconds": "8", "size": "720x1280"})
    values = {"upstream": "up", "expires_at_us": NEVER_US, "call_id": f"call_{account_id}", **more}
    stage.store.books.objects.put(
        Object(
            account_id,
            id_,
            kind.name,
            key_id="key_1",
            model="m",
            created_at_us=NOW_US,
            seen=seen,
            **values,  # type: ignore[arg-type]
        )
    )


@pytest.mark.parametrize(("kind", "method", "path", "member"), WAYS)
async def test_another_accounts_object_is_answered_as_one_that_never_was(
    kind: ObjectKind, method: str, path: str, member: str
) -> None:
    """Byte for byte, and no upstream hears of it; nor of one that has expired, nor of one of another kind."""
    stage = VideoStage()
    put(stage, kind, "theirs")
    refusals = []
    for id_ in ("theirs", "nobody"):
        there, body = asked(kind, path, member, id_)
        refusal = await stage.refused(method, there, body, secret=OTHER_SECRET)
        assert refusal.kind.status == 404
        refusals.append(refusal.body("req").replace(id_.encode(), b"<id>"))
        assert refusal.headers == {}
    assert refusals[0] == refusals[1]
    put(stage, kind, "expired", "acct_2", expires_at_us=NOW_US)
    put(stage, kind, "file", "acct_2")
    stage.store.books.objects["acct_2", "file"] = Object(
        "acct_2", "file", "another kind", "up", "key", "call", "m", NOW_US, "{}"
    )
    for id_ in ("expired", "file"):
        there, body = asked(kind, path, member, id_)
        refusal = await stage.refused(method, there, body, secret=OTHER_SECRET)
        assert refusal.body("req").replace(id_.encode(), b"<id>") == refusals[0]
    assert stage.studio.requests == []
    assert stage.store.books.holds == {}
    await stage.rest()


@pytest.mark.parametrize(("kind", "method", "path", "member"), WAYS)
async def test_ones_own_object_is_asked_for_where_it_was_made(
    kind: ObjectKind, method: str, path: str, member: str
) -> None:
    """Two upstreams have the same id, for two accounts; the model's route begins with another upstream."""
    stage = VideoStage()
    book = PriceBook([RateCard("card", ("*",), RATES)])
    targets = tuple(Target(Upstream(name, f"http://{name}")) for name in ("first", "one", "two"))
    routes = Routes([Route("all", targets, models=("*",), endpoints=(kind.endpoint,))])
    stage.stage.relay.catalog = Catalog(routes, book, Groups(), stage.stage.catalog.policy)
    put(stage, kind, "same", upstream="one")
    put(stage, kind, "same", "acct_2", upstream="two")
    there, body = asked(kind, path, member, "same")
    up_path = there.removeprefix("/v1")
    for number, secrets in enumerate(({}, {"secret": OTHER_SECRET})):
        stage.studio.says(method, up_path, video("queued", f"new_{number}"))
        await stage.ask(method, there, body, **secrets)
    assert stage.studio.targets == ["one", "two"]
    await stage.rest()


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_asked_of_an_object_is_free(kind: ObjectKind) -> None:
    """An account without funds may look at what it has; only the rate of its calls is limited."""
    stage = VideoStage()
    secret = "sk-fbx-poor"
    stage.store.commit(
        [
            OpenAccount("acct_3", "poor", NOW_US),
            CreateKey("acct_3", "key_3", "k", digest_of(secret), "poor", NOW_US),
        ]
    )
    put(stage, kind, "mine", "acct_3")
    for route in kind.routes:
        path = f"{kind.path}/mine{route.below}".replace(ITEM, "item_1")
        stage.studio.says(route.method, path.removeprefix("/v1"), video("in_progress", "mine"))
        body = {name: GIVEN[name] for name in route.takes} or None
        sent = await stage.ask(route.method, path, body, secret=secret)
        assert sent.headers["x-farebox-cost"] == "0.00"
    if kind is VIDEOS:
        refusal = await stage.refused("POST", kind.path, {"model": "m", "prompt": "x"}, secret=secret)
        assert refusal.kind.status == 402
    rows = stage.store.books.new_receipts
    assert {row.charged_nano for row in rows} == {0}
    assert [row.call.endpoint for row in rows] == [f"{kind.endpoint}.{route.name}" for route in kind.routes]
    await stage.rest()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_method_that_no_route_has_is_refused(kind: ObjectKind) -> None:
    """Whether the object is there or not."""
    stage = VideoStage()
    put(stage, kind, "mine")
    for id_ in ("mine", "nobody"):
        refusal = await stage.refused("PUT", f"{kind.path}/{id_}")
        methods = sorted({route.method for route in kind.routes if not route.below})
        assert (refusal.code, refusal.headers) == ("method_not_allowed", {"Allow": ", ".join(methods)})
    assert (await stage.refused("GET", f"{kind.path}/mine/nothing")).code == "not_found"
    assert (await stage.refused("GET", f"{kind.path}/")).code == "not_found"
    await stage.rest()


@given(id_=st.text(min_size=1, max_size=40))
@settings(max_examples=150)
def test_whatever_is_written_in_the_place_of_an_id_reaches_no_other_path(id_: str) -> None:
    """Every path that goes up has an id of the account's in that place, as its upstream gave it."""

    async def ask() -> None:
        stage = VideoStage()
        for kind in KINDS:
            put(stage, kind, "mine")
            refusal = await stage.refused("GET", f"{kind.path}/{id_}")
            assert refusal.kind.status == 404
        assert stage.studio.requests == []
        await stage.rest()

    asyncio.run(ask())


async def test_an_upstream_that_is_in_use_no_more_is_not_asked() -> None:
    stage = VideoStage()
    put(stage, KINDS[0], "mine", upstream="gone")
    assert (await stage.refused("GET", "/v1/videos/mine")).code == "upstream_unreachable"
    assert (await stage.refused("POST", "/v1/videos/mine/remix", {"prompt": "x"})).code == "model_not_found"
    await stage.rest()


async def test_a_key_for_repeats_is_its_accounts_own() -> None:
    """An upstream answers a repeat with what it made before: that must not be another account's."""
    stage = VideoStage()
    sent = []
    for number, secrets in enumerate(({}, {"secret": OTHER_SECRET}, {})):
        stage.studio.says("POST", "/videos", video("queued", f"video_{number}"))
        await stage.create(headers=(("Idempotency-Key", "1"), ("X-Other", "1")), **secrets)
        sent.append(dict(stage.studio.requests[-1].headers))
    keys = [headers["Idempotency-Key"] for headers in sent]
    assert keys[0] == keys[2] != keys[1]
    assert "1" not in keys
    assert {headers["X-Other"] for headers in sent} == {"1"}
    await stage.rest()


async def test_an_object_that_a_body_names_has_to_be_the_accounts() -> None:
    """A file by its id, where the call makes something else."""
    stage = VideoStage()
    body = {"model": "m", "prompt": "x", "input_reference": {"file_id": "file_1"}}
    refusal = await stage.refused("POST", "/v1/videos", body)
    assert (refusal.code, refusal.param) == ("not_found", "input_reference.file_id")
    put(stage, KINDS[0], "file_1")
    made = stage.store.books.objects["acct_1", "file_1"]
    stage.store.books.objects["acct_1", "file_1"] = replace(made, kind="file")
    await stage.create(body)
    assert json.loads(stage.studio.requests[-1].body)["input_reference"] == {"file_id": "file_1"}
    await stage.rest()


@pytest.mark.parametrize(
    ("path", "body", "seconds"),
    [
        ("/v1/videos/mine/remix", {"prompt": "x"}, 8),
        ("/v1/videos/edits", {"prompt": "x", "video": {"id": "mine"}}, 8),
        ("/v1/videos/extensions", {"prompt": "x", "video": {"id": "mine"}, "seconds": "12"}, 12),
    ],
)
async def test_what_is_made_from_a_video_is_a_job_of_its_own(
    path: str, body: dict[str, object], seconds: int
) -> None:
    """It is held for and charged by what it takes: an extension by the seconds that are added."""
    stage = VideoStage()
    put(stage, KINDS[0], "mine")
    stage.studio.says("POST", path.removeprefix("/v1"), video("queued", "new", seconds="99"))
    await stage.ask("POST", path, body)
    assert stage.held_nano() == seconds * SECOND_NANO
    assert json.loads(stage.studio.requests[-1].body) == body
    stage.studio.says("GET", "/videos/new", video("completed", "new", seconds="99"))
    await stage.ask("GET", "/v1/videos/new")
    assert list(stage.charged().values()) == [("complete", "counted", seconds * SECOND_NANO)]
    await stage.rest()


@pytest.mark.parametrize("seen", ["{}", '{"seconds":"x"}', '{"seconds":null}', "[]"])
async def test_what_is_made_from_a_video_of_unknown_length_is_refused(seen: str) -> None:
    """Nothing would bound what it costs."""
    stage = VideoStage()
    put(stage, KINDS[0], "mine")
    made = stage.store.books.objects["acct_1", "mine"]
    stage.store.books.objects["acct_1", "mine"] = replace(made, seen=seen)
    assert (await stage.refused("POST", "/v1/videos/mine/remix", {"prompt": "x"})).code == "invalid_value"
    assert stage.studio.requests == []
    await stage.rest()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"metadata": {}, "store": False}, "store"),
        ({"Metadata": {}}, "Metadata"),
        ({"metadata": {}, "model": "other"}, "model"),
    ],
)
async def test_a_route_of_an_object_takes_the_members_of_its_row_alone(body: object, param: str) -> None:
    stage = VideoStage()
    put(stage, STORED_CHATS, "mine")
    refusal = await stage.refused("POST", "/v1/chat/completions/mine", body)
    assert (refusal.code, refusal.param) == ("invalid_value", param)
    assert stage.studio.requests == []
    await stage.rest()
