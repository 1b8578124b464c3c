"""How holds end: settle, void and recover, each once, and what they leave on the ledger."""

from typing import get_args

import pytest
from msgspec.structs import replace

from proxy.ledger.commands import COMMANDS, Close, Recover, Settle, Settled, Void
from proxy.ledger.rows import HoldState, Limits, Outcome, Receipt
from proxy.ledger.rules.closing import NEXT_STATE
from proxy.ledger.windows import DAY_US, Window
from tests.ledger.desk import ACCOUNT, KEY, NOON_US, Desk, call_of, charge_of

CLOSES = [kind for kind in COMMANDS if issubclass(kind, Close)]
TODAY = NOON_US // DAY_US


@pytest.fixture
def desk() -> Desk:
    """A desk with 100 in one lot and a hold of 30 for `call`."""
    desk = Desk()
    desk.grant(100, lot_id="lot")
    desk.hold(30, "call")
    desk.now_us += 7
    return desk


def closing(desk: Desk, kind: type[Close], call_id: str = "call") -> Close:
    commands: dict[type[Close], Close] = {
        Settle: desk.settlement(call_id, 20),
        Void: desk.voiding(call_id),
        Recover: desk.recovery(call_id),
    }
    return commands[kind]


@pytest.mark.parametrize("state", get_args(HoldState))
@pytest.mark.parametrize("kind", CLOSES)
def test_a_hold_goes_from_open_to_one_end_and_no_further(
    desk: Desk, state: HoldState, kind: type[Close]
) -> None:
    """Every state meets every command: what is not in the table changes nothing, and says so."""
    by = {after: before for (_, before), after in NEXT_STATE.items()}
    if state != "open":
        desk.do(closing(desk, by[state]))
    before = desk.store.snapshot()
    result = desk.do(closing(desk, kind))
    assert isinstance(result, Settled)
    assert result.replayed == ((state, kind) not in NEXT_STATE)
    if result.replayed:
        assert desk.store.snapshot() == before
        assert (result.charged_nano, result.balance_nano) == (0, desk.account.balance_nano)
    else:
        assert desk.store.books.holds["call"].state == NEXT_STATE[state, kind]
        assert (desk.account.held_nano, desk.account.open_holds, desk.key.open_holds) == (0, 0, 0)


def test_settling_charges_and_gives_the_rest_back(desk: Desk) -> None:
    assert desk.settle("call", 20) == Settled(20, 0, 80, 80)
    entry = desk.entries[-1]
    assert (entry.kind, entry.amount_nano, entry.ref, entry.at_us) == ("charge", -20, "call", NOON_US + 7)
    assert (entry.balance_after_nano, desk.left()) == (80, {"lot": 80})


def test_every_closed_call_leaves_a_receipt(desk: Desk) -> None:
    command = desk.settlement("call", 20, {"input_tokens": 3})
    served = replace(command.call, upstream="spare")
    desk.do(replace(command, call=served))
    assert desk.receipts == [Receipt(served, command.outcome, charge_of(20), 20, 0, 30)]


def test_a_charge_above_the_hold_takes_what_is_available_and_no_more(desk: Desk) -> None:
    desk.hold(60, "other")
    assert desk.settle("call", 45) == Settled(40, 5, 60, 0)
    assert (desk.receipts[-1].charged_nano, desk.receipts[-1].shortfall_nano) == (40, 5)
    assert desk.settle("other", 60) == Settled(60, 0, 0, 0)


def test_a_charge_of_nothing_is_no_entry(desk: Desk) -> None:
    assert desk.settle("call", 0) == Settled(0, 0, 100, 100)
    assert [entry.kind for entry in desk.entries] == ["grant"]
    assert len(desk.receipts) == 1


def test_a_charge_below_zero_gives_nothing_away(desk: Desk) -> None:
    assert desk.settle("call", -50) == Settled(0, 0, 100, 100)


def test_what_lots_do_not_cover_is_debt_up_to_the_credit_limit() -> None:
    desk = Desk(credit_limit_nano=50)
    desk.grant(10)
    desk.hold(40, "call")
    assert desk.settle("call", 75) == Settled(60, 15, 0, 0)
    assert (desk.account.balance_nano, desk.account.debt_nano) == (0, 50)
    assert (desk.entries[-1].amount_nano, desk.entries[-1].debt_after_nano) == (-60, 50)


def test_a_void_charges_nothing_and_says_why(desk: Desk) -> None:
    assert desk.void("call") == Settled(0, 0, 100, 100)
    (receipt,) = desk.receipts
    assert (receipt.outcome.outcome, receipt.outcome.status, receipt.charge.total_nano) == (
        "unreachable",
        502,
        0,
    )
    assert receipt.hold_nano == 30


def test_a_crash_charges_what_was_observed(desk: Desk) -> None:
    desk.observe("call", 12, {"input_tokens": 4, "output_tokens": 8})
    assert desk.do(desk.recovery("call")) == Settled(12, 0, 88, 88)
    (receipt,) = desk.receipts
    usage = {"input_tokens": 4, "output_tokens": 8}
    assert receipt.outcome == Outcome("crashed", 0, "recovered", usage, NOON_US + 7)
    assert receipt.charge == charge_of(12)


def test_a_crash_before_anything_was_observed_charges_nothing(desk: Desk) -> None:
    assert desk.do(desk.recovery("call")) == Settled(0, 0, 100, 100)
    assert desk.receipts[0].outcome == Outcome("crashed", 0, "recovered", {}, NOON_US + 7)
    assert desk.store.books.holds["call"].state == "expired"


@pytest.mark.parametrize("kind", CLOSES)
def test_only_the_call_a_hold_was_made_for_closes_it(desk: Desk, kind: type[Close]) -> None:
    command = closing(desk, kind)
    unknown = call_of("unknown", NOON_US)
    assert desk.refuse(replace(command, call=unknown)).code == "not_found"
    for wrong in (
        replace(command, call=replace(command.call, account_id="account_2")),
        replace(command, call=replace(command.call, key_id="key_2")),
        replace(command, authorized_at_us=NOON_US + 1),
    ):
        assert desk.refuse(wrong).code == "conflict"


def test_a_call_that_ends_after_midnight_is_counted_in_the_day_it_began() -> None:
    desk = Desk(limits=Limits(day_nano=50))
    desk.grant(100)
    desk.now_us = (TODAY + 1) * DAY_US - 1
    desk.hold(40, "call")
    desk.now_us += 1
    assert desk.hold(50, "tomorrow").hold_nano == 50
    desk.settle("call", 35)
    for scope in (ACCOUNT, KEY):
        today = desk.store.books.bucket(scope, "day", TODAY)
        tomorrow = desk.store.books.bucket(scope, "day", TODAY + 1)
        assert (today.spent_nano, today.held_nano) == (35, 0)
        assert (tomorrow.spent_nano, tomorrow.held_nano) == (0, 50)


@pytest.mark.parametrize("window", ["day", "week", "month", "total"])
def test_a_charge_moves_from_held_to_spent_in_each_window(desk: Desk, window: Window) -> None:
    desk.settle("call", 20)
    for scope in (ACCOUNT, KEY):
        (bucket,) = (bucket for bucket in desk.buckets if (bucket.scope_id, bucket.window) == (scope, window))
        assert (bucket.spent_nano, bucket.held_nano) == (20, 0)


def test_a_disabled_key_and_a_suspended_account_still_settle(desk: Desk) -> None:
    """What has been let through is charged, whatever was decided about the caller meanwhile."""
    desk.store.books.put_key(replace(desk.key, status="disabled"))
    desk.store.books.put_account(replace(desk.account, status="suspended"))
    assert desk.settle("call", 20) == Settled(20, 0, 80, 80)
