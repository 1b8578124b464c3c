"""Globs of model names: which of many matches a name first, and which can match the same names."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase, translate
from typing import Final

_GLOB_CHARS: Final = frozenset("*?[")
_BRACKETS: Final = re.compile(r"\[!?\]?[^\]]*\]")


def is_glob(text: str) -> bool:
    """Whether a text can match other names than itself."""
    return not _GLOB_CHARS.isdisjoint(text)


def may_overlap(one: str, other: str) -> bool:
    """Whether a name could match both globs. A set in brackets counts as any character."""
    left, right = _BRACKETS.sub("?", one), _BRACKETS.sub("?", other)
    # meets[i][j]: whether the rests from i and from j have a name in common. It is filled from the ends.
    meets = [[False] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left), -1, -1):
        for j in range(len(right), -1, -1):
            a, b = left[i : i + 1], right[j : j + 1]
            if a == "*":
                meets[i][j] = meets[i + 1][j] or (b != "" and meets[i][j + 1])
            elif b == "*":
                meets[i][j] = meets[i][j + 1] or (a != "" and meets[i + 1][j])
            elif a and b:
                meets[i][j] = (a == b or "?" in (a, b)) and meets[i + 1][j + 1]
            else:
                meets[i][j] = a == b
    return meets[0][0]


def any_meets(some: Iterable[str], others: Sequence[str]) -> bool:
    """Whether a name could match both one of some globs and one of others."""
    return any(_meet(one, other) for one in some for other in others)


def _meet(one: str, other: str) -> bool:
    if is_glob(one) and is_glob(other):
        return may_overlap(one, other)
    return fnmatchcase(other, one) if is_glob(one) else fnmatchcase(one, other)


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
