"""The policy for calls, and all that a reload of the configuration replaces."""

from typing import Literal

import msgspec

from proxy.ledger.groups import Groups
from proxy.ledger.rows import OnShortfall
from proxy.pricing.book import PriceBook
from proxy.upstream.routes import Routes


class Policy(msgspec.Struct, frozen=True):
    """What to do with calls, as the configuration says in `accounts`, `streams` and `jobs`."""

    when_short: Literal["clamp", "refuse"] = "clamp"
    min_output_tokens: int = 16
    on_shortfall: OnShortfall = "forgive"
    on_disconnect: Literal["auto", "count", "drain"] = "auto"
    drain_seconds: float = 10.0
    on_upstream_failure: Literal["charge", "free"] = "charge"
    job_seconds: int = 172_800
    on_job_overdue: Literal["charge", "free"] = "charge"
    job_output_per_second: int = 100


class Catalog(msgspec.Struct, frozen=True):
    """All that a reload of the configuration replaces at once. A call keeps the catalog it began with."""

    routes: Routes
    book: PriceBook
    groups: Groups
    policy: Policy
