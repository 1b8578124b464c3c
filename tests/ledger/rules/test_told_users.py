"""What is told of end users: each part of their spending limits once, whatever they were charged for."""

from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Recorded
from proxy.ledger.end_user_rows import EndUserLimits, EndUserTerms
from proxy.ledger.end_users import LimitEndUser
from proxy.ledger.records import Record
from proxy.ledger.rows import AlertRules, Limits, Outcome
from proxy.ledger.windows import DAY_US
from tests.ledger.desk import ACCOUNT, Desk, call_of, charge_of
from tests.ledger.rules.test_alerts import NANO, desk_of, told
from tests.ledger.rules.test_end_users import ask


def limited(**limits: int) -> Desk:
    """Each end user has these limits."""
    desk = desk_of()
    desk.limit_account(Limits(end_users=EndUserTerms(EndUserLimits(**limits))))
    desk.grant(1_000 * NANO)
    return desk


def spend(desk: Desk, nano: int, user: str = "ann") -> None:
    call_id = desk.next_id("call")
    desk.now_us += 1
    ask(desk, call_id, user, nano)
    desk.settle(call_id, nano)


def record(desk: Desk, nano: int, user: str = "ann", *, days_ago: int = 0) -> None:
    """Usage from outside."""
    desk.now_us += 1
    call_id, used_us = desk.next_id("event"), desk.now_us - days_ago * DAY_US
    call = replace(call_of(call_id, used_us, key_id=""), end_user=user, counts_user=True)
    outcome = Outcome("complete", 200, "reported", {"requests": 1}, desk.now_us)
    times = (used_us, desk.now_us)
    command = Record(call, f"event {call_id}", call_id, *times, outcome, charge_of(nano))
    assert isinstance(desk.do(command), Recorded)


def parts(desk: Desk) -> list[tuple[str, str, int]]:
    return [(data["end_user"], data["window"], data["percent"]) for _, data in told(desk, "limit.threshold")]


def test_each_part_is_told_once_with_the_end_user_and_its_window() -> None:
    desk = limited(day_nano=10 * NANO)
    spend(desk, 6 * NANO)
    spend(desk, 1 * NANO)
    record(desk, 4 * NANO)
    spend(desk, 5 * NANO, "bob")
    assert parts(desk) == [("ann", "day", 50), ("ann", "day", 80), ("ann", "day", 100), ("bob", "day", 50)]
    ((_, reached),) = told(desk, "limit.reached")
    assert reached == {
        "account_id": ACCOUNT,
        "scope": "end_user",
        "key_id": None,
        "end_user": "ann",
        "window": "day",
        "window_start": "2024-10-04T00:00:00Z",
        "resets_at": "2024-10-05T00:00:00Z",
        "limit": "10.00",
        "spent": "11.00",
    }


def test_a_window_that_has_ended_tells_nothing_and_one_that_goes_on_does() -> None:
    desk = limited(day_nano=10 * NANO, month_nano=20 * NANO)
    record(desk, 10 * NANO, days_ago=2)
    assert parts(desk) == [("ann", "month", 50)]


def test_the_limits_and_the_percents_in_force_are_those_that_are_told() -> None:
    """Its own limit comes before all others, and what an account is told of is as it says."""
    desk = limited(day_nano=10 * NANO)
    desk.do(LimitEndUser(ACCOUNT, "ann", EndUserLimits(day_nano=100 * NANO), desk.now_us))
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, alerts=AlertRules(limit_percents=(20,))))
    spend(desk, 9 * NANO)
    assert parts(desk) == []
    spend(desk, 11 * NANO)
    assert parts(desk) == [("ann", "day", 20)]


def test_an_end_user_that_is_called_as_its_account_is_is_told_beside_it() -> None:
    desk = limited(day_nano=10 * NANO)
    desk.limit_account(Limits(day_nano=10 * NANO, end_users=EndUserTerms(EndUserLimits(day_nano=10 * NANO))))
    spend(desk, 5 * NANO, ACCOUNT)
    assert [data["scope"] for _, data in told(desk, "limit.threshold")] == ["account", "end_user"]
