"""The memory that request bodies share: who gets room, who waits, and that all of it comes back."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.body_memory import ROOM_SECONDS, SLOW_SECONDS, SMALL_BYTES, STEP_BYTES, BodyMemory, BodyShare
from proxy.errors import Refusal

LARGE = 100 * SMALL_BYTES
LIMIT = 4 * LARGE


class Hands:
    """A clock that is moved by those who wait, so that no test waits itself."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def wait(self, future: asyncio.Future[None], seconds: float) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        if not future.done():
            self.now += seconds


def memory() -> tuple[BodyMemory, Hands]:
    hands = Hands()
    return BodyMemory(now=hands, wait=hands.wait), hands


async def held(pool: BodyMemory, size: int) -> BodyShare:
    """A body that holds so much."""
    share = pool.share(LIMIT, LARGE)
    await share.grow(size)
    return share


async def test_large_bodies_leave_room_for_small_ones() -> None:
    """However many large bodies there are, the last quarter is for those of everyday calls."""
    pool, _ = memory()
    large = [await held(pool, LARGE) for _ in range(3)]
    with pytest.raises(Refusal) as refused:
        await held(pool, LARGE)
    assert refused.value.code == "overloaded"
    small = [await held(pool, SMALL_BYTES) for _ in range(LARGE // SMALL_BYTES)]
    assert pool.used_bytes == LIMIT
    with pytest.raises(Refusal):
        await held(pool, 1)
    for share in large + small:
        share.let_go()
        share.let_go()
    assert pool.used_bytes == 0


async def test_the_largest_body_fits_however_tight_the_budget_is() -> None:
    """A budget of one body of the largest size can hold that body."""
    pool, _ = memory()
    share = pool.share(LARGE, LARGE)
    await share.grow(LARGE)
    assert pool.used_bytes == LARGE


async def test_waiting_has_an_end() -> None:
    """A body for which no room comes free is refused after the bound, and has given back what it held."""
    pool, hands = memory()
    full = [await held(pool, LARGE) for _ in range(3)]
    waiting = pool.share(LIMIT, LARGE)
    await waiting.grow(SMALL_BYTES)
    with pytest.raises(Refusal):
        await waiting.grow(LARGE)
    assert hands.now == ROOM_SECONDS
    waiting.let_go()
    assert pool.used_bytes == sum(share.held_bytes for share in full)


async def test_room_is_given_in_turn() -> None:
    """Who asked first is served first, of the large and of the small; a large one holds up no small one."""
    pool, _ = memory()
    full = [await held(pool, LARGE) for _ in range(3)]
    order: list[str] = []

    async def ask(name: str, size: int) -> None:
        await held(pool, size)
        order.append(name)

    tasks = [asyncio.ensure_future(ask(f"large {number}", LARGE)) for number in range(2)]
    await asyncio.sleep(0)
    await ask("small", SMALL_BYTES)
    full[0].let_go()
    await asyncio.sleep(0)
    assert not pool.took(pool.share(LIMIT, LARGE), LARGE)
    full[1].let_go()
    full[2].let_go()
    await asyncio.gather(*tasks)
    assert order == ["small", "large 0", "large 1"]


async def test_a_body_that_waits_takes_the_place_of_a_slow_one() -> None:
    """Almost all of a body, and then nothing more, keeps the memory only while nobody needs it."""
    pool, hands = memory()
    ended: list[str] = []

    def arriving(name: str, share: BodyShare) -> BodyShare:
        def end() -> None:
            ended.append(name)
            share.let_go()

        share.arriving(end, hands.now)
        return share

    slow = arriving("slow", await held(pool, LARGE))
    quick = arriving("quick", await held(pool, LARGE))
    trickling = arriving("trickling", await held(pool, LARGE))
    hands.now += SLOW_SECONDS
    quick.came(STEP_BYTES, hands.now)
    trickling.came(STEP_BYTES - 1, hands.now)
    assert ended == []
    await held(pool, LARGE)
    assert ended == ["slow", "trickling"]
    assert (slow.held_bytes, quick.held_bytes) == (0, LARGE)


async def test_a_body_that_waits_for_room_itself_is_not_slow() -> None:
    """Nothing is read of it meanwhile, which is not its sender's doing."""
    pool, hands = memory()
    ended: list[int] = []
    full = [await held(pool, LARGE) for _ in range(2)]
    for number in range(2):
        share = await held(pool, SMALL_BYTES)
        share.arriving(lambda number=number: ended.append(number), hands.now)  # type: ignore[misc]
        full.append(share)
    hands.now += SLOW_SECONDS
    for share in full[2:]:
        share.came(STEP_BYTES, hands.now)
    tasks = [asyncio.ensure_future(share.grow(LARGE)) for share in full[2:]]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, Refusal) for result in results] == [True, True]
    assert ended == []


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancel_while_waiting_loses_no_room(turns: int) -> None:
    """Whether the room was just given or not, all of it comes back, and the next in turn gets it."""
    pool, _ = memory()
    full = [await held(pool, LARGE) for _ in range(3)]
    first, second = pool.share(LIMIT, LARGE), pool.share(LIMIT, LARGE)
    waiting = asyncio.ensure_future(first.grow(LARGE))
    behind = asyncio.ensure_future(second.grow(LARGE))
    await asyncio.sleep(0)
    full[0].let_go()
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    first.let_go()
    await behind
    assert pool.used_bytes == 3 * LARGE


Step = tuple[int, int]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, LARGE)), max_size=40))
def test_the_sum_of_all_shares_is_what_is_used(steps: list[Step]) -> None:
    """In any history of growing and letting go the budget is never passed, and nothing is lost or made."""

    async def play() -> None:
        pool, _ = memory()
        shares = [pool.share(LIMIT, LARGE) for _ in range(6)]
        act: Callable[[BodyShare, int], bool]
        for index, size in steps:
            share = shares[index]
            if size % 3:
                act = pool.took
                act(share, size)
            else:
                share.let_go()
            assert pool.used_bytes == sum(each.held_bytes for each in shares) <= LIMIT
        for share in shares:
            share.let_go()
        assert pool.used_bytes == 0

    asyncio.run(play())
