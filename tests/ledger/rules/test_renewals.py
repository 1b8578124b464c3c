"""Renewals: one for each account and period, whatever crashes, and however wrong a clock is."""

from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Done
from proxy.ledger.dues import NO_DUES, Dues, Renew, Renewal
from proxy.ledger.periods import Every, months_after, period_at
from proxy.ledger.rows import NEVER_US, Lot, Membership
from proxy.ledger.windows import DAY_US
from tests.ledger.desk import ACCOUNT, NOON_US, Desk

TODAY_US = NOON_US // DAY_US * DAY_US
MONTH = 30 * DAY_US
DAILY = Renewal(100, lasts_us=MONTH)


def member(group: str = "free") -> Desk:
    desk = Desk()
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group=group))
    return desk


def renew(desk: Desk, renewal: Renewal | None = DAILY, group: str = "free") -> Membership:
    desk.commands += 1
    done = desk.do(Renew(ACCOUNT, f"dues_{desk.commands}", group, Dues(renewal), desk.now_us))
    assert isinstance(done, Done)
    assert done.membership is not None
    return done.membership


def lots(desk: Desk) -> list[Lot]:
    return sorted(desk.store.books.lots.get(ACCOUNT, {}).values(), key=lambda lot: lot.expires_at_us)


def test_who_joins_gets_the_credit_of_that_day_at_once_and_the_next_at_midnight() -> None:
    desk = member()
    assert renew(desk).due_us == TODAY_US + DAY_US
    desk.now_us = TODAY_US + DAY_US - 1
    renew(desk)
    assert desk.account.balance_nano == 100
    desk.now_us = TODAY_US + DAY_US
    renew(desk)
    assert [(lot.kind, lot.granted_at_us, lot.expires_at_us) for lot in lots(desk)] == [
        ("renewal", NOON_US, TODAY_US + MONTH),
        ("renewal", TODAY_US + DAY_US, TODAY_US + DAY_US + MONTH),
    ]


def test_a_lot_ends_with_its_period_or_never_as_the_group_says() -> None:
    desk = member()
    renew(desk, replace(DAILY, lasts_us=0, kind="daily", priority=7))
    (lot,) = lots(desk)
    assert (lot.kind, lot.priority, lot.expires_at_us) == ("daily", 7, TODAY_US + DAY_US)
    desk.now_us += DAY_US
    renew(desk, replace(DAILY, lasts_us=NEVER_US))
    assert desk.account.balance_nano == 100
    assert lots(desk)[-1].expires_at_us == NEVER_US


def test_what_was_missed_is_made_up_for_as_if_it_had_come_in_time() -> None:
    desk = member()
    renew(desk)
    desk.now_us += 4 * DAY_US
    renew(desk)
    assert [lot.expires_at_us for lot in lots(desk)] == [TODAY_US + MONTH + day * DAY_US for day in range(5)]


def test_only_so_much_is_made_up_for_and_nothing_that_has_expired() -> None:
    desk = member()
    renew(desk)
    desk.now_us += 9 * DAY_US
    renew(desk, replace(DAILY, back_fill=2))
    assert len(lots(desk)) == 1 + 3
    desk.now_us += 9 * DAY_US
    renew(desk, replace(DAILY, lasts_us=3 * DAY_US))
    assert len(lots(desk)) == 4 + 3
    desk.now_us += 9 * DAY_US
    renew(desk, replace(DAILY, back_fill=0))
    assert len(lots(desk)) == 7 + 1


def test_days_out_of_the_group_are_not_made_up_for() -> None:
    desk = member()
    renew(desk)
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group=""))
    renew(desk, None, "")
    desk.now_us += 5 * DAY_US
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group="free"))
    renew(desk)
    assert len(lots(desk)) == 2


def test_who_leaves_and_comes_back_gets_nothing_twice() -> None:
    """Nor does who goes from one group to another: a day is renewed once."""
    desk = member()
    renew(desk)
    for group in ("", "other", "free"):
        desk.do(ChangeAccount(ACCOUNT, desk.now_us, group=group))
        renew(desk, replace(DAILY, amount_nano=900), group)
    assert desk.account.balance_nano == 100


def test_a_group_that_has_changed_gives_nothing_for_the_time_before() -> None:
    desk = member()
    desk.now_us += 6 * DAY_US
    renew(desk)
    assert len(lots(desk)) == 1
    renew(desk, None)
    desk.now_us += DAY_US
    renew(desk, replace(DAILY, amount_nano=250))
    assert desk.account.balance_nano == 350


def test_a_month_begins_on_its_first_day() -> None:
    desk = member()
    monthly = replace(DAILY, every="month", lasts_us=0)
    renew(desk, monthly)
    desk.now_us += 27 * DAY_US
    renew(desk, monthly)
    assert desk.account.balance_nano == 100
    desk.now_us = lots(desk)[0].expires_at_us
    renew(desk, monthly)
    assert len(lots(desk)) == 2


def test_a_month_is_given_to_who_was_given_its_first_day() -> None:
    """And a day to who was given the month that begins with it: the two are not one renewal."""
    desk, first_us = member(), period_at("month", NOON_US).start_us
    moves: tuple[tuple[Every, int], ...] = (("day", 0), ("month", 14), ("month", 31), ("day", 31))
    for every, day in moves:
        desk.now_us = first_us + day * DAY_US
        desk.do(ChangeAccount(ACCOUNT, desk.now_us, group=every))
        renew(desk, replace(DAILY, every=every, lasts_us=NEVER_US, back_fill=0), every)
    assert sorted(lot.id for lot in lots(desk)) == [
        f"lot_{ACCOUNT}_{every}_2024{day}" for every in ("day", "month") for day in (1001, 1101)
    ]


def test_who_moves_on_the_last_day_gets_what_the_other_group_gives_for_that_time() -> None:
    """The day that was given before ends with the month, and the month that was given with the day after."""
    desk, first_us = member(), period_at("month", NOON_US).start_us
    for every, day in (("day", 30), ("month", 30), ("day", 60), ("month", 61), ("day", 90)):
        desk.now_us = first_us + day * DAY_US
        desk.do(ChangeAccount(ACCOUNT, desk.now_us, group=every))
        renewal = Renewal(100, every="month" if every == "month" else "day", lasts_us=NEVER_US, back_fill=0)
        renew(desk, renewal, every)
        renew(desk, renewal, every)
    assert sorted(lot.id.removeprefix(f"lot_{ACCOUNT}_") for lot in lots(desk)) == [
        *("day_20241031", "day_20241130", "day_20241230", "month_20241001", "month_20241201"),
    ]


def test_who_has_all_that_may_be_there_gets_nothing_more_in_that_period() -> None:
    """However often somebody looks once something of it is spent; who moves to another group begins anew."""
    desk, kept = member(), Renewal(100, lasts_us=NEVER_US, most_nano=150)
    for given, spent in ((100, 0), (150, 0), (150, 60), (150, 0)):
        assert renew(desk, kept).renewed_us == (desk.now_us // DAY_US + 1) * DAY_US
        assert desk.account.balance_nano == given
        if spent:
            desk.adjust(-spent)
            renew(desk, kept)
            assert desk.account.balance_nano == given - spent
        desk.now_us += DAY_US
    desk.now_us -= DAY_US
    desk.adjust(-150)
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group="other"))
    renew(desk, replace(kept, every="month"), "other")
    assert desk.account.balance_nano == 100


def test_no_clock_gives_a_day_twice_and_none_stops_renewals() -> None:
    """A clock ten years ahead gives one day; once it is right, each day comes as it should."""
    desk = member()
    renew(desk)
    desk.now_us += 3650 * DAY_US
    renew(desk, replace(DAILY, back_fill=0, lasts_us=NEVER_US))
    desk.now_us -= 3650 * DAY_US
    for day in range(3):
        desk.now_us = NOON_US + day * DAY_US
        renew(desk)
        desk.now_us -= DAY_US
        renew(desk)
        assert len(lots(desk)) == 2 + day


def test_another_group_than_the_accounts_gives_nothing() -> None:
    desk = member()
    assert renew(desk, group="other").due_us == 0
    assert not lots(desk)


def test_an_account_is_looked_at_once_a_day_or_not_at_all() -> None:
    """Its group may have changed by then; who is in none with dues is never looked at."""
    desk = member()
    assert renew(desk, replace(DAILY, every="month")).due_us == TODAY_US + DAY_US
    done = desk.do(Renew(ACCOUNT, "dues", "free", NO_DUES, desk.now_us))
    assert isinstance(done, Done)
    assert done.membership is not None
    assert done.membership.due_us == NEVER_US


def test_a_command_that_is_given_again_later_gives_what_is_due_then() -> None:
    desk = member()
    command = Renew(ACCOUNT, "dues", "free", Dues(DAILY), desk.now_us)
    desk.do(command)
    desk.do(command)
    desk.do(replace(command, at_us=desk.now_us + DAY_US))
    assert len(lots(desk)) == 2


def test_a_renewal_is_no_more_than_fits() -> None:
    """Where an account has no more than so much of its kind; what has been used makes room."""
    monthly = Renewal(100, every="month", lasts_us=NEVER_US, most_nano=250)
    desk = Desk()
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group="free"))
    seen = []
    for month in range(4):
        desk.now_us = months_after(NOON_US, month)
        renew(desk, monthly)
        seen.append(desk.account.balance_nano)
    desk.now_us = months_after(NOON_US, 4)
    desk.adjust(-70)
    renew(desk, monthly)
    assert (seen, desk.account.balance_nano) == ([100, 200, 250, 250], 250)
