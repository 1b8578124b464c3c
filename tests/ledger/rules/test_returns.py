"""What may be taken back of a lot, and how a call's charge is given back."""

from typing import Any

import pytest
from msgspec.structs import replace

from proxy.ledger.commands import Done, Grant, Refused
from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US, Draw, Limits
from tests.ledger.desk import ACCOUNT, Desk


def void(desk: Desk, lot_id: str, command_id: str = "void_1") -> VoidLot:
    return VoidLot(ACCOUNT, command_id, lot_id, "an error", desk.now_us)


def repay(desk: Desk, lot_id: str, amount_nano: int, command_id: str = "repay_1") -> RefundLot:
    return RefundLot(ACCOUNT, command_id, lot_id, "sent back", desk.now_us, amount_nano)


def refund(desk: Desk, call_id: str, amount_nano: int, **members: Any) -> RefundCall:
    (charge,) = (entry for entry in desk.entries if (entry.kind, entry.ref) == ("charge", call_id))
    drawn = tuple(draw.lot_id for draw in charge.draws)
    command_id = desk.next_id("refund")
    command = RefundCall(
        *(ACCOUNT, command_id, f"lot_of_{command_id}", call_id, amount_nano, "a bad answer", desk.now_us),
        *(charge.seq, drawn),
    )
    return replace(command, **members)


def spent(desk: Desk, amount_nano: int, call_id: str = "call_1") -> None:
    desk.hold(amount_nano, call_id)
    desk.settle(call_id, amount_nano)


# --- what is taken of a lot ---


def test_a_void_takes_all_that_is_left_of_one_lot_with_an_entry() -> None:
    desk = Desk()
    desk.grant(10, lot_id="a", lives_us=9)
    desk.grant(20, lot_id="b")
    spent(desk, 4)
    assert isinstance(desk.do(void(desk, "a")), Done)
    last = desk.entries[-1]
    assert (last.kind, last.amount_nano, last.ref, last.note) == ("void", -6, "a", "an error")
    assert (last.draws, desk.left(), desk.account.next_expiry_us) == ((Draw("a", -6),), {"b": 20}, NEVER_US)


def test_a_void_leaves_what_calls_in_flight_would_draw_of_the_lot_were_they_charged_in_full() -> None:
    """Those draw what comes first: a lot behind it is free, and what is left of the first can go later."""
    desk = Desk()
    desk.grant(10, lot_id="first", priority=10)
    desk.grant(20, lot_id="second")
    desk.hold(7, "call_1")
    desk.do(void(desk, "second"))
    desk.do(void(desk, "first", "void_2"))
    assert desk.left() == {"first": 7}
    assert desk.refuse(void(desk, "first", "void_3")).code == "conflict"
    desk.settle("call_1", 5)
    desk.do(void(desk, "first", "void_3"))
    assert desk.left() == {}


def test_a_credit_limit_does_not_stand_in_for_a_lot_that_calls_were_promised() -> None:
    desk = Desk(credit_limit_nano=100)
    desk.grant(10, lot_id="lot")
    desk.hold(60, "call_1")
    assert desk.refuse(void(desk, "lot")).code == "conflict"


def test_what_an_expired_lot_keeps_for_older_calls_cannot_be_voided() -> None:
    desk = Desk()
    desk.grant(10, lot_id="dated", lives_us=5)
    desk.grant(50, lot_id="other")
    desk.hold(10, "call_1")
    desk.now_us += 5
    refused = desk.refuse(void(desk, "dated"))
    assert (refused.code, refused.available_nano, refused.held_nano) == ("conflict", 0, 10)


@pytest.mark.parametrize("lot_id", ["gone", "unknown"])
def test_a_lot_with_nothing_left_is_not_found(lot_id: str) -> None:
    desk = Desk()
    desk.grant(4, lot_id="gone")
    spent(desk, 4)
    assert desk.refuse(void(desk, lot_id)).code == "not_found"


def test_a_refund_of_a_lot_is_all_or_nothing() -> None:
    desk = Desk()
    desk.grant(10, lot_id="lot")
    desk.hold(3, "call_1")
    assert desk.refuse(repay(desk, "lot", 8)).available_nano == 7
    assert desk.refuse(repay(desk, "lot", 0)).code == "invalid_value"
    desk.do(repay(desk, "lot", 7))
    last = desk.entries[-1]
    assert (last.kind, last.amount_nano, last.ref, desk.left()) == ("refund", -7, "lot", {"lot": 3})


@pytest.mark.parametrize("kind", ["bonus", "voucher", "renewal", "refund", "promo"])
def test_only_what_was_paid_for_is_paid_back(kind: str) -> None:
    desk = Desk()
    desk.do(Grant(ACCOUNT, "grant", "lot", 10, desk.now_us, kind=kind))
    assert desk.refuse(repay(desk, "lot", 5)).code == "conflict"
    assert isinstance(desk.do(void(desk, "lot")), Done)


# --- what is given back for a call ---


def test_a_refund_goes_back_to_the_lots_of_the_charge_the_last_drawn_first() -> None:
    desk = Desk()
    desk.grant(10, lot_id="first", priority=10, lives_us=50)
    desk.grant(20, lot_id="second")
    spent(desk, 14)
    assert desk.account.next_expiry_us == NEVER_US
    desk.do(refund(desk, "call_1", 3))
    assert desk.left() == {"second": 19}
    desk.do(refund(desk, "call_1", 5))
    assert (desk.left(), desk.entries[-1].draws) == (
        {"first": 4, "second": 20},
        (Draw("second", 1), Draw("first", 4)),
    )
    assert desk.account.next_expiry_us == desk.lot("first").expires_at_us
    assert [(entry.kind, entry.ref, entry.amount_nano) for entry in desk.entries[-2:]] == [
        ("refund", "call_1", 3),
        ("refund", "call_1", 5),
    ]


def test_what_lots_gave_that_have_expired_goes_to_a_new_lot() -> None:
    """Of kind refund, and it never expires."""
    desk = Desk()
    desk.grant(10, lot_id="dated", lives_us=5)
    desk.grant(20, lot_id="other")
    spent(desk, 14)
    desk.now_us += 5
    desk.do(refund(desk, "call_1", 14, lot_id="fresh"))
    lot = desk.lot("fresh")
    assert desk.left() == {"other": 20, "fresh": 10}
    assert (lot.kind, lot.priority, lot.expires_at_us, lot.amount_nano) == ("refund", 50, NEVER_US, 10)


def test_no_more_is_refunded_than_was_charged() -> None:
    desk = Desk()
    desk.grant(50)
    spent(desk, 14)
    desk.do(refund(desk, "call_1", 9))
    refused = desk.refuse(refund(desk, "call_1", 6))
    assert (refused.code, refused.required_nano, refused.available_nano) == ("conflict", 6, 5)
    assert isinstance(desk.do(refund(desk, "call_1", 5)), Done)
    assert desk.refuse(refund(desk, "call_1", 1)).code == "conflict"


def test_debt_is_repaid_first_also_by_a_refund() -> None:
    """Of another call as well; the rest goes back to the lots behind that part of the charge."""
    desk = Desk(credit_limit_nano=30)
    desk.grant(10, lot_id="lot")
    spent(desk, 16)
    assert desk.account.debt_nano == 6
    desk.do(refund(desk, "call_1", 9))
    assert (desk.account.debt_nano, desk.left()) == (0, {"lot": 3})
    spent(desk, 5, "call_2")
    desk.do(refund(desk, "call_1", 7))
    assert (desk.account.debt_nano, desk.left()) == (0, {"lot": 5})


def test_what_is_owed_is_repaid_before_other_debt() -> None:
    desk = Desk(credit_limit_nano=5)
    desk.grant(10, lot_id="lot")
    desk.hold(10, "call_1")
    desk.owe("call_1", 22)
    assert (desk.account.owed_nano, desk.account.debt_nano) == (7, 5)
    desk.do(refund(desk, "call_1", 9))
    assert (desk.account.owed_nano, desk.account.debt_nano, desk.entries[-1].draws) == (0, 3, ())


def test_a_refund_leaves_spending_limits_and_receipts_as_they_are() -> None:
    """A limit bounds what calls cost: what is given back later makes no room in it."""
    desk = Desk(limits=Limits(day_nano=20))
    desk.grant(50)
    spent(desk, 15)
    before = desk.buckets
    desk.do(refund(desk, "call_1", 15))
    assert desk.buckets == before
    assert desk.refuse(desk.ask(6)).code == "daily_limit_exceeded"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"amount_nano": 0}, "invalid_value"),
        ({"amount_nano": 10**18}, "conflict"),
        ({"seq": 1}, "not_found"),
        ({"seq": 99}, "not_found"),
        ({"call_id": "call_2"}, "not_found"),
        ({"drawn": ()}, "invalid_value"),
        ({"lot_id": "other"}, "conflict"),
        ({"account_id": "nobody"}, "not_found"),
    ],
)
def test_an_impossible_refund_is_refused(members: dict[str, Any], code: str) -> None:
    desk = Desk()
    desk.grant(10, lot_id="lot", priority=10)
    desk.grant(10, lot_id="other")
    spent(desk, 10)
    assert desk.refuse(replace(refund(desk, "call_1", 4), **members)).code == code


def test_each_is_carried_out_once_for_its_id() -> None:
    desk = Desk()
    desk.grant(30, lot_id="lot")
    spent(desk, 10)
    first = refund(desk, "call_1", 4)
    for command in (first, repay(desk, "lot", 2), void(desk, "lot")):
        done = desk.do(command)
        assert isinstance(done, Done)
        desk.now_us += 7
        again = desk.do(replace(command, at_us=desk.now_us))
        assert isinstance(again, Done)
        assert (again.replayed, again.entry) == (True, done.entry)
    assert desk.refuse(replace(first, amount_nano=5)).code == "idempotency_conflict"
    assert isinstance(desk.do(void(desk, "lot")), Done)
    assert isinstance(desk.refuse(void(desk, "other")), Refused)
