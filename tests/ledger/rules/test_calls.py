"""What authorize, extend and observe do: who may call, what is held, and what a call in flight notes."""

import pytest
from msgspec.structs import replace

from proxy.errors import CODES
from proxy.ledger.commands import (
    ChangeAccount,
    ChangeKey,
    Command,
    CreateKey,
    Done,
    Granted,
    OpenAccount,
    Settled,
)
from proxy.ledger.rows import NO_LIMIT, Limits, Observed
from proxy.ledger.spending import Bucket
from proxy.ledger.windows import DAY_US, Window
from tests.ledger.desk import ACCOUNT, KEY, NOON_US, Desk, call_of, charge_of

TODAY = NOON_US // DAY_US
STARTS: tuple[tuple[Window, int], ...] = (
    ("day", TODAY),
    ("week", TODAY - 4),
    ("month", TODAY - 3),
    ("total", 0),
)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.grant(100, lot_id="lot")
    return desk


def test_a_hold_sets_the_ceiling_aside(desk: Desk) -> None:
    assert desk.do(desk.ask(30, call_id="call", tokens=9)) == Granted(30, 70)
    assert (desk.account.balance_nano, desk.account.held_nano, desk.account.open_holds) == (100, 30, 1)
    assert desk.key.open_holds == 1
    hold = desk.store.books.holds["call"]
    assert (hold.amount_nano, hold.state, hold.created_at_us, hold.owner) == (30, "open", NOON_US, "test")
    assert hold.call == desk.calls["call"]
    assert desk.entries[-1].kind == "grant"


def test_what_is_held_is_counted_in_every_window_of_account_and_key(desk: Desk) -> None:
    """It is counted whether there is a limit or not, so that a limit set later finds it."""
    desk.hold(30, "call")
    assert set(desk.buckets) == {
        Bucket(scope, window, start, 0, 30) for scope in (ACCOUNT, KEY) for window, start in STARTS
    }


def test_when_the_ceiling_does_not_fit_all_there_is_is_held(desk: Desk) -> None:
    assert desk.do(desk.ask(500, floor_nano=60)) == Granted(100, 0)


def test_the_floor_is_the_least_that_is_held(desk: Desk) -> None:
    assert desk.do(desk.ask(500, floor_nano=100)) == Granted(100, 0)
    assert desk.refuse(desk.ask(500, floor_nano=1)).code == "in_flight_budget_exhausted"


def test_a_call_that_may_cost_something_never_passes_on_nothing() -> None:
    assert Desk().refuse(Desk().ask(5, floor_nano=0)).code == "credit_balance_exhausted"


def test_a_floor_above_the_ceiling_is_the_ceiling(desk: Desk) -> None:
    assert desk.do(desk.ask(100, floor_nano=200)) == Granted(100, 0)


@pytest.mark.parametrize("limits", [Limits(), Limits(day_nano=0, total_nano=0)])
def test_a_free_call_passes_without_funds_and_with_every_limit_reached(limits: Limits) -> None:
    desk = Desk(limits=limits)
    desk.limit_key(limits)
    assert desk.do(desk.ask(0, call_id="free")) == Granted(0, 0)
    assert desk.account.open_holds == 1
    assert desk.settle("free", 0) == Settled(0, 0, 0, 0)
    assert (desk.account.open_holds, len(desk.receipts), desk.entries) == (0, 1, [])


def test_to_ask_again_for_the_same_call_finds_its_hold(desk: Desk) -> None:
    command = desk.ask(30, call_id="call")
    granted = desk.do(command)
    before = desk.store.snapshot()
    assert desk.do(replace(command, ceiling_nano=99, at_us=NOON_US + 5)) == granted
    assert desk.store.snapshot() == before


def test_a_call_that_has_ended_is_not_made_again(desk: Desk) -> None:
    command = desk.ask(30, call_id="call")
    desk.do(command)
    desk.settle("call", 10)
    assert desk.refuse(command).code == "conflict"


def test_a_call_id_belongs_to_one_account(desk: Desk) -> None:
    command = desk.ask(30, call_id="call")
    desk.do(command)
    desk.do(OpenAccount("account_2", "Another", NOON_US))
    desk.do(CreateKey("account_2", "key_2", "x", "digest_2", "hint", NOON_US))
    stolen = replace(command.call, account_id="account_2", key_id="key_2")
    assert desk.refuse(replace(command, call=stolen)).code == "conflict"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (ChangeKey(ACCOUNT, KEY, NOON_US, status="disabled"), "api_key_disabled"),
        (ChangeKey(ACCOUNT, KEY, NOON_US, expires_at_us=NOON_US), "api_key_expired"),
        (ChangeKey(ACCOUNT, KEY, NOON_US, models=("claude-*", "gpt-3*")), "model_not_allowed"),
        (ChangeAccount(ACCOUNT, NOON_US, status="suspended"), "account_suspended"),
    ],
)
def test_who_may_not_call_is_refused_whatever_it_costs(desk: Desk, change: Command, code: str) -> None:
    desk.do(change)
    assert desk.refuse(desk.ask(5)).code == code
    assert desk.refuse(desk.ask(0)).code == code


@pytest.mark.parametrize(
    ("account_id", "key_id"), [("account_9", KEY), (ACCOUNT, "key_9"), (ACCOUNT, "key_2")]
)
def test_a_key_is_known_only_with_its_account(desk: Desk, account_id: str, key_id: str) -> None:
    desk.do(OpenAccount("account_2", "Another", NOON_US))
    desk.do(CreateKey("account_2", "key_2", "x", "digest_2", "hint", NOON_US))
    call = replace(call_of("call", NOON_US), account_id=account_id, key_id=key_id)
    assert desk.refuse(replace(desk.ask(5), call=call)).code == "invalid_api_key"


@pytest.mark.parametrize("models", [(), ("gpt-4o",), ("claude-*", "gpt-*"), ("*",), ("gpt-4[op]",)])
def test_a_model_is_allowed_by_any_glob_and_by_none_at_all(desk: Desk, models: tuple[str, ...]) -> None:
    desk.do(ChangeKey(ACCOUNT, KEY, NOON_US, models=models))
    assert isinstance(desk.do(desk.ask(5)), Granted)


def test_the_first_of_several_refusals_is_the_first_in_the_order_of_codes() -> None:
    """Each reason is put right in turn, and what is heard next is always further down in the list."""
    desk = Desk(limits=Limits(concurrency=0, rpm=0))
    desk.do(ChangeKey(ACCOUNT, KEY, NOON_US, status="disabled", expires_at_us=NOON_US, models=("none",)))
    desk.do(ChangeAccount(ACCOUNT, NOON_US, status="suspended"))
    cures: tuple[Command, ...] = (
        ChangeKey(ACCOUNT, KEY, NOON_US, status="active"),
        ChangeKey(ACCOUNT, KEY, NOON_US, expires_at_us=NOON_US + 1),
        ChangeKey(ACCOUNT, KEY, NOON_US, models=()),
        ChangeAccount(ACCOUNT, NOON_US, status="active"),
        ChangeAccount(ACCOUNT, NOON_US, credit_limit_nano=5),
        ChangeAccount(ACCOUNT, NOON_US, limits=Limits(concurrency=0)),
    )
    heard = [desk.refuse(desk.ask(5)).code]
    for cure in cures:
        desk.do(cure)
        heard.append(desk.refuse(desk.ask(5)).code)
    order = list(CODES)
    assert heard == sorted(set(heard), key=order.index)
    assert heard[-1] == "concurrency_limit_exceeded"


def test_defaults_hold_for_accounts_that_set_no_limit_of_their_own(desk: Desk) -> None:
    defaults = Limits(day_nano=20, month_nano=50)
    assert desk.refuse(desk.ask(21, defaults=defaults)).limit_source == "account_day"
    desk.limit_account(Limits(day_nano=NO_LIMIT))
    assert desk.refuse(desk.ask(51, defaults=defaults)).limit_source == "account_month"
    assert desk.do(desk.ask(50, defaults=defaults)) == Granted(50, 50)


def test_defaults_are_not_for_keys(desk: Desk) -> None:
    desk.limit_account(Limits(day_nano=NO_LIMIT))
    assert desk.do(desk.ask(50, defaults=Limits(day_nano=20))) == Granted(50, 50)


def test_extending_a_hold_holds_more_of_everything(desk: Desk) -> None:
    desk.hold(30, "call")
    assert desk.extend("call", 20) == Granted(50, 50)
    assert desk.store.books.holds["call"].amount_nano == 50
    assert (desk.account.held_nano, desk.account.open_holds) == (50, 1)
    assert {bucket.held_nano for bucket in desk.buckets} == {50}
    assert desk.settle("call", 50) == Settled(50, 0, 50, 50)
    assert {bucket.held_nano for bucket in desk.buckets} == {0}


def test_extending_is_all_or_nothing(desk: Desk) -> None:
    desk.hold(30, "call")
    refused = desk.refuse(desk.extension("call", 71))
    assert (refused.code, refused.required_nano, refused.available_nano) == (
        "in_flight_budget_exhausted",
        71,
        70,
    )


def test_extending_asks_the_limits_of_now_in_the_windows_of_the_hold(desk: Desk) -> None:
    desk.hold(30, "call")
    desk.limit_key(Limits(day_nano=40))
    desk.now_us += DAY_US
    assert desk.refuse(desk.extension("call", 11)).limit_source == "key_day"
    assert desk.refuse(replace(desk.extension("call", 11), defaults=Limits(total_nano=35))).limit_source == (
        "account_total"
    )
    assert desk.extend("call", 10) == Granted(40, 60)
    assert {bucket.start_day for bucket in desk.buckets if bucket.window == "day"} == {TODAY}


def test_only_an_open_hold_of_that_very_call_is_extended(desk: Desk) -> None:
    desk.hold(30, "call")
    right = desk.extension("call", 1)
    assert desk.refuse(replace(right, call=call_of("other", NOON_US))).code == "not_found"
    assert desk.refuse(replace(right, authorized_at_us=NOON_US + 1)).code == "conflict"
    assert desk.refuse(replace(right, amount_nano=0)).code == "invalid_value"
    desk.void("call")
    assert desk.refuse(right).code == "conflict"


def test_what_is_observed_replaces_what_was(desk: Desk) -> None:
    desk.hold(30, "call")
    assert desk.observe("call", 5, {"output_tokens": 1}) == Done()
    desk.observe("call", 7, {"output_tokens": 2})
    assert desk.store.books.holds["call"].observed == Observed({"output_tokens": 2}, charge_of(7))
    assert desk.account.held_nano == 30


def test_only_an_open_hold_of_the_account_is_observed(desk: Desk) -> None:
    desk.hold(30, "call")
    observed = desk.store.books.holds["call"]
    desk.void("call")
    for hold_id, code in (("call", "conflict"), ("other", "not_found")):
        before = desk.store.snapshot()
        result = desk.observe(hold_id, 5)
        assert getattr(result, "code", None) == code
        assert desk.store.snapshot() == before
    assert observed.observed is None


def test_thirty_seven_calls_are_paid_for_and_the_other_hundred_and_sixty_three_refused() -> None:
    """Whatever comes in one batch, exactly what can be afforded is let through."""
    desk = Desk()
    desk.grant(37 * 1_000)
    results = desk.store.commit([desk.ask(1_000) for _ in range(200)])
    granted = [result for result in results if isinstance(result, Granted)]
    assert len(granted) == 37
    assert desk.account.available_nano == 0
    open_calls = [hold.id for hold in desk.store.books.holds.values()]
    desk.store.commit([desk.settlement(call_id, 1_000) for call_id in open_calls])
    assert (desk.account.balance_nano, desk.account.held_nano, desk.account.open_holds) == (0, 0, 0)
