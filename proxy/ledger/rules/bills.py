"""What an account has to pay to be in a plan from an instant on, and what it gets back of the plan before."""

from fractions import Fraction

import msgspec

from proxy.ledger.dues import Fee, OfMembership, share
from proxy.ledger.periods import Span
from proxy.ledger.rows import Membership
from proxy.ledger.windows import DAY_US


class Bill(msgspec.Struct, frozen=True):
    """The fee for `paid`, from which the unused part of an earlier one is taken; below zero it is given back.

    `worth_nano` is what that time costs, and `included_nano` the credit that comes with it, which ends at
    `included_until_us`. Months count from `anchor_us`. Without `paid` there is no fee any more.
    """

    amount_nano: int
    paid: Span | None = None
    worth_nano: int = 0
    included_nano: int = 0
    anchor_us: int = 0
    included_until_us: int = 0


def bill_of(membership: Membership, command: OfMembership, included_left_nano: int) -> Bill | None:
    """The bill that is due, or None. `included_left_nano` can be taken of what the last one included.

    It is worked out as one exact fraction, and rounded once, half to even.
    """
    fee, at_us = command.dues.fee, command.at_us
    is_running = bool(membership.plan) and at_us < membership.paid_until_us
    if membership.plan == command.group:
        if is_running or not (membership.plan or fee):
            return None
        return _next_month(fee, membership, at_us) if fee is not None else Bill(0)
    unused = Fraction(0)
    if is_running and command.dues.is_prorated:
        unused = _unused(membership, at_us, included_left_nano)
    if fee is None:
        return Bill(round(-unused)) if membership.plan else None
    if is_running and not command.dues.is_prorated and fee.amount_nano <= membership.paid_nano:
        # The dearer month that was paid is not paid again.
        span = Span(membership.paid_from_us, membership.paid_until_us)
        return Bill(0, span, membership.paid_nano, 0, membership.anchor_us)
    return _first_month(fee, membership, command, unused)


def _next_month(fee: Fee, membership: Membership, at_us: int) -> Bill:
    """The month in which an instant lies: nobody could use those that are over without having been asked."""
    anchor_us = membership.anchor_us
    span = fee.span(anchor_us, at_us)
    until_us = _until_us(fee, anchor_us, span)
    return Bill(fee.amount_nano, span, fee.amount_nano, fee.included_nano, anchor_us, until_us)


def _first_month(fee: Fee, membership: Membership, command: OfMembership, unused: Fraction) -> Bill:
    """The rest of a month: of the calendar's, or of that in which another plan was left; else a whole one."""
    at_us, is_prorated = command.at_us, command.dues.is_prorated
    anchor_us = at_us
    if is_prorated and membership.plan and at_us < membership.paid_until_us:
        anchor_us = membership.anchor_us
    span = fee.span(anchor_us, at_us)
    part = share(at_us, span) if is_prorated else Fraction(1)
    worth, included = fee.amount_nano * part, fee.included_nano * part
    return Bill(
        *(round(worth - unused), Span(at_us, span.end_us), round(worth), round(included)),
        *(anchor_us, _until_us(fee, anchor_us, span)),
    )


def _until_us(fee: Fee, anchor_us: int, span: Span) -> int:
    """When the credit ends that comes with a fee: with its time, or with a later one."""
    for _ in range(fee.included_lasts - 1):
        span = fee.span(anchor_us, span.end_us)
    return span.end_us


def _unused(membership: Membership, at_us: int, included_left_nano: int) -> Fraction:
    """What is left of a fee: as much as of its time, and no more than can be taken of its credit."""
    left = share(at_us, Span(membership.paid_from_us, membership.paid_until_us))
    if membership.included_nano:
        left = min(left, Fraction(included_left_nano, membership.included_nano))
    return membership.paid_nano * left


def is_paid_ahead(membership: Membership, at_us: int) -> bool:
    """Whether a fee was paid for a time far ahead, by a clock that was wrong."""
    return bool(membership.plan) and membership.paid_from_us > at_us + DAY_US
