"""The shapes in which chat front ends ask what a key is, may and has spent."""

from typing import Annotated, Literal

import msgspec
from msgspec import Struct

from proxy.api.usage import Day
from proxy.api.views.money import When

Number = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "number"})]
"""An exact number in JSON."""

Reset = Literal["daily", "weekly", "monthly"] | None
"""When a limit begins anew."""


class SubscriptionView(Struct, frozen=True, kw_only=True):
    """What may be spent in this UTC month: what was charged in it, what is held, and what is left."""

    object: Literal["billing_subscription"] = "billing_subscription"
    has_payment_method: bool = True
    canceled: bool = False
    access_until: int
    soft_limit_usd: Number
    hard_limit_usd: Number
    system_hard_limit_usd: Number


class LineItemView(Struct, frozen=True):
    """What a model was charged, in cents."""

    name: str
    cost: Number


class DailyCostView(Struct, frozen=True):
    """The charges of one UTC day."""

    timestamp: int
    line_items: list[LineItemView]


class OldUsageView(Struct, frozen=True, kw_only=True):
    """What the account was charged, in cents."""

    object: Literal["list"] = "list"
    daily_costs: list[DailyCostView]
    total_usage: Number


class OldUsageQuery(Struct, frozen=True, kw_only=True):
    """From which day, and before which; without them, this UTC month."""

    start_date: Day | None = None
    end_date: Day | None = None


class CreditGrantView(Struct, frozen=True, kw_only=True):
    """A lot with something left."""

    object: Literal["credit_grant"] = "credit_grant"
    id: str
    grant_amount: Number
    used_amount: Number
    effective_at: int
    expires_at: int | None


class CreditGrantsView(Struct, frozen=True, kw_only=True):
    """A list of lots with something left, in draw order."""

    object: Literal["list"] = "list"
    data: list[CreditGrantView]


class CreditSummaryView(Struct, frozen=True, kw_only=True):
    """What the account was charged ever, what it may still spend, and both together."""

    object: Literal["credit_summary"] = "credit_summary"
    total_granted: Number
    total_used: Number
    total_available: Number
    grants: CreditGrantsView


class RateLimitView(Struct, frozen=True):
    """How many calls there may be in how long; -1 is no limit."""

    requests: int
    interval: Literal["1m"] = "1m"


class OwnKeyFields(Struct, frozen=True, kw_only=True):
    """The key of the request, in US dollars. `limit` is the tightest that bounds its spending.

    `is_free_tier` is whether nothing was ever bought for its account.
    """

    label: str
    limit: Number | None
    limit_remaining: Number | None
    limit_reset: Reset
    usage: Number
    usage_daily: Number
    usage_weekly: Number
    usage_monthly: Number
    is_free_tier: bool
    is_provisioning_key: bool = False
    is_management_key: bool = False
    expires_at: When | None
    rate_limit: RateLimitView


class OwnKeyView(Struct, frozen=True):
    """The key of the request."""

    data: OwnKeyFields


class CreditFields(Struct, frozen=True):
    """All credit that the account had, and what it was charged of it, in US dollars."""

    total_credits: Number
    total_usage: Number


class CreditsView(Struct, frozen=True):
    """The credit of the account."""

    data: CreditFields
