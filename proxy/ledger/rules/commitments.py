"""The rule of commitments: what an account has not spent of what it committed to is a fee, month by month."""

from typing import Final

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Refused
from proxy.ledger.dues import COMMITTED_MONTHS, Dues, OfMembership, TakeFee, minimum_id, share
from proxy.ledger.periods import Span, period_at, periods_before
from proxy.ledger.rows import Membership
from proxy.ledger.rules.fees import take_fee
from proxy.ledger.windows import DAY_US, iso

RETRY_US: Final = 600_000_000
"""After how long a fee that could not be paid is asked for again."""
CLOSING_US: Final = 2 * DAY_US
"""How long a month waits for calls in flight that were let through in it."""


def settled(books: Books, membership: Membership, command: OfMembership) -> tuple[Membership, int]:
    """The membership once the months that are over are settled, and when to look again.

    A fee that the funds do not pay is asked for again. Who had committed to nothing when somebody looked last
    begins with the present month: nobody commits to what is over.
    """
    at_us, account_id = command.at_us, membership.account_id
    *_, earliest = periods_before("month", at_us, COMMITTED_MONTHS + 1)
    current, joined = period_at("month", at_us), period_at("month", membership.since_us)
    until_us = max(membership.settled_us, joined.start_us, earliest.start_us)
    if not membership.settled_us or membership.settled_us > current.end_us:
        # In the second case a clock was ahead that settled months which are still to come.
        until_us = current.start_us
    while until_us < current.start_us:
        month = period_at("month", until_us)
        bucket = books.bucket(account_id, "month", month.start_us // DAY_US)
        if bucket.held_nano and at_us < month.end_us + CLOSING_US:
            return replace(membership, settled_us=until_us), at_us + RETRY_US
        missing_nano = _committed_nano(membership, command.dues, month) - bucket.spent_nano
        command_id = minimum_id(month)
        if missing_nano > 0 and (account_id, command_id) not in books.commands:
            reason = f"{command.group}: not spent from {iso(month.start_us)} to {iso(month.end_us)}"
            fee = TakeFee(account_id, command_id, missing_nano, reason, at_us)
            if isinstance(take_fee(books, fee), Refused):
                return replace(membership, settled_us=until_us), at_us + RETRY_US
        until_us = month.end_us
    return replace(membership, settled_us=until_us), period_at("month", until_us).end_us


def _committed_nano(membership: Membership, dues: Dues, month: Span) -> int:
    """What was committed to in a month: in that of joining its share of the rest, or nothing."""
    if membership.since_us <= month.start_us:
        return dues.minimum_nano
    return round(dues.minimum_nano * share(membership.since_us, month)) if dues.is_prorated else 0
