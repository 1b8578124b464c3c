"""Videos on a stage: an upstream that makes them as told, clients that ask for them, and a poller."""

import json
from collections.abc import Callable, Sequence

from proxy.call.policy import Policy
from proxy.endpoints.objects import ObjectKind
from proxy.endpoints.registry import KINDS
from proxy.errors import Refusal
from proxy.ids import digest_of
from proxy.jobs.poller import Poller
from proxy.ledger.commands import CreateKey, Grant, OpenAccount
from proxy.money import parse_amount
from proxy.pricing.rates import Rate
from proxy.upstream.base import UpstreamFailure, UpstreamRequest
from proxy.upstream.routes import Target
from tests.call.fakes import NOW_US, SECRET, Answered, Sent, Stage
from tests.ledger.memory import MemoryStore

SECOND_NANO = 1_000_000
RATES = (Rate("video_seconds", parse_amount("0.001"), 1),)
OTHER_SECRET = "sk-fbx-other"


def video(status: str, id_: str = "video_1", **more: object) -> bytes:
    """The JSON of a video."""
    told = {"id": id_, "object": "video", "status": status, "model": "m", "seconds": "8", "size": "720x1280"}
    return json.dumps({**told, **more}).encode()


class Studio:
    """An upstream whose answers are set by method and path; a function makes one anew for each request."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, bytes] | Callable[[], tuple[int, bytes]]] = {}
        self.requests: list[UpstreamRequest] = []
        self.made = 0
        self.targets: list[str] = []

    def says(self, method: str, path: str, data: bytes, status: int = 200) -> None:
        self.answers[method, path] = (status, data)

    async def send(self, target: Target, request: UpstreamRequest) -> Answered:
        self.requests.append(request)
        self.targets.append(target.upstream.name)
        answer = self.answers.get((request.method, request.path))
        if answer is None:
            raise UpstreamFailure("upstream_unreachable", "Nobody is there.", untouched=True)
        status, data = answer() if callable(answer) else answer
        return Answered([data], status, breaks=False, end=None, then=[])


class AskedVideo:
    """A client's request about videos."""

    def __init__(
        self,
        method: str = "POST",
        path: str = "/v1/videos",
        body: object = None,
        *,
        secret: str = SECRET,
        headers: tuple[tuple[str, str], ...] = (),
        query: str = "",
    ) -> None:
        self.id = f"req_{next(_NUMBERS):04}"
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.secret: str | None = secret
        self.wants_cost = False
        self.run = ""
        self.facts: dict[str, str] = {}
        self._body = b"" if body is None else json.dumps(body).encode()

    async def body_at_hand(self) -> bytes | None:
        return self._body

    async def body(self) -> bytes:
        return self._body


_NUMBERS = iter(range(1, 10**6))
WANTED = {"model": "m", "prompt": "A cat", "seconds": "8"}


class SetClock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.at_us = NOW_US

    def now_us(self) -> int:
        return self.at_us

    def monotonic_us(self) -> int:
        return self.at_us


class VideoStage:
    """A stage on which videos are made, with two accounts that have a key and a dollar each."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        store: MemoryStore | None = None,
        kinds: Sequence[ObjectKind] = KINDS,
        studio: Studio | None = None,
    ) -> None:
        self.studio = studio or Studio()
        self.studio.says("POST", "/videos", video("queued"))
        self.clock = SetClock()
        self.stage = Stage(self.studio, policy, rates=RATES, store=store, clock=self.clock, kinds=kinds)
        self._kinds = kinds
        self.store = self.stage.store
        self.store.commit(
            [
                OpenAccount("acct_2", "other", NOW_US),
                Grant("acct_2", "g", "lot_2", 10**9, NOW_US),
                CreateKey("acct_2", "key_2", "k", digest_of(OTHER_SECRET), "other", NOW_US),
            ]
        )
        self.faults: list[BaseException] = []

    def poller(self) -> Poller:
        """Another poller on the same ledger."""
        return Poller(
            store=self.store,
            jobs=self.stage.closing.jobs,
            upstreams=self.studio,
            catalog=lambda: self.stage.catalog,
            clock=self.clock,
            kinds=self._kinds,
            on_fault=lambda _, fault: self.faults.append(fault),
        )

    async def ask(self, *asked: object, **more: object) -> Sent:
        """What a client gets that asks. Raises Refusal."""
        sent = Sent()
        await self.stage.relay.relay(AskedVideo(*asked, **more), sent)  # type: ignore[arg-type]
        return sent

    async def refused(self, *asked: object, **more: object) -> Refusal:
        """Why a client's request is refused."""
        try:
            await self.ask(*asked, **more)
        except Refusal as refusal:
            return refusal
        raise AssertionError("it was let through")

    async def create(self, body: object = WANTED, **more: object) -> str:
        """The call of a video that a client has begun to have made."""
        asked = AskedVideo("POST", "/v1/videos", body, **more)  # type: ignore[arg-type]
        await self.stage.relay.relay(asked, Sent())
        return asked.id

    def charged(self) -> dict[str, tuple[str, str, int]]:
        """Outcome, basis and charge of every job that was closed, by its call: of videos alone."""
        return {
            row.call.id: (row.outcome.outcome, row.outcome.basis, row.charged_nano)
            for row in self.store.books.new_receipts
            if row.call.endpoint in {"videos", "videos.remix", "videos.edits", "videos.extensions"}
        }

    def held_nano(self, account_id: str = "acct_1") -> int:
        return self.store.books.accounts[account_id].held_nano

    async def rest(self) -> None:
        await self.stage.rest()
        assert self.faults == []


async def begun(policy: Policy | None = None) -> tuple[VideoStage, str]:
    """A stage with a video that is being made, and its call."""
    stage = VideoStage(policy)
    call_id = await stage.create()
    stage.studio.says("GET", "/videos/video_1", video("in_progress"))
    return stage, call_id
