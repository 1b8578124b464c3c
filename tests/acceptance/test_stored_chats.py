"""Stored chats with the official SDK, through a real process: each is its account's alone."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
from aiohttp import web

from tests.acceptance.harness import Account, Server
from tests.acceptance.scripted_upstream import (
    DONE,
    Behaviour,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)

ASKED: Any = [{"role": "user", "content": "Say hello"}]


class Archive:
    """An upstream that stores chats, and has them at the paths of OpenAI's API; `heard` is what was asked."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.chats: dict[str, dict[str, Any]] = {}
        self.heard: list[tuple[str, str]] = []
        self._numbers = itertools.count(1)
        self._behaviours = upstream.behaviours
        self._behaviours["stored"] = self._made

    async def _made(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        id_ = f"chatcmpl-stored-{next(self._numbers)}"
        self.chats[id_] = completion("Hello there", id=id_, metadata=body.get("metadata"))
        for below in ("", "/messages"):
            self._behaviours[f"/v1/chat/completions/{id_}{below}"] = self._asked(id_, below)
        if not body.get("stream"):
            return await answers(self.chats[id_])(request, body)
        events = (chunk("Hello "), chunk("there"), chunk(finish="stop"), usage_chunk(11, 7))
        named = (event.replace(b"chatcmpl-1", id_.encode()) for event in events)
        return await streams(*named, DONE)(request, body)

    def _asked(self, id_: str, below: str) -> Behaviour:
        async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            self.heard.append((request.method, request.path))
            if request.method == "DELETE":
                del self.chats[id_]
                return web.json_response({"object": "chat.completion.deleted", "id": id_, "deleted": True})
            if request.method == "POST":
                assert body.keys() == {"metadata"}
                self.chats[id_] |= body
            if not below:
                return web.json_response(self.chats[id_])
            message = {"id": f"{id_}-0", "role": "user", "content": "Say hello", "name": None}
            page = {"object": "list", "data": [message], "first_id": "x", "last_id": "x", "has_more": False}
            return web.json_response(page)

        return behaviour


@pytest.fixture
def archive(upstream: ScriptedUpstream) -> Archive:
    return Archive(upstream)


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as sync:
        yield sync


def store(client: openai.OpenAI, **members: Any) -> str:
    """The id of a chat that is stored."""
    made = client.chat.completions.create(model="stored", messages=ASKED, store=True, **members)
    return str(made.id)


def test_the_sdk_lists_retrieves_updates_and_deletes_what_was_stored(
    client: openai.OpenAI, account: Account, archive: Archive
) -> None:
    """The chat is charged as any; all that is asked of it is free, and its deletion ends it."""
    id_ = store(client, metadata={"topic": "greeting"})
    charged = account.last()["charged"]
    assert (charged, account.last()["outcome"]) == ("0.000025", "complete")
    chats = client.chat.completions
    retrieved = chats.retrieve(id_)
    assert retrieved.choices[0].message.content == "Hello there"
    (message,) = chats.messages.list(id_)
    assert message.content == "Say hello"
    (listed,) = chats.list()
    assert (listed.id, listed.object, listed.model) == (id_, "chat.completion", "upstream-model")
    assert (listed.choices, listed.to_dict()["metadata"]) == ([], {"topic": "greeting"})
    assert chats.update(id_, metadata={"topic": "farewell"}).to_dict()["metadata"] == {"topic": "farewell"}
    (listed,) = chats.list()
    assert listed.to_dict()["metadata"] == {"topic": "farewell"}
    assert chats.delete(id_).deleted
    assert list(chats.list()) == []
    with pytest.raises(openai.NotFoundError):
        chats.retrieve(id_)
    assert archive.chats == {}
    assert {row["charged"] for row in account.requests()} == {charged, "0.00"}
    names = {row["endpoint"].removeprefix("chat.completions") for row in account.requests()}
    assert names == {"", ".retrieve", ".update", ".messages", ".delete"}


def test_a_streamed_chat_is_stored_as_well(client: openai.OpenAI, account: Account, archive: Archive) -> None:
    """Once all of it has come; what its list shows has the form of a whole one."""
    stream = client.chat.completions.create(
        model="stored", messages=ASKED, store=True, stream=True, metadata={"a": "b"}
    )
    ids = {part.id for part in stream}
    (listed,) = client.chat.completions.list()
    assert {listed.id} == ids
    assert (listed.object, listed.to_dict()["metadata"]) == ("chat.completion", {"a": "b"})
    assert client.chat.completions.retrieve(listed.id).choices[0].message.content == "Hello there"


@pytest.mark.parametrize("members", [{}, {"store": False}, {"store": None}])
def test_what_was_not_to_be_stored_is_nobodys(client: openai.OpenAI, archive: Archive, members: Any) -> None:
    """Whatever its upstream stores of itself."""
    made = client.chat.completions.create(model="stored", messages=ASKED, **members)
    assert list(client.chat.completions.list()) == []
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(made.id)
    assert archive.heard == []


def test_pages_of_a_list_follow_one_another_and_are_of_one_model_if_asked(
    client: openai.OpenAI, archive: Archive
) -> None:
    """As the SDK turns them, in either order. The model is the name that the caller asked for."""
    made = [store(client) for _ in range(5)]
    chats = client.chat.completions
    assert [chat.id for chat in chats.list(limit=2)] == made[::-1]
    assert [chat.id for chat in chats.list(limit=2, order="asc", model="stored")] == made
    assert [chat.id for chat in chats.list(after=made[2], order="asc")] == made[3:]
    assert list(chats.list(model="upstream-model")) == []
    with pytest.raises(openai.BadRequestError) as caught:
        chats.list(metadata={"a": "b"})
    assert caught.value.code == "invalid_value"


WAYS: list[Callable[[openai.OpenAI, str], object]] = [
    lambda client, id_: client.chat.completions.retrieve(id_),
    lambda client, id_: client.chat.completions.update(id_, metadata={"a": "b"}),
    lambda client, id_: client.chat.completions.messages.list(id_),
    lambda client, id_: client.chat.completions.delete(id_),
]


def test_another_accounts_chat_is_answered_as_one_that_never_was(
    server: Server, client: openai.OpenAI, archive: Archive
) -> None:
    id_ = store(client)
    other = server.account()
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=other.secret, max_retries=0) as stranger:
        for way in WAYS:
            told = []
            for asked in (id_, "chatcmpl-nothing"):
                with pytest.raises(openai.NotFoundError) as caught:
                    way(stranger, asked)
                body: Any = caught.value.body
                told.append(json.dumps(body | {"request_id": ""}).replace(asked, "ID"))
            assert told[0] == told[1]
        assert list(stranger.chat.completions.list()) == []
        assert list(stranger.chat.completions.list(after=id_)) == []
    assert archive.heard == []
    assert other.requests() == []
    assert archive.chats.keys() == {id_}


def test_a_list_needs_a_key(server: Server) -> None:
    assert httpx.get(f"{server.url}/v1/chat/completions").status_code == 401
