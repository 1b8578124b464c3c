"""What upstreams list of their own is asked for when it is wanted, remembered, and bounded."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.tasks import Tasks
from proxy.upstream.base import UpstreamFailure, UpstreamRequest
from proxy.upstream.model_lists import (
    LIST_BYTES_MAX,
    MODELS_MAX,
    PAGES_MAX,
    RETRY_SECONDS,
    Listed,
    ListedModel,
    ModelLists,
)
from proxy.upstream.routes import Target, Upstream

UPSTREAM = Upstream("up", "http://up", list_models_seconds=300.0)


class Reply:
    """An answer in two pieces."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers: list[tuple[str, str]] = []
        self.closed = 0
        self._pieces = [body[:7], body[7:]]

    def chunks(self) -> "Reply":
        return self

    def __aiter__(self) -> "Reply":
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop(0)

    def close(self) -> None:
        self.closed += 1


class Desk:
    """Lists over a client that gives one reply after the other, the last one again and again."""

    def __init__(self, *replies: tuple[int, object] | Exception) -> None:
        self.requests: list[UpstreamRequest] = []
        self.given: list[Reply] = []
        self.faults: list[tuple[str, str]] = []
        self.lost: list[BaseException] = []
        self.now = 0.0
        self._replies = list(replies)
        self.lists = ModelLists(
            client=self,
            tasks=Tasks(lambda _, error: self.lost.append(error)),
            now=lambda: self.now,
            on_fault=lambda upstream, reason: self.faults.append((upstream, reason)),
        )

    async def send(self, target: Target, request: UpstreamRequest) -> Reply:
        await asyncio.sleep(0)
        self.requests.append(request)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, Exception):
            raise reply
        status, body = reply
        self.given.append(Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode()))
        return self.given[-1]

    async def names(self, upstream: Upstream = UPSTREAM) -> list[str]:
        found: Listed = await self.lists.of(upstream)
        return list(found)


def page(*rows: Any, **more: Any) -> tuple[int, object]:
    return 200, {
        "object": "list",
        "data": [{"id": row} if isinstance(row, str) else row for row in rows],
        **more,
    }


async def test_an_upstream_is_asked_only_where_the_configuration_wants_it() -> None:
    desk = Desk(page("a"))
    assert await desk.names(replace(UPSTREAM, list_models_seconds=None)) == []
    assert desk.requests == []


async def test_a_list_is_remembered_for_as_long_as_is_configured() -> None:
    desk = Desk(page("a"), page("b"))
    assert [await desk.names() for _ in range(3)] == [["a"]] * 3
    desk.now = 299.9
    assert await desk.names() == ["a"]
    desk.now = 300.0
    assert await desk.names() == ["b"]
    assert [request.path for request in desk.requests] == ["/models"] * 2
    assert all(reply.closed for reply in desk.given)


async def test_those_who_want_it_at_once_share_one_request() -> None:
    """And one who leaves takes it from nobody."""
    desk = Desk(page("a"))
    tasks = [asyncio.ensure_future(desk.names()) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert found[1:] == [["a"]] * 4
    assert len(desk.requests) == 1


async def test_an_upstream_that_is_configured_otherwise_is_asked_anew() -> None:
    desk = Desk(page("a"), page("b"))
    assert await desk.names() == ["a"]
    assert await desk.names(replace(UPSTREAM, base_url="http://other")) == ["b"]
    assert await desk.names() == ["a"]


FAULTS: list[tuple[int, object] | Exception] = [
    (401, {"error": "no"}),
    (200, b"<html>"),
    (200, b"7"),
    (200, b'{"data": 7}'),
    (200, b"\xff"),
    (200, b'{"data":[' + b" " * LIST_BYTES_MAX + b"]}"),
    UpstreamFailure("upstream_unreachable", "It could not be reached."),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault)[:30])
async def test_without_a_list_the_last_one_stands_and_it_is_asked_for_soon(
    fault: tuple[int, object] | Exception,
) -> None:
    desk = Desk(fault, page("a"), fault)
    assert await desk.names() == []
    assert await desk.names() == []
    desk.now = RETRY_SECONDS
    assert await desk.names() == ["a"]
    desk.now = RETRY_SECONDS + 300.0
    assert await desk.names() == ["a"]
    assert [upstream for upstream, _ in desk.faults] == ["up", "up"]
    assert (len(desk.requests), desk.lost) == (3, [])
    assert all(reply.closed for reply in desk.given)


async def test_a_list_in_pages_is_read_to_its_end() -> None:
    """As Anthropic's is."""
    desk = Desk(page("a", has_more=True, last_id="a&x"), page("b", has_more=False, last_id="b"))
    assert await desk.names() == ["a", "b"]
    assert [request.query for request in desk.requests] == ["", "limit=1000&after_id=a%26x"]


async def test_a_list_without_an_end_is_not_read_on_for_ever() -> None:
    desk = Desk(page("a", has_more=True, last_id="a"))
    assert await desk.names() == ["a"]
    assert len(desk.requests) == PAGES_MAX


async def test_no_more_models_are_remembered_than_so_many() -> None:
    desk = Desk(page(*(f"m{number}" for number in range(MODELS_MAX + 5)), has_more=True, last_id="x"))
    assert len(await desk.names()) == MODELS_MAX
    assert len(desk.requests) == 1


async def test_what_is_said_of_a_model_is_taken_as_far_as_it_makes_sense() -> None:
    rows = [
        {"id": "a", "created": 1_700_000_000, "context_length": 8_192},
        {"id": "b", "created": "yesterday", "max_model_len": 4_096, "context_length": None},
        {"id": "c", "created": -1, "context_window": 10**30},
        {"id": "d", "created_at": "2025-01-01T00:00:00Z", "max_input_tokens": 200_000},
        *({"id": name} for name in ("", "x" * 257, "new\nline", None, 7)),
        "e",
        7,
        None,
    ]
    for reply in ((200, {"data": rows}), (200, rows)):
        assert await Desk(reply).lists.of(UPSTREAM) == {
            "a": ListedModel(1_700_000_000, 8_192),
            "b": ListedModel(0, 4_096),
            "c": ListedModel(),
            "d": ListedModel(0, 200_000),
        }
