"""A ceiling: what a request amounts to, and what its answer may use of the one meter that can be bounded."""

from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import METERS, tokens_of

CHAT = Ceiling({"input_tokens": 7}, "output_tokens", None, 3)


def test_the_bound_is_for_each_choice() -> None:
    assert CHAT.bounded(10).usage == {"input_tokens": 7, "output_tokens": 30}
    assert (CHAT.bounded(10).elastic_total, CHAT.elastic_total) == (30, 0)


def test_a_bound_of_the_clients_own_stays() -> None:
    assert CHAT.bounded(10).bounded(99).bound == 10


def test_a_ceiling_is_clamped_and_never_raised() -> None:
    assert [CHAT.bounded(10).clamped(bound).bound for bound in (4, 10, 11)] == [4, 10, 10]
    assert CHAT.clamped(4).bound == 4


def test_what_may_come_beside_the_bounds_is_held_and_never_clamped() -> None:
    ceiling = Ceiling({"input_tokens": 7}, "output_tokens", 10, 3, beside=5)
    assert ceiling.usage == {"input_tokens": 7, "output_tokens": 35}
    assert ceiling.clamped(4).usage == {"input_tokens": 7, "output_tokens": 17}


def test_what_a_request_does_not_show_is_added_to_what_it_does() -> None:
    more = {"input_tokens": 100, "web_searches": 2}
    assert CHAT.allowing(more).fixed == {"input_tokens": 107, "web_searches": 2}
    assert CHAT.allowing({}) is CHAT.allowing({"input_tokens": 0}) is CHAT
    assert CHAT.fixed == {"input_tokens": 7}


def test_what_no_upstream_can_be_told_is_not_clamped() -> None:
    firm = Ceiling({"input_tokens": 7}, "output_tokens", 10, firm=True)
    assert firm.clamped(4) is firm


def test_what_is_billed_by_some_of_its_meters_has_those_that_are_priced() -> None:
    either = Ceiling({"audio_seconds": 9, "input_tokens": 90}, "output_tokens", 10, either=True)
    assert either.priced_by({"audio_seconds"}).usage == {"audio_seconds": 9}
    assert either.priced_by({"input_tokens", "output_tokens"}).usage == {
        "input_tokens": 90,
        "output_tokens": 10,
    }


def test_without_an_elastic_meter_there_is_nothing_to_bound() -> None:
    fixed = Ceiling({"requests": 1})
    assert fixed.bounded(5) is fixed.clamped(5) is fixed
    assert (fixed.usage, fixed.elastic_total) == ({"requests": 1}, 0)


def test_a_ceiling_does_not_change_when_its_usage_is_changed() -> None:
    CHAT.usage["input_tokens"] = 0
    assert CHAT.fixed == {"input_tokens": 7}


def test_tokens_that_are_part_of_others_are_counted_once() -> None:
    """Every meter of tokens counts that is part of no other."""
    wholes = [meter.name for meter in METERS.values() if meter.is_tokens and meter.part_of is None]
    assert tokens_of({name: 10**at for at, name in enumerate(METERS)}) == sum(
        10**at for at, name in enumerate(METERS) if name in wholes
    )
    assert tokens_of({"requests": 1, "images": 3}) == 0
