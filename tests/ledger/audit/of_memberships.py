"""What is changed of memberships, and of what belongs to them, each with the difference that this makes."""

from tests.ledger.desk import ACCOUNT

_SEALED: tuple[tuple[str, int | str], ...] = (
    *(("since_us", 1), ("due_us", 1), ("renewed_us", 1), ("plan", "another"), ("anchor_us", 1)),
    *(("paid_from_us", 1), ("paid_until_us", 1), ("paid_nano", 1), ("included_nano", 1)),
    *(("unpaid_us", 1), ("seal", 1), ("group", "another"), ("quota_day", 1), ("used", '[["x",1]]')),
    *(("settled_us", 1), ("held", 1), ("held_at_us", 1)),
)

OF_MEMBERSHIPS: tuple[tuple[str, str, str, int | str, tuple[str, str, str]], ...] = (
    *(("memberships", ACCOUNT, name, value, ("memberships", ACCOUNT, "seal")) for name, value in _SEALED),
    ("memberships", ACCOUNT, "group", "another", ("memberships", ACCOUNT, "group")),
    ("accounts", ACCOUNT, "group", "another", ("memberships", ACCOUNT, "group")),
    ("puts", "plan", "note", "another reason", ("commands", "plan", "digest")),
)
