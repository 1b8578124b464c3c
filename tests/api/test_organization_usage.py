"""Usage of many calls is read a few at a time, and a page ends where it cannot be whole."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.api.billing.organization import OrganizationUsageQuery, usage_page
from proxy.api.billing.usage_shapes import FAMILIES
from proxy.api.call_sums import Pace
from proxy.api.reader import Reader
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.commands import Authorize, Settle
from proxy.ledger.rows import Call, Outcome
from proxy.pricing.charge import Charge
from tests.api.apis import NOON_US, Apis, serving

MINUTE_US = 60_000_000
START = NOON_US // 1_000_000


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def calls(apis: Apis, account_id: str, key_id: str, times_us: list[int]) -> None:
    """Calls that begin a little after their ids are made, as bodies take their time."""
    for at_us in times_us:
        call = Call(
            *(new_id("req", at_us - 100_000), account_id, key_id, "responses", "m", "u", "m", False, at_us)
        )
        await apis.ledger.authorize(Authorize(call, 0, 0, 0, at_us, apis.store.owner))
        outcome = Outcome("completed", 200, "reported", {"input_tokens": 3, "output_tokens": 2}, at_us)
        await apis.ledger.settle(Settle(call, at_us, at_us, outcome, Charge(0, (), "")))


async def whole(apis: Apis, account_id: str, pace: Pace, width_minutes: int = 5) -> list[tuple[int, int]]:
    """All buckets with their calls, page by page."""
    reader = Reader(ledger=apis.ledger, store=apis.store, clock=apis.clock)
    found: list[tuple[int, int]] = []
    page: str | None = None
    for _ in range(100):
        query = OrganizationUsageQuery(start_time=START, bucket_width="1m", page=page, limit=3)
        now_us = NOON_US + (width_minutes - 1) * MINUTE_US
        view = await usage_page(reader, FAMILIES[0], query, account_id=account_id, now_us=now_us, pace=pace)
        page = view.next_page
        for bucket in view.data:  # type: ignore[attr-defined]
            used = sum(result.num_model_requests for result in bucket.results)
            found.append(((bucket.start_time - START) // 60, used))
        if page is None:
            return found
    raise AssertionError("the pages never end")


async def test_however_few_calls_are_read_at_once_each_is_in_its_minute(apis: Apis) -> None:
    """Also one whose id was made in the minute before."""
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    times = [NOON_US + minute * MINUTE_US + place for minute in range(4) for place in (0, 1_000, 59_999_999)]
    await calls(apis, account_id, key_id, times)
    expected = [(0, 3), (1, 3), (2, 3), (3, 3), (4, 0)]
    for pace in (Pace(), Pace(1, 100), Pace(2, 100), Pace(5, 100), Pace(1, 5), Pace(4, 2)):
        assert await whole(apis, account_id, pace) == expected, pace
        assert await whole(apis, "", pace) == expected, pace


async def test_a_bucket_that_is_too_much_for_a_page_is_refused(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await calls(apis, account_id, key_id, [NOON_US + 200_000 + place for place in range(6)])
    with pytest.raises(Refusal) as refused:
        await whole(apis, account_id, Pace(1, 4))
    assert refused.value.param == "bucket_width"
