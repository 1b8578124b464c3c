"""The books: what moves within a batch counts at once, and lies where it belongs once it is added up."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger.books import Books
from proxy.ledger.needs import Needs
from proxy.ledger.rows import Account, Key
from proxy.ledger.spending import Bucket
from proxy.ledger.windows import DAY_US, Window, starts_of_day
from tests.ledger.memory import buckets_in

ACCOUNT = "account_1"
SCOPES = (ACCOUNT, "key_1", "key_2")
moves = st.tuples(st.sampled_from(SCOPES), st.integers(20_770, 20_810), st.integers(0, 9), st.integers(-9, 9))


def books_of_an_account() -> Books:
    books = Books()
    books.put_account(Account(ACCOUNT, "An account", 0))
    for key_id in SCOPES[1:]:
        books.put_key(Key(key_id, ACCOUNT, "A key", f"digest of {key_id}", "hint", 0))
    return books


@given(st.lists(moves), st.sets(st.integers(0, 9)))
def test_a_bucket_has_all_that_moved_on_the_days_of_its_window(
    made: list[tuple[str, int, int, int]], added_up: set[int]
) -> None:
    """However often it has been added up in between, and in whatever order the days came."""
    books, sums = books_of_an_account(), dict[tuple[str, Window, int], list[int]]()
    for number, (scope_id, day, spent_nano, held_nano) in enumerate(made):
        books.move((scope_id,), day * DAY_US, spent_nano=spent_nano, held_nano=held_nano)
        for window, start_day in starts_of_day(day):
            total = sums.setdefault((scope_id, window, start_day), [0, 0])
            total[0] += spent_nano
            total[1] += held_nano
            expected = Bucket(scope_id, window, start_day, *total)
            assert books.bucket(scope_id, window, start_day) == expected
        if number in added_up:
            books.add_up()
    books.add_up()
    found = buckets_in(books)
    assert {bucket for bucket in found if bucket.spent_nano or bucket.held_nano} == {
        Bucket(scope_id, window, start_day, *total)
        for (scope_id, window, start_day), total in sums.items()
        if any(total)
    }
    assert len(found) == len({(bucket.scope_id, bucket.window, bucket.start_day) for bucket in found})


@given(st.lists(moves, min_size=1), moves)
def test_a_batch_needs_the_buckets_of_its_windows_that_have_ended(
    made: list[tuple[str, int, int, int]], last: tuple[str, int, int, int]
) -> None:
    """And no others: what it then finds changed is either among them, or with its account or key."""
    books = books_of_an_account()
    for scope_id, day, *_ in made:
        books.move((scope_id,), day * DAY_US, spent_nano=1)
    books.add_up()
    scope_id, day, spent_nano, _ = last
    ended = books.ended(Needs(days={(scope_id, day)}))
    late = day < max((other for scope, other, *_ in made if scope == scope_id), default=0)
    assert bool(ended) == late
    books.changed_buckets.clear()
    books.move((scope_id,), day * DAY_US, spent_nano=spent_nano + 1)
    books.add_up()
    if late:
        assert books.changed_buckets == set(ended)
