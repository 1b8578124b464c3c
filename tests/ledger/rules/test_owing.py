"""What a call costs beyond its hold and all funds is forgiven, or owed: as the command says."""

import pytest

from proxy.ledger.commands import ChangeAccount, Done, Settled
from tests.ledger.desk import ACCOUNT, Desk


@pytest.fixture
def desk() -> Desk:
    """An account of 100 with a call that holds 30, and one that holds 60."""
    desk = Desk()
    desk.grant(100)
    desk.hold(30, "call")
    desk.hold(60, "other")
    return desk


def test_what_is_owed_is_charged_and_is_debt(desk: Desk) -> None:
    """All of the charge is an entry of the books, and the receipt says what of it no funds covered."""
    assert desk.owe("call", 145) == Settled(145, 0, 60, -105, owed_nano=105)
    receipt, entry = desk.receipts[-1], desk.entries[-1]
    assert (receipt.charged_nano, receipt.shortfall_nano, receipt.owed_nano) == (145, 0, 105)
    assert (entry.amount_nano, entry.balance_after_nano, entry.debt_after_nano) == (-145, 60, 105)
    assert (desk.account.owed_nano, desk.account.debt_nano, desk.account.whole_debt_nano) == (105, 0, 105)


def test_what_other_calls_were_promised_is_not_taken(desk: Desk) -> None:
    desk.owe("call", 145)
    assert desk.settle("other", 60) == Settled(60, 0, 0, -105)


def test_nothing_more_is_let_through_while_it_is_owed(desk: Desk) -> None:
    """Also not with funds that a call has given back: they are set against it."""
    desk.owe("call", 100)
    desk.void("other")
    assert (desk.account.balance_nano, desk.account.available_nano) == (60, 0)
    refused = desk.refuse(desk.ask(1, call_id="next"))
    assert (refused.code, refused.available_nano) == ("credit_balance_exhausted", 0)


def test_a_call_takes_free_funds_before_it_owes(desk: Desk) -> None:
    desk.owe("call", 100)
    desk.hold(0, "free")
    desk.void("other")
    assert desk.owe("free", 70) == Settled(70, 0, 0, -70, owed_nano=10)


@pytest.mark.parametrize(("granted", "owed", "balance"), [(50, 55, 60), (105, 0, 60), (150, 0, 105)])
def test_the_next_grant_repays_it(desk: Desk, granted: int, owed: int, balance: int) -> None:
    desk.owe("call", 145)
    result = desk.grant(granted, lot_id="more")
    assert isinstance(result, Done)
    assert (desk.account.owed_nano, desk.account.balance_nano) == (owed, balance)
    assert desk.entries[-1].debt_after_nano == owed


def test_an_operator_can_let_it_go_by_a_correction(desk: Desk) -> None:
    desk.owe("call", 145)
    desk.adjust(105)
    assert (desk.account.owed_nano, desk.account.available_nano) == (0, 0)


def test_it_is_owed_beyond_the_credit_limit_and_repaid_before_what_was_drawn_of_it() -> None:
    """So that the limit means the same with it, and a grant lets calls through as soon as it can."""
    desk = Desk(credit_limit_nano=50)
    desk.grant(10)
    desk.hold(40, "call")
    assert desk.owe("call", 75) == Settled(75, 0, 0, -15, owed_nano=15)
    assert (desk.account.debt_nano, desk.account.owed_nano) == (50, 15)
    desk.grant(20, lot_id="more")
    assert (desk.account.debt_nano, desk.account.owed_nano, desk.account.available_nano) == (45, 0, 5)
    assert desk.hold(5, "next").hold_nano == 5


def test_a_higher_credit_limit_lets_calls_through_again(desk: Desk) -> None:
    desk.owe("call", 145)
    assert isinstance(desk.do(ChangeAccount(ACCOUNT, desk.now_us, credit_limit_nano=110)), Done)
    assert desk.account.available_nano == 5


def test_a_call_that_is_recovered_owes_as_one_that_is_settled() -> None:
    desk = Desk()
    desk.grant(10)
    desk.hold(10, "call")
    desk.observe("call", 25)
    result = desk.do(desk.recovery("call", "owe"))
    assert result == Settled(25, 0, 0, -15, owed_nano=15)


def test_closing_it_again_owes_nothing_more(desk: Desk) -> None:
    desk.owe("call", 145)
    result = desk.owe("call", 900)
    assert isinstance(result, Settled)
    assert (result.replayed, desk.account.owed_nano, len(desk.receipts)) == (True, 105, 1)


def test_credit_expires_whatever_is_owed() -> None:
    """A lot keeps what calls in flight were promised of it, and no more for a debt."""
    desk = Desk()
    desk.grant(100, lives_us=5)
    desk.hold(10, "call")
    desk.hold(80, "other")
    desk.owe("call", 60)
    desk.void("other")
    desk.now_us += 9
    desk.sweep()
    assert (desk.account.balance_nano, desk.account.owed_nano, desk.account.available_nano) == (0, 40, -40)
