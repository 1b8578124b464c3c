"""What is told of accounts: each crossing once, with the figures of that moment, and nothing else."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger.alerts import Alerts
from proxy.ledger.books import Books
from proxy.ledger.commands import Adjust, ChangeAccount, Grant
from proxy.ledger.dues import ChangePlan, Dues, Fee, Renew
from proxy.ledger.events import EVENT_TYPES
from proxy.ledger.groups import Group, Groups
from proxy.ledger.returns import RefundLot, VoidLot
from proxy.ledger.rows import NO_THRESHOLD, AlertRules, Limits
from proxy.ledger.windows import DAY_US
from tests.ledger.desk import ACCOUNT, KEY, Desk
from tests.ledger.memory import MemoryStore

NANO = 10**9


def desk_of(
    rules: AlertRules | None = None, *, limits: Limits | None = None, credit_limit_nano: int = 0
) -> Desk:
    store = MemoryStore()
    store.alerts = Alerts(rules or AlertRules(), Groups(limits or Limits()))
    return Desk(store, credit_limit_nano=credit_limit_nano)


def told(desk: Desk, *types: str) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of the events, in their order; those of some types, or all but grants and keys."""
    events = sorted(desk.store.books.events.values(), key=lambda event: (event.at_us, event.place))
    wanted = types or tuple(type_ for type_ in EVENT_TYPES if type_ not in ("credits.granted", "key.created"))
    return [(event.type, msgspec.json.decode(event.data)) for event in events if event.type in wanted]


def spend(desk: Desk, nano: int) -> None:
    call_id = desk.next_id("call")
    desk.hold(nano, call_id)
    desk.now_us += 1
    desk.settle(call_id, nano)


def percents(desk: Desk) -> list[int]:
    return [data["percent"] for _, data in told(desk, "limit.threshold")]


# --- spending limits ---


def test_one_jump_tells_every_part_that_it_passes_ascending_and_then_that_all_is_spent() -> None:
    desk = desk_of(limits=Limits(day_nano=10 * NANO))
    desk.grant(100 * NANO)
    spend(desk, 10 * NANO)
    found = told(desk)
    assert [(type_, data.get("percent")) for type_, data in found] == [
        *(("limit.threshold", percent) for percent in (50, 80, 100)),
        ("limit.reached", None),
    ]
    assert found[0][1] == {
        "account_id": ACCOUNT,
        "percent": 50,
        "scope": "account",
        "key_id": None,
        "end_user": None,
        "window": "day",
        "window_start": "2024-10-04T00:00:00Z",
        "resets_at": "2024-10-05T00:00:00Z",
        "limit": "10.00",
        "spent": "10.00",
    }


@pytest.mark.parametrize(("nano", "expected"), [(4_999_999_999, []), (5_000_000_000, [50])])
def test_a_part_is_passed_by_the_nano_dollar_that_completes_it(nano: int, expected: list[int]) -> None:
    desk = desk_of(limits=Limits(month_nano=10 * NANO))
    desk.grant(100 * NANO)
    spend(desk, nano)
    assert percents(desk) == expected


def test_each_limit_of_account_and_key_is_told_by_itself() -> None:
    desk = desk_of(limits=Limits(day_nano=10 * NANO, total_nano=12 * NANO))
    desk.limit_key(Limits(week_nano=6 * NANO))
    desk.grant(100 * NANO)
    spend(desk, 5 * NANO)
    found = [(data["scope"], data["window"], data["percent"]) for _, data in told(desk, "limit.threshold")]
    assert found == [("account", "day", 50), ("key", "week", 50), ("key", "week", 80)]
    assert told(desk)[1][1]["key_id"] == KEY


def test_a_part_is_told_once_in_a_window_however_often_the_limit_is_raised() -> None:
    desk = desk_of(limits=Limits(day_nano=10 * NANO))
    desk.grant(100 * NANO)
    spend(desk, 5 * NANO)
    desk.limit_account(Limits(day_nano=20 * NANO))
    spend(desk, 6 * NANO)
    assert percents(desk) == [50]
    spend(desk, 5 * NANO)
    assert percents(desk) == [50, 80]


def test_the_next_window_tells_again_and_a_late_settle_tells_in_the_window_of_its_call() -> None:
    desk = desk_of(limits=Limits(day_nano=10 * NANO))
    desk.grant(100 * NANO)
    desk.hold(8 * NANO, "late")
    desk.now_us += DAY_US
    spend(desk, 5 * NANO)
    desk.now_us += 1
    desk.settle("late", 8 * NANO)
    found = [(data["window_start"][:10], data["percent"]) for _, data in told(desk, "limit.threshold")]
    assert found == [("2024-10-05", 50), ("2024-10-04", 50), ("2024-10-04", 80)]


def test_a_settle_that_is_repeated_and_a_call_that_is_voided_tell_nothing() -> None:
    desk = desk_of(limits=Limits(day_nano=10 * NANO))
    desk.grant(100 * NANO)
    desk.hold(6 * NANO, "a")
    desk.hold(4 * NANO, "b")
    desk.settle("a", 6 * NANO)
    before = told(desk)
    desk.settle("a", 6 * NANO)
    desk.void("b")
    assert told(desk) == before


def test_the_limits_of_the_accounts_group_are_in_force() -> None:
    store = MemoryStore()
    store.alerts = Alerts(groups=Groups(Limits(), {"vip": Group("vip", Limits(day_nano=10 * NANO))}))
    desk = Desk(store)
    desk.grant(100 * NANO)
    spend(desk, 9 * NANO)
    assert percents(desk) == []
    desk.hold(NANO, "a")
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group="vip"))
    desk.settle("a", NANO)
    assert percents(desk) == [100]


@given(
    costs=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    limit=st.integers(0, 120),
    parts=st.sets(st.integers(1, 100), max_size=5),
)
def test_what_is_told_is_what_was_passed_however_it_is_cut_into_calls(
    costs: list[int], limit: int, parts: set[int]
) -> None:
    """The parts that are told are those that the sum completes, each once, ascending."""
    desk = desk_of(AlertRules(limit_percents=tuple(sorted(parts))))
    desk.limit_key(Limits(total_nano=limit))
    desk.grant(10**6)
    spent = 0
    for cost in costs:
        if cost and spent + cost <= limit:
            spend(desk, cost)
            spent += cost
    assert percents(desk) == [part for part in sorted(parts) if limit and 0 < part * limit <= 100 * spent]
    assert bool(told(desk, "limit.reached")) == (0 < limit <= spent)


# --- funds ---


def test_a_low_balance_is_told_when_funds_fall_to_it_and_again_only_after_they_rose() -> None:
    desk = desk_of(AlertRules(balance_low_nano=5 * NANO))
    desk.grant(6 * NANO)
    spend(desk, NANO)
    spend(desk, NANO)
    assert told(desk) == [("balance.low", {"account_id": ACCOUNT, "funds": "5.00", "threshold": "5.00"})]
    desk.grant(2 * NANO)
    spend(desk, 2 * NANO)
    assert [data["funds"] for _, data in told(desk)] == ["5.00", "4.00"]


def test_a_hold_is_not_gone_and_tells_nothing() -> None:
    desk = desk_of(AlertRules(balance_low_nano=5 * NANO))
    desk.grant(6 * NANO)
    desk.hold(6 * NANO, "a")
    desk.void("a")
    assert told(desk) == []


def test_whatever_takes_the_last_of_the_funds_tells_that_they_are_used_up() -> None:
    """A call, a correction, or an expiry."""
    by_call, by_hand, by_time = desk_of(), desk_of(), desk_of()
    by_call.grant(NANO)
    spend(by_call, NANO)
    by_hand.grant(NANO)
    by_hand.do(Adjust(ACCOUNT, "a", "lot_a", -NANO, "an error", by_hand.now_us))
    by_time.grant(NANO, lot_id="dated", lives_us=5)
    by_time.now_us += 5
    by_time.sweep()
    for desk in (by_call, by_hand, by_time):
        assert ("balance.depleted", {"account_id": ACCOUNT, "funds": "0.00"}) in told(desk)
    assert [type_ for type_, _ in told(by_time)] == ["balance.depleted", "credits.expired"]
    assert told(by_time)[1][1]["lot_id"] == "dated"


def test_a_credit_limit_counts_as_funds() -> None:
    desk = desk_of(AlertRules(balance_low_nano=NANO), credit_limit_nano=3 * NANO)
    spend(desk, 2 * NANO)
    assert [type_ for type_, _ in told(desk)] == ["balance.low"]
    spend(desk, NANO)
    assert [type_ for type_, _ in told(desk)] == ["balance.low", "balance.depleted"]


def test_an_accounts_own_rules_come_before_those_of_all() -> None:
    desk = desk_of(AlertRules(balance_low_nano=5 * NANO, limit_percents=(50,)), limits=Limits(day_nano=NANO))
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, alerts=AlertRules(NO_THRESHOLD, (99,))))
    desk.grant(6 * NANO)
    spend(desk, NANO)
    assert [type_ for type_, _ in told(desk)] == ["limit.threshold", "limit.reached"]
    assert percents(desk) == [99]


# --- grants, shortfalls, and nothing ---


def test_a_grant_is_told_once_and_a_repeat_is_not() -> None:
    desk = desk_of()
    for lot_id in ("one", "two"):
        desk.do(Grant(ACCOUNT, "g", lot_id, 3 * NANO, desk.now_us))
    assert told(desk, "credits.granted") == [
        (
            "credits.granted",
            {
                "account_id": ACCOUNT,
                "amount": "3.00",
                "kind": "grant",
                "lot_id": "one",
                "expires_at": None,
                "balance": "3.00",
            },
        )
    ]


def test_a_charge_beyond_all_funds_is_told() -> None:
    desk = desk_of()
    desk.grant(3 * NANO)
    desk.hold(NANO, "a")
    desk.hold(NANO, "b")
    desk.settle("a", 2 * NANO)
    desk.owe("b", 2 * NANO)
    figures = ("call_id", "charge", "shortfall", "owed")
    found = [tuple(data[name] for name in figures) for _, data in told(desk, "charge.shortfall")]
    assert found == [("b", "2.00", "0.00", "1.00")]
    desk.grant(2 * NANO)
    desk.hold(NANO, "c")
    desk.now_us += 1
    desk.settle("c", 2 * NANO)
    _, data = told(desk, "charge.shortfall")[-1]
    assert tuple(data[name] for name in figures) == ("c", "2.00", "1.00", "0.00")


def test_without_alerts_nothing_is_recorded() -> None:
    desk = Desk(limits=Limits(day_nano=NANO))
    desk.grant(NANO)
    spend(desk, NANO)
    assert desk.store.books.events == {}


def test_every_event_has_the_members_that_its_type_tells() -> None:
    """An event of another shape, or of a type that is not in the table, is a fault in the code."""
    books = Books()
    books.alerts = Alerts()
    with pytest.raises(AssertionError):
        books.put_event(ACCOUNT, "balance.depleted", "1", 1, balance="0")
    with pytest.raises(KeyError):
        books.put_event(ACCOUNT, "balance.unknown", "1", 1)


# --- what is done to an account ---


def plan_desk(grace_us: int) -> tuple[Desk, Any]:
    desk = desk_of()
    dues = Dues(fee=Fee(30 * NANO, grace_us=grace_us, falls_to="free"))
    return desk, dues


def test_a_move_to_another_group_is_told_with_why_and_one_to_the_same_is_not() -> None:
    desk, dues = plan_desk(DAY_US)
    desk.grant(100 * NANO)
    desk.do(ChangePlan(ACCOUNT, "plan_1", "pro", dues, desk.now_us, ""))
    desk.now_us += 1
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group="vip"))
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group="vip"))
    moves = [(data["from"], data["to"], data["reason"]) for _, data in told(desk, "plan.changed")]
    assert moves == [(None, "pro", "request"), ("pro", "vip", "request")]
    ((_, fee),) = told(desk, "fee.charged")
    assert (fee["amount"], fee["balance"]) == ("30.00", "70.00")


def test_a_fee_that_cannot_be_paid_is_told_once_and_then_the_fall() -> None:
    desk, dues = plan_desk(2 * DAY_US)
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group="pro"))
    for days in range(3):
        desk.do(Renew(ACCOUNT, f"dues_{days}", "pro", dues, desk.now_us + days * DAY_US))
    ((_, unpaid),) = told(desk, "plan.unpaid")
    assert (unpaid["group"], unpaid["amount"], unpaid["falls_to"]) == ("pro", "30.00", "free")
    assert unpaid["falls_at"] == "2024-10-06T12:00:00Z"
    moves = [(data["from"], data["to"], data["reason"]) for _, data in told(desk, "plan.changed")]
    assert moves == [(None, "pro", "request"), ("pro", "free", "unpaid")]


def test_each_entry_that_is_no_charge_is_told_with_its_reason() -> None:
    desk = desk_of()
    desk.grant(10 * NANO)
    lot_id = next(iter(desk.store.books.lots[ACCOUNT]))
    desk.do(Adjust(ACCOUNT, "adjust_1", "lot_2", -NANO, "a mistake", desk.now_us))
    desk.do(RefundLot(ACCOUNT, "refund_1", lot_id, "asked for", desk.now_us, 2 * NANO))
    desk.do(VoidLot(ACCOUNT, "void_1", lot_id, "fraud", desk.now_us))
    found = told(desk, "credits.adjusted", "credits.refunded", "credits.voided")
    facts = ((type_, data["amount"], data["reason"], data["balance"]) for type_, data in found)
    assert sorted(facts) == [
        ("credits.adjusted", "-1.00", "a mistake", "9.00"),
        ("credits.refunded", "2.00", "asked for", "7.00"),
        ("credits.voided", "7.00", "fraud", "0.00"),
    ]


def test_a_status_is_told_as_it_changes() -> None:
    desk = desk_of()
    for status in ("active", "suspended", "suspended", "active"):
        desk.now_us += 1
        desk.do(ChangeAccount(ACCOUNT, desk.now_us, status=status))
    found = [data["status"] for _, data in told(desk, "account.status_changed")]
    assert found == ["suspended", "active"]
