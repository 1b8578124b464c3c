"""When an account is topped up by itself, and by how much: pure, so that every guard can be tried alone."""

from collections.abc import Sequence
from typing import Final

import msgspec

from proxy.billing.offers import NANO_PER_CENT, Payments
from proxy.ledger.top_up_rows import AutoTopUp, TopUp

BURST: Final = 3
"""So many in a row, each as soon as the one before let it, are worth a warning: something spends fast."""
BURST_COOL_DOWNS: Final = 3
"""In the time of how many cool-downs they are a burst."""


class Past(msgspec.Struct, frozen=True):
    """The newest automatic top-ups of an account, newest first, and what they bought this day and month."""

    newest: Sequence[TopUp] = ()
    day_nano: int = 0
    month_nano: int = 0


class Wanted(msgspec.Struct, frozen=True):
    """An automatic top-up to open: its amount, and the key under which it is opened once.

    The key follows from the one before, so that two processes that want it at once open one.
    """

    amount_nano: int
    key: str
    is_burst: bool = False


def wanted(auto: AutoTopUp, funds_nano: int, past: Past, payments: Payments, now_us: int) -> Wanted | None:
    """What to buy for an account with these funds, pending top-ups among them; None for nothing now.

    One is in flight at a time, until it expires: opening the next closes it. The next waits for a cool-down,
    and longer after one that was declined.
    """
    if auto.state != "on" or funds_nano > auto.threshold_nano or _is_waiting(past, payments, now_us):
        return None
    amount_nano = _whole_cents(auto.amount_nano or auto.target_nano - funds_nano)
    amount_nano = min(max(amount_nano, payments.least_nano), payments.most_nano)
    bounds = ((auto.daily_nano, past.day_nano), (auto.monthly_nano, past.month_nano))
    if any(bound and bought + amount_nano > bound for bound, bought in bounds):
        return None
    last = past.newest[0].id if past.newest else "none"
    return Wanted(amount_nano, f"automatic after {last}", is_burst=_is_burst(past, payments, now_us))


def _is_waiting(past: Past, payments: Payments, now_us: int) -> bool:
    if not past.newest:
        return False
    last = past.newest[0]
    if last.state == "pending" and now_us < last.expires_at_us:
        return True
    if last.state == "failed" and now_us < last.closed_at_us + payments.back_off_us:
        return True
    return now_us < last.created_at_us + payments.cool_down_us


def _is_burst(past: Past, payments: Payments, now_us: int) -> bool:
    since_us = now_us - BURST_COOL_DOWNS * payments.cool_down_us
    return sum(each.created_at_us >= since_us for each in past.newest) >= BURST - 1


def _whole_cents(nano: int) -> int:
    return -(-nano // NANO_PER_CENT) * NANO_PER_CENT
