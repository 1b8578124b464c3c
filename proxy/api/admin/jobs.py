"""The admin API's jobs: calls that were answered, and whose upstream still works for them."""

from typing import Final, Literal

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from proxy.api.operations import ADMIN, Binder, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.reader import Reader, SeenJob
from proxy.api.views.money import Display, Usd, When, display, instant
from proxy.money import Unit, usd_string


class JobQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filter of a list of jobs."""

    account_id: str | None = None


class JobView(Struct, frozen=True, kw_only=True):
    """A job: the call that began it, the object that it makes, what is held, and what it costs once complete.

    From `deadline` on it is asked about once more, and ends. `id` is the call's, and that of its hold.
    """

    object: Literal["job"] = "job"
    id: str
    account_id: str
    key_id: str
    endpoint: str
    model: str
    upstream: str
    kind: str | None
    object_id: str | None
    began_at: When
    deadline: When
    hold: Usd
    charge: Usd
    display: Display | UnsetType = UNSET


LIST_JOBS: Final = Operation(
    id="list_jobs",
    method="GET",
    path=f"{ADMIN}/jobs",
    summary="List jobs that have not ended, the oldest first.",
    audience="admin",
    reply=Page[JobView],
    query=JobQuery,
    body=Nothing,
)

OPERATIONS: Final = (LIST_JOBS,)


class RunningJobs:
    """Shows jobs."""

    def __init__(self, *, reader: Reader) -> None:
        self._reader = reader

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """The one route."""
        return [bind(LIST_JOBS, self.list_jobs)]

    async def list_jobs(self, incoming: Incoming[None, JobQuery, Nothing]) -> Page[JobView]:
        """A page of jobs."""
        query, unit = incoming.query, incoming.settings.unit
        rows = await self._reader.jobs(
            account_id=query.account_id or "", after=place_of(query, str), limit=query.limit + 1
        )
        return page_of(rows, query.limit, lambda row: job_view(row, unit), lambda row: row.call_id)


def job_view(job: SeenJob, unit: Unit) -> JobView:
    """The view of a job."""
    charge_nano = 0 if job.observed is None else job.observed.charge.total_nano
    return JobView(
        id=job.call_id,
        account_id=job.account_id,
        key_id=job.key_id,
        endpoint=job.call.endpoint,
        model=job.call.model,
        upstream=job.call.upstream,
        kind=job.kind,
        object_id=job.id,
        began_at=instant(job.held_at_us),
        deadline=instant(job.deadline_us),
        hold=usd_string(job.amount_nano),
        charge=usd_string(charge_nano),
        display=display(unit, hold=job.amount_nano, charge=charge_nano),
    )
