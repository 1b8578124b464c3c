"""Limits of end users: each is bound by itself, in what it spends, asks for and has in flight."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.ledger.commands import Done, Granted, Refused, Regrouped, Result
from proxy.ledger.end_user_rows import LATE_US, NEWCOMERS, RATES_US, EndUser, EndUserLimits, EndUserTerms
from proxy.ledger.end_users import ForgetEndUsers, LimitEndUser
from proxy.ledger.rows import NO_LIMIT, Limits
from proxy.ledger.windows import DAY_US
from tests.ledger.desk import ACCOUNT, NOON_US, Desk

MIDNIGHT_US = (NOON_US // DAY_US + 1) * DAY_US
MINUTE_US = 60_000_000
ANN, BOB = "ann", "bob"


def limited(terms: EndUserTerms | None = None, **limits: int) -> Desk:
    desk = Desk()
    desk.grant(100_000)
    desk.limit_account(Limits(end_users=terms or EndUserTerms(EndUserLimits(**limits))))
    return desk


def ask(desk: Desk, call_id: str, user: str = ANN, ceiling_nano: int = 10, **more: Any) -> Result:
    """As an admission asks: once more, to be counted, where the ledger says so."""
    command = desk.ask(ceiling_nano, call_id=call_id, **more)
    command = replace(command, call=replace(command.call, end_user=user))
    result = desk.do(command)
    if isinstance(result, Regrouped):
        assert result.counts_user
        command = replace(command, call=replace(command.call, counts_user=True))
        result = desk.do(command)
    desk.calls[call_id] = command.call
    return result


def user(desk: Desk, id_: str = ANN) -> EndUser:
    return desk.store.books.end_users[ACCOUNT, id_]


def sums(desk: Desk, id_: str = ANN) -> dict[str, tuple[int, int]]:
    return {each.window: (each.spent_nano, each.held_nano) for each in user(desk, id_).sums}


def refused(result: Result) -> Refused:
    assert isinstance(result, Refused), result
    return result


def test_a_call_is_counted_only_where_end_users_are_limited() -> None:
    desk = Desk()
    desk.grant(100)
    assert isinstance(ask(desk, "call_1"), Granted)
    assert not desk.calls["call_1"].counts_user
    assert not desk.store.books.end_users


def test_a_spending_limit_is_that_of_each_end_user() -> None:
    desk = limited(day_nano=25)
    assert [type(ask(desk, f"call_{n}")) for n in range(2)] == [Granted, Granted]
    desk.settle("call_0", 12)
    desk.settle("call_1", 12)
    no = refused(ask(desk, "call_2"))
    assert (no.code, no.limit_source) == ("daily_limit_exceeded", "end_user_day")
    assert (no.limit_nano, no.spent_nano, no.held_nano, no.available_nano) == (25, 24, 0, 1)
    assert no.resets_at_us == MIDNIGHT_US
    assert isinstance(ask(desk, "call_3", BOB), Granted)
    assert sums(desk) == {"day": (24, 0), "week": (24, 0), "month": (24, 0)}
    desk.now_us = MIDNIGHT_US
    assert isinstance(ask(desk, "call_4"), Granted)


def test_what_is_held_for_others_may_be_free_soon() -> None:
    desk = limited(month_nano=25)
    ask(desk, "call_1", ceiling_nano=20)
    no = refused(ask(desk, "call_2"))
    assert (no.code, no.limit_source) == ("in_flight_budget_exhausted", "end_user_month")
    assert no.retry_after_us is not None


def test_a_call_holds_what_its_end_user_has_left() -> None:
    desk = limited(day_nano=25)
    granted = ask(desk, "call_1", ceiling_nano=40, floor_nano=5)
    assert isinstance(granted, Granted)
    assert granted.hold_nano == 25


def test_a_settlement_lands_in_the_windows_of_its_authorization() -> None:
    desk = limited(day_nano=25)
    ask(desk, "call_1", ceiling_nano=20)
    desk.now_us = MIDNIGHT_US + 1
    assert isinstance(ask(desk, "call_2", ceiling_nano=20), Granted)
    desk.settle("call_1", 20)
    found = {(each.window, each.start_day): (each.spent_nano, each.held_nano) for each in user(desk).sums}
    today = MIDNIGHT_US // DAY_US
    assert found["day", today - 1] == (20, 0)
    assert found["day", today] == (0, 20)


@pytest.mark.parametrize("close", ["settle", "void", "recover"])
def test_whatever_ends_a_call_lets_the_next_one_pass(close: str) -> None:
    desk = limited(concurrency=1)
    ask(desk, "call_1")
    no = refused(ask(desk, "call_2"))
    assert (no.code, no.limit_source) == ("concurrency_limit_exceeded", "end_user_concurrency")
    assert isinstance(ask(desk, "call_3", BOB), Granted)
    {"settle": lambda: desk.settle("call_1", 3), "void": lambda: desk.void("call_1")}.get(
        close, lambda: desk.do(desk.recovery("call_1"))
    )()
    assert (user(desk).open_holds, sums(desk)["day"]) == (0, (3 if close == "settle" else 0, 0))
    assert isinstance(ask(desk, "call_4"), Granted)


def test_rates_are_told_and_drain() -> None:
    desk = limited(rpm=2, tpm=100)
    first = ask(desk, "call_1", tokens=30)
    assert isinstance(first, Granted)
    assert {each.kind: (each.limit, each.remaining) for each in first.rate_statuses} == {
        "requests": (2, 1),
        "tokens": (100, 70),
    }
    no = refused(ask(desk, "call_2", tokens=80))
    assert (no.code, no.limit_source) == ("rate_limit_exceeded", "end_user_tpm")
    assert "end user's limit of 100 tokens a minute" in no.message
    ask(desk, "call_3", tokens=1)
    no = refused(ask(desk, "call_4", tokens=1))
    assert no.limit_source == "end_user_rpm"
    desk.now_us += MINUTE_US // 2
    assert isinstance(ask(desk, "call_5", tokens=1), Granted)


@pytest.mark.parametrize(("of_user", "of_account"), [(100, 1_000), (100, 40), (None, 40), (10, None)])
def test_tokens_that_were_used_take_the_place_of_those_held(
    of_user: int | None, of_account: int | None
) -> None:
    """A minute's tokens are charged what the call has used, whichever limits there are."""
    desk = Desk()
    desk.grant(1_000)
    desk.limit_account(Limits(tpm=of_account, end_users=EndUserTerms(EndUserLimits(tpm=of_user))))
    ask(desk, "call_1", tokens=50)
    desk.settle("call_1", 3, {"input_tokens": 7})
    levels = {each.kind: each.level for each in user(desk).levels}
    assert levels.get("tokens", 7 * MINUTE_US) == 7 * MINUTE_US
    of_all = desk.store.books.throttles.get((ACCOUNT, "tokens"))
    assert of_all is None or of_all.level == 7 * MINUTE_US


def test_an_extension_is_bound_as_well() -> None:
    desk = limited(day_nano=25)
    ask(desk, "call_1", ceiling_nano=20)
    no = refused(desk.extend("call_1", 6))
    assert no.limit_source == "end_user_day"
    assert desk.extend("call_1", 5) == Granted(25, desk.account.available_nano)
    assert sums(desk)["day"] == (0, 25)


def test_the_limits_of_an_end_user_come_before_those_of_key_and_account() -> None:
    desk = limited(day_nano=25)
    desk.limit_key(Limits(end_users=EndUserTerms(EndUserLimits(day_nano=15))))
    assert refused(ask(desk, "call_1", ceiling_nano=20)).limit_nano == 15
    desk.do(LimitEndUser(ACCOUNT, ANN, EndUserLimits(day_nano=NO_LIMIT), desk.now_us))
    assert isinstance(ask(desk, "call_2", ceiling_nano=20), Granted)
    assert refused(ask(desk, "call_3", BOB, 20)).limit_nano == 15


def test_one_end_user_can_be_limited_where_nobody_else_is() -> None:
    desk = Desk()
    desk.grant(100)
    done = desk.do(LimitEndUser(ACCOUNT, ANN, EndUserLimits(day_nano=5), desk.now_us))
    assert isinstance(done, Done)
    assert done.end_user == EndUser(ACCOUNT, ANN, EndUserLimits(day_nano=5))
    assert refused(ask(desk, "call_1")).limit_source == "end_user_day"
    assert isinstance(ask(desk, "call_2", BOB), Granted)
    assert isinstance(ask(desk, "call_3", ""), Granted)
    desk.limit_account(Limits(day_nano=1_000))
    assert refused(ask(desk, "call_4")).limit_source == "end_user_day", "other limits lift it not"


def test_a_call_has_to_say_whom_it_is_for() -> None:
    desk = limited(EndUserTerms(is_required=True))
    assert refused(ask(desk, "call_1", "")).code == "end_user_required"
    assert isinstance(ask(desk, "call_2"), Granted)
    desk.limit_key(Limits(end_users=EndUserTerms(is_required=False)))
    assert isinstance(ask(desk, "call_3", ""), Granted)


def test_so_many_end_users_are_new_in_a_minute_and_no_more() -> None:
    desk = limited(EndUserTerms(EndUserLimits(rpm=100), new_rpm=2))
    assert [type(ask(desk, f"call_{n}", f"user {n}")) for n in range(3)] == [Granted, Granted, Refused]
    no = refused(ask(desk, "call_3", "user 3"))
    assert (no.code, no.limit_source) == ("rate_limit_exceeded", "account_newcomers")
    assert isinstance(ask(desk, "call_4", "user 1"), Granted)
    assert len(desk.store.books.end_users) == 3
    desk.now_us += MINUTE_US
    assert isinstance(ask(desk, "call_5", "user 3"), Granted)


def test_a_clock_that_was_set_back_stops_no_newcomer_for_long() -> None:
    desk = limited(EndUserTerms(EndUserLimits(rpm=100), new_rpm=1))
    ask(desk, "call_1", "user 1")
    desk.now_us -= 10 * DAY_US
    refused(ask(desk, "call_2", "user 2"))
    desk.now_us += MINUTE_US
    assert isinstance(ask(desk, "call_3", "user 2"), Granted)


def test_a_refused_call_leaves_no_row() -> None:
    desk = limited(day_nano=5)
    command = replace(desk.ask(10), call=replace(desk.ask(10).call, end_user=ANN, counts_user=True))
    desk.refuse(command)
    assert not desk.store.books.end_users


def test_a_repeat_counts_once() -> None:
    desk = limited(day_nano=25, rpm=5)
    first = ask(desk, "call_1")
    before = user(desk)
    call = desk.calls["call_1"]
    command = replace(desk.ask(10, call_id="call_1"), call=call)
    desk.calls["call_1"] = call
    assert desk.do(command) == first
    desk.settle("call_1", 4)
    after = user(desk)
    desk.settle("call_1", 4)
    assert user(desk) == after != before


def test_twins_by_case_and_form_are_others() -> None:
    desk = limited(concurrency=1)
    for number, name in enumerate(("ann", "Ann", "\u00e9", "e\u0301")):
        assert isinstance(ask(desk, f"call_{number}", name), Granted)


def test_another_account_s_end_user_is_another() -> None:
    desk = limited(concurrency=1)
    assert isinstance(ask(desk, "call_1"), Granted)
    assert {key[0] for key in desk.store.books.end_users} == {ACCOUNT}


def test_what_is_idle_is_forgotten_once_its_windows_have_ended() -> None:
    desk = limited(EndUserTerms(EndUserLimits(rpm=9)))
    ask(desk, "call_1")
    ask(desk, "call_2", BOB)
    desk.settle("call_1", 3)
    desk.settle("call_2", 3)
    desk.limit_account(Limits(end_users=EndUserTerms(EndUserLimits(day_nano=9_000))))
    ask(desk, "call_3", BOB)

    def left() -> set[str]:
        desk.do(ForgetEndUsers(ACCOUNT, (ANN, BOB, NEWCOMERS, "nobody"), desk.now_us))
        return {id_ for _, id_ in desk.store.books.end_users}

    assert left() == {ANN, BOB, NEWCOMERS}
    desk.now_us += RATES_US
    assert left() == {BOB}
    desk.now_us = MIDNIGHT_US + LATE_US
    assert left() == {BOB}, "a call is in flight"
    desk.void("call_3")
    assert left() == set()


def test_limits_of_its_own_keep_an_end_user() -> None:
    desk = limited()
    desk.do(LimitEndUser(ACCOUNT, ANN, EndUserLimits(rpm=3), desk.now_us))
    desk.now_us += 100 * DAY_US
    desk.do(ForgetEndUsers(ACCOUNT, (ANN,), desk.now_us))
    assert user(desk).limits == EndUserLimits(rpm=3)
    desk.do(LimitEndUser(ACCOUNT, ANN, EndUserLimits(), desk.now_us))
    desk.do(ForgetEndUsers(ACCOUNT, (ANN,), desk.now_us))
    assert not desk.store.books.end_users


def test_a_row_has_few_windows_however_long_it_is_there() -> None:
    desk = limited(day_nano=100)
    for number in range(90):
        ask(desk, f"call_{number}", ceiling_nano=1)
        desk.settle(f"call_{number}", 1)
        desk.now_us += DAY_US
    assert len(user(desk).sums) <= 6


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob"]),
            st.integers(1, 30),
            st.integers(0, 40),
            st.sampled_from([0, MINUTE_US // 3, DAY_US // 3]),
            st.booleans(),
        ),
        max_size=40,
    ),
    st.integers(0, 80),
)
def test_no_end_user_ever_holds_and_spends_more_than_its_limit(
    steps: list[tuple[str, int, int, int, bool]], limit_nano: int
) -> None:
    """What is counted is what its calls of the day hold and were charged, however they overlap."""
    desk = limited(day_nano=limit_nano)
    flight: list[tuple[str, str, int, int]] = []
    charged: dict[tuple[str, int], int] = {}
    for number, (name, ceiling_nano, cost_nano, later_us, ends) in enumerate(steps):
        desk.now_us += later_us
        day = desk.now_us // DAY_US
        held = sum(nano for _, of, on, nano in flight if (of, on) == (name, day))
        room_nano = limit_nano - charged.get((name, day), 0) - held
        passed = isinstance(ask(desk, f"call_{number}", name, ceiling_nano), Granted)
        assert passed == (ceiling_nano <= room_nano)
        if passed:
            flight.append((f"call_{number}", name, day, ceiling_nano))
        if ends and flight:
            call_id, of, on, nano = flight.pop(0)
            desk.settle(call_id, min(cost_nano, nano))
            charged[of, on] = charged.get((of, on), 0) + min(cost_nano, nano)
    for name in {of for of, _ in charged}:
        row = user(desk, name)
        assert row.open_holds == sum(of == name for _, of, _, _ in flight)
        for each in row.sums:
            if each.window == "day":
                assert each.spent_nano == charged.get((name, each.start_day), 0)
