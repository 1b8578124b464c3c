"""Which credit is drawn first, what expires, and what open holds keep from expiring."""

import pytest
from msgspec.structs import replace

from proxy.ledger.commands import Adjust, Done, Grant, Granted, Settled
from proxy.ledger.rows import NEVER_US, Draw
from proxy.ledger.rules import lots
from tests.ledger.desk import ACCOUNT, NOON_US, Desk


def drawn(desk: Desk, amount_nano: int) -> list[str]:
    """The lots that a charge of `amount_nano` draws, in order."""
    call_id = desk.next_id("call")
    desk.hold(amount_nano, call_id)
    desk.settle(call_id, amount_nano)
    return [draw.lot_id for draw in desk.entries[-1].draws]


def expired(desk: Desk) -> dict[str, int]:
    """What has expired of each lot."""
    return {entry.ref: -entry.amount_nano for entry in desk.entries if entry.kind == "expire"}


def test_lots_are_drawn_by_priority_then_expiry_then_age_then_id() -> None:
    desk = Desk()
    desk.grant(1, lot_id="d_newer", lives_us=100)
    desk.now_us -= 5
    desk.grant(1, lot_id="c_older", lives_us=105)
    desk.grant(1, lot_id="b_same", lives_us=105)
    desk.now_us += 5
    desk.grant(1, lot_id="e_never")
    desk.grant(1, lot_id="a_last", priority=51, lives_us=1)
    desk.grant(1, lot_id="f_first", priority=49)
    assert drawn(desk, 6) == ["f_first", "b_same", "c_older", "d_newer", "e_never", "a_last"]


def test_batches_of_equal_validity_are_used_first_in_first_out() -> None:
    desk = Desk()
    for day in range(3):
        desk.grant(10, lot_id=f"day_{day}", lives_us=30)
        desk.now_us += 1
    assert drawn(desk, 15) == ["day_0", "day_1"]
    assert desk.left() == {"day_1": 5, "day_2": 10}


def test_a_lots_draws_sum_to_what_remains_of_it() -> None:
    desk = Desk()
    desk.grant(10, lot_id="lot", lives_us=5)
    drawn(desk, 3)
    desk.adjust(-1)
    desk.now_us += 5
    desk.sweep()
    assert [entry.draws for entry in desk.entries] == [
        (Draw("lot", 10),),
        (Draw("lot", -3),),
        (Draw("lot", -1),),
        (Draw("lot", -6),),
    ]


def test_a_due_lot_expires_with_an_entry_of_its_own() -> None:
    desk = Desk()
    desk.grant(10, lot_id="a", lives_us=5)
    desk.grant(20, lot_id="b", lives_us=6)
    desk.grant(30, lot_id="c")
    desk.now_us += 4
    desk.sweep()
    assert (expired(desk), desk.account.next_expiry_us) == ({}, NOON_US + 5)
    desk.now_us += 2
    assert desk.sweep() == Done(desk.account)
    assert (expired(desk), desk.left()) == ({"a": 10, "b": 20}, {"c": 30})
    assert (desk.account.balance_nano, desk.account.next_expiry_us) == (30, NEVER_US)


def test_sweeping_twice_is_sweeping_once() -> None:
    desk = Desk()
    desk.grant(10, lives_us=5)
    desk.hold(4, "call")
    desk.now_us += 5
    desk.sweep()
    before = desk.store.snapshot()
    desk.sweep()
    assert desk.store.snapshot() == before


def test_the_next_expiry_follows_the_lots_that_have_something_left() -> None:
    desk = Desk()
    desk.grant(10, lot_id="a", lives_us=5)
    desk.grant(10, lot_id="b", lives_us=9)
    drawn(desk, 10)
    assert desk.account.next_expiry_us == NOON_US + 9
    drawn(desk, 10)
    assert desk.account.next_expiry_us == NEVER_US


@pytest.mark.parametrize("amount_nano", [11, 10])
def test_expired_credit_pays_for_no_new_call(amount_nano: int) -> None:
    desk = Desk()
    desk.grant(10, lot_id="old", lives_us=5)
    desk.now_us += 5
    refused = desk.do(desk.ask(amount_nano))
    assert getattr(refused, "code", None) == "credit_balance_exhausted"
    assert expired(desk) == {"old": 10}


def test_expired_credit_is_not_adjusted_away() -> None:
    desk = Desk()
    desk.grant(10, lives_us=5)
    desk.now_us += 5
    refused = desk.do(Adjust(ACCOUNT, "a", "lot", -1, "why", desk.now_us))
    assert getattr(refused, "code", None) == "conflict"


def test_a_due_lot_keeps_what_holds_from_before_were_promised() -> None:
    desk = Desk()
    desk.grant(10, lot_id="old", lives_us=5)
    desk.hold(4, "call")
    desk.now_us += 5
    desk.sweep()
    assert (expired(desk), desk.left(), desk.account.available_nano) == ({"old": 6}, {"old": 4}, 0)
    assert desk.settle("call", 4) == Settled(4, 0, 0, 0)


def test_what_was_kept_for_a_hold_goes_when_it_closes() -> None:
    desk = Desk()
    desk.grant(10, lot_id="old", lives_us=5)
    desk.hold(4, "call")
    desk.now_us += 5
    desk.sweep()
    assert desk.settle("call", 1) == Settled(1, 0, 0, 0)
    assert (expired(desk)["old"], [entry.amount_nano for entry in desk.entries]) == (3, [10, -6, -1, -3])
    assert desk.account.next_expiry_us == NEVER_US


def test_a_charge_beyond_the_hold_is_not_paid_by_credit_that_has_expired() -> None:
    desk = Desk()
    desk.grant(10, lot_id="old", lives_us=5)
    desk.hold(4, "call")
    desk.now_us += 5
    assert desk.settle("call", 9) == Settled(4, 5, 0, 0)
    assert expired(desk) == {"old": 6}


def test_nothing_is_kept_for_holds_made_after_the_expiry() -> None:
    desk = Desk()
    desk.grant(10, lot_id="old", lives_us=5)
    desk.grant(10, lot_id="new")
    desk.hold(3, "before")
    desk.now_us += 5
    desk.hold(10, "after")
    assert desk.left() == {"old": 3, "new": 10}
    assert desk.settle("before", 1) == Settled(1, 0, 10, 0)
    assert desk.left() == {"new": 10}
    assert desk.settle("after", 10) == Settled(10, 0, 0, 0)


def test_an_old_hold_draws_expired_credit_before_what_newer_holds_need() -> None:
    """Even when the fresh credit has the better priority: the newer hold can draw nothing else."""
    desk = Desk()
    desk.grant(10, lot_id="fresh", priority=1)
    desk.grant(10, lot_id="old", priority=99, lives_us=5)
    desk.hold(10, "before")
    desk.now_us += 5
    assert isinstance(desk.do(desk.ask(10, call_id="after")), Granted)
    assert desk.settle("before", 10) == Settled(10, 0, 10, 0)
    assert desk.entries[-1].draws == (Draw("old", -10),)
    assert desk.settle("after", 10) == Settled(10, 0, 0, 0)


def test_several_due_lots_keep_together_what_older_holds_were_promised() -> None:
    desk = Desk()
    desk.grant(10, lot_id="a", lives_us=5)
    desk.grant(10, lot_id="b", lives_us=7)
    desk.hold(6, "first")
    desk.now_us += 5
    desk.hold(5, "second")
    desk.now_us += 2
    desk.sweep()
    assert desk.left() == {"a": 6, "b": 5}
    assert desk.account.available_nano == 0
    assert desk.settle("second", 5) == Settled(5, 0, 6, 0)
    assert desk.settle("first", 6) == Settled(6, 0, 0, 0)


def test_a_lot_may_be_granted_and_fall_due_within_one_batch() -> None:
    """Holds from before the batch are not loaded for it then, and still count as older than that lot."""
    desk = Desk()
    desk.grant(4, lot_id="there")
    desk.hold(4, "call")
    grant = Grant(ACCOUNT, "brief", "brief", 10, desk.now_us, expires_at_us=desk.now_us + 1)
    desk.now_us += 1
    desk.store.commit([grant, desk.ask(5, call_id="late")])
    assert desk.store.books.holds.keys() == {"call"}
    assert (expired(desk), desk.left()) == ({"brief": 6}, {"there": 4, "brief": 4})
    assert desk.settle("call", 4) == Settled(4, 0, 4, 4)
    assert desk.left() == {"there": 4}


def test_debt_comes_after_every_lot_that_can_be_drawn() -> None:
    desk = Desk(credit_limit_nano=10)
    desk.grant(5, lot_id="old", lives_us=5)
    desk.hold(15, "call")
    desk.now_us += 5
    assert desk.settle("call", 12) == Settled(12, 0, 0, 3)
    assert (desk.account.debt_nano, desk.entries[-1].draws) == (7, (Draw("old", -5),))


def test_a_clock_that_runs_back_takes_no_promised_funds() -> None:
    """An old hold drew what a hold from the future needed. What it left is neither expired nor denied."""
    desk = Desk()
    desk.grant(10, lot_id="short", priority=99, lives_us=5)
    desk.grant(10, lot_id="long", priority=1)
    desk.now_us += 8
    ahead = desk.ask(10, call_id="ahead")
    desk.now_us -= 8
    desk.hold(10, "behind")
    desk.now_us += 8
    desk.do(ahead)
    desk.now_us -= 6
    desk.settle("behind", 10)
    assert desk.left() == {"short": 10}
    desk.now_us += 20
    desk.sweep()
    assert desk.account.available_nano == 0
    assert desk.settle("ahead", 10) == Settled(10, 0, 0, 0)
    assert (desk.entries[-1].draws, desk.left()) == ((Draw("short", -10),), {})


def test_books_that_do_not_add_up_are_not_written() -> None:
    """A rule that would draw what is not there, or works on a wrong balance, fails and changes nothing."""
    desk = Desk()
    desk.grant(10, lot_id="lot")
    books = desk.store.books
    with pytest.raises(AssertionError, match="11, 0"):
        lots.take(books, desk.account, 11, since_us=NOON_US, now_us=NOON_US)
    with pytest.raises(AssertionError):
        lots.take(books, desk.account, 0, since_us=NOON_US, now_us=NOON_US)
    desk = Desk()
    desk.grant(10, lot_id="lot")
    desk.hold(4, "call")
    books = desk.store.books
    books.put_account(replace(desk.account, balance_nano=11))
    before = desk.store.snapshot()
    for spoiled in (desk.settlement("call", 4), Grant(ACCOUNT, "more", "lot_2", 1, NOON_US)):
        with pytest.raises(AssertionError, match="has lots of"):
            desk.do(spoiled)
    assert desk.store.snapshot() == before


@pytest.mark.parametrize("remaining_nano", [-1, 11])
def test_a_lot_has_left_no_less_than_nothing_and_no_more_than_was_granted(remaining_nano: int) -> None:
    desk = Desk()
    desk.grant(10, lot_id="lot")
    with pytest.raises(AssertionError):
        desk.store.books.put_lot(replace(desk.lot("lot"), remaining_nano=remaining_nano))


def test_a_hold_that_is_not_counted_is_not_closed() -> None:
    """An account that holds less than its open holds would pay for the same call twice."""
    desk = Desk()
    desk.grant(10)
    desk.hold(4, "call")
    desk.store.books.put_account(replace(desk.account, held_nano=3))
    with pytest.raises(AssertionError, match="held_nano=-1"):
        desk.settle("call", 4)
