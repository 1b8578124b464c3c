"""Usage objects become readings: checked, merged by the largest figure, and cut to what is possible."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.usage import UsageReport
from proxy.metering.usage import MAX_QUANTITY, METERS


def reading(*objects: object) -> Reading | None:
    report = UsageReport()
    for value in objects:
        report.add(value)
    return report.reading()


def plain(prompt: Any, completion: Any, total: Any = None, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


READ: list[tuple[str, dict[str, Any], dict[str, int], int]] = [
    ("plain", plain(7, 3, 10), {"input_tokens": 7, "output_tokens": 3}, 0),
    ("zero output", plain(7, 0, 7), {"input_tokens": 7, "output_tokens": 0}, 0),
    ("no total", plain(7, 3), {"input_tokens": 7, "output_tokens": 3}, 0),
    ("floats, rounded up", plain(7.0, 2.1), {"input_tokens": 7, "output_tokens": 3}, 0),
    ("numeric strings", plain("7", "3", "10"), {"input_tokens": 7, "output_tokens": 3}, 0),
    ("output from the total", plain(7, None, 10), {"input_tokens": 7, "output_tokens": 3}, 0),
    ("input from the total", plain(None, 3, 10), {"input_tokens": 7, "output_tokens": 3}, 0),
    ("only an input", plain(7, None), {"input_tokens": 7}, 0),
    ("only an output", plain(None, 3), {"output_tokens": 3}, 0),
    ("a total below the input", plain(7, None, 5), {"input_tokens": 7, "output_tokens": 0}, 1),
    ("a total that is too small", plain(7, 3, 9), {"input_tokens": 7, "output_tokens": 3}, 1),
    ("a negative output", plain(7, -3, 10), {"input_tokens": 7, "output_tokens": 3}, 1),
    ("an absurd output", plain(7, 10**13), {"input_tokens": 7}, 1),
    ("a boolean", plain(True, 3), {"output_tokens": 3}, 1),
    ("an object for a number", plain({"n": 1}, 3), {"output_tokens": 3}, 1),
    (
        "details",
        plain(
            100,
            50,
            150,
            prompt_tokens_details={
                "cached_tokens": 40,
                "cache_write_tokens": 30,
                "audio_tokens": 20,
                "image_tokens": 5,
                "text_tokens": 35,
            },
            completion_tokens_details={
                "cached_tokens": 5,
                "reasoning_tokens": 30,
                "audio_tokens": 10,
                "rejected_prediction_tokens": 4,
            },
        ),
        {
            "input_tokens": 100,
            "cached_input_tokens": 40,
            "cache_write_tokens": 30,
            "input_audio_tokens": 20,
            "input_image_tokens": 5,
            "output_tokens": 50,
            "cached_output_tokens": 5,
            "reasoning_tokens": 30,
            "output_audio_tokens": 10,
        },
        0,
    ),
    (
        "details that are null",
        plain(7, 3, 10, prompt_tokens_details=None, completion_tokens_details={"reasoning_tokens": None}),
        {"input_tokens": 7, "output_tokens": 3},
        0,
    ),
    (
        "details that are no object",
        plain(7, 3, 10, prompt_tokens_details=[1]),
        {"input_tokens": 7, "output_tokens": 3},
        1,
    ),
    (
        "more cached than there is",
        plain(7, 3, 10, prompt_tokens_details={"cached_tokens": 8}),
        {"input_tokens": 7, "cached_input_tokens": 7, "output_tokens": 3},
        1,
    ),
    (
        "cached tokens of images count once",
        plain(10, 3, 13, prompt_tokens_details={"cached_tokens": 8, "image_tokens": 8}),
        {"input_tokens": 10, "cached_input_tokens": 8, "input_image_tokens": 2, "output_tokens": 3},
        0,
    ),
    (
        "reasoning left out of the output, as xAI does",
        plain(32, 9, 135, completion_tokens_details={"reasoning_tokens": 94}),
        {"input_tokens": 32, "output_tokens": 103, "reasoning_tokens": 94},
        0,
    ),
    (
        "DeepSeek's cache hits",
        plain(10, 3, 13, prompt_cache_hit_tokens=4, prompt_cache_miss_tokens=6),
        {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3},
        0,
    ),
    (
        "DeepSeek's hits and misses alone",
        plain(None, 3, prompt_cache_hit_tokens=4, prompt_cache_miss_tokens=6),
        {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3},
        0,
    ),
    (
        "Groq's times",
        plain(7, 3, 10, queue_time=0.02, total_time=0.3),
        {"input_tokens": 7, "output_tokens": 3},
        0,
    ),
]


@pytest.mark.parametrize(
    ("usage", "meters", "anomalies"), [row[1:] for row in READ], ids=[r[0] for r in READ]
)
def test_what_a_usage_object_says(usage: dict[str, Any], meters: dict[str, int], anomalies: int) -> None:
    found = reading(usage)
    assert found is not None
    assert (found.usage, found.anomalies) == (meters, anomalies)


@pytest.mark.parametrize(
    "usage",
    [None, {}, [], "12", {"total_tokens": 10}, plain(None, None, 10), plain(-1, "x"), {"input_tokens": 5}],
)
def test_without_input_and_output_nothing_is_reported(usage: object) -> None:
    assert reading(usage) is None


def test_several_objects_give_the_largest_figures_and_never_a_sum() -> None:
    growing = [plain(7, count, 7 + count) for count in range(1, 6)]
    assert reading(*growing) == Reading({"input_tokens": 7, "output_tokens": 5})
    assert reading(*growing, plain(7, 2, 9), {}) == Reading({"input_tokens": 7, "output_tokens": 5})


def test_parts_of_different_objects_are_put_together() -> None:
    first = plain(7, None, None, prompt_tokens_details={"cached_tokens": 2})
    assert reading(first, plain(None, 3)) == Reading(
        {"input_tokens": 7, "cached_input_tokens": 2, "output_tokens": 3}
    )


def test_a_field_that_is_odd_in_every_event_is_one_anomaly() -> None:
    assert reading(*[plain(7, count, "many") for count in range(5)]) == Reading(
        {"input_tokens": 7, "output_tokens": 4}, 1
    )


@pytest.mark.parametrize(
    ("usage", "meters"),
    [
        ({"prompt_tokens": 7, "total_tokens": 7}, {"input_tokens": 7}),
        ({"total_tokens": 7}, {"input_tokens": 7}),
        (
            plain(7, 0, 7, prompt_tokens_details={"image_tokens": 2}),
            {"input_tokens": 7, "input_image_tokens": 2},
        ),
    ],
)
def test_a_reply_without_output_has_only_an_input(usage: object, meters: dict[str, int]) -> None:
    report = UsageReport()
    report.add(usage)
    found = report.input_reading()
    assert found is not None
    assert (found.usage, found.anomalies) == (meters, 0)


def test_a_reply_without_output_and_without_figures_reports_nothing() -> None:
    assert UsageReport().input_reading() is None


FIGURES = st.one_of(
    st.none(),
    st.integers(-5, 300),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.booleans(),
    st.just({}),
)
DETAILS = st.one_of(
    FIGURES,
    st.dictionaries(
        st.sampled_from(["cached_tokens", "audio_tokens", "image_tokens", "reasoning_tokens"]), FIGURES
    ),
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(["prompt_tokens", "completion_tokens", "total_tokens"], FIGURES),
        **dict.fromkeys(["prompt_cache_hit_tokens", "prompt_cache_miss_tokens"], FIGURES),
        **dict.fromkeys(["prompt_tokens_details", "completion_tokens_details"], DETAILS),
    },
)


@given(st.lists(OBJECTS, max_size=4))
def test_whatever_is_reported_the_reading_is_possible(objects: list[dict[str, object]]) -> None:
    """Every quantity is sane, is of a known meter, and parts together never exceed their whole."""
    found = reading(*objects)
    if found is None:
        return
    assert set(found.usage) <= set(METERS)
    assert all(type(count) is int and 0 <= count <= 3 * MAX_QUANTITY for count in found.usage.values())
    for whole in ("input_tokens", "output_tokens"):
        parts = [name for name, meter in METERS.items() if meter.part_of == whole]
        assert sum(found.usage.get(part, 0) for part in parts) <= found.usage.get(whole, 0)


@given(st.lists(OBJECTS, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_usage_objects_does_not_matter(objects: list[dict[str, object]], chance: Any) -> None:
    shuffled = list(objects)
    chance.shuffle(shuffled)
    assert reading(*objects) == reading(*shuffled) == reading(*objects, *objects)
