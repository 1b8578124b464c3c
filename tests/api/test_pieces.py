"""Work on many rows is done in pieces: counted in rows, and in steps of the event loop."""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from proxy.api.pieces import AT_ONCE, each, encoded, in_order, texts
from tests.api.apis import NOON_US, Apis, serving
from tests.api.test_stalls import PATHS, many_calls

STEPS: Final = 7_000
"""How many functions one turn of the loop may call: those for a piece. Thousands of rows take far more."""
READS: Final = (
    *PATHS,
    "/v1/billing/usage?group_by=end_user&format=csv",
    "/v1/billing/usage?group_by=model",
    f"/v1/organization/costs?start_time={NOON_US // 1_000_000 - 60}&group_by=line_item",
    "/dashboard/billing/usage",
)


class Row(Struct, frozen=True):
    """A row of these tests."""

    id: int
    name: str = "é"


class Bucket(Struct, frozen=True):
    """Rows of a row."""

    start: int
    results: list[Row]


class Answer(Struct, frozen=True):
    """An answer with both."""

    data: list[Bucket]
    daily: list[Row]
    next: str | None = None


async def test_other_work_goes_on_between_the_rows() -> None:
    """As many as a piece has are made at once."""
    made, seen = list[int](), list[int]()

    def note(row: int) -> int:
        made.append(row)
        return row

    async def watch() -> None:
        while len(made) < 10 * AT_ONCE:
            seen.append(len(made))
            await asyncio.sleep(0)

    watching = asyncio.ensure_future(watch())
    rows = list(range(10 * AT_ONCE))
    assert await each(rows, note) == list(range(10 * AT_ONCE))
    await watching
    assert max(after - before for before, after in pairwise(seen)) <= AT_ONCE
    assert rows == []


@given(st.lists(st.integers(0, 3 * AT_ONCE), max_size=3), st.integers(0, 3 * AT_ONCE))
def test_pieces_make_the_same_json(buckets: list[int], daily: int) -> None:
    """However the rows lie in an answer, and how many they are."""
    answer = Answer([Bucket(n, rows(n)) for n in buckets], rows(daily))
    assert asyncio.run(encoded(answer)) == msgspec.json.encode(answer)


async def test_a_row_may_leave_out_the_list_that_another_has() -> None:
    class Receipt(Struct):
        steps: list[int] | msgspec.UnsetType = msgspec.UNSET

    class Page(Struct):
        data: list[Receipt]

    for rows in ([Receipt([1]), Receipt()], [Receipt(), Receipt([1])], [Receipt([1]), Receipt()] * AT_ONCE):
        assert await encoded(Page(rows)) == msgspec.json.encode(Page(rows))


def test_no_piece_has_many_rows() -> None:
    """The interpreter is held for one piece at a time."""
    pieces = [msgspec.json.decode(b"[" + piece + b"]") for piece in texts(rows(5 * AT_ONCE + 1))]
    assert max(map(len, pieces)) == AT_ONCE
    assert sum(map(len, pieces)) == 5 * AT_ONCE + 1


@given(st.lists(st.integers(), max_size=3_000))
def test_parts_are_sorted_as_a_whole(numbers: list[int]) -> None:
    assert in_order(numbers, lambda number: -number) == sorted(numbers, key=lambda number: -number)


def rows(count: int) -> list[Row]:
    return [Row(number) for number in range(count)]


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def test_no_read_takes_many_steps_of_the_loop_at_once(apis: Apis) -> None:
    """Neither the sums nor the tables of thousands of end users, models and days."""
    secret = await many_calls(apis)
    for path in READS:

        async def read(path: str = path) -> None:
            assert apis.client is not None
            async with apis.client.get(path, headers={"Authorization": f"Bearer {secret}"}) as answer:
                assert answer.status == 200
                await answer.read()

        assert await most_steps(read()) < STEPS, path


async def most_steps(work: Coroutine[Any, Any, None]) -> int:
    """How many functions were called at most in one turn of the loop."""
    most = steps = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal steps
        steps += event in {"call", "c_call"}

    task = asyncio.ensure_future(work)
    sys.setprofile(count)
    try:
        while not task.done():
            await asyncio.sleep(0)
            most, steps = max(most, steps), 0
    finally:
        sys.setprofile(None)
    await task
    return most
