"""The row of what an account was given by its group, and has paid there."""

import msgspec


class Membership(msgspec.Struct, frozen=True):
    """That an account is in a group, or has been in one: `group` is the account's own, `since_us` since when.

    From `due_us` on somebody has to look whether there is anything to give or to ask. Renewals have been
    given for the time until `renewed_us`. The fee of the group `plan` was paid for the time from
    `paid_from_us` to `paid_until_us`, with `included_nano` of credit: `paid_nano` is what that time costs.
    Since `unpaid_us` a fee is wanting; 0 is for none. Months that begin as the account joined count from
    `anchor_us`.

    On `quota_day`, in days since 1970-01-01, it has `used` so many calls of each quota. What it committed to
    spend is settled until `settled_us`; 0 is for none that it committed to. As of `held_at_us` it `held` so
    much elsewhere.
    """

    account_id: str
    group: str
    since_us: int
    due_us: int = 0
    renewed_us: int = 0
    plan: str = ""
    anchor_us: int = 0
    paid_from_us: int = 0
    paid_until_us: int = 0
    paid_nano: int = 0
    included_nano: int = 0
    unpaid_us: int = 0
    quota_day: int = 0
    used: tuple[tuple[str, int], ...] = ()
    settled_us: int = 0
    held: int = 0
    held_at_us: int = 0
