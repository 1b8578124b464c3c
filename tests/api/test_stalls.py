"""What is read of many calls holds the loop for a small part of the work only, so that calls go on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.ids import new_id
from proxy.ledger.commands import Authorize, Settle
from proxy.ledger.rows import Call, Outcome
from proxy.pricing.charge import Charge
from tests.api.apis import NOON_US, Apis, serving
from tests.call.hostile import strain, worker_switches

CALLS = 3_000
BATCH = 500
TRIES = 4
SECOND_US = 1_000_000
PATHS = (
    "/v1/billing/usage?group_by=end_user",
    f"/v1/organization/usage/completions?start_time={NOON_US // SECOND_US - 60}&group_by=end_user",
    "/v1/billing/receipts?format=csv",
)


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def made(apis: Apis, account_id: str, key_id: str, number: int) -> None:
    """A call for an end user of its own, of a model of its own."""
    at_us = NOON_US - CALLS + number
    call = Call(
        *(new_id("req", at_us), account_id, key_id, "responses", f"model-{number}", "u", "m", False, at_us),
        end_user=f"user-{number}",
    )
    await apis.ledger.authorize(Authorize(call, 0, 0, 0, at_us, apis.store.owner))
    outcome = Outcome("completed", 200, "reported", {"input_tokens": 3, "output_tokens": 2}, at_us)
    await apis.ledger.settle(Settle(call, at_us, at_us, outcome, Charge(0, (), "")))


async def many_calls(apis: Apis) -> str:
    """Thousands of calls of an account; returns the secret of its key."""
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    for first in range(0, CALLS, BATCH):
        await asyncio.gather(*(made(apis, account_id, key_id, first + each) for each in range(BATCH)))
    return secret


async def test_no_read_of_many_calls_holds_the_loop(apis: Apis) -> None:
    """Callers choose the end users, so that there are as many sums of them as one answer may have."""
    secret = await many_calls(apis)

    async def read(path: str) -> None:
        assert apis.client is not None
        async with apis.client.get(path, headers={"Authorization": f"Bearer {secret}"}) as answer:
            assert answer.status == 200
            assert b"user-10" in await answer.read()

    with worker_switches():
        for path in PATHS:
            tries = [await strain(lambda path=path: read(path)) for _ in range(TRIES)]  # type: ignore[misc]
            assert min(one.stall_ms / one.total_ms for one in tries) < 1 / 5, (path, tries)
