"""When an account is topped up by itself: every guard alone, to the microsecond and the nano-dollar."""

import pytest

from proxy.billing.automatic import Past, wanted
from proxy.billing.offers import NANO_PER_CENT, Payments
from proxy.ledger.top_up_rows import AutoTopUp, TopUp, TopUpState

NOW_US = 20_000 * 86_400_000_000
MINUTE_US = 60_000_000
USD = 10**9
PAYMENTS = Payments(least_nano=10 * USD)
AUTO = AutoTopUp("acct_1", "on", 5 * USD, 20 * USD, daily_nano=100 * USD)


def made(
    minutes_ago: int,
    state: TopUpState = "succeeded",
    *,
    closed: int | None = None,
    id_: str = "t1",
    waits_us: int = 1,
) -> TopUp:
    """One that waits for so long from now on if it is pending."""
    at_us = NOW_US - minutes_ago * MINUTE_US
    closed_at_us = NOW_US - (minutes_ago if closed is None else closed) * MINUTE_US
    figures = (2_000, 0, 20 * USD, 0, 0, at_us, NOW_US + waits_us)
    return TopUp("acct_1", id_, "stripe", "automatic", "", *figures, state=state, closed_at_us=closed_at_us)


NO_PAST = Past()


def buys(auto: AutoTopUp, funds_nano: int, past: Past = NO_PAST) -> int | None:
    found = wanted(auto, funds_nano, past, PAYMENTS, NOW_US)
    return found.amount_nano if found else None


def test_funds_at_the_threshold_are_low_and_a_nano_dollar_above_they_are_not() -> None:
    assert buys(AUTO, 5 * USD) == 20 * USD
    assert buys(AUTO, 5 * USD + 1) is None
    assert buys(AutoTopUp("acct_1", "off", 5 * USD, 20 * USD), 0) is None


def test_a_target_buys_what_is_missing_in_whole_cents_and_no_less_than_is_sold() -> None:
    auto = AutoTopUp("acct_1", "on", 5 * USD, 0, 50 * USD)
    assert buys(auto, 3 * USD) == 47 * USD
    assert buys(auto, 3 * USD + 1) == 47 * USD
    assert buys(auto, 3 * USD - 1) == 47 * USD + NANO_PER_CENT
    assert buys(auto, -20 * USD) == 70 * USD
    assert buys(AutoTopUp("acct_1", "on", 5 * USD, 0, 6 * USD), 5 * USD) == 10 * USD


@pytest.mark.parametrize(
    ("past", "is_bought"),
    [
        (made(1, "pending"), False),
        (made(10_000, "pending"), False),
        (made(10_000, "pending", waits_us=0), True),
        (made(9), False),
        (made(10), True),
        (made(59, "failed"), False),
        (made(70, "failed", closed=59), False),
        (made(60, "failed"), True),
        (made(10, "expired"), True),
    ],
)
def test_one_is_in_flight_and_the_next_waits(past: TopUp, is_bought: bool) -> None:
    """Ten minutes after one that was paid, an hour after one declined, and not for one that has expired."""
    assert (buys(AUTO, 0, Past([past])) is not None) is is_bought


@pytest.mark.parametrize(
    ("daily", "monthly", "day", "month", "is_bought"),
    [
        (100, 0, 80, 80, True),
        (100, 0, 81, 81, False),
        (0, 100, 0, 80, True),
        (0, 100, 0, 81, False),
        (0, 0, 999, 999, True),
    ],
)
def test_a_day_and_a_month_have_bounds(
    daily: int, monthly: int, day: int, month: int, is_bought: bool
) -> None:
    figures = (5 * USD, 20 * USD, 0, daily * USD, monthly * USD)
    past = Past([made(100)], day * USD, month * USD)
    assert (buys(AutoTopUp("acct_1", "on", *figures), 0, past) is not None) is is_bought


def test_two_processes_that_want_it_at_once_want_the_same_and_the_next_is_another() -> None:
    first = wanted(AUTO, 0, Past([made(20)]), PAYMENTS, NOW_US)
    again = wanted(AUTO, 1, Past([made(20)]), PAYMENTS, NOW_US + 5)
    later = wanted(AUTO, 0, Past([made(20, id_="t2"), made(40)]), PAYMENTS, NOW_US)
    assert first is not None
    assert again is not None
    assert later is not None
    assert first.key == again.key != later.key


def test_three_in_a_row_as_fast_as_they_may_be_are_a_burst() -> None:
    fast = wanted(AUTO, 0, Past([made(10), made(20, id_="t0")]), PAYMENTS, NOW_US)
    slow = wanted(AUTO, 0, Past([made(10), made(31, id_="t0")]), PAYMENTS, NOW_US)
    assert fast is not None
    assert slow is not None
    assert (fast.is_burst, slow.is_burst) == (True, False)
