"""Quotas: so many calls of a UTC day and no more; and holdings, which decide about the group."""

import pytest
from msgspec.structs import replace

from proxy.ledger.commands import ChangeAccount, Close, Done, Granted, Recover, Refused, Result
from proxy.ledger.quotas import Quota, SetHoldings
from proxy.ledger.rows import Membership
from proxy.ledger.windows import DAY_US
from tests.ledger.desk import ACCOUNT, NOON_US, Desk

TWO = Quota("premium", 2)
MIDNIGHT_US = (NOON_US // DAY_US + 1) * DAY_US
GROUPS = ("bronze", "gold")


def member(group: str = "gold") -> Desk:
    desk = Desk()
    desk.do(ChangeAccount(ACCOUNT, desk.now_us, group=group))
    return desk


def ask(desk: Desk, call_id: str, quota: Quota = TWO) -> Result:
    return desk.do(replace(desk.ask(0, call_id=call_id), group=desk.account.group, quota=quota))


def used(desk: Desk) -> dict[str, int]:
    return dict(desk.store.books.memberships[ACCOUNT].used)


def test_so_many_calls_pass_in_a_day_and_the_next_one_the_day_after() -> None:
    desk = member()
    assert [type(ask(desk, f"call_{number}")) for number in range(3)] == [Granted, Granted, Refused]
    refused = ask(desk, "call_3")
    assert isinstance(refused, Refused)
    assert (refused.code, refused.resets_at_us) == ("quota_exceeded", MIDNIGHT_US)
    assert refused.limit_source == "quota_premium"
    desk.now_us = MIDNIGHT_US
    assert isinstance(ask(desk, "call_4"), Granted)
    assert used(desk) == {"premium": 1}


def test_a_refused_call_counts_to_nothing() -> None:
    desk = member()
    desk.refuse(replace(desk.ask(900, call_id="call_a"), group="gold", quota=TWO))
    desk.refuse(replace(desk.ask(0, call_id="call_a"), group="gold", quota=Quota("premium", 0)))
    assert used(desk) == {}


def test_each_quota_counts_by_itself() -> None:
    desk = member()
    for number in range(2):
        ask(desk, f"call_{number}")
    assert isinstance(ask(desk, "call_2", Quota("pictures", 1)), Granted)
    assert used(desk) == {"pictures": 1, "premium": 2}


def test_a_repeat_counts_once_and_what_comes_to_nothing_counts_no_more() -> None:
    desk = member()
    command = replace(desk.ask(0, call_id="call_a"), group="gold", quota=TWO)
    desk.do(command)
    desk.do(command)
    assert used(desk) == {"premium": 1}
    void = command.void(desk.settlement("call_a", 0).outcome)
    desk.do(void)
    desk.do(void)
    assert used(desk) == {"premium": 0}


def quota_of(desk: Desk, close: Close) -> int:
    """What is used once a call has ended so, which was one of its quota; twice, as a repeat gives nothing."""
    command = replace(desk.ask(0, call_id=close.call.id), group="gold", quota=TWO)
    desk.do(command)
    assert used(desk) == {"premium": 1}
    desk.do(close)
    desk.do(close)
    return used(desk)["premium"]


def test_an_answer_that_was_not_sent_as_the_ledger_was_away_counts_no_more() -> None:
    desk = member()
    desk.ask(0, call_id="call_a")
    assert quota_of(desk, desk.settlement("call_a", 0).unanswered()) == 0
    desk.ask(0, call_id="call_b")
    assert quota_of(desk, desk.detachment("call_b", 5).unanswered()) == 0


def test_a_crashed_call_counts_as_far_as_anything_of_it_was_seen() -> None:
    """What nobody has got an answer of counts no more, also where it was noted to go on."""
    for usage, left in (({}, 0), ({"output_tokens": 3}, 1)):
        desk = member()
        desk.do(replace(desk.ask(0, call_id="call_a"), group="gold", quota=TWO))
        desk.observe("call_a", 0, usage)
        desk.detach("call_a", 5)
        desk.now_us += 5
        hold = desk.store.books.holds["call_a"]
        for _ in range(2):
            desk.do(Recover.of(hold, desk.now_us))
        assert used(desk) == {"premium": left}


def test_what_ends_after_midnight_gives_nothing_back_to_the_next_day() -> None:
    desk = member()
    command = replace(desk.ask(0, call_id="call_a"), group="gold", quota=TWO)
    desk.do(command)
    desk.now_us = MIDNIGHT_US + 5
    ask(desk, "call_b")
    desk.do(replace(command.void(desk.settlement("call_a", 0).outcome), at_us=desk.now_us))
    assert used(desk) == {"premium": 1}


def test_a_clock_that_is_behind_gives_no_call_twice() -> None:
    desk = member()
    desk.now_us = MIDNIGHT_US
    for number in range(2):
        ask(desk, f"call_{number}")
    desk.now_us -= 5
    assert isinstance(ask(desk, "call_2"), Refused)


def hold(desk: Desk, held: int, *, group: str, as_of_us: int | None = None) -> Result:
    as_of_us = desk.now_us if as_of_us is None else as_of_us
    return desk.do(SetHoldings(ACCOUNT, held, as_of_us, group, GROUPS, desk.now_us))


def membership(result: Result) -> Membership:
    assert isinstance(result, Done)
    assert result.membership is not None
    return result.membership


def test_holdings_put_an_account_in_its_group_and_out_of_it() -> None:
    desk = Desk()
    for held, group in ((5, "bronze"), (900, "gold"), (0, "")):
        desk.now_us += 1
        found = membership(hold(desk, held, group=group))
        assert (desk.account.group, found.group, found.held, found.since_us) == (
            group,
            group,
            held,
            desk.now_us,
        )


def test_what_is_older_than_what_is_known_is_ignored() -> None:
    desk = Desk()
    hold(desk, 900, group="gold")
    later = hold(desk, 5, group="bronze", as_of_us=desk.now_us - 1)
    assert isinstance(later, Done)
    assert (later.replayed, desk.account.group) == (True, "gold")


def test_an_account_that_the_operator_has_put_elsewhere_stays_there() -> None:
    desk = member("enterprise")
    desk.refuse(SetHoldings(ACCOUNT, 900, desk.now_us, "gold", GROUPS, desk.now_us))


@pytest.mark.parametrize("held", [900, 901])
def test_the_same_again_moves_nobody(held: int) -> None:
    desk = Desk()
    since_us = membership(hold(desk, 900, group="gold")).since_us
    desk.now_us += 60
    assert membership(hold(desk, held, group="gold")).since_us == since_us
