"""Requests of one account take turns; those of others, and the operator's, do not wait for them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from proxy.api.operations import Binder, Incoming, Nothing, Operation
from proxy.api.turns import AT_ONCE, Tables, Turns
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


def key_of(account_id: str, id_: str = "key_1") -> Key:
    return Key(id_, account_id, "", "", "", created_at_us=NOON_US)


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
        return key_of(request.headers["account"], request.headers.get("key", "key_1"))

    app = web.Application()
    app.add_routes([Binder(gate, ApiConfig)(SLOW, desk.work)])
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_an_account_that_asks_for_much_keeps_no_other_waiting() -> None:
    """However much it asks for, a few of its requests are worked on at once."""
    desk = Desk()
    async with serving(desk) as client:

        async def asked(account_id: str, key_id: str = "key_1") -> int:
            async with client.get("/slow", headers={"account": account_id, "key": key_id}) as answer:
                return answer.status

        greedy = [asyncio.ensure_future(asked("greedy", f"key_{n % 2}")) for n in range(5 * AT_ONCE)]
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
    async with turns.of(key_of("acct_1")), turns.of(key_of("acct_2")), turns.of(None), turns.of(None):
        with pytest.raises(Refusal) as refused:
            async with turns.of(key_of("acct_1")):
                pass
        assert refused.value.code == "concurrency_limit_exceeded"
    async with turns.of(key_of("acct_1")):
        pass


async def test_a_key_that_asks_for_much_keeps_no_other_of_its_account_waiting() -> None:
    """One turn is kept from it; and a turn that is free goes to the key that has fewest."""
    turns, got, ends = Turns(), [], asyncio.Event()

    async def work(key_id: str) -> None:
        async with turns.of(key_of("acct_1", key_id)):
            got.append(key_id)
            await ends.wait()

    greedy = [asyncio.ensure_future(work("greedy")) for _ in range(3 * AT_ONCE)]
    await settled()
    assert got == ["greedy"] * (AT_ONCE - 1)
    others = [asyncio.ensure_future(work(key_id)) for key_id in ("modest", "modest", "third")]
    await settled()
    assert got[AT_ONCE - 1 :] == ["modest"]
    greedy[0].cancel()
    await settled()
    assert got[AT_ONCE:] == ["third"]
    greedy[-1].cancel()
    ends.set()
    await asyncio.gather(*greedy, *others, return_exceptions=True)
    assert got.count("modest") == 2


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_every_turn_that_is_free_is_given(steps: list[tuple[str, bool]]) -> None:
    """Whoever comes, goes or is cancelled while it waits: no turn is lost, and none is given twice."""

    async def play() -> None:
        turns, at_it, ends = Turns(seconds=1_000), Counter[str](), dict[asyncio.Task[None], asyncio.Event]()

        async def work(key_id: str, end: asyncio.Event) -> None:
            async with turns.of(key_of("acct_1", key_id)):
                at_it[key_id] += 1
                try:
                    await end.wait()
                finally:
                    at_it[key_id] -= 1

        for key_id, comes in steps:
            if comes:
                end = asyncio.Event()
                ends[asyncio.ensure_future(work(key_id, end))] = end
            elif ends:
                task = next(iter(ends))
                end = ends.pop(task)
                task.cancel() if key_id == "a" else end.set()
            await settled()
            assert at_it.total() <= AT_ONCE
            assert max(at_it.values(), default=0) <= AT_ONCE - 1
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        got = [asyncio.ensure_future(work(k, asyncio.Event())) for k in "aaabbb"]
        await settled()
        assert at_it.total() == AT_ONCE, "a turn was lost"
        for task in got:
            task.cancel()
        await asyncio.gather(*got, return_exceptions=True)

    asyncio.run(play())


def test_a_key_has_a_few_tables_open() -> None:
    """Another key, and the operator, have theirs."""
    tables = Tables(most=1)
    with tables.of(key_of("acct_1")), tables.of(key_of("acct_1", "key_2")), tables.of(None), tables.of(None):
        with pytest.raises(Refusal) as refused, tables.of(key_of("acct_1")):
            pass
        assert refused.value.code == "concurrency_limit_exceeded"
    with tables.of(key_of("acct_1")):
        pass


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
