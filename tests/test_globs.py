"""Which glob matches first: the index finds what trying one after the other finds."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.globs import GlobIndex, is_glob

TEXTS = st.text("ab*?[]!", max_size=4)


@given(globs=st.lists(TEXTS, max_size=6), name=st.text("ab[", max_size=4))
def test_the_first_match_is_found(globs: list[str], name: str) -> None:
    """As by trying each in turn; several globs may share a rank."""
    ranked = [(glob, position // 2) for position, glob in enumerate(globs)]
    first = next((rank for glob, rank in ranked if fnmatchcase(name, glob)), None)
    assert GlobIndex(ranked).rank_of(name) == first


@pytest.mark.parametrize(
    ("text", "can"), [("gpt-4o", False), ("gpt-*", True), ("gpt-?", True), ("[ab]", True)]
)
def test_a_glob_can_match_other_names(text: str, can: bool) -> None:
    assert is_glob(text) is can
