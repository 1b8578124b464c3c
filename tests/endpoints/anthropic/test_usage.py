"""Usage in Anthropic's form: what was cached stands beside the input there, and within it here."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.anthropic.usage import MessageUsage
from proxy.endpoints.base import Reading
from proxy.metering.usage import MAX_QUANTITY, METERS


def read(*objects: object) -> Reading | None:
    report = MessageUsage()
    for each in objects:
        report.add(each)
    return report.reading()


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 25, "output_tokens": 12}, {"input_tokens": 25, "output_tokens": 12}),
        (
            {"input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 1},
            {"input_tokens": 105, "cached_input_tokens": 100, "output_tokens": 1},
        ),
        (
            {"input_tokens": 0, "cache_creation_input_tokens": 40, "output_tokens": 1},
            {"input_tokens": 40, "cache_write_tokens": 40, "output_tokens": 1},
        ),
        (
            {
                "input_tokens": 5,
                "cache_creation_input_tokens": 10,
                "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
                "output_tokens": 1,
            },
            {"input_tokens": 15, "cache_write_tokens": 4, "cache_write_1h_tokens": 6, "output_tokens": 1},
        ),
        (
            {"cache_creation": {"ephemeral_1h_input_tokens": 6}, "output_tokens": 1},
            {"input_tokens": 6, "cache_write_1h_tokens": 6, "output_tokens": 1},
        ),
        (
            {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 7}},
            {"input_tokens": 5, "output_tokens": 9, "reasoning_tokens": 7},
        ),
        (
            {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 70}},
            {"input_tokens": 5, "output_tokens": 9, "reasoning_tokens": 9},
        ),
        (
            {
                "input_tokens": 5,
                "output_tokens": 9,
                "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
            },
            {"input_tokens": 5, "output_tokens": 9, "web_searches": 2},
        ),
        ({"input_tokens": 5.0, "output_tokens": 8.5}, {"input_tokens": 5, "output_tokens": 9}),
        ({"output_tokens": 9, "input_tokens": None}, {"output_tokens": 9}),
    ],
)
def test_what_is_reported_is_read_by_meter(usage: dict[str, Any], expected: dict[str, int]) -> None:
    assert read(usage) == Reading(expected)


def test_the_figures_of_a_stream_grow_and_are_never_added_up() -> None:
    """The first event has the input, later ones more and more output, and the input again."""
    assert read(
        {"input_tokens": 25, "output_tokens": 1},
        {"output_tokens": 7},
        {"output_tokens": 50, "input_tokens": 25, "cache_read_input_tokens": 0},
        {"output_tokens": 49},
    ) == Reading({"input_tokens": 25, "output_tokens": 50})


def test_the_answers_of_one_call_are_added_up() -> None:
    """A call that made a summary on its way has a usage for each answer; the outer one is of the last."""
    usage = {
        "input_tokens": 23,
        "output_tokens": 10,
        "iterations": [
            {"type": "compaction", "input_tokens": 1_000, "output_tokens": 300},
            {"type": "message", "input_tokens": 23, "output_tokens": 10, "cache_read_input_tokens": 7},
        ],
    }
    assert read(usage, usage) == Reading(
        {"input_tokens": 1_030, "output_tokens": 310, "cached_input_tokens": 7}
    )


@pytest.mark.parametrize("usage", [None, {}, {"service_tier": "standard"}, {"input_tokens": None}])
def test_nothing_reported_is_no_reading(usage: object) -> None:
    assert read(usage) is None


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -1, "output_tokens": 3},
        {"input_tokens": "many", "output_tokens": 3},
        {"input_tokens": True, "output_tokens": 3},
        {"input_tokens": 10**12, "output_tokens": 3},
        {"output_tokens": 3, "cache_creation": 7},
    ],
)
def test_an_absurd_figure_is_missing_and_an_anomaly(usage: object) -> None:
    assert read(usage) == Reading({"output_tokens": 3}, 1)


NUMBERS = st.one_of(
    st.none(), st.integers(-5, MAX_QUANTITY + 5), st.floats(), st.text(max_size=3), st.booleans()
)
OBJECTS = st.dictionaries(
    st.sampled_from(
        ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]
    ),
    NUMBERS,
)
USAGES = st.builds(
    lambda flat, inner, details, rounds: {
        **flat,
        "cache_creation": inner,
        "output_tokens_details": details,
        "iterations": rounds,
    },
    OBJECTS,
    st.dictionaries(st.sampled_from(["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]), NUMBERS),
    st.dictionaries(st.sampled_from(["thinking_tokens", "x"]), NUMBERS),
    st.lists(st.one_of(OBJECTS, st.none()), max_size=2),
)


@given(st.lists(st.one_of(USAGES, st.none(), st.integers(), st.just("x")), max_size=3))
def test_no_part_exceeds_its_whole_whatever_is_reported(objects: list[object]) -> None:
    reading = read(*objects)
    if reading is None:
        return
    usage = reading.usage
    assert all(type(quantity) is int and quantity >= 0 for quantity in usage.values())
    for whole in ("input_tokens", "output_tokens"):
        parts = [n for meter, n in usage.items() if METERS[meter].part_of == whole]
        assert sum(parts) <= usage.get(whole, 0)
