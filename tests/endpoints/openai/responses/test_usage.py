"""Usage objects of responses: the largest of each field, parts cut to their wholes, odd figures noted."""

from typing import Any

import pytest

from proxy.endpoints.base import Reading
from proxy.endpoints.openai.responses.usage import ResponseUsage
from tests.endpoints.openai.responses.replies import usage


def reading(*reported: object) -> Reading | None:
    report = ResponseUsage()
    for each in reported:
        report.add(each)
    return report.reading()


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (usage(), {"input_tokens": 36, "output_tokens": 87}),
        (
            usage(input_tokens_details={"cached_tokens": 30, "cache_write_tokens": 5}),
            {
                "input_tokens": 36,
                "output_tokens": 87,
                "cached_input_tokens": 30,
                "cache_write_tokens": 5,
            },
        ),
        (
            usage(
                input_tokens_details={
                    "cache_write_tokens": 20,
                    "cache_write_tokens_details": {"ttl_12h_tokens": 15, "ttl_30m_tokens": 5},
                }
            ),
            {
                "input_tokens": 36,
                "output_tokens": 87,
                "cache_write_tokens": 5,
                "cache_write_12h_tokens": 15,
            },
        ),
        (
            usage(output_tokens_details={"reasoning_tokens": 80}),
            {"input_tokens": 36, "output_tokens": 87, "reasoning_tokens": 80},
        ),
        (usage(36.0, "87", total_tokens=None), {"input_tokens": 36, "output_tokens": 87}),
    ],
)
def test_every_figure_is_read(reported: Any, expected: dict[str, int]) -> None:
    found = reading(reported)
    assert found is not None
    assert (found.usage, found.anomalies) == (expected, 0)


def test_figures_of_several_objects_are_never_added_up() -> None:
    found = reading(usage(10, 5, total_tokens=15), usage(36, 1, total_tokens=37), usage(1, 87))
    assert found is not None
    assert found.usage == {"input_tokens": 36, "output_tokens": 87}


@pytest.mark.parametrize("odd", [-1, 10**12, True, [], {}, "many", 1e300])
def test_a_figure_that_is_none_is_an_anomaly(odd: object) -> None:
    found = reading(usage(total_tokens=None, output_tokens=odd))
    assert found is not None
    assert (found.usage, found.anomalies) == ({"input_tokens": 36}, 1)


@pytest.mark.parametrize("odd", [None, {}, {"prompt_tokens": 5}])
def test_no_figures_are_no_report(odd: object) -> None:
    assert reading(odd) is None


def test_what_was_written_for_long_is_within_all_that_was_written() -> None:
    details = {"cache_write_tokens": 5, "cache_write_tokens_details": {"ttl_12h_tokens": 50}}
    found = reading(usage(input_tokens_details=details))
    assert found is not None
    assert found.usage == {"input_tokens": 36, "output_tokens": 87, "cache_write_12h_tokens": 5} | {
        "cache_write_tokens": 0
    }
