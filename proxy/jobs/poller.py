"""The poller: asks upstreams how jobs are whose clients do not ask, so that each job's hold is closed.

One process of all polls: the one that has the lease. That only saves requests: to end a job twice does no
more than to end it once, so two that poll at once, or a client that asks meanwhile, do no harm. What the
poller knows beside the database is when it looked last, and another one looks at every job once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Final

import msgspec

from proxy.call.base import Job, KnownObject
from proxy.call.jobs import Jobs, seen_again
from proxy.call.objects import job_of
from proxy.call.off_loop import off_loop
from proxy.call.policy import Catalog
from proxy.clock import Clock
from proxy.endpoints.objects import ObjectKind
from proxy.endpoints.tallies.sighted import JsonTally, Sighting
from proxy.errors import Refusal
from proxy.ledger.commands import Refused
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.rows import Object
from proxy.ledger.sessions import SESSION
from proxy.ledger.store import Row, Store
from proxy.upstream.base import UpstreamClient, UpstreamFailure, UpstreamRequest
from proxy.upstream.routes import Target, Upstream

LEASE: Final = "jobs"
LEASE_SECONDS: Final = 20.0
ROUND_SECONDS: Final = 2.0
"""How often the poller looks which jobs are due."""
FIRST_LOOK_US: Final = 5_000_000
"""How old a job is when it is looked at first."""
LAST_LOOK_US: Final = 300_000_000
"""The longest time between two looks at a job."""
SHARE_OF_AGE: Final = 10
"""A job is looked at again when it is older by this part of its age."""
AT_ONCE: Final = 8
"""How many jobs an upstream is asked about beside one another."""
OF_AN_ACCOUNT: Final = 32
"""How many jobs of one account a round asks an upstream about at most."""
ANSWER_SECONDS: Final = 30.0
PAGE: Final = 200


class Poller:
    """Looks at jobs until they have ended. `catalog` gives the routes and the policy in force.

    `on_fault` is told of a fault of ours, which ends neither the poller nor its other looks.
    """

    def __init__(
        self,
        *,
        store: Store,
        jobs: Jobs,
        upstreams: UpstreamClient,
        catalog: Callable[[], Catalog],
        clock: Clock,
        kinds: Sequence[ObjectKind],
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._upstreams = upstreams
        self._catalog = catalog
        self._clock = clock
        self._kinds: Mapping[str, ObjectKind] = {kind.name: kind for kind in kinds}
        self._on_fault = on_fault
        self._sleep = sleep
        self._next_look_us: dict[str, int] = {}
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)

    async def run(self) -> None:
        """Look at what is due, again and again until cancelled."""
        await repeat(
            self.round, name="jobs", every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Look once at every job that is due, if this process is the one that polls.

        Upstreams are asked beside one another. One that does not answer is asked about no more than `AT_ONCE`
        jobs, so that it keeps those of the others waiting for one answer's time at most. Accounts take turns,
        and a round ends after a few jobs of each: one that has thousands keeps no other waiting.
        """
        if not await self._leads():
            return
        running: set[str] = set()
        due: dict[str, dict[str, list[Row]]] = {}
        after = ""
        while rows := await self._page(after):
            after = str(rows[-1]["call_id"])
            for row in rows:
                running.add(str(row["call_id"]))
                # Nobody has to be asked about sessions: their own rounds end them.
                if row["kind"] != SESSION and self._is_due(row):
                    accounts = due.setdefault(str(row["upstream"]), {})
                    of_account = accounts.setdefault(str(row["account_id"]), [])
                    if len(of_account) < OF_AN_ACCOUNT:
                        of_account.append(row)
        await asyncio.gather(*(self._look_at_all(_in_turns(rows.values())) for rows in due.values()))
        self._next_look_us = {id_: at for id_, at in self._next_look_us.items() if id_ in running}

    async def _leads(self) -> bool:
        """Whether this process has the lease; who does not have it knows of no look."""
        if await self._lead.taken():
            return True
        self._next_look_us.clear()
        return False

    async def _page(self, after: str) -> list[Row]:
        return await self._store.query("running_jobs", {"after": after, "account_id": "", "limit": PAGE})

    def _is_due(self, row: Row) -> bool:
        now_us, began_us, deadline_us = self._clock.now_us(), row["held_at_us"], row["deadline_us"]
        assert isinstance(began_us, int)
        assert isinstance(deadline_us, int)
        next_us = self._next_look_us.get(str(row["call_id"]), began_us + FIRST_LOOK_US)
        # A clock that was set back must not keep a job from being looked at.
        return now_us >= min(next_us, deadline_us) or next_us > now_us + LAST_LOOK_US

    async def _look_at_all(self, rows: Sequence[Row]) -> None:
        """Look at the jobs of one upstream, as long as that answers."""
        for start in range(0, len(rows), AT_ONCE):
            if not any(await asyncio.gather(*map(self._look, rows[start : start + AT_ONCE]))):
                break

    async def _look(self, row: Row) -> bool:
        """Ask how one job is, and end it if it has ended, or if its longest life is over.

        Returns whether the upstream answered anything.
        """
        job = job_of(row)
        if job is None:
            return True
        now_us = self._clock.now_us()
        age_us = max(0, now_us - job.authorized_at_us)
        wait_us = min(max(FIRST_LOOK_US, age_us // SHARE_OF_AGE), LAST_LOOK_US)
        self._next_look_us[job.call.id] = now_us + wait_us
        try:
            return await self._ask(row, job, is_over=now_us >= job.deadline_us)
        except Refusal:
            return (
                True  # The ledger was away for long. It ends the job when it is back, or the next look does.
            )
        except Exception as fault:  # noqa: BLE001 - one job must not keep the others from being looked at.
            self._on_fault(f"job {job.call.id}", fault)
            return True

    async def _ask(self, row: Row, job: Job, *, is_over: bool) -> bool:
        policy = self._catalog().policy
        known = KnownObject(msgspec.convert(row, Object), job) if row["id"] is not None else None
        sighting, is_answered = await self._sighting(known.row) if known is not None else (None, True)
        ended = None
        if known is not None and sighting is not None:
            ended = self._jobs.saw(known, sighting, policy)
        if ended is None and is_over:
            seen = known.row if known is not None else None
            if seen is not None and sighting is not None:
                seen = seen_again(seen, sighting, self._clock.now_us())
            ended = self._jobs.end(job, "job_overdue", policy, () if seen is None else (seen,))
        if ended is not None and isinstance(refused := await ended, Refused):
            raise RuntimeError(refused.message)
        return is_answered

    async def _sighting(self, row: Object) -> tuple[Sighting | None, bool]:
        """What the upstream says of an object now, None for nothing that can be read; whether it answered."""
        routes = self._catalog().routes
        kind = self._kinds.get(row.kind) or routes.kinds.get(row.kind)
        upstream = routes.upstream(row.upstream)
        if kind is None or upstream is None:
            return None, True
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._answer(kind, upstream, row.id), True
        except (TimeoutError, UpstreamFailure, Refusal):
            return None, False

    async def _answer(self, kind: ObjectKind, upstream: Upstream, id_: str) -> Sighting | None:
        request = UpstreamRequest("GET", kind.upstream_path_of(id_, kind.routes[0]), "", (), b"")
        answer = await self._upstreams.send(Target(upstream), request)
        try:
            tally = JsonTally(kind.read, about=id_)
            if not 200 <= answer.status < 300:
                return None
            async for chunk in answer.chunks():
                tally.feed(chunk)
                if tally.pending_bytes > kind.answer_bytes:
                    return None
            await off_loop(tally.pending_bytes, tally.finish)
            return tally.sighting
        finally:
            answer.close()


def _in_turns(accounts: Collection[Sequence[Row]]) -> list[Row]:
    """The first job of each account, then the second of each, and so on."""
    return [row for row in chain.from_iterable(zip_longest(*accounts)) if row is not None]
