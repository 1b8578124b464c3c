"""Memberships as an audit reads them."""

import msgspec


class MembershipRow(msgspec.Struct, frozen=True, gc=False):
    """All of a membership. Its seal is None where a migration has made it."""

    account_id: str
    group: str
    since_us: int
    due_us: int
    renewed_us: int
    plan: str
    anchor_us: int
    paid_from_us: int
    paid_until_us: int
    paid_nano: int
    included_nano: int
    unpaid_us: int
    quota_day: int
    used: str
    settled_us: int
    held: int
    held_at_us: int
    seal: int | None
