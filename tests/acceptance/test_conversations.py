"""Conversations with the official SDK, through a real process: each is its account's alone."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from tests.acceptance.harness import Account, Server, config_for, running
from tests.acceptance.scripted_upstream import ScriptedUpstream
from tests.endpoints.openai.responses.replies import event, response, text

ALLOWANCE = 1_000
HELLO: Any = {"type": "message", "role": "user", "content": "Say hello"}


def listed(items: list[dict[str, Any]]) -> dict[str, Any]:
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {}
    return {"object": "list", "data": items, "has_more": False, "first_id": "", "last_id": "", **ends}


class Forum:
    """An upstream that keeps conversations as OpenAI does; `heard` is what was asked of it."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.conversations: dict[str, dict[str, Any]] = {}
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.heard: list[tuple[str, str]] = []
        self._numbers = itertools.count(1)
        self._behaviours = upstream.behaviours
        self._behaviours["/v1/conversations"] = self._create
        self._behaviours["talks"] = self._respond

    async def _create(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        self.heard.append((request.method, request.path))
        id_ = f"conv_{next(self._numbers)}"
        self.conversations[id_] = {
            "id": id_,
            "object": "conversation",
            "created_at": 1_741_900_000,
            "metadata": body.get("metadata") or {},
        }
        self.items[id_] = []
        self._behaviours[f"/v1/conversations/{id_}"] = self._one
        self._behaviours[f"/v1/conversations/{id_}/items"] = self._many
        self._put(id_, body.get("items") or [])
        return web.json_response(self.conversations[id_])

    def _put(self, id_: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        put = []
        for item in items:
            content = item["content"]
            parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
            put.append({"status": "completed", **item, "id": f"msg_f{next(self._numbers)}", "content": parts})
            self._behaviours[f"/v1/conversations/{id_}/items/{put[-1]['id']}"] = self._item
        self.items[id_] += put
        return put

    async def _one(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        self.heard.append((request.method, request.path))
        id_ = request.path.split("/")[3]
        if request.method == "DELETE":
            del self.conversations[id_]
            return web.json_response({"id": id_, "object": "conversation.deleted", "deleted": True})
        self.conversations[id_] |= body
        return web.json_response(self.conversations[id_])

    async def _many(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        self.heard.append((request.method, request.path_qs))
        id_ = request.path.split("/")[3]
        items = self._put(id_, body["items"]) if request.method == "POST" else self.items[id_][::-1]
        return web.json_response(listed(items))

    async def _item(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        self.heard.append((request.method, request.path))
        *_, id_, _, item_id = request.path.split("/")
        (item,) = [each for each in self.items[id_] if each["id"] == item_id]
        if request.method == "DELETE":
            self.items[id_].remove(item)
            return web.json_response(self.conversations[id_])
        return web.json_response(item)

    async def _respond(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        """A response in the conversation, which has what was said before."""
        named = body["conversation"]
        id_ = named if isinstance(named, str) else named["id"]
        self._put(id_, [HELLO | {"content": body["input"]}])
        said = f"{len(self.items[id_])} items"
        answer = response(text(said), id=f"resp_f{next(self._numbers)}", conversation={"id": id_})
        if not body.get("stream"):
            return web.json_response(answer)
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        begun = {**answer, "status": "in_progress", "output": [], "usage": None}
        await reply.write(event("response.created", response=begun))
        await reply.write(event("response.completed", response=answer))
        await reply.write_eof()
        return reply


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose cards have an allowance for input that a request only refers to."""
    folder: Path = tmp_path_factory.mktemp("conversations")
    config = config_for(upstream.port, folder)
    for card in config["rate_cards"].values():
        card["input_allowance_tokens"] = ALLOWANCE
    with running(config, folder) as started:
        yield started


@pytest.fixture
def forum(upstream: ScriptedUpstream) -> Forum:
    return Forum(upstream)


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as sync:
        yield sync


def test_the_sdk_makes_reads_updates_and_deletes_a_conversation_for_free(
    client: openai.OpenAI, account: Account, forum: Forum
) -> None:
    made = client.conversations.create(items=[HELLO], metadata={"topic": "a"})
    assert (made.object, made.metadata) == ("conversation", {"topic": "a"})
    assert client.conversations.retrieve(made.id) == made
    assert client.conversations.update(made.id, metadata={"topic": "b"}).metadata == {"topic": "b"}
    deleted = client.conversations.delete(made.id)
    assert (deleted.id, deleted.deleted, forum.conversations) == (made.id, True, {})
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)
    rows = account.requests()
    assert {row["charged"] for row in rows} == {"0.00"}
    names = ["create", "retrieve", "update", "delete"]
    assert [row["endpoint"] for row in rows] == [f"conversations.{name}" for name in names]


def test_the_sdk_puts_items_in_lists_and_takes_them_out(
    client: openai.OpenAI, account: Account, forum: Forum
) -> None:
    id_ = client.conversations.create().id
    items = client.conversations.items
    put = items.create(
        id_, items=[HELLO, HELLO | {"content": "And again"}], include=["reasoning.encrypted_content"]
    )
    assert len(put.data) == 2
    found: Any = list(items.list(id_, limit=50, order="desc"))
    assert [item.content[0].text for item in found] == ["And again", "Say hello"]
    one: Any = items.retrieve(found[0].id, conversation_id=id_)
    assert one.content[0].text == "And again"
    assert items.delete(found[0].id, conversation_id=id_).id == id_
    assert [item.id for item in items.list(id_)] == [found[1].id]
    assert any("include" in path for _, path in forum.heard)
    assert {row["charged"] for row in account.requests()} == {"0.00"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_goes_on_in_a_conversation(
    client: openai.OpenAI, account: Account, forum: Forum, stream: bool
) -> None:
    """What it tells of itself passes; what was said before takes the allowance, and the usage is charged."""
    id_ = client.conversations.create(items=[HELLO]).id
    named: list[Any] = [id_, {"id": id_}]
    for number, conversation in enumerate(named, 2):
        if stream:
            with client.responses.stream(model="talks", input="More", conversation=conversation) as events:
                answer: Any = events.get_final_response()
        else:
            answer = client.responses.create(model="talks", input="More", conversation=conversation)
        assert (answer.output_text, answer.conversation.id) == (f"{number} items", id_)
        row = account.last()
        assert (row["endpoint"], row["basis"], row["charged"]) == ("responses", "reported", "0.00021")
    assert [item.type for item in client.conversations.items.list(id_)] == ["message"] * 3


def test_a_conversation_and_an_earlier_response_are_not_taken_together(
    client: openai.OpenAI, forum: Forum, upstream: ScriptedUpstream
) -> None:
    """As by OpenAI's API."""
    id_ = client.conversations.create().id
    earlier = client.responses.create(model="talks", input="More", conversation=id_).id
    sent = len(upstream.received)
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="talks", input="x", conversation=id_, previous_response_id=earlier)
    assert len(upstream.received) == sent


WAYS: dict[str, Callable[[openai.OpenAI, str], object]] = {
    "retrieve": lambda client, id_: client.conversations.retrieve(id_),
    "update": lambda client, id_: client.conversations.update(id_, metadata={"a": "b"}),
    "delete": lambda client, id_: client.conversations.delete(id_),
    "list items": lambda client, id_: client.conversations.items.list(id_),
    "put items": lambda client, id_: client.conversations.items.create(id_, items=[HELLO]),
    "one item": lambda client, id_: client.conversations.items.retrieve("msg_f2", conversation_id=id_),
    "take an item": lambda client, id_: client.conversations.items.delete("msg_f2", conversation_id=id_),
    "respond": lambda client, id_: client.responses.create(model="talks", input="x", conversation=id_),
    "stream": lambda client, id_: client.responses.create(
        model="talks", input="x", conversation={"id": id_}, stream=True
    ),
    "in the background": lambda client, id_: client.responses.create(
        model="talks", input="x", conversation=id_, background=True
    ),
    "count": lambda client, id_: client.responses.input_tokens.count(
        model="talks", input="x", conversation=id_
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_another_accounts_conversation_is_answered_as_one_that_never_was(
    server: Server, client: openai.OpenAI, forum: Forum, way: str
) -> None:
    """Word for word, and the upstream hears nothing."""
    id_ = client.conversations.create(items=[HELLO]).id
    heard = len(forum.heard)
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.account().secret, max_retries=0) as other:
        said = []
        for named in (id_, "conv_never"):
            with pytest.raises(openai.NotFoundError) as caught:
                WAYS[way](other, named)
            assert isinstance(caught.value.body, dict)
            told = {name: value for name, value in caught.value.body.items() if name != "request_id"}
            said.append(json.dumps(told).replace(named, "<id>"))
    assert said[0] == said[1]
    assert len(forum.heard) == heard
    assert len(forum.items[id_]) == 1


def test_nobody_puts_anothers_item_into_a_conversation(
    server: Server, client: openai.OpenAI, forum: Forum
) -> None:
    """Neither by reference nor under its id, there or on the way; its own account may."""
    mine = client.conversations.create().id
    client.responses.create(model="talks", input="x", conversation=mine)
    said: Any = {"type": "message", "id": "msg_1", "role": "assistant", "content": "Hello"}
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.account().secret, max_retries=0) as other:
        theirs = other.conversations.create().id
        reference: Any = {"type": "item_reference", "id": "msg_1"}
        for item in (said, reference):
            with pytest.raises(openai.NotFoundError):
                other.conversations.items.create(theirs, items=[item])
            with pytest.raises(openai.NotFoundError):
                other.conversations.create(items=[item])
            with pytest.raises(openai.NotFoundError):
                other.responses.create(model="talks", input=[item], conversation=theirs)
    assert forum.items[theirs] == []
    assert len(client.conversations.items.create(mine, items=[said]).data) == 1


def test_conversations_have_no_list(client: openai.OpenAI, forum: Forum) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.get("/conversations", cast_to=object)
    assert (caught.value.status_code, forum.heard) == (405, [])
