"""Conversations: free objects of one account, which its responses go on in where they are."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.call.policy import Catalog, Policy
from proxy.errors import Refusal
from proxy.ids import digest_of
from proxy.ledger.commands import CreateKey, OpenAccount
from proxy.ledger.groups import Group, Groups
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.upstream.base import UpstreamFailure
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.call.fakes import NOW_US, Sent
from tests.call.test_response_jobs import CARD, INPUT_NANO, OUTPUT_NANO, told
from tests.call.videos import OTHER_SECRET, AskedVideo, VideoStage
from tests.endpoints.openai.responses.replies import text, usage

PATH = "/v1/conversations"
MINE = f"{PATH}/conv_1"
ITEM: dict[str, Any] = {"role": "user", "content": "Hi"}
ANSWERED = told("completed", text("Hello"), usage=usage(36, 87))
ASK: dict[str, Any] = {"model": "m", "input": "Go on", "max_output_tokens": 100}


def made(id_: str = "conv_1", **more: object) -> bytes:
    """The JSON of a conversation."""
    return json.dumps({"id": id_, "object": "conversation", "created_at": 1, "metadata": {}} | more).encode()


def upstream(name: str, *forward: str) -> Target:
    return Target(Upstream(name, f"http://{name}", forward=frozenset(forward)))


def on(models: str, *targets: Target) -> Route:
    return Route(models, targets, models=(models,), endpoints=("responses", "responses.input_tokens"))


def staged(*routes: Route, card: RateCard = CARD, policy: Policy | None = None) -> VideoStage:
    """A stage that serves responses, and whose upstreams make `conv_1`."""
    stage = VideoStage(policy)
    routes = routes or (on("*", upstream("up")),)
    stage.stage.catalog = Catalog(Routes(routes), PriceBook([card]), Groups(), policy or Policy())
    stage.stage.relay.catalog = stage.stage.catalog
    stage.studio.says("POST", "/conversations", made())
    stage.studio.says("POST", "/responses", ANSWERED)
    return stage


async def begun(*routes: Route, **more: Any) -> VideoStage:
    """The same, once the first account has `conv_1`."""
    stage = staged(*routes, **more)
    await stage.ask("POST", PATH, {})
    return stage


async def test_a_conversation_is_free_and_its_accounts_own() -> None:
    """It is made where the first model is served with responses; nothing of it is held for or charged."""
    stage = staged(on("other-*", upstream("first"), upstream("second")), on("*", upstream("up")))
    body = {"items": [ITEM], "metadata": {"topic": "a"}}
    sent = await stage.ask("POST", PATH, body)
    assert (sent.data, sent.headers["x-farebox-cost"]) == (made(), "0.00")
    assert json.loads(stage.studio.requests[-1].body) == body
    assert stage.studio.targets == ["first"]
    row = stage.store.books.objects["acct_1", "conv_1"]
    assert (row.kind, row.upstream, row.model) == ("conversation", "first", "")
    (receipt,) = stage.stage.rows()
    assert (receipt.call.endpoint, receipt.charged_nano, receipt.hold_nano) == ("conversations.create", 0, 0)
    await stage.rest()


async def test_a_caller_may_say_which_model_a_conversation_is_for() -> None:
    """It is made where that is served; the name itself does not go up, as OpenAI would refuse it."""
    stage = staged(on("a", upstream("one")), on("b", upstream("two")))
    await stage.ask("POST", PATH, {"model": "b", "metadata": {}})
    assert (stage.studio.targets, stage.studio.requests[-1].body) == (["two"], b'{"metadata":{}}')
    assert stage.store.books.objects["acct_1", "conv_1"].model == "b"
    assert (await stage.refused("POST", PATH, {"model": "c"})).code == "model_not_found"
    await stage.ask("POST", PATH, {"model": None})
    assert stage.studio.targets[-1] == "one"
    await stage.rest()


async def test_a_key_for_some_models_has_conversations_too() -> None:
    """As has an account whose group allows some; for another model neither has any."""
    stage = staged()
    catalog = stage.stage.catalog
    groups = Groups(groups={"some": Group("some", models=("gpt-*",))})
    stage.stage.relay.catalog = replace(catalog, groups=groups)
    stage.store.commit(
        [
            CreateKey("acct_1", "key_3", "k", digest_of("sk-fbx-some"), "some", NOW_US, models=("gpt-*",)),
            OpenAccount("acct_4", "grouped", NOW_US, group="some"),
            CreateKey("acct_4", "key_4", "k", digest_of("sk-fbx-group"), "grou", NOW_US),
        ]
    )
    for secret in ("sk-fbx-some", "sk-fbx-group"):
        await stage.ask("POST", PATH, {}, secret=secret)
        await stage.ask("POST", PATH, {"model": "gpt-1"}, secret=secret)
        refusal = await stage.refused("POST", PATH, {"model": "m"}, secret=secret)
        assert refusal.code == "model_not_allowed"
    await stage.rest()


async def test_without_responses_there_are_no_conversations() -> None:
    stage = staged(Route("chats", (upstream("up"),), ("*",), ("completions",)))
    refusal = await stage.refused("POST", PATH, {})
    assert (refusal.code, stage.studio.requests) == ("model_not_found", [])
    await stage.rest()


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_conversations_are_not_listed(method: str) -> None:
    """OpenAI has no list of them, and an upstream's would be of all accounts."""
    stage = await begun()
    refusal = await stage.refused(method, PATH)
    assert (refusal.code, refusal.headers) == ("method_not_allowed", {"Allow": "POST"})
    await stage.rest()


@pytest.mark.parametrize("named", ["conv_1", {"id": "conv_1"}])
async def test_a_response_goes_on_where_the_conversation_is(named: Any) -> None:
    """What is in it is held for with the card's allowance; what was reported is charged."""
    stage = await begun(on("*", upstream("one"), upstream("two")))
    stage.studio.targets.clear()
    plain = staged()
    for each, more in ((stage, {"conversation": named}), (plain, {})):
        sent = await each.ask("POST", "/v1/responses", ASK | more)
        assert sent.data == ANSWERED
    assert stage.studio.targets == ["one"]
    (one,) = [row for row in stage.stage.rows() if row.call.endpoint == "responses"]
    (other,) = plain.stage.rows()
    assert one.charged_nano == other.charged_nano == 36 * INPUT_NANO + 87 * OUTPUT_NANO
    bytes_more = len(json.dumps({"conversation": named})) - len("{}") + len(", ")
    assert one.hold_nano - other.hold_nano == (CARD.input_allowance + bytes_more) * INPUT_NANO
    await stage.rest()
    await plain.rest()


@pytest.mark.parametrize("stream", [False, True])
async def test_without_an_allowance_no_response_goes_on_in_a_conversation(stream: bool) -> None:
    stage = await begun(card=replace(CARD, input_allowance=None))
    body = ASK | {"conversation": "conv_1", "stream": stream}
    refusal = await stage.refused("POST", "/v1/responses", body)
    assert (refusal.code, refusal.param) == ("unpriced_feature", "conversation")
    await stage.rest()


async def test_a_model_that_is_not_served_there_has_not_the_conversation() -> None:
    stage = await begun(on("a", upstream("one")), on("b", upstream("two")))
    refusal = await stage.refused("POST", "/v1/responses", ASK | {"model": "b", "conversation": "conv_1"})
    assert (refusal.code, refusal.param) == ("invalid_value", "conversation")
    assert stage.studio.targets == ["one"]
    await stage.rest()


async def test_what_may_be_in_a_conversation_already_is_not_put_there_again() -> None:
    """A second target would answer in the same conversation, after what the first has put there."""
    models = (Target(upstream("up").upstream, model) for model in ("x", "y"))
    stage = await begun(on("*", *models))

    def fails() -> tuple[int, bytes]:
        raise UpstreamFailure("upstream_timeout", "It failed.")

    stage.studio.answers["POST", "/responses"] = fails
    for more, tries in (({"conversation": "conv_1"}, 1), ({}, 2)):
        before = len(stage.studio.requests)
        await stage.refused("POST", "/v1/responses", ASK | more)
        assert len(stage.studio.requests) - before == tries
    await stage.rest()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "message", "role": "user", "content": [{"type": "input_file", "file_id": "f"}]}, "file_id"),
    ({"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "gs://a"}]}, "gs:"),
    ({"type": "custom_tool_call", "name": "f", "vector_store_ids": ["v"]}, "vector_store_ids"),
]


@pytest.mark.parametrize(("item", "name"), REFUSED)
@pytest.mark.parametrize("path", [PATH, f"{MINE}/items"])
async def test_an_item_names_nothing_that_the_upstream_keeps_for_nobody_knows_whom(
    path: str, item: dict[str, Any], name: str
) -> None:
    """Unless the operator forwards that name to where the conversation is."""
    for forward in ((), ("*",), (name,)):
        stage = await begun(on("*", upstream("up", *forward)))
        heard = len(stage.studio.requests)
        stage.studio.says("POST", "/conversations/conv_1/items", b'{"object":"list","data":[]}')
        if name in forward:
            await stage.ask("POST", path, {"items": [ITEM, item]})
            assert json.loads(stage.studio.requests[-1].body) == {"items": [ITEM, item]}
        else:
            refusal = await stage.refused("POST", path, {"items": [ITEM, item]})
            assert refusal.code == "unpriced_feature"
            assert len(stage.studio.requests) == heard
        await stage.rest()


TURNING_ON: dict[str, Any] = {
    "type": "additional_tools",
    "role": "developer",
    "tools": [{"type": "web_search"}],
}


@pytest.mark.parametrize("item", [TURNING_ON, {"type": "compaction_trigger"}])
@pytest.mark.parametrize("path", [PATH, f"{MINE}/items"])
async def test_an_item_that_would_have_more_done_is_refused(path: str, item: dict[str, Any]) -> None:
    """A response in the conversation would use the tools, or read all once more, and be held for neither."""
    stage = await begun()
    assert (await stage.refused("POST", path, {"items": [item]})).code == "unpriced_feature"
    await stage.rest()


@pytest.mark.parametrize("path", [PATH, f"{MINE}/items"])
async def test_an_item_has_no_id_but_one_of_the_accounts_own(path: str) -> None:
    """An item under another's id could stand for that, or be found in its place."""
    stage = await begun()
    stage.studio.says("POST", "/conversations/conv_1/items", b'{"object":"list","data":[]}')
    await stage.ask("POST", "/v1/responses", ASK, secret=OTHER_SECRET)
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": "Hello"}
    refusal = await stage.refused("POST", path, {"items": [item]})
    assert (refusal.code, refusal.param) == ("not_found", "items[].id")
    await stage.ask("POST", "/v1/responses", ASK)
    await stage.ask("POST", path, {"items": [item]})
    await stage.rest()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": "x"}, "items"),
        ({"items": {"role": "user"}}, "items"),
        ({"items": [1] * 100_000}, "items"),
        ({"items": [{"Role": "user", "content": "x"}]}, "items[].Role"),
        ({"item": [ITEM]}, "item"),
        ({"conversation_id": "conv_2", "items": [ITEM]}, "conversation_id"),
    ],
)
@pytest.mark.parametrize("path", [PATH, f"{MINE}/items"])
async def test_what_cannot_be_read_safely_is_refused(path: str, body: dict[str, Any], param: str) -> None:
    stage = await begun()
    refusal = await stage.refused("POST", path, body)
    assert (refusal.code, refusal.param) == ("invalid_value", param)
    await stage.rest()


class LateAsked(AskedVideo):
    """A request whose body has not come with its head."""

    async def body_at_hand(self) -> None:
        return None

    async def body(self) -> bytes:
        raise AssertionError("it was waited for")


@pytest.mark.parametrize("path", [PATH, f"{MINE}/items"])
async def test_nobody_without_funds_has_items_waited_for(path: str) -> None:
    stage = await begun()
    stage.store.commit(
        [
            OpenAccount("acct_3", "poor", NOW_US),
            CreateKey("acct_3", "key_3", "k", digest_of("sk-fbx-poor"), "poor", NOW_US),
        ]
    )
    row = stage.store.books.objects["acct_1", "conv_1"]
    stage.store.books.objects.put(replace(row, account_id="acct_3"))
    with pytest.raises(Refusal) as caught:
        await stage.stage.relay.relay(LateAsked("POST", path, {}, secret="sk-fbx-poor"), Sent())
    assert caught.value.kind.status == 402
    await stage.rest()


async def test_an_answer_that_tells_of_no_conversation_makes_none() -> None:
    stage = staged()
    stage.studio.says("POST", "/conversations", b'{"object":"conversation"}')
    await stage.refused("POST", PATH, {})
    assert stage.store.books.objects == {}
    (row,) = stage.stage.rows()
    assert row.charged_nano == 0
    await stage.rest()


async def test_a_conversation_may_be_deleted_while_a_response_goes_on_in_it() -> None:
    """The response is charged by its end all the same; no other begins there."""
    stage = await begun()
    stage.studio.says("POST", "/responses", told("queued"))
    await stage.ask("POST", "/v1/responses", ASK | {"conversation": "conv_1", "background": True})
    assert stage.held_nano() > 0
    stage.studio.says("DELETE", "/conversations/conv_1", b'{"id":"conv_1","deleted":true}')
    await stage.ask("DELETE", MINE)
    refusal = await stage.refused("POST", "/v1/responses", ASK | {"conversation": "conv_1"})
    assert (refusal.code, refusal.param) == ("not_found", "conversation")
    assert (await stage.refused("GET", f"{MINE}/items")).code == "not_found"
    stage.studio.says("GET", "/responses/resp_1", ANSWERED)
    await stage.ask("GET", "/v1/responses/resp_1")
    assert stage.held_nano() == 0
    charged = {row.call.endpoint: row.charged_nano for row in stage.stage.rows()}
    assert charged["responses"] == 36 * INPUT_NANO + 87 * OUTPUT_NANO
    await stage.rest()


async def test_taking_an_item_out_leaves_the_conversation() -> None:
    """The answer to that is the conversation itself."""
    stage = await begun()
    stage.studio.says("DELETE", "/conversations/conv_1/items/msg_1", made(deleted=True))
    await stage.ask("DELETE", f"{MINE}/items/msg_1")
    stage.studio.says("GET", "/conversations/conv_1", made())
    assert (await stage.ask("GET", MINE)).data == made()
    await stage.rest()


async def test_a_conversation_that_an_answer_tells_of_is_nobodys_by_that() -> None:
    """Only one that the account has had made can be gone on in."""
    stage = await begun()
    stage.studio.says("POST", "/responses", told("completed", conversation={"id": "conv_2"}))
    await stage.ask("POST", "/v1/responses", ASK)
    assert (await stage.refused("GET", f"{PATH}/conv_2")).code == "not_found"
    refusal = await stage.refused("POST", "/v1/responses", ASK | {"conversation": "conv_2"})
    assert refusal.code == "not_found"
    await stage.rest()
