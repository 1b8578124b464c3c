"""Windows that have ended long ago go, nothing that can still be read does, and an audit finds no fault."""

from fractions import Fraction

from msgspec.structs import replace

from proxy.ledger.commands import Done, Refused
from proxy.ledger.ended import KEPT_DAYS, ForgetWindows
from proxy.ledger.rows import Counter
from proxy.ledger.windows import DAY_US
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
from proxy.pricing.tiers import Tier, Tiers
from tests.ledger.audit.audited import differences, rows_of
from tests.ledger.desk import ACCOUNT, KEY, Desk

DAILY = Tiers("daily", "day", (Tier(10, "7"), Tier(0, "5")))
FOR_EVER = Tiers("ever", "total", (Tier(10, "3"), Tier(0, "1")))
RATES = (
    Rate("images", Fraction(7), 1, (), DAILY),
    Rate("requests", Fraction(3), 1, (), FOR_EVER),
)
CARD = RateCard("card", (), RATES)


def use(desk: Desk) -> None:
    call_id = desk.next_id("call")
    desk.hold(100, call_id)
    usage = {"images": 3, "requests": 1}
    desk.do(replace(desk.settlement(call_id, 0, usage), charge=price(CARD, usage)))


def forget(desk: Desk, *, days_ago: int = 0) -> None:
    """Forget every window there is, as of so many days ago."""
    buckets = tuple(desk.store.books.buckets)
    counters = tuple((row.name, row.window, row.start_day) for row in desk.store.books.counters.values())
    done = desk.do(ForgetWindows(ACCOUNT, desk.now_us - days_ago * DAY_US, buckets, counters))
    assert isinstance(done, Done)


def used(*gaps: int) -> Desk:
    """An account that has made a call, and one more after each of so many days."""
    desk = Desk()
    desk.grant(10_000)
    use(desk)
    for days in gaps:
        desk.now_us += days * DAY_US
        use(desk)
    return desk


def counters(desk: Desk) -> list[Counter]:
    return list(desk.store.books.counters.values())


def test_what_was_spent_and_counted_long_ago_goes() -> None:
    desk = used(1, KEPT_DAYS, 1)
    assert len(counters(desk)) == 4 + 1
    forget(desk)
    last_day = desk.now_us // DAY_US - KEPT_DAYS
    assert [row.start_day for row in counters(desk) if row.window == "day"] == [
        last_day + 399,
        last_day + 400,
    ]
    assert {row.quantity for row in counters(desk) if row.window == "total"} == {4}
    assert all(start_day > last_day for _, _, start_day in desk.store.books.buckets)
    assert not differences(rows_of(desk.store.books))


def test_no_clock_and_no_idle_account_loses_a_window_that_calls_are_in() -> None:
    """A clock that is ahead, or behind, forgets nothing that counts on the account's latest day."""
    for now, as_of in ((0, -5 * KEPT_DAYS), (2 * KEPT_DAYS, 0), (0, 2 * KEPT_DAYS)):
        desk = used(1, 1)
        before = desk.store.snapshot()
        desk.now_us += now * DAY_US
        forget(desk, days_ago=as_of)
        assert desk.store.snapshot() == before


def test_a_window_in_which_something_is_held_stays() -> None:
    desk = used()
    desk.hold(100, "slow")
    desk.now_us += (KEPT_DAYS + 40) * DAY_US
    use(desk)
    forget(desk)
    assert {scope for scope, _, _ in desk.store.books.buckets} == {ACCOUNT, KEY}
    assert not differences(rows_of(desk.store.books))


def test_an_audit_misses_what_should_still_be_there() -> None:
    """Of the first of these days everything may be gone, of the second nothing."""
    desk = used(1, KEPT_DAYS - 1)
    books = desk.store.books
    first, second, _ = (at_us // DAY_US for at_us in desk.opened_us.values())
    for counter in [key for key in books.counters if key[3] == first]:
        del books.counters[counter]
    for bucket in [key for key in books.buckets if key[1] == "day"]:
        del books.buckets[bucket]
    found = {(each.table, each.id.split("/")[-1]) for each in differences(rows_of(books))}
    assert found == {("buckets", str(second))}
    for counter in [key for key in books.counters if key[3] == second]:
        del books.counters[counter]
    found = {(each.table, each.id.split("/")[-1]) for each in differences(rows_of(books))}
    assert found == {("buckets", str(second)), ("counters", str(second))}


def test_an_account_that_is_not_there_has_no_windows() -> None:
    refused = Desk().refuse(ForgetWindows("nobody", 0))
    assert isinstance(refused, Refused)
    assert refused.code == "not_found"
