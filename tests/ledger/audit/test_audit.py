"""The audit: no difference in what the rules have made; each figure changed by hand is found and named."""

from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant
from msgspec.structs import replace

from proxy.ledger.alerts import Alerts
from proxy.ledger.audit.rows import BucketRow
from proxy.ledger.commands import CreateKey
from proxy.ledger.deliveries import RouteEvent
from proxy.ledger.dues import ChangePlan, Dues, Fee
from proxy.ledger.returns import RefundCall, VoidLot
from proxy.ledger.rows import NEVER_US, Limits, Object, Observed
from proxy.ledger.windows import DAY_US, starts_of_day
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
from tests.ledger.audit.audited import GRANTED, OF_EVENTS, Rows, columns_named, differences, rows_of, tampered
from tests.ledger.audit.of_counters import COUNTED, OF_COUNTERS
from tests.ledger.audit.of_end_users import OF_END_USERS, call_for_a_user
from tests.ledger.audit.of_memberships import OF_MEMBERSHIPS
from tests.ledger.desk import ACCOUNT, KEY, NOON_US, Desk, charge_of
from tests.ledger.test_properties import HistoriesOfABadClock

USAGE = {"input_tokens": 1234, "cached_input_tokens": 1001, "output_tokens": 57}
CARD = RateCard(
    "acme",
    ("*",),
    (
        Rate("input_tokens", Fraction(150_000_000), 10**6),
        Rate("cached_input_tokens", Fraction(37_500_000), 10**6),
        Rate("output_tokens", Fraction(600_000_000), 10**6),
    ),
)
CHARGE = price(CARD, USAGE)
TODAY = NOON_US // DAY_US
WEEK = dict(starts_of_day(TODAY))["week"]

# --- what the rules make ---


class Audited(HistoriesOfABadClock):
    """Any history, audited after each step."""

    @invariant()
    def adds_up(self) -> None:
        assert differences(rows_of(self.desk.store.books)) == []


TestAnyHistoryHasNoDifference = Audited.TestCase
TestAnyHistoryHasNoDifference.settings = settings(settings(), stateful_step_count=40)


def history() -> Desk:
    """Every kind of row: a lot that expires, debt that is repaid, calls of every end, one on the next day."""
    desk = Desk(credit_limit_nano=500, limits=Limits(rpm=1_000))
    desk.store.alerts = Alerts()
    desk.do(CreateKey(ACCOUNT, "key_2", "Another key", "digest 2", "hint", desk.now_us))
    desk.grant(200_000, lot_id="lot_a", priority=10)
    desk.grant(90, lot_id="lot_b", lives_us=5)
    desk.now_us += 1
    desk.hold(150_000, "call_a")
    desk.do(replace(desk.settlement("call_a", 0, USAGE), charge=CHARGE))
    desk.hold(40, "call_b")
    desk.settle("call_b", 30)
    desk.hold(25, "call_c")
    desk.void("call_c")
    desk.now_us += 9
    desk.sweep()
    desk.adjust(-93_200)
    desk.hold(80, "call_d")
    desk.settle("call_d", 900)
    desk.grant(60, lot_id="lot_c")
    desk.adjust(700)
    desk.hold(1, "call_k")
    desk.do(replace(desk.settlement("call_k", 0, {"images": 12}), charge=COUNTED))
    desk.hold(35, "call_e")
    desk.observe("call_e", 20)
    desk.do(desk.recovery("call_e"))
    desk.now_us += DAY_US
    desk.hold(45, "call_f")
    desk.hold(15, "call_g")
    made = Object(ACCOUNT, "video_1", "video", "main", KEY, "call_g", "gpt-4o", desk.now_us, "{}")
    job = desk.detachment("call_g", 9)
    desk.do(replace(job, observed=Observed({"requests": 1}, charge_of(15)), objects=(made,)))
    desk.do(RefundCall(ACCOUNT, "undo", "lot_u", "call_b", 12, "a reason", desk.now_us, 4, ("lot_a",)))
    desk.do(VoidLot(ACCOUNT, "void", "lot_of_adjust_5", "a reason", desk.now_us))
    desk.do(RouteEvent(ACCOUNT, GRANTED, ("crm",), desk.now_us))
    desk.do(ChangePlan(ACCOUNT, "plan", "pro", Dues(fee=Fee(30)), desk.now_us, ""))
    desk.now_us -= DAY_US
    call_for_a_user(desk)
    return desk


@pytest.fixture(scope="module")
def rows() -> Rows:
    """The rows of that history. Tests change copies."""
    return rows_of(history().store.books)


def test_the_history_has_every_kind_of_row_and_no_difference(rows: Rows) -> None:
    assert all(rows.values())
    assert {entry.kind for entry in rows["entries"]} == {
        *("grant", "charge", "expire", "adjust", "void", "refund", "fee")
    }
    assert {hold.state for hold in rows["holds"]} == {"open", "settled", "voided", "expired"}
    assert any(entry.debt_after_nano for entry in rows["entries"])
    assert any(receipt.shortfall_nano for receipt in rows["receipts"])
    assert differences(rows) == []


def test_what_is_owed_is_explained_by_charges_and_grants() -> None:
    """By all of them in their order; and any other figure is found."""
    desk = Desk(credit_limit_nano=50)
    desk.grant(30)
    desk.hold(20, "call_a")
    desk.owe("call_a", 110)
    desk.grant(60, lot_id="lot_b")
    desk.adjust(25)
    desk.hold(10, "call_b")
    desk.owe("call_b", 100)
    found = rows_of(desk.store.books)
    assert desk.account.owed_nano > 0 < desk.account.debt_nano
    assert differences(found) == []
    for stream, name, field, change, column in (
        ("accounts", ACCOUNT, "owed_nano", 1, "owed_nano"),
        ("accounts", ACCOUNT, "debt_nano", -1, "debt_nano"),
        ("receipts", "call_b", "owed_nano", -1, "owed_nano"),
        ("receipts", "call_b", "owed_nano", 10**6, "owed_nano"),
    ):
        wrong = differences(tampered(found, stream, name, field, change))
        assert column in {difference.column for difference in wrong}
    dropped = differences(tampered(found, "accounts", ACCOUNT, "owed_nano", 10**6), receipts_since_day=1)
    assert "owed_nano" in {difference.column for difference in dropped}


# --- what was changed by hand ---

Tampering = tuple[str, str, str, object, tuple[str, str, str]]
"""A stream, the id of one of its rows, a field, what it becomes or what is added to it; and what is found."""

ENTRY = f"{ACCOUNT}/"
NO_SUMS = f"[{TODAY + 1},[[0,0],[0,0],[0,0],[0,0]]]"
DAY_ID = f"{ACCOUNT}/{TODAY}/{KEY}/gpt-4o"
TAMPERINGS: tuple[Tampering, ...] = (
    ("accounts", ACCOUNT, "balance_nano", 1, ("accounts", ACCOUNT, "balance_nano")),
    ("accounts", ACCOUNT, "held_nano", -45, ("accounts", ACCOUNT, "held_nano")),
    ("accounts", ACCOUNT, "debt_nano", 1, ("accounts", ACCOUNT, "debt_nano")),
    ("accounts", ACCOUNT, "owed_nano", 1, ("accounts", ACCOUNT, "owed_nano")),
    ("accounts", ACCOUNT, "credit_limit_nano", -10_000, ("accounts", ACCOUNT, "available")),
    ("accounts", ACCOUNT, "open_holds", 1, ("accounts", ACCOUNT, "open_holds")),
    ("accounts", ACCOUNT, "entries", 1, ("accounts", ACCOUNT, "entries")),
    ("accounts", ACCOUNT, "next_expiry_us", -1, ("accounts", ACCOUNT, "next_expiry_us")),
    ("keys", KEY, "open_holds", -1, ("keys", KEY, "open_holds")),
    ("keys", "key_2", "open_holds", 1, ("keys", "key_2", "open_holds")),
    ("keys", "key_2", "is_found", -1, ("keys", "key_2", "digest")),
    ("lots", "lot_a", "amount_nano", 1, ("lots", "lot_a", "amount_nano")),
    ("lots", "lot_b", "remaining_nano", 1, ("lots", "lot_b", "remaining_nano")),
    ("entries", "1", "amount_nano", 1, ("entries", ENTRY + "1", "sum of draws")),
    ("entries", "3", "amount_nano", -1, ("entries", ENTRY + "3", "debt_after_nano")),
    ("entries", "3", "amount_nano", 2 * CHARGE.total_nano, ("entries", ENTRY + "3", "amount_nano")),
    ("entries", "2", "balance_after_nano", 1, ("entries", ENTRY + "2", "balance_after_nano")),
    ("entries", "4", "debt_after_nano", 1, ("entries", ENTRY + "4", "debt_after_nano")),
    ("entries", "4", "kind", "grant", ("entries", ENTRY + "4", "amount_nano")),
    ("entries", "4", "kind", "gift", ("entries", ENTRY + "4", "amount_nano")),
    ("entries", "2", "draws", "[]", ("entries", ENTRY + "2", "balance_after_nano")),
    ("entries", "2", "draws", "nothing", ("entries", ENTRY + "2", "draws")),
    ("entries", "5", "ref", "lot_a", ("entries", ENTRY + "5", "draws")),
    ("charges", "call_a", "amount_nano", -1, ("entries", ENTRY + "3", "amount_nano")),
    ("charges", "call_a", "ref", "call_x", ("entries", "call_a", "row")),
    ("charges", "call_a", "ref", "call_x", ("entries", ENTRY + "3", "row")),
    ("charges", "call_b", "ref", "call_a", ("entries", ENTRY + "4", "row")),
    ("commands", "grant_1", "at_us", 1, ("commands", "grant_1", "at_us")),
    ("commands", "grant_1", "seq", 9, ("commands", "grant_1", "seq")),
    ("commands", "grant_1", "id", "grant_x", ("commands", "grant_1", "row")),
    ("commands", "grant_1", "id", "grant_x", ("entries", "grant_x", "row")),
    ("puts", "void", "about", "lot_a", ("commands", "void", "digest")),
    ("refunds", "call_b", "amount_nano", 30, ("entries", ENTRY + "11", "amount_nano")),
    ("refunds", "call_b", "ref", "call_c", ("entries", ENTRY + "11", "ref")),
    ("refunds", "call_b", "seq", -9, ("entries", ENTRY + "2", "seq")),
    ("refunds", "call_b", "at_us", NEVER_US, ("entries", ENTRY + "11", "draws")),
    ("refunds", "call_b", "draws", '[["lot_x",12]]', ("entries", ENTRY + "11", "draws")),
    ("puts", "grant_1", "ref", "grant_2", ("entries", ENTRY + "2", "row")),
    ("holds", "call_f", "amount_nano", 1, ("accounts", ACCOUNT, "held_nano")),
    ("holds", "call_f", "state", "settled", ("receipts", "call_f", "row")),
    ("holds", "call_f", "has_call", -1, ("holds", "call_f", "call")),
    ("holds", "call_f", "key_id", "key_x", ("keys", "key_x", "row")),
    ("holds", "call_f", "created_at_us", -(10**18), ("holds", "call_f", "created_at_us")),
    ("holds", "call_f", "created_at_us", DAY_US, ("keys", f"{KEY}/day/{TODAY + 1}", "held_nano")),
    ("holds", "call_a", "amount_nano", 1, ("receipts", "call_a", "hold_nano")),
    ("holds", "call_a", "state", "open", ("receipts", "call_a", "row")),
    ("holds", "call_a", "state", "voided", ("receipts", "call_a", "basis")),
    ("holds", "call_a", "state", "voided", ("receipts", "call_a", "charge_nano of a voided call")),
    ("holds", "call_e", "state", "settled", ("receipts", "call_e", "basis")),
    ("holds", "call_a", "state", "lost", ("receipts", "call_a", "basis")),
    ("holds", "call_a", "created_at_us", DAY_US, ("receipts", "call_a", "day")),
    ("holds", "call_a", "key_id", "key_2", ("receipts", "call_a", "key_id")),
    ("receipts", "call_a", "charged_nano", -1, ("receipts", "call_a", "charged + shortfall")),
    ("receipts", "call_a", "charged_nano", -1, ("entries", ENTRY + "3", "amount_nano")),
    ("receipts", "call_a", "charge_nano", 1, ("receipts", "call_a", "charge_nano")),
    ("receipts", "call_d", "shortfall_nano", -1, ("receipts", "call_d", "charged + shortfall")),
    ("receipts", "call_a", "owed_nano", 1, ("receipts", "call_a", "seal")),
    ("receipts", "call_d", "owed_nano", 1, ("receipts", "call_d", "owed_nano")),
    ("receipts", "call_a", "hold_nano", 1, ("receipts", "call_a", "hold_nano")),
    ("receipts", "call_a", "day", 1, ("receipts", "call_a", "day")),
    ("receipts", "call_a", "day", 10**9, ("receipts", "call_a", "day")),
    ("receipts", "call_a", "key_id", "key_2", ("receipts", "call_a", "key_id")),
    ("receipts", "call_a", "model", "other", ("usage_days", DAY_ID, "requests")),
    ("receipts", "call_a", "basis", "void", ("receipts", "call_a", "basis")),
    ("receipts", "call_a", "usage", "{}", ("receipts", "call_a", "lines of output_tokens")),
    ("receipts", "call_a", "usage", "[1]", ("receipts", "call_a", "usage")),
    ("receipts", "call_a", "lines", "[]", ("receipts", "call_a", "charge_nano")),
    ("receipts", "call_a", "lines", "{", ("receipts", "call_a", "lines")),
    ("days", TODAY_KEY := str(TODAY), "requests", 1, ("usage_days", DAY_ID, "requests")),
    ("days", TODAY_KEY, "input_tokens", -1, ("usage_days", DAY_ID, "input_tokens")),
    ("days", TODAY_KEY, "cached_input_tokens", 1, ("usage_days", DAY_ID, "cached_input_tokens")),
    ("days", TODAY_KEY, "output_tokens", 1, ("usage_days", DAY_ID, "output_tokens")),
    ("days", TODAY_KEY, "charged_nano", 1, ("usage_days", DAY_ID, "charged_nano")),
    ("buckets", f"{KEY}/day", "spent_nano", 1, ("buckets", f"{KEY}/day/{TODAY}", "spent_nano")),
    ("buckets", f"{ACCOUNT}/day", "held_nano", 1, ("buckets", f"{ACCOUNT}/day/{TODAY}", "held_nano")),
    ("buckets", f"{ACCOUNT}/day", "start_day", 1, ("buckets", f"{ACCOUNT}/day/{TODAY}", "spent_nano")),
    ("buckets", f"{KEY}/day", "window", "year", ("buckets", f"{KEY}/year/{TODAY}", "spent_nano")),
    ("accounts", ACCOUNT, "spending", NO_SUMS, ("accounts", f"{ACCOUNT}/total/0", "spent_nano")),
    ("accounts", ACCOUNT, "spending", NO_SUMS, ("accounts", f"{ACCOUNT}/day/{TODAY + 1}", "held_nano")),
    *(
        ("accounts", ACCOUNT, "spending", wrong, ("accounts", ACCOUNT, "spending"))
        for wrong in ("[]", "[1]", "[1,[]]", "[1,[[1,1]]]", NO_SUMS[:-1] + ",1]", "[" * 9_000)
    ),
    ("accounts", ACCOUNT, "spending", "[-1" + NO_SUMS[6:], ("accounts", ACCOUNT, "spending")),
    ("accounts", ACCOUNT, "created_at_us", 1, ("key_digests", "digest", "seal")),
    ("keys", KEY, "digest", "another", ("key_digests", "another", "seal")),
    ("keys", KEY, "hint", "another", ("key_digests", "digest", "seal")),
    ("keys", KEY, "created_at_us", 1, ("key_digests", "digest", "seal")),
    ("keys", KEY, "seal", 1, ("key_digests", "digest", "seal")),
    ("lots", "lot_a", "kind", "gift", ("commands", "grant_1", "digest")),
    ("lots", "lot_a", "priority", 1, ("commands", "grant_1", "digest")),
    ("lots", "lot_a", "expires_at_us", -1, ("commands", "grant_1", "digest")),
    ("lots", "lot_a", "granted_at_us", 1, ("lots", "lot_a", "granted_at_us")),
    ("lots", "lot_of_adjust_5", "kind", "gift", ("lots", "lot_of_adjust_5", "kind")),
    ("lots", "lot_of_adjust_5", "priority", -1, ("lots", "lot_of_adjust_5", "priority")),
    ("lots", "lot_of_adjust_5", "expires_at_us", -1, ("lots", "lot_of_adjust_5", "expires_at_us")),
    ("entries", "1", "at_us", 1, ("lots", "lot_a", "granted_at_us")),
    ("entries", "3", "note", "a note", ("entries", ENTRY + "3", "note")),
    ("charges", "call_a", "at_us", 1, ("entries", ENTRY + "3", "at_us")),
    ("puts", "grant_1", "kind", "adjust", ("commands", "grant_1", "digest")),
    ("puts", "grant_1", "note", "a note", ("commands", "grant_1", "digest")),
    ("puts", "adjust_3", "note", "another reason", ("commands", "adjust_3", "digest")),
    ("puts", "adjust_3", "amount_nano", 1, ("commands", "adjust_3", "digest")),
    ("puts", "grant_1", "at_us", 1, ("commands", "grant_1", "at_us")),
    ("commands", "grant_1", "digest", "another", ("commands", "grant_1", "digest")),
    ("holds", "call_a", "tokens", 1, ("receipts", "call_a", "seal")),
    *(
        ("holds", "call_g", name, value, ("holds", "call_g", "seal"))
        for name, value in (
            *(("call", "[]"), ("observed", "{}"), ("deadline_us", 1), ("seal", 1), ("owner", "another")),
            *(("created_at_us", 1), ("tokens", 1), ("amount_nano", 1)),
        )
    ),
    ("holds", "call_f", "seal", "1", ("holds", "call_f", "seal")),
    *(
        ("objects", "video_1", name, value, ("objects", "video_1", "seal"))
        for name, value in (
            *(("kind", "file"), ("upstream", "another"), ("key_id", "key_2"), ("call_id", "call_a")),
            *(("model", "another"), ("created_at_us", 1), ("seal", 1)),
        )
    ),
    ("objects", "video_1", "key_id", "key_2", ("objects", "video_1", "key_id")),
    ("objects", "video_1", "call_id", "call_x", ("objects", "video_1", "call_id")),
    ("holds", "call_a", "owner", "another", ("receipts", "call_a", "seal")),
    ("holds", "call_a", "has_call", 1, ("holds", "call_a", "call")),
    *(
        ("receipts", "call_a", name, "another", ("receipts", "call_a", "seal"))
        for name in (
            "endpoint",
            "upstream",
            "upstream_model",
            "outcome",
            "price_id",
            "end_user",
            "attempts",
            "inferred",
            "metadata",
            "run_id",
        )
    ),
    *(
        ("receipts", "call_a", name, 1, ("receipts", "call_a", "seal"))
        for name in ("stream", "started_at_us", "status", "ended_at_us", "anomalies", "seal")
    ),
    ("receipts", "call_a", "first_byte_at_us", "5", ("receipts", "call_a", "seal")),
    *OF_MEMBERSHIPS,
    *OF_COUNTERS,
    *OF_END_USERS,
    *OF_EVENTS,
    ("throttles", ACCOUNT, "scope_id", "key_x", ("throttles", "key_x", "row")),
    ("keys", KEY, "spending", NO_SUMS, ("keys", f"{KEY}/week/{WEEK}", "spent_nano")),
    ("keys", KEY, "spending", "nothing", ("keys", KEY, "spending")),
    ("keys", KEY, "spending", "[99999999" + NO_SUMS[6:], ("keys", KEY, "spending")),
)


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda one: "-".join(map(str, one[:4])))
def test_a_figure_that_was_changed_is_found_and_named(rows: Rows, tampering: Tampering) -> None:
    stream, name, field, value, expected = tampering
    found = differences(tampered(rows, stream, name, field, value))
    assert expected in {(one.table, one.id, one.column) for one in found}, found
    assert all(one.expected != one.found for one in found)


def test_every_field_of_every_row_was_changed() -> None:
    """But those that only tell rows apart, and those of another stream of the same table."""
    rows = rows_of(history().store.books)
    fields = {(stream, field) for stream, table in rows.items() for field in table[0].__struct_fields__}
    ids = {(stream, "account_id") for stream in rows} | {
        (s, "id") for s in ("keys", "lots", "holds", "receipts", "events")
    }
    others = {
        *(("entries", "seq"), ("charges", "seq"), ("puts", "seq"), ("puts", "draws")),
        ("deliveries", "event_id"),
        *(("charges", "kind"), ("charges", "draws"), ("charges", "note"), ("charges", "about")),
        *(("refunds", "kind"), ("refunds", "note"), ("refunds", "about")),
        *(("days", "day"), ("days", "key_id"), ("days", "model"), ("buckets", "scope_id")),
        *(("buckets", "table"), ("objects", "id"), ("objects", "seen"), ("objects", "expires_at_us")),
    }
    assert {(stream, field) for stream, _, field, *_ in TAMPERINGS} == fields - ids - others


@pytest.mark.parametrize(
    "stream", ["accounts", "lots", "entries", "commands", "receipts", "holds", "charges"]
)
def test_a_row_that_is_missing_is_found(rows: Rows, stream: str) -> None:
    for place in range(len(rows[stream])):
        assert differences({**rows, stream: rows[stream][:place] + rows[stream][place + 1 :]})


def test_rows_of_no_account_are_found_and_passed_over(rows: Rows) -> None:
    strays = [*rows["lots"], replace(rows["lots"][0], account_id="account_0")]
    (found,) = differences({**rows, "lots": strays})
    assert (found.table, found.id, found.column) == ("accounts", "account_0", "row")
    assert found.expected.endswith(": lots")


def test_an_object_of_a_call_that_retention_has_dropped_is_no_difference(rows: Rows) -> None:
    """Its row outlives the receipt of its call. Any other object without a call is found."""
    strays = {**rows, "objects": [replace(rows["objects"][0], id="video_2", call_id="call_x", seal=None)]}
    assert columns_named(differences(strays)) == {("objects", "call_id")}
    assert differences(strays, receipts_since_day=TODAY + 2) == []


@pytest.mark.parametrize(("window", "first_day"), [("day", TODAY + 1), ("week", WEEK), ("total", 0)])
def test_a_bucket_that_has_not_ended_may_not_lie_apart(rows: Rows, window: str, first_day: int) -> None:
    """Whatever is in it: nobody would find it, and a limit could be passed."""
    apart = BucketRow(ACCOUNT, ACCOUNT, window, first_day, 0, 0)
    found = differences({**rows, "buckets": [*rows["buckets"], apart]})
    assert ("buckets", f"{ACCOUNT}/{window}/{first_day}", "row") in {
        (one.table, one.id, one.column) for one in found
    }


def test_a_gap_in_the_chain_is_told_once(rows: Rows) -> None:
    entries = [entry if entry.seq < 3 else replace(entry, seq=entry.seq + 2) for entry in rows["entries"]]
    found = differences({**rows, "entries": entries})
    assert [(one.id, one.expected, one.found) for one in found if one.column == "seq"] == [
        (ENTRY + "5", "3", "5")
    ]


def test_a_lot_never_gives_more_than_it_has(rows: Rows) -> None:
    """Also where it is made good later."""
    entries = [
        replace(entry, draws=entry.draws.replace("lot_a", "lot_b")) if entry.seq == 3 else entry
        for entry in rows["entries"]
    ]
    assert ("entries", "draw of lot_b") in columns_named(differences({**rows, "entries": entries}))


def test_a_second_receipt_of_a_call_is_found(rows: Rows) -> None:
    again = [*rows["receipts"], replace(rows["receipts"][0], day=TODAY + 1)]
    assert ("receipts", "row") in columns_named(differences({**rows, "receipts": again}))


def test_receipts_and_holds_that_were_let_go_of_are_not_missed(rows: Rows) -> None:
    """Usage days stand in for them, and buckets still have to agree with these."""
    left = {**rows, "receipts": [], "holds": [hold for hold in rows["holds"] if hold.state == "open"]}
    assert differences(left, receipts_since_day=TODAY + 1) == []
    assert differences(left)
    (day,) = rows["days"]
    halfway = {**left, "receipts": rows["receipts"]}
    assert differences(halfway, receipts_since_day=TODAY + 1) == []
    assert ("holds", "row") in columns_named(differences(halfway))
    wrong = {**left, "days": [replace(day, charged_nano=1)]}
    assert columns_named(differences(wrong, receipts_since_day=TODAY + 1)) == {
        (table, "spent_nano") for table in ("accounts", "keys", "buckets")
    }
