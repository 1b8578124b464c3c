"""What must hold of vouchers: each was used as often as it was claimed, and no more often than it may be."""

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any

from msgspec.structs import astuple

from proxy.ledger.audit.feed import Feed, keys_of
from proxy.ledger.audit.rows import ClaimRow, Difference, VoucherRow, compare
from proxy.ledger.seals import seal_of


def voucher_faults(vouchers: Iterable[VoucherRow], claims: Iterable[ClaimRow]) -> Iterator[Difference]:
    """Where vouchers and claims, both by digest, disagree. Raises OutOfOrder when rows are not in order."""
    by_digest = attrgetter("digest")
    feeds: tuple[Feed[Any], ...] = (Feed(vouchers, by_digest), Feed(claims, by_digest))
    for digest in keys_of(*feeds):
        found: list[VoucherRow] = list(feeds[0].of(digest))
        count = 0
        for claim in feeds[1].of(digest):
            count += 1
            yield from _claim_faults(claim)
        if not found:
            yield Difference("vouchers", digest, "row", f"one, as it was claimed {count} times", "none")
            continue
        voucher = found[0]
        *sealed, used, seal = astuple(voucher)
        yield from compare("vouchers", digest, "used", count, used)
        yield from compare("vouchers", digest, "seal", seal_of(*sealed), seal)
        if not 0 <= used <= voucher.uses:
            yield Difference("vouchers", digest, "used", f"0 to {voucher.uses}", str(used))


def _claim_faults(claim: ClaimRow) -> Iterator[Difference]:
    id_ = f"{claim.digest}/{claim.account_id}"
    expected = seal_of(claim.digest, claim.account_id, claim.at_us)
    yield from compare("voucher_claims", id_, "seal", expected, claim.seal)
    if not claim.is_of_account:
        yield Difference("voucher_claims", id_, "account_id", "an account", claim.account_id)
