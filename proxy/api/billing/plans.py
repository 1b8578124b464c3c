"""Plans: what there is to choose, the account's own, and how its customer changes it."""

from typing import Annotated, Final, Literal

from aiohttp import web
from msgspec import Struct

from proxy.api.operations import BILLING, ApiSettings, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.patience import Patience
from proxy.api.reader import Reader
from proxy.api.views.plans import AccountPlanView, PlanView, account_plan_view, plan_view
from proxy.call.renewals import Renewals
from proxy.clock import Clock
from proxy.edge.auth import require_billing
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.dues import ChangePlan
from proxy.ledger.rows import Account, Key
from proxy.validation import wants

CHANGES_A_MINUTE: Final = 10

PlanName = Annotated[str, wants("the name of a plan, or null for none", min_length=1, max_length=100)]


class PlanChoice(Struct, frozen=True, forbid_unknown_fields=True):
    """The plan to be in from now on, null for none."""

    plan: PlanName | None


class PlanList(Struct, frozen=True, kw_only=True):
    """The plans that an account may choose, in the order of the configuration."""

    object: Literal["list"] = "list"
    data: list[PlanView]


LIST_PLANS: Final = Operation(
    id="billing_plans",
    method="GET",
    path=f"{BILLING}/plans",
    summary="The plans that the account may choose.",
    audience="account",
    reply=PlanList,
    query=Nothing,
    body=Nothing,
)
SHOW_PLAN: Final = Operation(
    id="billing_plan",
    method="GET",
    path=f"{BILLING}/plan",
    summary="The plan that the account is in, since when, and until when it is paid.",
    audience="account",
    reply=AccountPlanView,
    query=Nothing,
    body=Nothing,
)
CHOOSE_PLAN: Final = Operation(
    id="billing_choose_plan",
    method="PUT",
    path=f"{BILLING}/plan",
    summary="Choose another plan, or none. It takes effect at once, and its fee is taken now.",
    audience="account",
    reply=AccountPlanView,
    query=Nothing,
    body=PlanChoice,
)

OPERATIONS: Final = (LIST_PLANS, SHOW_PLAN, CHOOSE_PLAN)


class Plans:
    """Shows an account its plan, and lets it choose where the operator lets customers do so."""

    def __init__(self, *, ledger: Commands, reader: Reader, clock: Clock) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock
        self._renewals = Renewals(ledger=ledger, clock=clock)
        self._patience = Patience(CHANGES_A_MINUTE, "The plan was changed too often within a minute.")

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(LIST_PLANS, self.list_plans),
            bind(SHOW_PLAN, self.show_plan),
            bind(CHOOSE_PLAN, self.choose_plan),
        ]

    async def list_plans(self, incoming: Incoming[Key, Nothing, Nothing]) -> PlanList:
        """The plans to choose from."""
        settings = incoming.settings
        offered = [group for group in settings.groups.known.values() if group.is_offered]
        return PlanList(data=[plan_view(group, settings.unit) for group in offered])

    async def show_plan(self, incoming: Incoming[Key, Nothing, Nothing]) -> AccountPlanView:
        """The account's plan."""
        return await plan_of(self._reader, incoming.caller.account_id, incoming.settings)

    async def choose_plan(self, incoming: Incoming[Key, Nothing, PlanChoice]) -> AccountPlanView:
        """Change the plan. Raises Refusal `not_found`, `billing_denied`, `conflict`, or for want of funds."""
        key, settings, now_us = incoming.caller, incoming.settings, self._clock.now_us()
        require_billing(key)
        account = await self._reader.account(key.account_id)
        wanted = incoming.body.plan or ""
        if wanted != account.group:
            _expect_choice(account, wanted, settings)
            self._patience.expect(account.id, now_us)
            self._patience.note(account.id, now_us)
            # What is due in the present plan comes first, which may be that the account falls out of it.
            left = await self._renewals.settle(account.id, account.group, settings.groups)
            if left != wanted:
                dues = settings.groups.of(wanted).dues
                command_id = new_id("plan", now_us)
                await self._ledger.command(ChangePlan(account.id, command_id, wanted, dues, now_us, left))
        return await plan_of(self._reader, account.id, settings)


async def plan_of(reader: Reader, account_id: str, settings: ApiSettings) -> AccountPlanView:
    """The plan of an account. Raises Refusal `not_found`."""
    account, membership = await reader.account(account_id), await reader.membership(account_id)
    return account_plan_view(account_id, settings.groups.of(account.group), membership, settings.unit)


def _expect_choice(account: Account, wanted: str, settings: ApiSettings) -> None:
    """Raises Refusal where the operator does not let customers choose this plan, or leave their own."""
    if account.status != "active":
        raise Refusal("account_suspended", "The account is suspended.")
    if wanted and not settings.groups.of(wanted).is_offered:
        raise Refusal("not_found", f"There is no plan {wanted!r} to choose; GET {BILLING}/plans lists them.")
    if account.group and not settings.groups.of(account.group).is_offered:
        raise Refusal(
            "conflict", f"The operator has put the account in {account.group!r}, and can change that."
        )
