"""How rows are merged: by their keys, and only in order."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger.audit.feed import Feed, OutOfOrder, keys_of


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), min_size=1, max_size=3))
def test_feeds_are_merged_by_their_keys(tables: list[list[str]]) -> None:
    feeds = [Feed(sorted(table), lambda row: row) for table in tables]
    merged = [(key, [list(feed.of(key)) for feed in feeds]) for key in keys_of(*feeds)]
    assert [key for key, _ in merged] == sorted(set().union(*tables))
    assert all(found == [[key] * table.count(key) for table in tables] for key, found in merged)


def test_rows_out_of_order_are_refused() -> None:
    """What is merged wrongly would be a difference that is none."""

    def read(rows: Iterable[str]) -> None:
        feed = Feed(rows, lambda row: row)
        for key in keys_of(feed):
            list(feed.of(key))

    with pytest.raises(OutOfOrder, match="'a' comes after 'b'"):
        read("aba")
