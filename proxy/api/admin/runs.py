"""The admin API's runs: what calls of an account that are billed together cost."""

from typing import Final

from aiohttp import web

from proxy.api.billing.runs import runs_page, whole_run
from proxy.api.operations import ADMIN, Binder, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery
from proxy.api.run_reader import RunReader
from proxy.api.views.runs import RunView, WholeRunView

LIST_RUNS: Final = Operation(
    id="list_runs",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/runs",
    summary="List an account's runs and what each costs by now, in the order of their ids.",
    audience="admin",
    reply=Page[RunView],
    query=PageQuery,
    body=Nothing,
)
SHOW_RUN: Final = Operation(
    id="show_run",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/runs/{{run_id}}",
    summary="Show one run: its subtotal, its markup, and what it costs by component and by step.",
    audience="admin",
    reply=WholeRunView,
    query=PageQuery,
    body=Nothing,
)
OPERATIONS: Final = (LIST_RUNS, SHOW_RUN)


class Runs:
    """Shows the runs of accounts."""

    def __init__(self, *, reader: RunReader) -> None:
        self._reader = reader

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(LIST_RUNS, self.list_runs), bind(SHOW_RUN, self.show_run)]

    async def list_runs(self, incoming: Incoming[None, PageQuery, Nothing]) -> Page[RunView]:
        """A page of an account's runs. Raises Refusal `not_found`."""
        account = await self._reader.account(incoming.path["account_id"])
        return await runs_page(self._reader, account.id, incoming.query, incoming.settings.unit)

    async def show_run(self, incoming: Incoming[None, PageQuery, Nothing]) -> WholeRunView:
        """One run. Raises Refusal `not_found`."""
        ids = incoming.path["account_id"], incoming.path["run_id"]
        return await whole_run(self._reader, *ids, incoming.query, incoming.settings.unit)
