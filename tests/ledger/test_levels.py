"""Levels over time: exact, in whatever order they are told and however often they are charged."""

import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger.level_rows import HOUR_US, UNIT, Level, Told, accrued, begun, stopped, with_told
from proxy.ledger.rows import NEVER_US

GIB = UNIT
MOMENTS = st.integers(1, 100 * HOUR_US)
TOLD = st.builds(Told, MOMENTS, st.integers(0, 10**14))


def level_of(*told: Told) -> Level:
    level = begun("acct_1", "volume", "v1", "", told[0])
    for each in told[1:]:
        level = with_told(level, each)
    return level


def by_hand(told: list[Told], until_us: int) -> Fraction:
    """Unit-hours, in millionths, as fractions."""
    last: dict[int, int] = {each.at_us: each.level for each in told}
    moments = [*sorted(last), NEVER_US]
    spans = itertools.pairwise(moments)
    sums = (last[start] * max(0, min(end, until_us) - start) for start, end in spans)
    return Fraction(sum(sums), HOUR_US)


def test_a_level_comes_to_what_was_there_for_as_long_as_it_was() -> None:
    """12 GiB for two hours, then half a GiB for one and a half, then nothing."""
    level = level_of(Told(0, 12 * GIB), Told(2 * HOUR_US, GIB // 2), Told(7 * HOUR_US // 2, 0))
    quantity, after = accrued(level, 100 * HOUR_US)
    assert (quantity, after.carry, after.state, after.since_us) == (24_750_000, 0, "ended", NEVER_US)
    assert after.told == (Told(7 * HOUR_US // 2, 0),)


@given(st.lists(TOLD, min_size=1, max_size=8), st.lists(MOMENTS, min_size=1, max_size=5))
def test_pieces_come_to_the_whole_to_the_last_millionth(told: list[Told], ends: list[int]) -> None:
    """What a piece cannot show stays for the next one: none of it is lost, and none is charged twice."""
    level, charged = level_of(*told), 0
    for end_us in sorted(set(ends)):
        quantity, level = accrued(level, end_us)
        assert quantity >= 0
        charged += quantity
        assert Fraction(level.carry, HOUR_US) + charged == by_hand(told, end_us)
        assert level.carry < HOUR_US


@given(st.permutations([Told(n * HOUR_US, n * GIB, (("class", "ab"[n % 2]),)) for n in range(1, 6)]))
def test_the_order_in_which_it_is_told_makes_no_difference(told: list[Told]) -> None:
    level = level_of(*told)
    assert level == level_of(*sorted(told, key=lambda each: each.at_us))
    assert level.began_us == level.since_us == HOUR_US


@given(st.lists(TOLD, min_size=1, max_size=8), MOMENTS)
def test_what_is_to_be_charged_begins_with_the_first_use(told: list[Told], until_us: int) -> None:
    """There is nothing of it before, and something of it then."""
    _, level = accrued(level_of(*told), until_us)
    if level.since_us == NEVER_US:
        assert accrued(level, NEVER_US)[0] == 0
    else:
        assert level.since_us >= until_us
        assert accrued(level, level.since_us)[1].carry == level.carry
        assert next(each.level for each in accrued(level, level.since_us)[1].told) > 0


def test_prices_depend_on_one_thing_at_a_time() -> None:
    """Until it is told that they depend on another."""
    hot, cold = (("class", "hot"),), (("class", "cold"),)
    level = level_of(Told(5, GIB, hot), Told(7, 2 * GIB, hot), Told(9, GIB, cold))
    assert (level.parameters, level.same_until_us) == ({"class": "hot"}, 9)
    _, after = accrued(level, 9)
    assert (after.parameters, after.same_until_us) == ({"class": "cold"}, NEVER_US)


def test_what_was_stopped_is_no_more_until_it_is_told_of_again() -> None:
    _, after = accrued(level_of(Told(0, GIB), Told(9, 5 * GIB)), 6)
    level = stopped(after)
    assert (level.state, level.since_us, level.told) == ("stopped", NEVER_US, (Told(6, 0),))
    again = with_told(level, Told(8, GIB))
    assert (again.state, again.since_us) == ("used", 8)


def test_what_is_told_of_the_moment_until_which_is_charged_leaves_nothing_of_what_held_before() -> None:
    level = begun("acct_1", "volume", "v1", "", Told(0, GIB))
    level = with_told(level, Told(HOUR_US, 5 * GIB))
    _, level = accrued(level, 2 * HOUR_US)
    again = with_told(level, Told(2 * HOUR_US, GIB))
    assert again.told == (Told(2 * HOUR_US, GIB),)
