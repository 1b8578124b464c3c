"""Commitments: what was not spent of a month's minimum is a fee, once for each account and month."""

from fractions import Fraction

from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Done, Granted
from proxy.ledger.dues import NO_DUES, Dues, Renew
from proxy.ledger.periods import months_after, period_at
from proxy.ledger.rows import Membership
from proxy.ledger.windows import DAY_US
from tests.ledger.desk import ACCOUNT, NOON_US, Desk

MONTH = period_at("month", NOON_US)
DUES = Dues(minimum_nano=1_000)
FIRST_NANO = round(Fraction(1_000 * (MONTH.end_us - NOON_US), MONTH.end_us - MONTH.start_us))


def bound(credit_nano: int = 100_000, dues: Dues = DUES) -> Desk:
    """An account that has joined, which somebody has seen to."""
    desk = Desk(credit_limit_nano=credit_nano)
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group="bound"))
    renew(desk, dues)
    return desk


def renew(desk: Desk, dues: Dues = DUES) -> Membership:
    desk.commands += 1
    done = desk.do(Renew(ACCOUNT, f"dues_{desk.commands}", "bound", dues, desk.now_us))
    assert isinstance(done, Done)
    assert done.membership is not None
    return done.membership


def spend(desk: Desk, nano: int) -> None:
    desk.commands += 1
    call_id = f"call_{desk.commands}"
    granted = desk.do(replace(desk.ask(nano, call_id=call_id), group="bound"))
    assert isinstance(granted, Granted)
    desk.settle(call_id, nano)


def fees(desk: Desk) -> list[int]:
    return [-entry.amount_nano for entry in desk.entries if entry.kind == "fee"]


def test_what_was_not_spent_is_taken_once_as_the_month_is_over() -> None:
    desk = bound()
    spend(desk, 100)
    assert renew(desk).due_us <= MONTH.end_us
    assert fees(desk) == []
    desk.now_us = MONTH.end_us
    assert renew(desk).settled_us == MONTH.end_us
    renew(desk)
    assert fees(desk) == [FIRST_NANO - 100]


def test_a_month_in_which_enough_was_spent_costs_no_more() -> None:
    desk = bound()
    spend(desk, 1_000)
    desk.now_us = MONTH.end_us
    renew(desk)
    assert fees(desk) == []


def test_without_proration_the_month_of_joining_has_no_minimum() -> None:
    dues = replace(DUES, is_prorated=False)
    desk = bound(dues=dues)
    desk.now_us = MONTH.end_us
    renew(desk, dues)
    assert fees(desk) == []
    desk.now_us = months_after(MONTH.start_us, 2)
    renew(desk, dues)
    assert fees(desk) == [1_000]


def test_months_that_were_missed_are_settled_up_to_three() -> None:
    desk = bound()
    renew(desk)
    desk.now_us = months_after(MONTH.start_us, 6)
    renew(desk)
    assert fees(desk) == [1_000] * 3


def test_a_month_waits_for_its_calls_in_flight_for_two_days() -> None:
    desk = bound()
    desk.do(replace(desk.ask(700, call_id="call_a"), group="bound"))
    desk.now_us = MONTH.end_us
    assert renew(desk).due_us == MONTH.end_us + 600_000_000
    desk.settle("call_a", 700)
    renew(desk)
    assert fees(desk) == [FIRST_NANO - 700]
    desk.do(replace(desk.ask(700, call_id="call_b"), group="bound"))
    desk.now_us = months_after(MONTH.start_us, 2) + 2 * DAY_US
    renew(desk)
    assert fees(desk)[1:] == [1_000]


def test_a_minimum_that_is_new_asks_for_no_month_that_is_over() -> None:
    """Also one that there was before, and has not been for a while."""
    desk = bound(dues=NO_DUES)
    desk.now_us = months_after(MONTH.start_us, 4) + DAY_US
    renew(desk)
    renew(desk, NO_DUES)
    desk.now_us = months_after(MONTH.start_us, 7)
    renew(desk)
    assert fees(desk) == []
    desk.now_us = months_after(MONTH.start_us, 8)
    renew(desk)
    assert fees(desk) == [1_000]


def test_what_the_funds_do_not_pay_is_asked_for_again() -> None:
    desk = bound(0)
    desk.now_us = MONTH.end_us
    found = renew(desk)
    assert (found.settled_us, found.due_us) == (MONTH.start_us, MONTH.end_us + 600_000_000)
    desk.grant(5_000)
    assert renew(desk).settled_us == MONTH.end_us
    assert fees(desk) == [FIRST_NANO]


def test_a_clock_that_was_ahead_takes_no_month_twice() -> None:
    desk = bound()
    desk.now_us = months_after(MONTH.start_us, 5)
    renew(desk)
    taken = len(fees(desk))
    desk.now_us = MONTH.end_us
    renew(desk)
    for months in range(2, 6):
        desk.now_us = months_after(MONTH.start_us, months)
        renew(desk)
        renew(desk)
    assert len(fees(desk)) == taken + 1
