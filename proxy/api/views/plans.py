"""The views of plans, and of what an account has in its own."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.views.accounts import LimitsView, limits_view
from proxy.api.views.money import Display, Usd, When, display, expiry, instant
from proxy.ledger.groups import Group
from proxy.ledger.rows import Membership
from proxy.money import Unit, usd_string


class RenewalView(Struct, frozen=True, kw_only=True):
    """Credit that comes each day or month at 00:00:00 UTC."""

    amount: Usd
    every: Literal["day", "month"]


class PlanView(Struct, frozen=True, kw_only=True):
    """A plan: its fee for a month or a year, the credit that this includes, and what the plan allows.

    `models` are globs of what its accounts may use; none allows all.
    """

    object: Literal["plan"] = "plan"
    id: str
    fee: Usd
    every: Literal["month", "year"]
    included: Usd
    renewal: RenewalView | None
    limits: LimitsView
    models: list[str]
    display: Display | UnsetType = UNSET


class AccountPlanView(Struct, frozen=True, kw_only=True):
    """The plan that an account is in, null for none, and until when its fee is paid, null where it has none.

    `unpaid_since` is since when a fee is wanting, and `next_renewal_at` when credit comes next.
    """

    object: Literal["account_plan"] = "account_plan"
    account_id: str
    plan: PlanView | None
    since: When | None
    paid_until: When | None
    unpaid_since: When | None
    next_renewal_at: When | None


def plan_view(group: Group, unit: Unit) -> PlanView:
    """The view of a group as a plan."""
    renewal, fee = group.dues.renewal, group.dues.fee
    fee_nano, included_nano = (fee.amount_nano, fee.included_nano) if fee is not None else (0, 0)
    return PlanView(
        id=group.name,
        fee=usd_string(fee_nano),
        every="month" if fee is None or fee.months == 1 else "year",
        included=usd_string(included_nano),
        renewal=None
        if renewal is None
        else RenewalView(amount=usd_string(renewal.amount_nano), every=renewal.every),
        limits=limits_view(group.limits),
        models=list(group.models),
        display=display(
            unit,
            fee=fee_nano,
            included=included_nano,
            renewal=renewal.amount_nano if renewal is not None else None,
        ),
    )


def account_plan_view(
    account_id: str, group: Group, membership: Membership | None, unit: Unit
) -> AccountPlanView:
    """The view of what an account has in its group, which has no name where there is none."""
    here = membership if group.name else None
    is_paid = here is not None and here.plan == group.name
    renews = here is not None and here.renewed_us and group.dues.renewal is not None
    return AccountPlanView(
        account_id=account_id,
        plan=plan_view(group, unit) if group.name else None,
        since=instant(here.since_us) if here is not None else None,
        paid_until=expiry(here.paid_until_us) if here is not None and is_paid else None,
        unpaid_since=instant(here.unpaid_us) if here is not None and here.unpaid_us else None,
        next_renewal_at=instant(here.renewed_us) if here is not None and renews else None,
    )
