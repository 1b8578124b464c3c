"""Plans: their fees, the credit that these include, and what changes as an account changes its plan."""

from fractions import Fraction

import pytest
from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Done, Grant, Granted, Refused, Result
from proxy.ledger.dues import NO_DUES, ChangePlan, Dues, Fee, Renew, TakeFee
from proxy.ledger.periods import month_since, months_after, period_at
from proxy.ledger.rows import Membership
from proxy.ledger.windows import DAY_US
from tests.ledger.desk import ACCOUNT, NOON_US, Desk

DEVELOPER = Dues(fee=Fee(29_000_000_000))
PRO = Dues(fee=Fee(49_000_000_000))
HOUR_US = DAY_US // 24
A_MONTH_LATER_US = months_after(NOON_US, 1)


def funded(nano: int = 100_000_000_000) -> Desk:
    desk = Desk()
    desk.grant(nano)
    return desk


def change(desk: Desk, group: str, dues: Dues, left: str | None = None) -> Result:
    desk.commands += 1
    before = desk.account.group if left is None else left
    return desk.do(ChangePlan(ACCOUNT, f"plan_{desk.commands}", group, dues, desk.now_us, before))


def changed(desk: Desk, group: str, dues: Dues) -> Membership:
    done = change(desk, group, dues)
    assert isinstance(done, Done), done
    assert done.membership is not None
    return done.membership


def renew(desk: Desk, group: str, dues: Dues) -> Membership:
    desk.commands += 1
    done = desk.do(Renew(ACCOUNT, f"dues_{desk.commands}", group, dues, desk.now_us))
    assert isinstance(done, Done)
    assert done.membership is not None
    return done.membership


def hold(desk: Desk, nano: int) -> None:
    granted = desk.do(replace(desk.ask(nano, call_id="call_a"), group=desk.account.group))
    assert isinstance(granted, Granted), granted


def fees(desk: Desk) -> list[int]:
    return [-entry.amount_nano for entry in desk.entries if entry.kind == "fee"]


# --- a fee and its month ---


def test_a_fee_is_taken_at_once_and_again_as_the_next_month_begins() -> None:
    desk = funded()
    member = changed(desk, "developer", DEVELOPER)
    assert desk.account.group == "developer"
    assert (member.plan, member.paid_from_us, member.paid_until_us) == (
        "developer",
        NOON_US,
        A_MONTH_LATER_US,
    )
    desk.now_us = A_MONTH_LATER_US - 1
    renew(desk, "developer", DEVELOPER)
    assert fees(desk) == [29_000_000_000]
    desk.now_us += 1
    member = renew(desk, "developer", DEVELOPER)
    renew(desk, "developer", DEVELOPER)
    assert fees(desk) == [29_000_000_000] * 2
    assert member.paid_until_us == months_after(NOON_US, 2)


def test_a_month_of_the_calendar_is_paid_for_from_the_day_of_joining() -> None:
    dues = Dues(fee=replace(PRO.fee or Fee(0), anchor="calendar"))
    desk, month = funded(), period_at("month", NOON_US)
    changed(desk, "pro", dues)
    share = Fraction(month.end_us - NOON_US, month.end_us - month.start_us)
    assert fees(desk) == [round(49_000_000_000 * share)]
    desk.now_us = month.end_us
    assert renew(desk, "pro", dues).paid_until_us == period_at("month", month.end_us).end_us
    assert fees(desk)[1:] == [49_000_000_000]


def test_months_that_are_over_are_not_asked_for() -> None:
    """When no process ran for months, only the present one is paid."""
    desk = funded()
    changed(desk, "developer", DEVELOPER)
    desk.now_us = months_after(NOON_US, 4) + HOUR_US
    assert renew(desk, "developer", DEVELOPER).paid_until_us == months_after(NOON_US, 5)
    assert len(fees(desk)) == 2


def test_a_fee_is_drawn_like_a_charge_also_from_the_credit_limit() -> None:
    desk = Desk(credit_limit_nano=20_000_000_000)
    desk.grant(10_000_000_000)
    changed(desk, "developer", DEVELOPER)
    assert (desk.account.balance_nano, desk.account.debt_nano) == (0, 19_000_000_000)


def test_what_calls_in_flight_were_promised_pays_no_fee() -> None:
    desk = funded(30_000_000_000)
    desk.hold(1_000_000_001, "call_a")
    refused = change(desk, "developer", DEVELOPER)
    assert isinstance(refused, Refused)
    figures = (refused.code, refused.required_nano, refused.available_nano)
    assert figures == ("request_exceeds_balance", 29_000_000_000, 28_999_999_999)
    assert (desk.account.group, fees(desk)) == ("", [])


def test_a_clock_that_was_far_ahead_takes_no_second_fee() -> None:
    desk = funded()
    desk.now_us += 3650 * DAY_US
    changed(desk, "developer", DEVELOPER)
    desk.now_us = NOON_US
    assert renew(desk, "developer", DEVELOPER).paid_until_us == period_at("month", NOON_US).end_us
    assert len(fees(desk)) == 1


# --- credit that is included ---


def test_included_credit_comes_with_the_fee_and_goes_with_its_month() -> None:
    dues = Dues(fee=replace(PRO.fee or Fee(0), included_nano=5_000_000_000, included_priority=7))
    desk = funded()
    changed(desk, "pro", dues)
    (lot,) = (lot for lot in desk.store.books.lots[ACCOUNT].values() if lot.kind == "plan")
    found = (lot.amount_nano, lot.priority, lot.expires_at_us)
    assert found == (5_000_000_000, 7, A_MONTH_LATER_US)
    desk.now_us = A_MONTH_LATER_US
    renew(desk, "pro", dues)
    assert desk.account.balance_nano == (100 - 2 * 49 + 5) * 10**9


def test_included_credit_dies_as_its_plan_is_left_but_for_what_calls_were_promised() -> None:
    dues = Dues(fee=Fee(49_000_000_000, included_nano=5_000_000_000, included_priority=1))
    desk = funded()
    changed(desk, "pro", dues)
    hold(desk, 2_000_000_000)
    changed(desk, "", NO_DUES)
    left = [lot.remaining_nano for lot in desk.store.books.lots[ACCOUNT].values() if lot.kind == "plan"]
    assert left == [2_000_000_000]
    assert desk.account.group == ""


@pytest.mark.parametrize(("held_nano", "back_nano"), [(49, 0), (24, 25), (0, 49)])
def test_nothing_is_given_back_for_included_credit_that_stays_for_calls_in_flight(
    held_nano: int, back_nano: int
) -> None:
    """Who leaves with calls in flight keeps their credit, whatever they come to, or the fee: not both."""
    desk = funded(49)
    changed(desk, "pro", Dues(fee=Fee(49, included_nano=49, included_priority=1)))
    if held_nano:
        hold(desk, held_nano)
    changed(desk, "", NO_DUES)
    kinds = {lot.kind: lot.remaining_nano for lot in desk.store.books.lots[ACCOUNT].values()}
    assert (kinds.get("plan", 0), kinds.get("refund", 0)) == (held_nano, back_nano)
    if held_nano:
        desk.void("call_a")
    assert desk.account.balance_nano == 49


def test_credit_that_a_plan_has_included_does_not_pay_for_the_next_one() -> None:
    desk = funded(49_000_000_000)
    changed(desk, "pro", Dues(fee=Fee(49_000_000_000, included_nano=40_000_000_000)))
    desk.now_us += 29 * DAY_US
    before = desk.store.snapshot()
    assert isinstance(change(desk, "other", Dues(fee=Fee(35_000_000_000, anchor="calendar"))), Refused)
    assert desk.store.snapshot() == before


# --- changes of plan ---


def test_an_upgrade_costs_the_difference_for_the_rest_of_the_month() -> None:
    desk = funded()
    changed(desk, "developer", DEVELOPER)
    desk.now_us += 10 * DAY_US + 7
    member = changed(desk, "pro", PRO)
    month = month_since(NOON_US, desk.now_us)
    share = Fraction(month.end_us - desk.now_us, month.end_us - month.start_us)
    assert fees(desk)[1:] == [round(20_000_000_000 * share)]
    assert (member.plan, member.paid_until_us) == ("pro", A_MONTH_LATER_US)
    desk.now_us = A_MONTH_LATER_US
    renew(desk, "pro", PRO)
    assert fees(desk)[2:] == [49_000_000_000]


def test_a_downgrade_gives_the_difference_back_for_the_rest_of_the_month() -> None:
    desk = funded()
    changed(desk, "pro", PRO)
    desk.now_us += 10 * DAY_US + 7
    changed(desk, "developer", DEVELOPER)
    share = Fraction(A_MONTH_LATER_US - desk.now_us, A_MONTH_LATER_US - NOON_US)
    (lot,) = (lot for lot in desk.store.books.lots[ACCOUNT].values() if lot.kind == "refund")
    assert lot.amount_nano == round(20_000_000_000 * share)
    assert len(fees(desk)) == 1


def test_who_leaves_at_once_has_paid_nothing_in_the_end() -> None:
    desk = funded()
    for group, dues in (("pro", PRO), ("developer", DEVELOPER), ("pro", PRO), ("", NO_DUES)):
        changed(desk, group, dues)
    assert desk.account.balance_nano == 100_000_000_000


def test_credit_that_was_used_is_not_paid_back() -> None:
    """Whoever uses up what a fee includes and leaves gets none of the fee back; with half of it, half."""
    for used_nano, back_nano in ((5_000_000_000, 0), (2_500_000_000, 24_500_000_000), (0, 49_000_000_000)):
        desk = funded()
        changed(desk, "pro", Dues(fee=Fee(49_000_000_000, included_nano=5_000_000_000, included_priority=1)))
        if used_nano:
            hold(desk, used_nano)
            desk.settle("call_a", used_nano)
        changed(desk, "", NO_DUES)
        assert desk.account.balance_nano == 51_000_000_000 + back_nano


def test_without_proration_a_dearer_plan_is_paid_in_full_and_a_cheaper_one_not_at_all() -> None:
    developer, pro = replace(DEVELOPER, is_prorated=False), replace(PRO, is_prorated=False)
    desk = funded()
    changed(desk, "developer", developer)
    desk.now_us += DAY_US
    changed(desk, "pro", pro)
    assert fees(desk) == [29_000_000_000, 49_000_000_000]
    for group, dues in (("developer", developer), ("pro", pro)):
        assert changed(desk, group, dues).paid_until_us == months_after(NOON_US + DAY_US, 1)
    assert len(fees(desk)) == 2
    changed(desk, "", replace(NO_DUES, is_prorated=False))
    assert desk.account.balance_nano == 22_000_000_000


def test_a_change_from_another_plan_than_the_accounts_is_a_conflict() -> None:
    desk = funded()
    assert isinstance(change(desk, "pro", PRO, left="developer"), Refused)
    changed(desk, "pro", PRO)
    assert isinstance(change(desk, "pro", PRO), Refused)
    assert len(fees(desk)) == 1


# --- who cannot pay ---


@pytest.mark.parametrize("falls_to", ["", "free"])
def test_who_cannot_pay_falls_to_another_group(falls_to: str) -> None:
    dues = Dues(fee=Fee(29_000_000_000, falls_to=falls_to))
    desk = funded(30_000_000_000)
    changed(desk, "developer", dues)
    desk.now_us = A_MONTH_LATER_US
    member = renew(desk, "developer", dues)
    assert (desk.account.group, member.group, member.due_us) == (falls_to, falls_to, 0)
    assert renew(desk, falls_to, NO_DUES).plan == ""
    assert len(fees(desk)) == 1


def test_a_fee_is_asked_for_again_while_there_is_grace() -> None:
    dues = Dues(fee=Fee(29_000_000_000, grace_us=3 * DAY_US))
    desk = funded(30_000_000_000)
    changed(desk, "developer", dues)
    desk.now_us = A_MONTH_LATER_US
    member = renew(desk, "developer", dues)
    assert (member.unpaid_us, member.due_us) == (A_MONTH_LATER_US, A_MONTH_LATER_US + 600_000_000)
    desk.now_us += 3 * DAY_US - 1
    renew(desk, "developer", dues)
    assert desk.account.group == "developer"
    desk.grant(40_000_000_000)
    member = renew(desk, "developer", dues)
    assert (member.unpaid_us, member.paid_until_us) == (0, months_after(NOON_US, 2))
    assert len(fees(desk)) == 2


def test_the_grace_ends() -> None:
    dues = Dues(fee=Fee(29_000_000_000, grace_us=3 * DAY_US))
    desk = funded(30_000_000_000)
    changed(desk, "developer", dues)
    desk.now_us = A_MONTH_LATER_US
    renew(desk, "developer", dues)
    desk.now_us += 3 * DAY_US
    renew(desk, "developer", dues)
    assert desk.account.group == ""


def test_an_operator_moves_an_account_and_what_is_due_follows() -> None:
    desk = funded()
    changed(desk, "pro", PRO)
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group="developer"))
    assert renew(desk, "developer", DEVELOPER).plan == "developer"
    assert desk.account.balance_nano == 71_000_000_000


# --- fees by themselves ---


def test_a_fee_is_taken_once_for_its_id() -> None:
    desk = funded(50)
    command = TakeFee(ACCOUNT, "fee_1", 30, "set up", NOON_US)
    first, again = desk.do(command), desk.do(replace(command, at_us=NOON_US + 5))
    assert isinstance(first, Done)
    assert isinstance(again, Done)
    assert (again.replayed, again.entry) == (True, first.entry)
    assert isinstance(desk.do(replace(command, amount_nano=9)), Refused)
    assert desk.account.balance_nano == 20


@pytest.mark.parametrize("amount_nano", [0, -1, 51])
def test_a_fee_that_cannot_be_changes_nothing(amount_nano: int) -> None:
    desk = funded(50)
    before = desk.store.snapshot()
    assert isinstance(desk.do(TakeFee(ACCOUNT, "fee_1", amount_nano, "set up", NOON_US)), Refused)
    assert desk.store.snapshot() == before


# --- years, what is left of included credit, and what ends with a plan ---


def left_of(desk: Desk, kind: str) -> list[int]:
    """What is left of the lots of a kind, the oldest first."""
    lots = sorted(desk.store.books.lots[ACCOUNT].values(), key=lambda lot: lot.granted_at_us)
    return [lot.remaining_nano for lot in lots if lot.kind == kind and lot.remaining_nano]


def test_a_year_is_paid_at_once_and_its_rest_given_back() -> None:
    desk = funded(365)
    member = changed(desk, "pro", Dues(fee=Fee(365, months=12)))
    assert (member.paid_from_us, member.paid_until_us) == (NOON_US, months_after(NOON_US, 12))
    desk.now_us = NOON_US + (member.paid_until_us - NOON_US) // 5
    renew(desk, "pro", Dues(fee=Fee(365, months=12)))
    changed(desk, "", NO_DUES)
    assert (fees(desk), left_of(desk, "refund")) == ([365], [292])


def test_a_year_of_the_calendar_begins_in_january() -> None:
    desk = funded(1_000)
    dues = Dues(fee=Fee(366, "calendar", months=12))
    member = changed(desk, "pro", dues)
    ends_us = month_since(0, NOON_US, 12).end_us
    assert member.paid_until_us == ends_us
    assert fees(desk) == [
        round(Fraction(366 * (ends_us - NOON_US), ends_us - month_since(0, NOON_US, 12)[0]))
    ]


def test_what_is_left_of_included_credit_goes_into_the_next_months_up_to_a_bound() -> None:
    """Of each for as many months as it lasts; a fee brings no more than fits."""
    fee = Fee(0, included_nano=100, included_priority=1, included_lasts=3, included_most_nano=250)
    desk, seen = funded(1_000), []
    changed(desk, "pro", Dues(fee=fee))
    for month in range(1, 6):
        seen.append(left_of(desk, "plan"))
        desk.now_us = months_after(NOON_US, month)
        renew(desk, "pro", Dues(fee=fee))
    assert seen == [[100], [100, 100], [100, 100, 50], [100, 50, 100], [50, 100, 100]]
    changed(desk, "", NO_DUES)
    assert left_of(desk, "plan") == []


@pytest.mark.parametrize(("funds_nano", "held_nano"), [(120, 0), (140, 30), (140, 110), (141, 150)])
def test_credit_that_a_plan_includes_pays_for_calls_and_for_no_fee(funds_nano: int, held_nano: int) -> None:
    """Nor for that of its own plan in a month to which it rolls over, or for what is missing to a minimum."""
    fee = Fee(60, included_nano=100, included_priority=1, included_lasts=3, grace_us=DAY_US)
    desk = funded(funds_nano)
    changed(desk, "pro", Dues(fee=fee))
    if held_nano:
        hold(desk, held_nano)
    desk.now_us = months_after(NOON_US, 1)
    member = renew(desk, "pro", Dues(fee=fee))
    # What calls were promised beyond the included credit is not there for the fee either.
    left_nano = funds_nano - 60 - max(0, held_nano - 100)
    assert (fees(desk), member.unpaid_us) == (([60, 60], 0) if left_nano >= 60 else ([60], desk.now_us))
    assert left_of(desk, "plan") == ([100, 100] if left_nano >= 60 else [100])
    asked = TakeFee(ACCOUNT, "minimum", 100, "a minimum", desk.now_us)
    refused = desk.do(asked)
    assert isinstance(refused, Refused)
    left_nano = funds_nano - sum(fees(desk)) - max(0, held_nano - sum(left_of(desk, "plan")))
    code = "request_exceeds_balance" if left_nano else "credit_balance_exhausted"
    assert (refused.code, refused.available_nano) == (code, left_nano)


def test_what_ends_with_a_plan_goes_as_it_is_left_but_for_what_calls_were_promised() -> None:
    """Whoever moves the account, and however; it pays no fee of the plan that comes."""
    ends = (("pro", ("bonus",)),)
    desk = funded(50)
    changed(desk, "pro", Dues(fee=Fee(50)))
    for amount_nano, kind in ((100, "bonus"), (7, "gift")):
        desk.do(Grant(ACCOUNT, kind, f"lot_{kind}", amount_nano, desk.now_us, kind, 1))
    assert isinstance(change(desk, "other", Dues(fee=Fee(58), ends=ends)), Refused)
    changed(desk, "third", Dues(fee=Fee(50)))
    assert left_of(desk, "bonus") == [100]
    changed(desk, "pro", Dues(fee=Fee(50)))
    hold(desk, 30)
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group=""))
    assert left_of(desk, "bonus") == [100]
    renew(desk, "", Dues(ends=ends))
    assert (left_of(desk, "bonus"), left_of(desk, "gift")) == ([30], [7])
