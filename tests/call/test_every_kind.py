"""What must hold of the jobs of every kind of objects: a kind without a row here fails.

A hold is closed once, whoever sees the end, however often, and whatever an upstream says of it later.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import permutations
from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from proxy.call.policy import Policy
from proxy.endpoints.objects import never
from proxy.endpoints.registry import KINDS
from proxy.ledger.rows import Receipt
from proxy.metering.usage import METERS
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from tests.call.videos import VideoStage, video
from tests.endpoints.openai.responses.replies import response, text, usage

PRICES: Final = tuple(Rate(name, Fraction(1_000), 1) for name in METERS if name != "requests")
CARD: Final = RateCard("all", ("*",), PRICES, 100, input_allowance=1_000)
HOUR_US: Final = 3_600_000_000


class Row(msgspec.Struct, frozen=True):
    """A request that begins a job, the object's id, and what its upstream says of it: by how far it is."""

    asks: Mapping[str, Any]
    id: str
    says: Callable[[str], bytes]


def _response(status: str) -> bytes:
    ended = {"usage": usage(36, 87)} if status == "completed" else {"usage": None}
    said = (text("Hello"),) if status == "completed" else ()
    error = {"error": {"code": "server_error", "message": "no"}} if status == "failed" else {}
    return json.dumps(response(*said, status=status, **ended, **error)).encode()


ROWS: Final[Mapping[str, Row]] = {
    "video": Row({"model": "m", "prompt": "A cat", "seconds": "8"}, "video_1", video),
    "response": Row({"model": "m", "input": "Say hello", "background": True}, "resp_1", _response),
}
STATES: Final = ("completed", "failed")


class Job:
    """A job that has begun, and whoever may see its end."""

    def __init__(self, name: str, policy: Policy | None = None) -> None:
        (self.kind,) = [kind for kind in KINDS if kind.name == name]
        self.row = ROWS[name]
        self.shown = f"{self.kind.upstream_path}/{self.row.id}"
        self.stage = VideoStage(policy, kinds=(self.kind,))
        self.stage.stage.relay.catalog = replace(
            self.stage.stage.catalog, book=PriceBook([CARD]), policy=policy or Policy()
        )
        self.stage.stage.catalog = self.stage.stage.relay.catalog

    async def begin(self) -> "Job":
        self.stage.studio.says("POST", self.kind.upstream_path, self.row.says("queued"))
        await self.stage.ask("POST", self.kind.path, self.row.asks)
        assert self.held
        self.says("in_progress")
        return self

    def says(self, status: str) -> None:
        self.stage.studio.says("GET", self.shown, self.row.says(status))

    def fails(self, status: int) -> None:
        self.stage.studio.says("GET", self.shown, b'{"error":{"message":"gone"}}', status)

    async def polled(self) -> None:
        await self.stage.poller().round()

    async def asked(self) -> None:
        await self.stage.ask("GET", f"{self.kind.path}/{self.row.id}")

    @property
    def held(self) -> int:
        return self.stage.held_nano()

    def closed(self) -> list[Receipt]:
        """The receipts of the job's own call."""
        books = self.stage.store.books
        return [row for row in books.new_receipts if row.call.endpoint == self.kind.endpoint]

    async def rest(self) -> Receipt:
        """The one receipt, when all has come to rest and the money agrees with it."""
        await self.stage.rest()
        (row,) = self.closed()
        account = self.stage.store.books.accounts["acct_1"]
        assert (account.held_nano, account.open_holds) == (0, 0)
        assert account.balance_nano == 10**9 - row.charged_nano
        assert row.charged_nano <= row.hold_nano
        return row


def test_every_kind_has_a_row() -> None:
    assert ROWS.keys() == {kind.name for kind in KINDS if kind.begins_job is not never}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("says", [*permutations(("completed", "failed", "in_progress"))], ids="-".join)
async def test_two_pollers_and_a_client_at_once_close_it_once(name: str, says: tuple[str, ...]) -> None:
    """Each is told something else."""
    job = await Job(name).begin()
    job.stage.clock.at_us += 10_000_000
    answers = [*says]
    job.stage.studio.answers["GET", job.shown] = lambda: (200, job.row.says(answers.pop()))
    await asyncio.gather(job.polled(), job.asked(), job.polled())
    for status in STATES:
        job.says(status)
        await job.asked()
    row = await job.rest()
    assert row.outcome.outcome in {"complete", "job_failed"}
    assert (row.charged_nano == 0) == (row.outcome.outcome == "job_failed")


@pytest.mark.parametrize("by", ["client", "poller"])
@pytest.mark.parametrize("says", [*permutations(STATES)], ids="-".join)
@pytest.mark.parametrize("name", ROWS)
async def test_what_an_upstream_said_first_stands(name: str, says: tuple[str, ...], by: str) -> None:
    """It may take back what it said: the account has its receipt by then."""
    job = await Job(name).begin()
    first: Receipt | None = None
    for status in (*says, "in_progress"):
        job.stage.clock.at_us += 10_000_000
        job.says(status)
        await (job.asked() if by == "client" else job.polled())
        await job.asked()
        (row,) = job.closed()
        first = first or row
        assert row == first
    assert (await job.rest()).outcome.outcome == {"completed": "complete", "failed": "job_failed"}[says[0]]


@pytest.mark.parametrize("status", [404, 410, 500])
@pytest.mark.parametrize("policy", [Policy(), Policy(on_job_overdue="free")], ids=["charged", "free"])
@pytest.mark.parametrize("name", ROWS)
async def test_a_job_that_its_upstream_has_forgotten_ends_once_by_the_policy(
    name: str, policy: Policy, status: int
) -> None:
    """Not before its longest life is over: an upstream may forget for a while only."""
    job = await Job(name, policy).begin()
    job.fails(status)
    for _ in range(47):
        job.stage.clock.at_us += HOUR_US
        await job.polled()
        await job.asked()
    assert (job.closed(), job.held > 0) == ([], True)
    job.stage.clock.at_us += HOUR_US
    await asyncio.gather(job.polled(), job.polled())
    (row,) = job.closed()
    assert row.outcome.outcome == "job_overdue"
    assert (row.charged_nano == 0) == (policy.on_job_overdue == "free")
    job.says("completed")
    await job.polled()
    assert await job.rest() == row


@pytest.mark.parametrize("name", ROWS)
async def test_a_job_may_take_a_day(name: str) -> None:
    """Its hold stays, its upstream is asked some hundred times, and its end costs what it always would."""
    quick, slow = await Job(name).begin(), await Job(name).begin()
    poller = slow.stage.poller()
    before = len(slow.stage.studio.requests)
    for _ in range(24 * 60):
        slow.stage.clock.at_us += HOUR_US // 60
        await poller.round()
    assert (slow.closed(), slow.held) == ([], quick.held)
    assert 24 < len(slow.stage.studio.requests) - before < 400
    for job in (quick, slow):
        job.stage.clock.at_us += HOUR_US
        job.says("completed")
        await job.polled()
    assert (await quick.rest()).charge == (await slow.rest()).charge
