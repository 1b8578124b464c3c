"""Objects: a call makes its own, any call of the account may see them again, and none comes back."""

from typing import Any

import pytest
from msgspec.structs import replace

from proxy.ledger.commands import Done, Forget, Settled
from proxy.ledger.needs import needs_of
from proxy.ledger.rows import Object, Observed
from tests.ledger.desk import ACCOUNT, KEY, NOON_US, Desk, charge_of

MADE = Object(ACCOUNT, "video_1", "video", "main", KEY, "call", "sora", NOON_US, '{"status":"queued"}')
SEEN = replace(MADE, seen='{"status":"completed"}')


@pytest.fixture
def desk() -> Desk:
    """A desk with 100 in one lot, and two calls in flight that hold 30 each."""
    desk = Desk()
    desk.grant(100)
    desk.hold(30, "call")
    desk.hold(30, "other")
    return desk


def objects(desk: Desk) -> dict[tuple[str, str], Object]:
    return desk.store.books.objects


def test_a_settle_adds_what_its_call_made(desk: Desk) -> None:
    desk.do(replace(desk.settlement("call", 20), objects=(MADE,)))
    assert objects(desk) == {(ACCOUNT, "video_1"): MADE}


def test_a_void_adds_it_as_well(desk: Desk) -> None:
    """A job that fails at once can be looked at all the same."""
    desk.do(replace(desk.voiding("call"), objects=(MADE,)))
    assert objects(desk) == {(ACCOUNT, "video_1"): MADE}


def test_a_hold_is_detached_with_its_job_and_what_that_costs(desk: Desk) -> None:
    """All at once: nobody can find a job without its object, or without its price."""
    observed = Observed({"video_seconds": 4}, charge_of(28))
    command = replace(desk.detachment("call", 9), observed=observed, objects=(MADE,))
    assert desk.do(command) == Done()
    hold = desk.store.books.holds["call"]
    assert (hold.state, hold.deadline_us, hold.observed) == ("open", NOON_US + 9, observed)
    assert objects(desk) == {(ACCOUNT, "video_1"): MADE}


def test_another_call_notes_what_it_saw_last(desk: Desk) -> None:
    desk.do(replace(desk.settlement("call", 20), objects=(MADE,)))
    desk.do(replace(desk.settlement("other", 0), objects=(SEEN,)))
    assert objects(desk) == {(ACCOUNT, "video_1"): SEEN}


def test_a_close_that_comes_again_may_note_what_it_saw(desk: Desk) -> None:
    """A job that is closed by two at once: the second charges nothing, and what it saw is true."""
    desk.do(replace(desk.settlement("call", 20), objects=(MADE,)))
    replayed = desk.do(replace(desk.settlement("call", 20), objects=(SEEN,)))
    assert isinstance(replayed, Settled)
    assert replayed.replayed
    assert objects(desk) == {(ACCOUNT, "video_1"): SEEN}


def test_an_object_stays_the_calls_that_made_it(desk: Desk) -> None:
    """An upstream, or two of them, may give one id twice: the first stays, and the second call is charged."""
    desk.do(replace(desk.settlement("call", 20), objects=(MADE,)))
    twin = replace(SEEN, call_id="other", upstream="second")
    assert desk.do(replace(desk.settlement("other", 5), objects=(twin,))) == Settled(5, 0, 75, 75)
    assert objects(desk) == {(ACCOUNT, "video_1"): MADE}


def test_no_job_begins_under_the_id_of_another_calls_object(desk: Desk) -> None:
    """Its end could not be told from the other's."""
    desk.do(replace(desk.settlement("call", 20), objects=(MADE,)))
    twin = replace(desk.detachment("other", 9), objects=(replace(MADE, call_id="other"),))
    refused = desk.refuse(twin)
    assert (refused.code, refused.message) == ("conflict", "Another call has made video_1.")


def test_nothing_is_made_for_another_account(desk: Desk) -> None:
    foreign = replace(MADE, account_id="account_2")
    assert desk.refuse(replace(desk.detachment("call", 9), objects=(foreign,))).code == "conflict"
    desk.do(replace(desk.settlement("call", 20), objects=(foreign,)))
    assert objects(desk) == {}


def test_what_was_never_made_is_not_made_by_being_seen(desk: Desk) -> None:
    """A poll tells of another call's object; it makes none."""
    desk.do(replace(desk.settlement("other", 0), objects=(SEEN,)))
    assert objects(desk) == {}


def test_an_object_that_has_expired_does_not_come_back(desk: Desk) -> None:
    """It was deleted; an answer that was under way meanwhile still tells of it."""
    desk.do(replace(desk.settlement("call", 20), objects=(MADE,)))
    gone = replace(MADE, expires_at_us=NOON_US)
    desk.do(replace(desk.settlement("other", 0), objects=(gone,)))
    desk.do(replace(desk.settlement("other", 0), objects=(SEEN,)))
    assert objects(desk) == {(ACCOUNT, "video_1"): gone}


@pytest.mark.parametrize("other", [{"kind": "file"}, {"upstream": "second"}, {"model": "x"}, {"key_id": "x"}])
def test_only_what_was_seen_and_the_end_of_an_object_change(desk: Desk, other: dict[str, Any]) -> None:
    desk.do(replace(desk.settlement("call", 20), objects=(MADE,)))
    desk.do(replace(desk.settlement("other", 0), objects=(replace(SEEN, **other),)))
    assert objects(desk) == {(ACCOUNT, "video_1"): SEEN}


def test_a_command_names_the_objects_that_its_rule_reads(desk: Desk) -> None:
    for command in (desk.settlement("call", 1), desk.voiding("call"), desk.detachment("call", 9)):
        assert needs_of([command]).rare == {}
        assert needs_of([replace(command, objects=(MADE,))]).rare == {"objects": {(ACCOUNT, "video_1")}}


def forgotten(
    desk: Desk, *named: tuple[str, str], expired_us: int = NOON_US, made_us: int = NOON_US
) -> set[str]:
    """The objects that are left after some were to be forgotten."""
    assert desk.do(Forget(ACCOUNT, named, expired_us, made_us)) == Done()
    return {id_ for _, id_ in objects(desk)}


@pytest.mark.parametrize(
    ("row", "stays"),
    [
        (MADE, True),
        (replace(MADE, expires_at_us=NOON_US + 1), True),
        (replace(MADE, expires_at_us=NOON_US), False),
        (replace(MADE, created_at_us=NOON_US - 1), False),
    ],
)
def test_an_object_is_forgotten_that_has_expired_or_is_old(desk: Desk, row: Object, stays: bool) -> None:
    desk.do(replace(desk.settlement("call", 20), objects=(row,)))
    assert bool(forgotten(desk, ("video_1", "call"))) == stays


def test_what_a_job_has_made_is_kept_while_it_runs(desk: Desk) -> None:
    """However old it is: nobody could ask about the job without it."""
    desk.do(replace(desk.detachment("call", 9), objects=(replace(MADE, expires_at_us=9),)))
    assert forgotten(desk, ("video_1", "call"), made_us=2 * NOON_US) == {"video_1"}
    desk.do(desk.voiding("call"))
    assert forgotten(desk, ("video_1", "call")) == set()


def test_only_the_object_that_is_named_with_its_call_is_forgotten(desk: Desk) -> None:
    """An id that another call has taken since is another object."""
    desk.do(replace(desk.settlement("call", 20), objects=(replace(MADE, expires_at_us=9),)))
    assert forgotten(desk, ("video_1", "other"), ("video_2", "call")) == {"video_1"}


def test_to_forget_names_the_objects_and_the_holds_that_may_keep_them() -> None:
    needs = needs_of([Forget(ACCOUNT, (("video_1", "call"),), NOON_US, NOON_US)])
    assert (needs.rare, needs.holds) == ({"objects": {(ACCOUNT, "video_1")}}, {(ACCOUNT, "call")})
