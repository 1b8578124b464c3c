"""The books: what moves within a batch counts at once, and is in the buckets when these are written."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger.books import Books
from proxy.ledger.model import Bucket
from proxy.ledger.windows import DAY_US, starts

SCOPES = ("account_1", "key_1", "key_2")
moves = st.tuples(st.sampled_from(SCOPES), st.integers(20_770, 20_810), st.integers(0, 9), st.integers(-9, 9))


@given(st.lists(moves), st.integers(0, 9))
def test_a_bucket_has_all_that_moved_on_the_days_of_its_window(
    made: list[tuple[str, int, int, int]], added_up: int
) -> None:
    """Whether or not it has been added up in between."""
    books, sums = Books(), dict[tuple[str, str, int], list[int]]()
    for number, (scope_id, day, spent_nano, held_nano) in enumerate(made):
        books.move((scope_id,), day * DAY_US, spent_nano=spent_nano, held_nano=held_nano)
        for window, start_day in starts(day * DAY_US):
            total = sums.setdefault((scope_id, window, start_day), [0, 0])
            total[0] += spent_nano
            total[1] += held_nano
            expected = Bucket(scope_id, window, start_day, *total)
            assert books.bucket(scope_id, window, start_day) == expected
        if number == added_up:
            assert books.changed_buckets == books.buckets.keys()
    changed = books.changed_buckets
    for key, total in sums.items():
        assert key not in changed or books.buckets[key] == Bucket(*key, *total)
        assert key in changed or total == [0, 0]
