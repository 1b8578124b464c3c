"""Rate limits are exact: who passes, who waits how long, and what is given back."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger.commands import Granted, RateStatus, Refused, Result
from proxy.ledger.rows import NO_LIMIT, Limits
from proxy.ledger.rules.throttles import MINUTE_US, RETRY_US, SKEW_US
from tests.ledger.desk import ACCOUNT, KEY, NOON_US, Desk


def rate_statuses(result: Result) -> tuple[RateStatus, ...]:
    assert isinstance(result, Granted | Refused)
    return result.rate_statuses


def test_a_minute_has_as_many_calls_as_its_limit() -> None:
    desk = Desk(limits=Limits(rpm=3))
    for _ in range(3):
        assert isinstance(desk.do(desk.ask(0)), Granted)
    refused = desk.refuse(desk.ask(0))
    assert (refused.code, refused.limit_source) == ("rate_limit_exceeded", "account_rpm")
    assert refused.retry_after_us == MINUTE_US // 3


@pytest.mark.parametrize("limits", [Limits(rpm=7), Limits(tpm=7)])
def test_after_the_wait_it_was_told_a_call_passes_and_not_a_microsecond_earlier(limits: Limits) -> None:
    desk = Desk(limits=limits)
    for _ in range(7):
        desk.do(desk.ask(0, tokens=1))
        desk.now_us += 12_345
    refused = desk.refuse(desk.ask(0, tokens=1))
    assert refused.retry_after_us is not None
    desk.now_us += refused.retry_after_us - 1
    assert desk.refuse(desk.ask(0, tokens=1)).retry_after_us == 1
    desk.now_us += 1
    assert isinstance(desk.do(desk.ask(0, tokens=1)), Granted)


def test_of_five_calls_at_once_against_a_hundred_tokens_one_passes() -> None:
    """Each asks for more than a whole minute has, so each asks for all of it."""
    desk = Desk(limits=Limits(tpm=100))
    results = desk.store.commit([desk.ask(0, call_id=f"call_{n}", tokens=133) for n in range(5)])
    assert [isinstance(result, Granted) for result in results] == [True, False, False, False, False]
    assert desk.store.books.holds["call_0"].tokens == 100
    desk.settle("call_0", 0, {"input_tokens": 33, "output_tokens": 100})
    refused = desk.refuse(desk.ask(0, tokens=1))
    assert refused.limit_source == "account_tpm"
    assert refused.retry_after_us == 34 * MINUTE_US // 100


def test_calls_that_fit_share_the_minute_exactly() -> None:
    desk = Desk(limits=Limits(tpm=100))
    results = desk.store.commit([desk.ask(0, tokens=20) for _ in range(6)])
    assert [isinstance(result, Granted) for result in results] == [True] * 5 + [False]


def test_settling_gives_back_the_tokens_that_were_not_used() -> None:
    desk = Desk(limits=Limits(tpm=100))
    desk.hold(0, "call", tokens=100)
    desk.settle("call", 0, {"input_tokens": 10, "output_tokens": 20, "cached_input_tokens": 5})
    assert rate_statuses(desk.do(desk.ask(0, tokens=70)))[0].remaining == 0
    assert isinstance(desk.refuse(desk.ask(0, tokens=1)), Refused)


def test_a_void_gives_all_tokens_back_but_not_the_request() -> None:
    desk = Desk(limits=Limits(tpm=100, rpm=10))
    desk.hold(0, "call", tokens=100)
    desk.void("call")
    requests, tokens = rate_statuses(desk.do(desk.ask(0, tokens=40)))
    assert (requests.remaining, tokens.remaining) == (8, 60)


def test_giving_back_after_the_level_has_drained_leaves_no_credit() -> None:
    desk = Desk(limits=Limits(tpm=100))
    desk.hold(0, "call", tokens=100)
    desk.now_us += 10 * MINUTE_US
    desk.void("call")
    assert desk.store.books.throttles[ACCOUNT, "tokens"].level == 0
    assert isinstance(desk.do(desk.ask(0, tokens=100)), Granted)
    assert isinstance(desk.refuse(desk.ask(0, tokens=1)), Refused)


def test_key_and_account_are_charged_each_up_to_its_own_limit() -> None:
    desk = Desk(limits=Limits(tpm=1000))
    desk.limit_key(Limits(tpm=100))
    desk.hold(0, "call", tokens=500)
    levels = {key: row.level // MINUTE_US for key, row in desk.store.books.throttles.items()}
    assert levels == {(KEY, "tokens"): 100, (ACCOUNT, "tokens"): 500}
    desk.settle("call", 0, {"output_tokens": 300})
    levels = {key: row.level // MINUTE_US for key, row in desk.store.books.throttles.items()}
    assert levels == {(KEY, "tokens"): 300, (ACCOUNT, "tokens"): 300}


def test_a_key_without_a_lower_limit_is_charged_what_its_account_is() -> None:
    desk = Desk(limits=Limits(tpm=100))
    desk.limit_key(Limits(tpm=1000))
    desk.hold(0, "call", tokens=500)
    desk.void("call")
    assert {row.level for row in desk.store.books.throttles.values()} == {0}


@pytest.mark.parametrize("limits", [Limits(), Limits(rpm=NO_LIMIT, tpm=NO_LIMIT, concurrency=NO_LIMIT)])
def test_without_a_rate_limit_nothing_is_counted_and_no_pace_is_told(limits: Limits) -> None:
    desk = Desk(limits=limits)
    desk.limit_key(limits)
    assert rate_statuses(desk.do(desk.ask(0, call_id="call", tokens=50))) == ()
    desk.settle("call", 0, {"output_tokens": 50})
    assert (desk.store.books.throttles, desk.store.books.holds["call"].tokens) == ({}, 0)


@pytest.mark.parametrize("limits", [Limits(rpm=0), Limits(tpm=0)])
def test_a_limit_of_nothing_lets_nothing_pass_and_promises_nothing(limits: Limits) -> None:
    refused = Desk(limits=limits).refuse(Desk().ask(0, tokens=1))
    assert (refused.code, refused.retry_after_us) == ("rate_limit_exceeded", None)


def test_a_limit_of_no_tokens_lets_a_call_without_tokens_pass() -> None:
    desk = Desk(limits=Limits(tpm=0))
    assert isinstance(desk.do(desk.ask(0)), Granted)


@pytest.mark.parametrize(
    ("own", "limits", "source"),
    [
        (Limits(rpm=1, tpm=1, concurrency=1), Limits(rpm=1, tpm=1, concurrency=1), "key_rpm"),
        (Limits(tpm=1, concurrency=1), Limits(rpm=1, tpm=1, concurrency=1), "account_rpm"),
        (Limits(tpm=1, concurrency=1), Limits(tpm=1, concurrency=1), "key_tpm"),
        (Limits(concurrency=1), Limits(tpm=1, concurrency=1), "account_tpm"),
        (Limits(concurrency=1), Limits(concurrency=1), "key_concurrency"),
        (Limits(), Limits(concurrency=1), "account_concurrency"),
    ],
)
def test_rates_are_asked_before_concurrency_and_keys_before_accounts(
    own: Limits, limits: Limits, source: str
) -> None:
    desk = Desk(limits=Limits(rpm=1, tpm=1))
    desk.limit_key(Limits(rpm=1, tpm=1))
    desk.hold(0, "call", tokens=1)
    desk.limit_key(own)
    desk.limit_account(limits)
    assert desk.refuse(desk.ask(0, tokens=1)).limit_source == source


def test_concurrency_counts_calls_that_are_open() -> None:
    desk = Desk(limits=Limits(concurrency=2))
    desk.hold(0, "a")
    desk.hold(0, "b")
    refused = desk.refuse(desk.ask(0))
    assert (refused.code, refused.limit_source) == ("concurrency_limit_exceeded", "account_concurrency")
    assert refused.retry_after_us == RETRY_US
    desk.void("a")
    assert isinstance(desk.do(desk.ask(0)), Granted)


def test_the_pace_is_that_of_the_tightest_limit_of_each_kind() -> None:
    desk = Desk(limits=Limits(rpm=10, tpm=100))
    desk.limit_key(Limits(rpm=60, tpm=50))
    result = desk.do(desk.ask(0, tokens=30))
    assert rate_statuses(result) == (
        RateStatus("requests", 10, 9, MINUTE_US // 10),
        RateStatus("tokens", 50, 20, 30 * MINUTE_US // 50),
    )


def test_a_refusal_for_want_of_funds_tells_the_pace_as_well() -> None:
    desk = Desk(limits=Limits(rpm=10))
    assert desk.refuse(desk.ask(5)).rate_statuses == (RateStatus("requests", 10, 10, 0),)


def test_a_refused_call_counts_against_no_rate() -> None:
    desk = Desk(limits=Limits(rpm=1))
    desk.refuse(desk.ask(5))
    assert isinstance(desk.do(desk.ask(0)), Granted)


def test_a_clock_that_runs_back_drains_nothing_until_it_has_caught_up() -> None:
    desk = Desk(limits=Limits(rpm=60))
    desk.store.commit([desk.ask(0) for _ in range(60)])
    desk.now_us -= 30_000_000
    refused = desk.refuse(desk.ask(0))
    assert refused.retry_after_us == 31_000_000
    desk.now_us += 30_999_999
    assert desk.refuse(desk.ask(0)).retry_after_us == 1
    desk.now_us += 1
    assert isinstance(desk.do(desk.ask(0)), Granted)


@pytest.mark.parametrize("behind_us", [5, SKEW_US])
def test_the_clock_of_a_throttle_does_not_follow_clocks_that_are_a_little_apart(behind_us: int) -> None:
    """If it did, a minute would count twice whenever processes with such clocks take turns."""
    desk = Desk(limits=Limits(rpm=60))
    desk.do(desk.ask(0))
    desk.now_us -= behind_us
    desk.do(desk.ask(0))
    assert desk.store.books.throttles[ACCOUNT, "requests"].at_us == NOON_US


@pytest.mark.parametrize("back_us", [SKEW_US + 1, 3_600_000_000, 365 * 86_400_000_000])
@pytest.mark.parametrize("limits", [Limits(rpm=6), Limits(tpm=6)])
def test_after_a_clock_was_set_back_a_limit_drains_as_ever(limits: Limits, back_us: int) -> None:
    """The step gives nothing and takes nothing: a call passes after exactly the wait that it was told."""
    desk = Desk(limits=limits)
    desk.store.commit([desk.ask(0, tokens=1) for _ in range(6)])
    desk.now_us -= back_us
    refused = desk.do(desk.ask(0, tokens=1))
    assert isinstance(refused, Refused)
    assert refused.retry_after_us == MINUTE_US // 6
    desk.now_us += MINUTE_US // 6 - 1
    assert desk.refuse(desk.ask(0, tokens=1)).retry_after_us == 1
    desk.now_us += 1
    assert isinstance(desk.do(desk.ask(0, tokens=1)), Granted)
    desk.now_us += MINUTE_US
    results = desk.store.commit([desk.ask(0, tokens=1) for _ in range(7)])
    assert [isinstance(result, Granted) for result in results] == [True] * 6 + [False]


@given(
    limit=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 20_000_000), st.sampled_from([0, 0, 0, -1])), max_size=60),
)
def test_no_step_back_lets_more_calls_through_than_time_has_passed_for(
    limit: int, steps: list[tuple[int, int]]
) -> None:
    """What is let through is at most a minute's worth, and what drains in the time between the steps."""
    desk, passed, real_us = Desk(limits=Limits(rpm=limit)), 0, 0
    for pause_us, step in steps:
        desk.now_us += pause_us
        real_us += pause_us
        if step < 0:
            desk.now_us -= 7_200_000_000
        passed += isinstance(desk.do(desk.ask(0)), Granted)
        assert passed <= limit + Fraction(limit * real_us, MINUTE_US)


@given(
    limit=st.integers(1, 50),
    steps=st.lists(st.tuples(st.integers(0, 20_000_000), st.integers(0, 60)), max_size=40),
)
def test_every_decision_is_that_of_an_exact_leaky_bucket(limit: int, steps: list[tuple[int, int]]) -> None:
    """The level as a fraction of tokens, drained continuously: same answers, same waits, same remainders."""
    desk = Desk(limits=Limits(tpm=limit))
    level = Fraction(0)
    for pause_us, tokens in steps:
        desk.now_us += pause_us
        level = max(Fraction(0), level - Fraction(limit * pause_us, MINUTE_US))
        asked = min(tokens, limit)
        result = desk.do(desk.ask(0, tokens=tokens))
        if level + asked <= limit:
            assert isinstance(result, Granted)
            level += asked
        else:
            assert isinstance(result, Refused)
            wait = (level + asked - limit) * MINUTE_US / limit
            assert result.retry_after_us == -(-wait.numerator // wait.denominator)
        (pace,) = rate_statuses(result)
        assert pace.remaining == (limit - level).__floor__()
        assert pace.reset_us == (level * MINUTE_US / limit).__ceil__()
