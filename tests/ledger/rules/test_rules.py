"""What commands of the administration do: accounts, keys, grants, adjustments."""

from typing import Any

import pytest
from msgspec.structs import replace

from proxy.errors import CODES
from proxy.ledger.commands import (
    Adjust,
    ChangeAccount,
    ChangeKey,
    Command,
    CreateKey,
    Done,
    Grant,
    OpenAccount,
    Refused,
    Sweep,
)
from proxy.ledger.needs import needs_of
from proxy.ledger.rows import NEVER_US, NO_LIMIT, Draw, Limits
from proxy.ledger.windows import DAY_US
from proxy.money import MAX_NANO
from tests.ledger.desk import ACCOUNT, KEY, NOON_US, Desk


def test_a_new_account_is_empty_active_and_unlimited() -> None:
    desk = Desk()
    account = desk.account
    assert (account.balance_nano, account.held_nano, account.debt_nano, account.entries) == (0, 0, 0, 0)
    assert (account.status, account.next_expiry_us, account.available_nano) == ("active", NEVER_US, 0)


def test_the_credit_limit_is_available_from_the_start() -> None:
    assert Desk(credit_limit_nano=500).account.available_nano == 500


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (OpenAccount(ACCOUNT, "Again", NOON_US), "conflict"),
        (OpenAccount("account_2", "In debt", NOON_US, credit_limit_nano=-1), "invalid_value"),
        (OpenAccount("account_2", "Too rich", NOON_US, credit_limit_nano=MAX_NANO + 1), "invalid_value"),
        (ChangeAccount("account_9", NOON_US, name="x"), "not_found"),
        (ChangeAccount(ACCOUNT, NOON_US, credit_limit_nano=-1), "invalid_value"),
        (CreateKey("account_9", "key_2", "x", "digest", "hint", NOON_US), "not_found"),
        (CreateKey(ACCOUNT, KEY, "x", "digest", "hint", NOON_US), "conflict"),
        (ChangeKey("account_9", KEY, NOON_US, name="x"), "not_found"),
        (ChangeKey(ACCOUNT, "key_9", NOON_US, name="x"), "not_found"),
        (ChangeKey("account_other", KEY, NOON_US, name="x"), "not_found"),
        (Grant("account_9", "g", "lot", 1, NOON_US), "not_found"),
        (Grant(ACCOUNT, "g", "lot", 0, NOON_US), "invalid_value"),
        (Grant(ACCOUNT, "g", "lot", -1, NOON_US), "invalid_value"),
        (Grant(ACCOUNT, "g", "lot", MAX_NANO + 1, NOON_US), "invalid_value"),
        (Grant(ACCOUNT, "g", "lot", 1, NOON_US, expires_at_us=NOON_US), "invalid_value"),
        (Adjust("account_9", "a", "lot", 1, "why", NOON_US), "not_found"),
        (Adjust(ACCOUNT, "a", "lot", 0, "why", NOON_US), "invalid_value"),
        (Adjust(ACCOUNT, "a", "lot", -1, "why", NOON_US), "conflict"),
        (Sweep("account_9", NOON_US), "not_found"),
    ],
)
def test_an_impossible_command_is_refused_and_leaves_no_trace(command: Command, code: str) -> None:
    desk = Desk()
    desk.do(OpenAccount("account_other", "Another", NOON_US))
    refused = desk.refuse(command)
    assert refused.code == code
    assert refused.code in CODES
    assert refused.message.endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Renamed"},
        {"status": "suspended"},
        {"credit_limit_nano": 70},
        {"limits": Limits(day_nano=5)},
        {"limits": Limits(day_nano=NO_LIMIT)},
    ],
)
def test_a_change_of_an_account_changes_only_what_it_names(changes: dict[str, Any]) -> None:
    desk = Desk()
    before = desk.account
    assert desk.do(ChangeAccount(ACCOUNT, NOON_US, **changes)) == Done(replace(before, **changes))
    assert desk.account == replace(before, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Renamed"},
        {"status": "disabled"},
        {"expires_at_us": NOON_US},
        {"models": ("gpt-*",)},
        {"models": ()},
        {"limits": Limits(total_nano=5)},
    ],
)
def test_a_change_of_a_key_changes_only_what_it_names(changes: dict[str, Any]) -> None:
    desk = Desk()
    desk.do(ChangeKey(ACCOUNT, KEY, NOON_US, models=("gpt-4o",)))
    before = desk.key
    assert desk.do(ChangeKey(ACCOUNT, KEY, NOON_US, **changes)) == Done(
        desk.account, replace(before, **changes)
    )
    assert desk.key == replace(before, **changes)


def test_a_credit_limit_cannot_be_lowered_below_what_is_owed_and_held() -> None:
    desk = Desk(credit_limit_nano=100)
    desk.hold(40, "owed")
    desk.settle("owed", 40)
    desk.hold(25, "held")
    assert desk.refuse(ChangeAccount(ACCOUNT, NOON_US, credit_limit_nano=64)).code == "conflict"
    desk.do(ChangeAccount(ACCOUNT, NOON_US, credit_limit_nano=65))
    assert desk.account.available_nano == 0


def test_a_grant_is_a_lot_an_entry_and_a_balance() -> None:
    desk = Desk()
    result = desk.do(
        Grant(
            ACCOUNT,
            "g1",
            "lot_1",
            10,
            NOON_US,
            kind="bonus",
            priority=7,
            expires_at_us=NOON_US + 5,
            note="hi",
        )
    )
    assert result == Done(desk.account, entry=desk.entries[0])
    assert (desk.account.balance_nano, desk.account.next_expiry_us) == (10, NOON_US + 5)
    lot = desk.lot("lot_1")
    assert (lot.kind, lot.amount_nano, lot.remaining_nano, lot.priority) == ("bonus", 10, 10, 7)
    (entry,) = desk.entries
    assert (entry.seq, entry.kind, entry.amount_nano, entry.ref, entry.note) == (1, "grant", 10, "g1", "hi")
    assert (entry.balance_after_nano, entry.debt_after_nano, entry.draws) == (10, 0, (Draw("lot_1", 10),))


def test_new_money_repays_debt_first_and_a_lot_holds_the_rest() -> None:
    desk = Desk(credit_limit_nano=100)
    desk.hold(60, "call")
    desk.settle("call", 60)
    desk.grant(40, lot_id="first")
    assert (desk.account.balance_nano, desk.account.debt_nano, desk.left()) == (0, 20, {})
    desk.grant(50, lot_id="second")
    assert (desk.account.balance_nano, desk.account.debt_nano, desk.left()) == (30, 0, {"second": 30})
    assert desk.lot("second").amount_nano == 30
    assert [entry.amount_nano for entry in desk.entries] == [-60, 40, 50]
    assert desk.entries[-1].draws == (Draw("second", 30),)


def test_no_balance_grows_out_of_its_column() -> None:
    desk = Desk()
    desk.grant(MAX_NANO)
    assert desk.refuse(Grant(ACCOUNT, "more", "lot", 1, NOON_US)).code == "invalid_value"


def test_a_lot_id_is_used_once() -> None:
    desk = Desk()
    desk.grant(5, lot_id="lot_1")
    assert desk.refuse(Grant(ACCOUNT, "other", "lot_1", 5, NOON_US)).code == "conflict"


@pytest.mark.parametrize(
    "command",
    [
        Grant(ACCOUNT, "once", "lot_1", 10, NOON_US, expires_at_us=NOON_US + 5),
        Adjust(ACCOUNT, "once", "lot_1", 10, "why", NOON_US),
        Adjust(ACCOUNT, "once", "lot_1", -10, "why", NOON_US),
    ],
)
def test_a_repeated_command_is_done_once(command: Grant | Adjust) -> None:
    """A repeat with another lot id and a later time is the same command: those differ with every try."""
    desk = Desk()
    desk.grant(100, lot_id="there")
    desk.do(command)
    entry = desk.entries[-1]
    desk.adjust(1)
    before = desk.store.snapshot()
    repeat = replace(command, lot_id="lot_2", at_us=command.at_us + 60)
    assert desk.do(repeat) == Done(desk.account, replayed=True, entry=entry)
    assert desk.store.snapshot() == before


@pytest.mark.parametrize(
    "other",
    [
        Grant(ACCOUNT, "once", "lot_1", 11, NOON_US),
        Grant(ACCOUNT, "once", "lot_1", 10, NOON_US, kind="bonus"),
        Grant(ACCOUNT, "once", "lot_1", 10, NOON_US, note="x"),
        Adjust(ACCOUNT, "once", "lot_1", 10, "", NOON_US),
    ],
)
def test_an_id_means_one_command(other: Command) -> None:
    desk = Desk()
    desk.do(Grant(ACCOUNT, "once", "lot_1", 10, NOON_US))
    assert desk.refuse(other).code == "idempotency_conflict"


def test_another_account_may_use_the_same_command_id() -> None:
    desk = Desk()
    desk.do(OpenAccount("account_other", "Another", NOON_US))
    desk.do(Grant(ACCOUNT, "once", "lot_1", 10, NOON_US))
    assert desk.do(Grant("account_other", "once", "lot_2", 99, NOON_US)) == Done(
        desk.store.books.accounts["account_other"], entry=desk.entries[-1]
    )


def test_a_positive_adjustment_is_a_lot_that_never_expires() -> None:
    desk = Desk()
    assert isinstance(desk.adjust(10), Done)
    (lot,) = desk.store.books.lots[ACCOUNT].values()
    assert (lot.kind, lot.remaining_nano, lot.expires_at_us) == ("adjust", 10, NEVER_US)
    assert (desk.entries[-1].kind, desk.entries[-1].amount_nano, desk.entries[-1].note) == (
        "adjust",
        10,
        "a reason",
    )


def test_a_negative_adjustment_draws_what_is_available_and_no_more() -> None:
    desk = Desk()
    desk.grant(10, lot_id="later", priority=60)
    desk.grant(5, lot_id="sooner", priority=40)
    desk.hold(4, "call")
    result = desk.adjust(-8)
    assert isinstance(result, Done)
    assert (result.account, result.entry) == (desk.account, desk.entries[-1])
    assert desk.left() == {"later": 7}
    assert desk.entries[-1].draws == (Draw("sooner", -5), Draw("later", -3))
    refused = desk.do(Adjust(ACCOUNT, "too much", "lot", -4, "why", NOON_US))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.required_nano, refused.available_nano) == ("conflict", 4, 3)
    assert isinstance(desk.adjust(-3), Done)
    assert (desk.account.available_nano, desk.account.held_nano) == (0, 4)


def test_a_negative_adjustment_may_use_the_credit_limit() -> None:
    desk = Desk(credit_limit_nano=20)
    desk.grant(5)
    desk.adjust(-25)
    assert (desk.account.balance_nano, desk.account.debt_nano, desk.account.available_nano) == (0, 20, 0)


def test_a_batch_needs_the_rows_its_commands_name() -> None:
    """Every row that a command reads is loaded with it; the latest instant says which lots fall due."""
    desk = Desk()
    command = desk.ask(5, call_id="call")
    needs = needs_of([command, Grant("account_2", "g", "lot", 1, NOON_US + 9)])
    assert (needs.accounts, needs.keys, needs.holds) == (
        {ACCOUNT, "account_2"},
        {(ACCOUNT, KEY)},
        {(ACCOUNT, "call")},
    )
    assert needs.rare == {"commands": {("account_2", "g")}}
    assert needs.latest_us == NOON_US + 9
    assert needs.days == {(ACCOUNT, ACCOUNT, NOON_US // DAY_US), (ACCOUNT, KEY, NOON_US // DAY_US)}
    later = replace(desk.extension("call", 5), at_us=NOON_US + 99)
    assert needs_of([later]).days == needs.days
