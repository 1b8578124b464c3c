"""The machine's clock jumps by hours while calls are in flight, forward over midnight and back again.

The server has a time of its own here: tomorrow evening.
"""

import asyncio
import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.storage.locations import database_at
from tests.acceptance.harness import Account, config_for, eventually, nano
from tests.acceptance.raw_upstream import Streaming
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)
from tests.acceptance.stage import Stage
from tests.storage.engines import new_ledger
from tests.storage.whole import differences

DAY = 86_400
HOUR = 3_600
EVENING = 22 * HOUR
SEARCH_NANO = 20_000_000
STREAM_NANO = 20_000
ASK: Any = {"model": "j-whole", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 50}


class Turned(Stage):
    """A stage whose clock stands at so many hours after the evening of tomorrow."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        super().__init__(config, folder)
        now = int(time.time())
        self._evening = (now // DAY + 1) * DAY + EVENING
        self.turn(0)

    def turn(self, hours: float) -> None:
        """Set the clock."""
        self.is_ahead(self._evening + int(hours * HOUR) - int(time.time()))

    def at(self, hours: float) -> str:
        """A moment as the API takes it."""
        moment = datetime.fromtimestamp(self._evening + int(hours * HOUR), UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def restart(self) -> None:
        """`kill -9` the server, and wait for the next one."""
        self.kill_server()
        self.comes_back()


@pytest.fixture(params=["sqlite", "postgres"])
def stage(request: Any, upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Turned]:
    upstream.behaviours["j-whole"] = answers(completion())
    config = config_for(upstream.port, tmp_path)
    if request.param == "postgres":
        config["storage"] = new_ledger()
    started = Turned(config, tmp_path)
    started.start()
    yield started
    assert started.stop() == 0


def search(account: Account) -> tuple[int, str | None]:
    """The status and the code of a call of 0.02 USD."""
    status, _, answer = account.api.ask("POST", "/v1/search", {})
    return status, (answer.get("error") or {}).get("code")


def ask(account: Account) -> tuple[int, str | None]:
    """The status and the code of a completion."""
    status, _, answer = account.api.ask("POST", "/v1/chat/completions", ASK)
    return status, (answer.get("error") or {}).get("code")


SERVED, SPENT = (200, None), (402, "daily_limit_exceeded")


def assert_whole(stage: Turned, *accounts: Account) -> None:
    """Nothing is held or below the floor, and the audit finds nothing."""
    for account in accounts:
        assert account.nano("held") == 0
        assert account.nano("balance") >= 0
    assert stage.admin.get("/admin/v1/holds?state=open")["data"] == []
    assert differences(database_at(stage.config["storage"])) == []


def expiring(stage: Turned, hours: float) -> Account:
    """An account whose only lot expires at a time."""
    account = stage.account("")
    grant = {"amount": "1.00", "expires_at": stage.at(hours)}
    path = f"/admin/v1/accounts/{account.id}/grants"
    stage.admin.post(path, grant, {"Idempotency-Key": secrets.token_hex(8)})
    return account


@contextlib.contextmanager
def in_flight(upstream: ScriptedUpstream, account: Account) -> Iterator[Callable[[], bytes]]:
    """A stream that goes on until what this gives is called, which gives what the client still gets."""
    gate = threading.Event()

    async def rest(response: Any) -> None:
        while not gate.is_set():
            await response.write(b": still here\n\n")
            await asyncio.sleep(0.01)
        await response.write(chunk(finish="stop") + usage_chunk(10, 5) + DONE)

    def end() -> bytes:
        gate.set()
        return client.rest()

    upstream.behaviours["j-gated"] = streams(chunk("hello"), then=rest)
    with Streaming(account, "j-gated") as client:
        assert client.event()
        try:
            yield end
        finally:
            gate.set()


def test_days_and_expiry_hold_through_jumps_forward_and_back(
    upstream: ScriptedUpstream, stage: Turned
) -> None:
    """What was held before is charged on its own day, from the lot it was promised; what expired stays so."""
    daily, lapsing = stage.account("1.00", limits={"day": "0.05"}), expiring(stage, hours=1)
    assert [search(daily) for _ in range(3)] == [SERVED, SERVED, SPENT]
    with in_flight(upstream, daily) as end_of_day, in_flight(upstream, lapsing) as end_of_lot:
        stage.turn(hours=4)
        assert search(daily) == SERVED, "it is another day"
        assert ask(lapsing) == (402, "in_flight_budget_exhausted")
        assert end_of_day().endswith(DONE)
        assert end_of_lot().endswith(DONE)
    assert search(daily) == SERVED
    assert search(daily) == SPENT
    stage.turn(hours=-2)
    assert search(daily) == SPENT, "it is the first day again"
    assert ask(lapsing) == (402, "credit_balance_exhausted"), "what has expired does not come back"
    assert charges_by_day(stage, daily) == [2 * SEARCH_NANO + STREAM_NANO, 2 * SEARCH_NANO]
    assert [nano(row["charged"]) for row in lapsing.requests()] == [STREAM_NANO]
    assert_whole(stage, daily, lapsing)


def test_a_server_that_starts_in_the_past_goes_by_the_books(
    upstream: ScriptedUpstream, stage: Turned
) -> None:
    """Killed with a call in flight, and started again hours earlier: each day has what was spent on it."""
    daily, lapsing = stage.account("1.00", limits={"day": "0.05"}), expiring(stage, hours=3)
    assert [search(daily) for _ in range(2)] == [SERVED, SERVED]
    stage.turn(hours=4)
    assert search(daily) == SERVED
    assert ask(lapsing) == (402, "credit_balance_exhausted")
    with in_flight(upstream, daily):
        stage.turn(hours=-4)
        stage.restart()
    assert search(daily) == SPENT, "it is the first day again"
    assert ask(lapsing) == (402, "credit_balance_exhausted"), "what has expired does not come back"
    assert [row["outcome"] for row in daily.requests()] == ["complete"] * 3 + ["crashed"]
    fresh = stage.account("0.02")
    assert search(fresh) == SERVED
    assert_whole(stage, daily, lapsing, fresh)
    stage.turn(hours=4)
    assert [search(daily), search(daily)] == [SERVED, SPENT]
    assert charges_by_day(stage, daily) == [2 * SEARCH_NANO, 2 * SEARCH_NANO]
    assert_whole(stage, daily, lapsing, fresh)


def test_a_step_back_bars_nobody_and_a_jump_ahead_stays_no_longer_than_it_lasts(
    upstream: ScriptedUpstream, stage: Turned
) -> None:
    """The server follows its clock without a restart, and says so in the log."""
    daily = stage.account("1.00", limits={"day": "0.05"})
    limited = stage.account("9.00", limits={"rpm": 30})
    assert [search(daily) for _ in range(3)] == [SERVED, SERVED, SPENT]
    for hours in (9_000, 0, -1):
        stage.turn(hours)
        assert search(limited) == SERVED
        search(daily)
    assert search(daily) == SPENT
    told = [json.loads(line) for line in stage.log_text().splitlines() if "the clock was set" in line]
    steps = [round(line["seconds"] / HOUR) for line in told]
    assert steps == [9_000, -9_000, -1]
    while search(limited) == SERVED:
        pass
    status, headers, answer = limited.api.ask("POST", "/v1/search", {})
    assert (status, answer["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(headers["Retry-After"]) <= 2, "and not the hour that the clock was set back by"
    eventually(lambda: search(limited) == SERVED)
    assert_whole(stage, daily, limited)


def test_a_call_in_flight_never_ends_before_it_began(upstream: ScriptedUpstream, stage: Turned) -> None:
    """Its receipt has its times in their order, whatever the clock did meanwhile."""
    account = stage.account("1.00")
    with in_flight(upstream, account) as end:
        stage.turn(hours=-3)
        assert search(account) == SERVED
        assert end().endswith(DONE)
    [row] = [row for row in stage.admin.get("/admin/v1/receipts")["data"] if row["model"] == "j-gated"][:1]
    assert row["started_at"] <= row["ended_at"]
    assert_whole(stage, account)


def test_no_jump_lets_more_calls_through_than_a_rate_allows(
    upstream: ScriptedUpstream, stage: Turned
) -> None:
    """A minute that has passed is a minute, but one that comes twice is not."""
    account = stage.account("1.00", limits={"rpm": 2})
    limited = (429, "rate_limit_exceeded")
    assert [search(account) for _ in range(3)] == [SERVED, SERVED, limited]
    stage.turn(hours=4)
    assert [search(account) for _ in range(3)] == [SERVED, SERVED, limited]
    stage.turn(hours=-2)
    assert search(account) == limited
    stage.restart()
    assert search(account) == limited
    stage.turn(hours=5)
    assert [search(account) for _ in range(3)] == [SERVED, SERVED, limited]
    assert_whole(stage, account)


def charges_by_day(stage: Turned, account: Account) -> list[int]:
    """What an account was charged on each of both days."""
    days = f"start_date={stage.at(0)[:10]}&end_date={stage.at(4)[:10]}"
    usage = stage.admin.get(f"/admin/v1/usage?account_id={account.id}&{days}")
    return [nano(day["charged"]) for day in usage["data"]]
