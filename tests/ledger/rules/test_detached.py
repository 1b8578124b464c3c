"""Holds that outlive their process, and holds of calls that go to another upstream than the first."""

from typing import Any

import pytest
from msgspec.structs import replace

from proxy.ledger.commands import Done, Settled
from proxy.ledger.needs import Needs, needs_of
from tests.ledger.desk import ACCOUNT, NOON_US, Desk, call_of


@pytest.fixture
def desk() -> Desk:
    """A desk with 100 in one lot, and a hold of 30 for `call` of which 12 were observed."""
    desk = Desk()
    desk.grant(100)
    desk.hold(30, "call")
    desk.observe("call", 12, {"output_tokens": 8})
    return desk


def test_a_detached_hold_is_what_it_was_and_has_a_deadline(desk: Desk) -> None:
    before, account = desk.store.books.holds["call"], desk.account
    assert desk.detach("call", 9) == Done()
    assert desk.store.books.holds["call"] == replace(before, deadline_us=NOON_US + 9)
    assert desk.account == account


def test_a_detached_hold_is_recovered_from_its_deadline_on_and_not_before(desk: Desk) -> None:
    """Whether its process is gone is not asked, so that it may be detached while somebody recovers it."""
    desk.detach("call", 9)
    desk.now_us += 8
    refused = desk.refuse(desk.recovery("call"))
    assert (refused.code, refused.message) == (
        "conflict",
        "The hold call is detached until 2024-10-04T12:00:00Z.",
    )
    desk.now_us += 1
    assert desk.do(desk.recovery("call")) == Settled(12, 0, 88, 88)


def test_to_detach_again_is_to_move_the_deadline(desk: Desk) -> None:
    """Later or earlier."""
    for lives_us in (9, 90, 5):
        desk.detach("call", lives_us)
        assert desk.store.books.holds["call"].deadline_us == NOON_US + lives_us
    desk.now_us += 5
    desk.detach("call", 1)
    assert desk.refuse(desk.recovery("call")).code == "conflict"


@pytest.mark.parametrize("end", ["settle", "void"])
def test_a_detached_hold_is_closed_as_any_other(desk: Desk, end: str) -> None:
    """Before its deadline or after it, and once."""
    desk.detach("call", 9)
    close = desk.settlement("call", 20) if end == "settle" else desk.voiding("call")
    charged = 20 if end == "settle" else 0
    assert desk.do(close) == Settled(charged, 0, 100 - charged, 100 - charged)
    desk.now_us += 9
    replay = desk.do(desk.recovery("call"))
    assert replay == Settled(0, 0, 100 - charged, 100 - charged, replayed=True)


def test_a_detached_hold_is_extended_and_observed_as_any_other(desk: Desk) -> None:
    desk.detach("call", 9)
    desk.extend("call", 5)
    desk.observe("call", 33)
    hold = desk.store.books.holds["call"]
    assert (hold.amount_nano, hold.deadline_us) == (35, NOON_US + 9)
    desk.now_us += 9
    assert desk.do(desk.recovery("call")) == Settled(33, 0, 67, 67)


@pytest.mark.parametrize("lives_us", [0, -1])
def test_a_deadline_is_to_come(desk: Desk, lives_us: int) -> None:
    assert desk.refuse(desk.detachment("call", lives_us)).code == "invalid_value"


def test_only_an_open_hold_of_that_call_is_detached(desk: Desk) -> None:
    command = desk.detachment("call", 9)
    unknown = replace(command, call=call_of("unknown", NOON_US))
    assert desk.refuse(unknown).code == "not_found"
    for wrong in (
        replace(command, authorized_at_us=NOON_US + 1),
        replace(command, call=replace(command.call, key_id="key_2")),
        replace(command, call=replace(command.call, account_id="account_2")),
    ):
        assert desk.refuse(wrong).code == "conflict"
    desk.settle("call", 1)
    refused = desk.refuse(command)
    assert (refused.code, refused.message) == ("conflict", "The hold call is settled.")


def test_the_receipt_of_a_crash_names_the_upstream_that_the_call_went_to_last(desk: Desk) -> None:
    """Also when the hold was taken for an orphan's before that was known."""
    recovery = desk.recovery("call")
    assert desk.reroute("call", "second") == Done()
    assert desk.reroute("call", "third") == Done()
    assert recovery.call.upstream == "main"
    assert isinstance(desk.do(recovery), Settled)
    (receipt,) = desk.receipts
    assert receipt.call == replace(recovery.call, upstream="third", upstream_model="third-4o")


def test_a_rerouted_hold_keeps_all_else(desk: Desk) -> None:
    desk.detach("call", 9)
    before = desk.store.books.holds["call"]
    command = desk.rerouting("call", "second")
    assert desk.do(command) == Done()
    assert desk.store.books.holds["call"] == replace(before, call=command.call)


@pytest.mark.parametrize(
    "other",
    [
        {"account_id": "account_2"},
        {"key_id": "key_2"},
        {"endpoint": "embeddings"},
        {"model": "other"},
        {"stream": True},
        {"started_at_us": NOON_US + 1},
    ],
)
def test_nothing_but_the_upstream_of_a_call_changes(desk: Desk, other: dict[str, Any]) -> None:
    command = desk.rerouting("call", "second")
    assert desk.refuse(replace(command, call=replace(command.call, **other))).code == "conflict"


def test_only_an_open_hold_is_rerouted(desk: Desk) -> None:
    command = desk.rerouting("call", "second")
    unknown = replace(command, call=replace(command.call, id="unknown"))
    assert desk.refuse(unknown).code == "not_found"
    desk.void("call")
    refused = desk.refuse(command)
    assert (refused.code, refused.message) == ("conflict", "The hold call is voided.")


def test_what_they_need_is_the_hold_alone(desk: Desk) -> None:
    """Neither key, day nor lot is touched, so that none has to be loaded."""
    for command in (desk.detachment("call", 9), desk.rerouting("call", "second")):
        needs = needs_of([command])
        assert needs == Needs(accounts={ACCOUNT}, holds={"call"})
