"""What a total has beyond input and output is charged, and the reading says how it was found."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.usage import UsageReport


def reading(*objects: dict[str, Any]) -> Reading:
    report = UsageReport()
    for usage in objects:
        report.add(usage)
    found = report.reading()
    assert found is not None
    return found


def plain(prompt: int | None, output: int | None, total: int | None = None, **more: object) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total, **more}


def inner(**details: int) -> dict[str, Any]:
    return {"prompt_tokens_details": details}


IN, OUT = {"input_tokens": "total"}, {"output_tokens": "total"}
SHARED: list[tuple[str, dict[str, Any], dict[str, int], dict[str, str], int]] = [
    (
        "Voxtral tells its sound in seconds",
        plain(9, 201, 585, prompt_audio_seconds=24),
        {"input_tokens": 384, "input_audio_tokens": 375, "output_tokens": 201},
        {"input_tokens": "total", "input_audio_tokens": "total"},
        0,
    ),
    (
        "sound that is told beside the prompt",
        plain(9, 201, 585, **inner(audio_tokens=375)),
        {"input_tokens": 384, "input_audio_tokens": 375, "output_tokens": 201},
        {"input_tokens": "total"},
        0,
    ),
    (
        "Gemini leaves its reasoning out",
        plain(35, 12, 109),
        {"input_tokens": 35, "output_tokens": 74},
        {"output_tokens": "total"},
        1,
    ),
    (
        "xAI leaves out the reasoning that it reports",
        plain(32, 9, 135, completion_tokens_details={"reasoning_tokens": 94}),
        {"input_tokens": 32, "output_tokens": 103, "reasoning_tokens": 94},
        {"output_tokens": "total"},
        0,
    ),
    (
        "a cache beside the prompt",
        plain(10, 5, 1_015, **inner(cached_tokens=1_000)),
        {"input_tokens": 1_010, "cached_input_tokens": 1_000, "output_tokens": 5},
        {"input_tokens": "total"},
        0,
    ),
    (
        "parts of both sides",
        plain(9, 20, 454, **inner(audio_tokens=375), completion_tokens_details={"reasoning_tokens": 50}),
        {"input_tokens": 384, "input_audio_tokens": 375, "output_tokens": 70, "reasoning_tokens": 50},
        {"input_tokens": "total", "output_tokens": "total"},
        0,
    ),
    (
        "a prompt that is told to be nothing",
        plain(0, 12, 47),
        {"input_tokens": 35, "output_tokens": 12},
        {"input_tokens": "total"},
        1,
    ),
    ("a missing output", plain(7, None, 10), {"input_tokens": 7, "output_tokens": 3}, OUT, 0),
    ("a missing input", plain(None, 3, 10), {"input_tokens": 7, "output_tokens": 3}, IN, 0),
    (
        "hits and misses of a cache",
        plain(None, 3, prompt_cache_hit_tokens=4, prompt_cache_miss_tokens=6),
        {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3},
        {"input_tokens": "parts"},
        0,
    ),
    ("no surplus", plain(7, 3, 10, prompt_audio_seconds=1), {"input_tokens": 7, "output_tokens": 3}, {}, 0),
    (
        "seconds that are none",
        plain(7, 3, 11, prompt_audio_seconds={}),
        {"input_tokens": 7, "output_tokens": 4},
        {"output_tokens": "total"},
        1,
    ),
]


@pytest.mark.parametrize(
    ("usage", "meters", "inferred", "anomalies"), [row[1:] for row in SHARED], ids=[row[0] for row in SHARED]
)
def test_a_surplus_goes_to_the_part_that_it_is(
    usage: dict[str, Any], meters: dict[str, int], inferred: dict[str, str], anomalies: int
) -> None:
    """An anomaly is only a surplus that nothing else in the report explains."""
    assert reading(usage) == Reading(meters, anomalies, inferred)  # type: ignore[arg-type]


def test_the_total_of_a_reply_without_output_is_its_input() -> None:
    report = UsageReport()
    report.add({"prompt_tokens": 0, "total_tokens": 12})
    assert report.input_reading() == Reading({"input_tokens": 12}, 1, {"input_tokens": "total"})


COUNTS = st.integers(0, 10_000)


@given(COUNTS, COUNTS, COUNTS, st.dictionaries(st.sampled_from(["cached_tokens", "audio_tokens"]), COUNTS))
def test_all_that_a_total_proves_is_charged_and_no_more(
    prompt: int, output: int, surplus: int, details: dict[str, int]
) -> None:
    """Input and output come to the total, and what the upstream gave for either is never lowered."""
    found = reading(plain(prompt, output, prompt + output + surplus, prompt_tokens_details=details))
    assert found.usage["input_tokens"] + found.usage["output_tokens"] == prompt + output + surplus
    assert found.usage["input_tokens"] >= prompt
    assert found.usage["output_tokens"] >= output
    assert bool(found.inferred) == (surplus > 0)
    assert found.inferred.keys() <= found.usage.keys()
