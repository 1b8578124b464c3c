"""The admin API's view of the plan of an account."""

from typing import Final

from aiohttp import web

from proxy.api.billing.plans import plan_of
from proxy.api.operations import ADMIN, Binder, Incoming, Nothing, Operation
from proxy.api.reader import Reader
from proxy.api.views.plans import AccountPlanView

SHOW_PLAN: Final = Operation(
    id="show_account_plan",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/plan",
    summary="The plan that an account is in, since when, and until when it is paid.",
    audience="admin",
    reply=AccountPlanView,
    query=Nothing,
    body=Nothing,
)

OPERATIONS: Final = (SHOW_PLAN,)


class AccountPlans:
    """Shows the plans of accounts."""

    def __init__(self, *, reader: Reader) -> None:
        self._reader = reader

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(SHOW_PLAN, self.show_plan)]

    async def show_plan(self, incoming: Incoming[None, Nothing, Nothing]) -> AccountPlanView:
        """One account's plan. Raises Refusal `not_found`."""
        return await plan_of(self._reader, incoming.path["account_id"], incoming.settings)
