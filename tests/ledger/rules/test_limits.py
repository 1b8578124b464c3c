"""Which limit is named when funds are short, with the figures that decided it."""

import pytest
from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Granted, Refused
from proxy.ledger.refusals import refusal
from proxy.ledger.rows import NO_LIMIT, Limits
from proxy.ledger.rules.throttles import RETRY_US
from proxy.ledger.windows import DAY_US, ends_us
from tests.ledger.desk import ACCOUNT, NOON_US, Desk

TODAY = NOON_US // DAY_US
MIDNIGHT_US = (TODAY + 1) * DAY_US


def figures(refused: Refused) -> tuple[int | None, ...]:
    """Limit, spent, held, required, available."""
    return (
        refused.limit_nano,
        refused.spent_nano,
        refused.held_nano,
        refused.required_nano,
        refused.available_nano,
    )


def test_an_empty_balance_says_that_it_is_used_up() -> None:
    desk = Desk()
    refused = desk.refuse(desk.ask(5, floor_nano=3))
    assert (refused.code, refused.limit_source) == ("credit_balance_exhausted", "balance")
    assert figures(refused) == (None, None, 0, 3, 0)
    assert (refused.resets_at_us, refused.retry_after_us) == (None, None)


def test_a_balance_below_the_floor_says_what_is_left() -> None:
    desk = Desk()
    desk.grant(2_000_000_000)
    refused = desk.refuse(desk.ask(5_000_000_000))
    assert (refused.code, refused.limit_source) == ("request_exceeds_balance", "balance")
    assert figures(refused) == (None, None, 0, 5_000_000_000, 2_000_000_000)
    assert "2.00 USD are left" in refused.message
    assert "5.00 USD" in refused.message


def test_what_calls_in_flight_hold_may_fit_soon() -> None:
    desk = Desk()
    desk.grant(10)
    desk.hold(8, "call")
    refused = desk.refuse(desk.ask(3))
    assert (refused.code, refused.limit_source) == ("in_flight_budget_exhausted", "balance")
    assert figures(refused) == (None, None, 8, 3, 2)
    assert refused.retry_after_us == RETRY_US
    assert desk.refuse(desk.ask(11)).code == "request_exceeds_balance"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("day", "daily_limit_exceeded"),
        ("week", "weekly_limit_exceeded"),
        ("month", "monthly_limit_exceeded"),
        ("total", "total_limit_exceeded"),
    ],
)
@pytest.mark.parametrize("scope", ["account", "key"])
def test_a_spending_limit_tells_what_was_spent_and_when_it_resets(name: str, code: str, scope: str) -> None:
    desk = Desk()
    desk.grant(1000)
    limits = replace(Limits(), **{f"{name}_nano": 50})
    (desk.limit_account if scope == "account" else desk.limit_key)(limits)
    desk.hold(40, "spent")
    desk.settle("spent", 40)
    desk.hold(4, "held")
    refused = desk.refuse(desk.ask(11))
    assert refused.code == (code if scope == "account" else "key_limit_exceeded")
    assert refused.limit_source == f"{scope}_{name}"
    assert figures(refused) == (50, 40, 4, 11, 6)
    ends = {"day": TODAY + 1, "week": TODAY + 3, "month": TODAY + 28}
    assert refused.resets_at_us == (ends[name] * DAY_US if name in ends else None)
    assert ("It resets at 2024-1" in refused.message) == (name != "total")
    flying = desk.refuse(desk.ask(10))
    assert (flying.code, flying.limit_source) == ("in_flight_budget_exhausted", f"{scope}_{name}")
    assert isinstance(desk.do(desk.ask(6)), Granted)


def test_the_room_is_the_least_of_all_that_applies() -> None:
    desk = Desk(limits=Limits(day_nano=70, month_nano=60))
    desk.grant(100)
    desk.limit_key(Limits(week_nano=30, total_nano=40))
    assert desk.do(desk.ask(500, floor_nano=1)) == Granted(30, 70)


def test_the_tightest_limit_is_to_blame() -> None:
    desk = Desk(limits=Limits(day_nano=20))
    desk.grant(30)
    desk.limit_key(Limits(day_nano=10))
    assert desk.refuse(desk.ask(31)).limit_source == "key_day"
    desk.limit_key(Limits(day_nano=25))
    assert desk.refuse(desk.ask(31)).limit_source == "account_day"
    desk.limit_account(Limits(day_nano=28))
    desk.limit_key(Limits(day_nano=29))
    desk.adjust(-20)
    assert desk.refuse(desk.ask(31)).limit_source == "balance"


def test_no_retry_is_promised_while_another_limit_would_refuse_it_anyway() -> None:
    """The balance is tighter, but what holds it will be freed; the day's limit would still be too low."""
    desk = Desk(limits=Limits(day_nano=50))
    desk.grant(100)
    desk.hold(45, "call")
    desk.limit_account(Limits(day_nano=30))
    refused = desk.refuse(desk.ask(40))
    assert (refused.code, refused.retry_after_us) == ("daily_limit_exceeded", None)
    assert refused.available_nano == 0


def test_credit_counts_as_funds() -> None:
    desk = Desk(credit_limit_nano=10)
    assert desk.do(desk.ask(10, call_id="call")) == Granted(10, 0)
    desk.settle("call", 10)
    refused = desk.refuse(desk.ask(1))
    assert (refused.code, desk.account.debt_nano) == ("credit_balance_exhausted", 10)


def test_raising_the_daily_limit_takes_effect_at_once() -> None:
    desk = Desk(limits=Limits(day_nano=10))
    desk.grant(100)
    desk.hold(10, "call")
    desk.settle("call", 10)
    assert desk.refuse(desk.ask(5)).code == "daily_limit_exceeded"
    desk.limit_account(Limits(day_nano=15))
    assert isinstance(desk.do(desk.ask(5)), Granted)


def test_a_limit_lowered_below_what_is_spent_refuses_until_the_window_ends() -> None:
    desk = Desk()
    desk.grant(100)
    desk.hold(10, "call")
    desk.settle("call", 10)
    desk.limit_account(Limits(day_nano=5))
    refused = desk.refuse(desk.ask(1))
    assert (refused.code, refused.available_nano) == ("daily_limit_exceeded", 0)
    desk.now_us = MIDNIGHT_US - 1
    assert desk.refuse(desk.ask(1)).resets_at_us == MIDNIGHT_US
    desk.now_us = MIDNIGHT_US
    assert desk.do(desk.ask(9, floor_nano=1)) == Granted(5, 85)


def test_thirty_seven_calls_fit_in_a_daily_limit_of_thirty_seven() -> None:
    desk = Desk(limits=Limits(day_nano=37 * 1_000))
    desk.grant(10**9)
    results = desk.store.commit([desk.ask(1_000) for _ in range(200)])
    assert sum(isinstance(result, Granted) for result in results) == 37
    day = desk.store.books.bucket("account_1", "day", TODAY)
    assert (day.spent_nano, day.held_nano) == (0, 37_000)


def test_a_refusal_is_told_in_dollars_and_seconds() -> None:
    desk = Desk(limits=Limits(day_nano=10_000_000_000))
    desk.grant(50_000_000_000)
    desk.hold(9_000_000_000, "call")
    error = refusal(desk.refuse(desk.ask(1_500_000_000)))
    assert error.code == "in_flight_budget_exhausted"
    assert error.kind.status == 402
    assert error.headers == {"Retry-After": "1"}
    assert error.details == {
        "limit_source": "account_day",
        "limit": "10.00",
        "spent": "0.00",
        "held": "9.00",
        "required": "1.50",
        "available": "1.00",
        "currency": "USD",
        "resets_at": "2024-10-05T00:00:00Z",
    }


def test_a_refusal_without_figures_tells_none() -> None:
    error = refusal(Refused("account_suspended", "The account is suspended."))
    assert (error.details, error.headers) == ({}, {})


def test_windows_end_where_the_next_begins() -> None:
    assert ends_us("day", TODAY) == MIDNIGHT_US
    assert ends_us("total", 0) is None


@pytest.mark.parametrize(("operators", "own", "least"), [(100, 60, 60), (60, 100, 60), (None, 60, 60)])
def test_of_the_operators_limit_for_a_day_and_the_accounts_own_the_lower_holds(
    operators: int | None, own: int, least: int
) -> None:
    """Neither changes the other, and what is lifted is the account's own alone."""
    desk = Desk(limits=Limits(day_nano=operators))
    desk.grant(1_000)
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, own_day_nano=own))
    refused = desk.refuse(desk.ask(least + 1))
    assert (refused.code, refused.limit_nano) == ("daily_limit_exceeded", least)
    desk.limit_account(Limits(day_nano=operators, rpm=600))
    assert desk.account.limits == Limits(day_nano=operators, rpm=600, own_day_nano=own)
    assert desk.refuse(desk.ask(least + 1)).limit_nano == least
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, own_day_nano=NO_LIMIT))
    assert desk.account.limits == Limits(day_nano=operators, rpm=600)


def test_an_account_may_spend_nothing_that_it_denies_itself() -> None:
    desk = Desk()
    desk.grant(1_000)
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, own_day_nano=0))
    assert desk.refuse(desk.ask(1)).code == "daily_limit_exceeded"
