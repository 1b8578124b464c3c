"""Globs of model names: which of many matches a name first."""

import re
from collections.abc import Iterable
from fnmatch import translate
from typing import Final

_GLOB_CHARS: Final = frozenset("*?[")


def is_glob(text: str) -> bool:
    """Whether a text can match other names than itself."""
    return not _GLOB_CHARS.isdisjoint(text)


class GlobIndex:
    """Globs in order, each with a rank that does not fall from one to the next.

    Most globs are plain names. Those are looked up, so that a search does not take longer the more there are;
    only true globs are tried one after the other.
    """

    def __init__(self, globs: Iterable[tuple[str, int]]) -> None:
        self._names: dict[str, int] = {}
        self._patterns: list[tuple[int, re.Pattern[str]]] = []
        for glob, rank in globs:
            if is_glob(glob):
                self._patterns.append((rank, re.compile(translate(glob))))
            else:
                self._names.setdefault(glob, rank)

    def rank_of(self, name: str) -> int | None:
        """The rank of the first glob that matches, or None."""
        named = self._names.get(name)
        for rank, pattern in self._patterns:
            if named is not None and rank >= named:
                break
            if pattern.match(name):
                return rank
        return named
