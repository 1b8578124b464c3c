"""The group of an account: a call that was priced for another one is not held for."""

from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Granted, OpenAccount, Regrouped
from proxy.ledger.rows import Limits
from tests.ledger.desk import ACCOUNT, NOON_US, Desk


def test_an_account_is_in_the_group_that_it_was_put_in_last() -> None:
    desk = Desk()
    desk.do(OpenAccount("account_2", "Another", NOON_US, group="vip"))
    assert (desk.account.group, desk.store.books.accounts["account_2"].group) == ("", "vip")
    desk.do(ChangeAccount(ACCOUNT, NOON_US, group="beta"))
    desk.do(ChangeAccount(ACCOUNT, NOON_US, name="Still in it"))
    assert desk.account.group == "beta"
    desk.do(ChangeAccount(ACCOUNT, NOON_US, group=""))
    assert desk.account.group == ""


def test_a_call_of_another_group_leaves_no_trace_and_learns_the_accounts() -> None:
    """Whatever it costs, and however short the funds: prices and limits may be others."""
    desk = Desk()
    desk.do(ChangeAccount(ACCOUNT, NOON_US, group="vip"))
    for ceiling_nano in (0, 5):
        before = desk.store.snapshot()
        assert desk.do(desk.ask(ceiling_nano, call_id="call")) == Regrouped("vip")
        assert desk.store.snapshot() == before
    desk.grant(10)
    assert desk.do(replace(desk.ask(5, call_id="call"), group="vip")) == Granted(5, 5)


def test_who_may_not_call_is_told_that_first() -> None:
    desk = Desk()
    desk.do(ChangeAccount(ACCOUNT, NOON_US, group="vip", status="suspended"))
    assert desk.refuse(desk.ask(5)).code == "account_suspended"


def test_a_call_that_is_held_for_is_repeated_and_extended_after_a_change() -> None:
    """It keeps the group that it was let through with."""
    desk = Desk()
    desk.grant(100)
    command = desk.ask(5, call_id="call")
    assert desk.do(command) == Granted(5, 95)
    desk.do(ChangeAccount(ACCOUNT, NOON_US, group="vip"))
    assert desk.do(command) == Granted(5, 95)
    assert desk.extend("call", 7) == Granted(12, 88)
    limited = replace(desk.extension("call", 7), defaults=Limits(total_nano=12))
    assert desk.refuse(limited).code == "in_flight_budget_exhausted"
