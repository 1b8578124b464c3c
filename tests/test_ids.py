"""Ids tell their kind, sort by time and cannot be guessed."""

import itertools
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ids import ALPHABET, first_id, made_at_us, new_id
from tests.sources import ROOT

END_OF_TIME_US = (1 << 48) * 1_000
TIMES_US = st.integers(min_value=0, max_value=END_OF_TIME_US - 1)


def decoded(characters: str) -> int:
    """Read Crockford's base 32 the slow way, most significant character first."""
    value = 0
    for character in characters:
        value = value * 32 + ALPHABET.index(character)
    return value


def test_the_alphabet_is_crockfords_in_ascii_order() -> None:
    assert sorted(set(string.digits + string.ascii_lowercase) - set("ilou")) == list(ALPHABET)


@given(TIMES_US)
def test_an_id_is_its_prefix_and_26_characters_that_begin_with_the_millisecond(now_us: int) -> None:
    prefix, _, characters = new_id("call", now_us).partition("_")
    assert prefix == "call"
    assert len(characters) == 26
    assert set(characters) <= set(ALPHABET)
    assert decoded(characters[:10]) == now_us // 1_000


@given(TIMES_US, TIMES_US)
def test_ids_sort_by_the_millisecond_they_were_made_in(one_us: int, other_us: int) -> None:
    earlier_us, later_us = sorted((one_us, other_us))
    if earlier_us // 1_000 < later_us // 1_000:
        assert new_id("hold", earlier_us) < new_id("hold", later_us)


def test_ids_of_one_moment_differ() -> None:
    assert len({new_id("call", 0) for _ in range(10_000)}) == 10_000


def test_each_random_character_takes_every_value() -> None:
    ids = [new_id("call", 0)[-16:] for _ in range(2_000)]
    for position in range(16):
        assert {random[position] for random in ids} == set(ALPHABET), position


def test_a_character_says_nothing_about_its_neighbour() -> None:
    """Twenty bits drawn from one number would tie neighbours together; all 1,024 pairs have to occur."""
    ids = [new_id("call", 0)[-16:] for _ in range(2_000)]
    seen = set(itertools.chain.from_iterable(itertools.pairwise(random) for random in ids))
    assert len(seen) == 32 * 32


@pytest.mark.parametrize("now_us", [-1, END_OF_TIME_US])
def test_a_time_that_48_bits_cannot_hold_is_refused(now_us: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        new_id("call", now_us)


FORKS = """
import os
from proxy.ids import new_id
new_id("call", 0)
pid = os.fork()
os.write(1, "".join(new_id("call", 0) + "\\n" for _ in range(100)).encode())
if pid:
    os.waitpid(pid, 0)
"""


def test_a_process_and_its_fork_never_give_the_same_id() -> None:
    """Chance is drawn from the system for many ids at once, and a fork draws its own."""
    ran = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, cwd=ROOT)
    assert len(ran.stdout.split()) == len(set(ran.stdout.split())) == 200


@given(st.integers(0, 10**16))
def test_a_place_in_time_is_between_the_ids_made_before_and_after(now_us: int) -> None:
    """To the millisecond, which is what ids tell of their time."""
    place = first_id("req", now_us)
    whole_us = -(-now_us // 1_000) * 1_000
    assert place < new_id("req", whole_us)
    assert whole_us == 0 or new_id("req", whole_us - 1) < place
    assert made_at_us(new_id("req", now_us)) == now_us // 1_000 * 1_000
