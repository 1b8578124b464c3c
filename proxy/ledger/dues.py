"""Dues: what a group gives its accounts again and again, and what it asks of them, as the configuration says.

It also has the commands that give and ask. What an account was given and has paid is in its membership, which
lies under the account's lock: so each is done once for each account and period, whoever does it how often.
"""

from fractions import Fraction
from typing import Final, Literal

import msgspec

from proxy.ledger import kinds
from proxy.ledger.command import OfAccount
from proxy.ledger.needs import Needs
from proxy.ledger.periods import Every, Span, day_text, month_since, period_at, periods_before
from proxy.ledger.windows import DAY_US

RENEWAL: Final = "renewal:"
"""What the ids of the commands begin with that grant renewals; how often and the first day are behind it."""
MINIMUM: Final = "minimum:"
COMMITTED_MONTHS: Final = 3
"""What was not spent is asked for as many months later."""
PLAN_KIND: Final = "plan"
"""The kind of lots of credit that a fee includes. They go when their account leaves the plan."""
Anchor = Literal["calendar", "joining"]


class Renewal(msgspec.Struct, frozen=True):
    """Credit that each account of a group is given at the beginning of each period, in UTC.

    Its lot expires `lasts_us` after that: 0 is as the next period begins, NEVER_US is never. An account that
    has missed periods is given those of the last `back_fill` of them that have not expired. It has no more
    than `most_nano` of this kind by it; 0 is for no such bound.
    """

    amount_nano: int
    every: Every = "day"
    lasts_us: int = 0
    kind: str = "renewal"
    priority: int = 50
    back_fill: int = 7
    most_nano: int = 0


class Fee(msgspec.Struct, frozen=True):
    """What a plan costs a month, or so many `months`, beside what is used, and the credit that this includes.

    Months are those of the calendar, or begin as the account has joined. A fee that the account has no funds
    for is asked for again for `grace_us`; then the account is moved to the group `falls_to`, empty is none.

    The credit ends after `included_lasts` such times. An account has no more than `included_most_nano` of it;
    0 is for no such bound.
    """

    amount_nano: int
    anchor: Anchor = "joining"
    included_nano: int = 0
    included_priority: int = 50
    grace_us: int = 0
    falls_to: str = ""
    months: int = 1
    included_lasts: int = 1
    included_most_nano: int = 0

    def span(self, anchor_us: int, at_us: int) -> Span:
        """The time of one fee in which an instant lies, where times begin with an anchor."""
        # The calendar's begin with 1970.
        return month_since(0 if self.anchor == "calendar" else anchor_us, at_us, self.months)


class Dues(msgspec.Struct, frozen=True):
    """What a group gives and asks. `is_prorated`: a fee is for the time that an account is in the plan.

    Otherwise it is for whole months: who leaves gets nothing back, and who joins pays all of it. An account
    commits to spend `minimum_nano` in each month of the calendar; what it has not spent is a fee.

    `ends` are plans, each with the kinds of lots that end as an account leaves it for this group.
    """

    renewal: Renewal | None = None
    fee: Fee | None = None
    is_prorated: bool = True
    minimum_nano: int = 0
    ends: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def is_any(self) -> bool:
        """Whether there is anything."""
        return self.renewal is not None or self.fee is not None or self.minimum_nano > 0

    def ended_with(self, plan: str) -> tuple[str, ...]:
        """The kinds of lots that end as an account leaves a plan: what it included, and what is said to."""
        return (PLAN_KIND, *(kind for left, kinds in self.ends if left == plan for kind in kinds))


NO_DUES: Final = Dues()


class TakeFee(OfAccount, frozen=True):
    """Take a fee from what is available: all of it, or nothing. `command_id` makes a repeat harmless."""

    command_id: str
    amount_nano: int
    reason: str
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account, its due lots, and what an earlier command with this id did."""
        needs.add_lots(self.account_id, self.at_us)
        needs.add(kinds.COMMAND, (self.account_id, self.command_id))


class OfMembership(OfAccount, frozen=True):
    """A command about an account's membership in `group`, whose `dues` they are.

    What it posts beside renewals it posts under `command_id`, the second and others with a number behind it;
    so it posts once. What it makes is named after `command_id` too.
    """

    command_id: str
    group: str
    dues: Dues
    at_us: int

    def add_needs(self, needs: Needs) -> None:
        """Add the account with its membership, its lots, and what was done under the ids that it may use."""
        needs.add_lots(self.account_id, self.at_us)
        # What it gives may fall due within the batch.
        needs.add_grant(self.at_us)
        needs.add(kinds.MEMBERSHIP, self.account_id)
        needs.add(kinds.COMMAND, (self.account_id, self.command_id))
        renewal = self.dues.renewal
        if renewal is not None:
            following_us = period_at(renewal.every, self.at_us).end_us
            spans = periods_before(renewal.every, following_us, renewal.back_fill + 2)
            needs.add(kinds.COMMAND, *((self.account_id, renewal_id(renewal.every, span)) for span in spans))
        if self.dues.minimum_nano:
            for span in periods_before("month", self.at_us, COMMITTED_MONTHS + 1):
                needs.days.add((self.account_id, self.account_id, span.start_us // DAY_US))
                needs.add(kinds.COMMAND, (self.account_id, minimum_id(span)))


class Renew(OfMembership, frozen=True):
    """Give an account what its group gives, and take what that asks, as far as it is due.

    Nothing is done for an account that is in another group.
    """


class ChangePlan(OfMembership, frozen=True):
    """Move an account from the group `left` to `group`, and do there what is due.

    It is refused where the account is in another group than `left`, or cannot pay the fee.
    """

    left: str


def minimum_id(span: Span) -> str:
    """The id of the command that takes what was not spent in a month."""
    return f"{MINIMUM}{day_text(span.start_us)}"


def renewal_id(every: Every, span: Span) -> str:
    """The id of the command that grants the renewal of a period. A day and a month may begin at once."""
    return f"{RENEWAL}{every}:{day_text(span.start_us)}"


def share(at_us: int, span: Span) -> Fraction:
    """How much of a period is still to come."""
    left_us = min(max(0, span.end_us - at_us), span.end_us - span.start_us)
    return Fraction(left_us, span.end_us - span.start_us)
