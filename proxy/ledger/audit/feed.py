"""Rows in the order of a key, taken one key at a time: how tables too large for memory are merged."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

_Row = TypeVar("_Row")


class OutOfOrder(ValueError):  # noqa: N818 - it says what the rows are.
    """Rows do not come in the order of their key, so that none can be found missing."""


class Feed(Generic[_Row]):
    """Rows in ascending order of `key_of`. Memory holds the next one only."""

    def __init__(self, rows: Iterable[_Row], key_of: Callable[[_Row], str]) -> None:
        self._rows = iter(rows)
        self._key_of = key_of
        self._next: _Row | None = None
        self.key: str | None = None
        """The key of the next row; None at the end."""
        self._advance()

    def of(self, key: str) -> Iterator[_Row]:
        """The rows with this key, which is `self.key` or before it; there may be none.

        Raises OutOfOrder when the rows are not in order.
        """
        while self.key == key:
            row = self._next
            assert row is not None
            self._advance()
            yield row

    def _advance(self) -> None:
        row = next(self._rows, None)
        key = None if row is None else self._key_of(row)
        if key is not None and self.key is not None and key < self.key:
            raise OutOfOrder(f"rows are not in order: {key!r} comes after {self.key!r}")
        self._next, self.key = row, key


def keys_of(*feeds: Feed[_Row]) -> Iterator[str]:
    """Each key that any of the feeds has, in order. All its rows must be taken before the next key."""
    while keys := [feed.key for feed in feeds if feed.key is not None]:
        yield min(keys)
