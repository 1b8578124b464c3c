"""Requests of one account take turns; those of others, and the operator's, do not wait for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from msgspec import Struct

from proxy.api.operations import Binder, Incoming, Nothing, Operation
from proxy.api.turns import AT_ONCE, Turns
from proxy.errors import Refusal
from proxy.ledger.rows import Key
from tests.api.apis import NOON_US, ApiConfig


class Answer(Struct, frozen=True):
    """What the operation of these tests answers."""

    done: Literal[True] = True


SLOW: Operation[Nothing, Nothing, Answer] = Operation(
    id="slow",
    method="GET",
    path="/slow",
    summary="Wait.",
    audience="account",
    reply=Answer,
    query=Nothing,
    body=Nothing,
)


class Desk:
    """An operation that goes on until it is let go, and how many are at it."""

    def __init__(self) -> None:
        self.at_it: list[str] = []
        self.let_go = asyncio.Event()

    async def work(self, incoming: Incoming[Key, Nothing, Nothing]) -> Answer:
        self.at_it.append(incoming.caller.account_id)
        await self.let_go.wait()
        return Answer()


@asynccontextmanager
async def serving(desk: Desk) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def gate(request: web.Request) -> Key:
        account_id = request.headers["account"]
        return Key("key_1", account_id, "", "", "", created_at_us=NOON_US)

    app = web.Application()
    app.add_routes([Binder(gate, ApiConfig)(SLOW, desk.work)])
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_an_account_that_asks_for_much_keeps_no_other_waiting() -> None:
    """However much it asks for, a few of its requests are worked on at once."""
    desk = Desk()
    async with serving(desk) as client:

        async def asked(account_id: str) -> int:
            async with client.get("/slow", headers={"account": account_id}) as answer:
                return answer.status

        greedy = [asyncio.ensure_future(asked("greedy")) for _ in range(5 * AT_ONCE)]
        while desk.at_it.count("greedy") < AT_ONCE:
            await asyncio.sleep(0)
        modest = asyncio.ensure_future(asked("modest"))
        while "modest" not in desk.at_it:
            await asyncio.sleep(0)
        assert desk.at_it == ["greedy"] * AT_ONCE + ["modest"]
        desk.let_go.set()
        assert set(await asyncio.gather(*greedy, modest)) == {200}


async def test_a_turn_that_does_not_come_is_refused() -> None:
    """The operator has a turn at once; what was refused or cancelled leaves no turn taken."""
    turns = Turns(at_once=1, seconds=0)
    async with turns.of("acct_1"), turns.of("acct_2"), turns.of(""), turns.of(""):
        with pytest.raises(Refusal) as refused:
            async with turns.of("acct_1"):
                pass
        assert refused.value.code == "concurrency_limit_exceeded"
    async with turns.of("acct_1"):
        pass
