"""What must hold of memberships: one for each account in a group, of that group, as it was written last."""

from collections.abc import Iterable, Iterator

from msgspec.structs import astuple

from proxy.ledger.audit.rows import AccountRow, Difference, MembershipRow, compare
from proxy.ledger.seals import seal_of


def membership_faults(account: AccountRow, memberships: Iterable[MembershipRow]) -> Iterator[Difference]:
    """Where an account and its membership disagree."""
    id_, found = account.account_id, list(memberships)
    if not found and account.group:
        yield Difference("memberships", id_, "row", f"one, as it is in the group {account.group}", "none")
    for membership in found:
        *sealed, seal = astuple(membership)
        yield from compare("memberships", id_, "group", account.group, membership.group)
        if seal is not None:
            yield from compare("memberships", id_, "seal", seal_of(*sealed), seal)
