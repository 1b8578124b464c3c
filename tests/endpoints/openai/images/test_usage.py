"""The usage of pictures: its parts are told apart, what is odd is corrected, and an SVG's is added."""

from typing import Any

import pytest

from proxy.endpoints.openai.images.usage import ImageUsage
from tests.endpoints.openai.images.answers import usage

SVG = {
    "model": "gpt-x",
    "input_tokens": 500,
    "output_tokens": 900,
    "reasoning_tokens": 300,
    "total_tokens": 1_400,
}


def read(*usages: object) -> ImageUsage:
    report = ImageUsage()
    for each in usages:
        report.add(each)
    return report


REPORTS: list[tuple[Any, dict[str, int], int]] = [
    (usage(), {"input_tokens": 50, "output_tokens": 1_056, "output_image_tokens": 1_056}, 0),
    (
        usage(
            400,
            1_100,
            input_tokens_details={"text_tokens": 76, "image_tokens": 324, "cached_tokens": 20},
            output_tokens_details={"text_tokens": 44, "image_tokens": 1_056},
        ),
        {
            "input_tokens": 400,
            "cached_input_tokens": 20,
            "input_image_tokens": 324,
            "output_tokens": 1_100,
            "output_image_tokens": 1_056,
        },
        0,
    ),
    (
        usage(9, 1_100, output_tokens_details={"text_tokens": 44, "reasoning_tokens": 6}),
        {"input_tokens": 9, "output_tokens": 1_100, "reasoning_tokens": 6, "output_image_tokens": 1_050},
        0,
    ),
    (usage(9, 60, output_tokens_details={"text_tokens": 60}), {"input_tokens": 9, "output_tokens": 60}, 0),
    (
        {"prompt_tokens": 9, "completion_tokens": 60},
        {"input_tokens": 9, "output_tokens": 60, "output_image_tokens": 60},
        0,
    ),
    (
        {"total_tokens": 60, "input_tokens": 9},
        {"input_tokens": 9, "output_tokens": 51, "output_image_tokens": 51},
        0,
    ),
    (
        {"generated_images": 2, "output_tokens": 8_192, "total_tokens": 8_192},
        {"input_tokens": 0, "output_tokens": 8_192, "output_image_tokens": 8_192},
        0,
    ),
    ({"input_tokens": 9, "output_tokens": -5}, {"input_tokens": 9}, 1),
    ({"input_tokens": 10**12, "output_tokens": 7}, {"output_tokens": 7, "output_image_tokens": 7}, 1),
    (
        usage(9, 60, output_tokens_details={"image_tokens": 90}),
        {"input_tokens": 9, "output_tokens": 60, "output_image_tokens": 60},
        1,
    ),
]


@pytest.mark.parametrize(("told", "expected", "anomalies"), REPORTS)
def test_what_is_reported_is_read_by_its_parts(told: Any, expected: dict[str, int], anomalies: int) -> None:
    """Output that is told to be nothing else is of pictures."""
    reading = read(told).reading()
    assert reading is not None
    assert (reading.usage, reading.anomalies) == (expected, anomalies)
    assert read(told).input_reading() == reading


@pytest.mark.parametrize("told", [None, {}, {"text_tokens": 5}, "x", [1]])
def test_what_tells_nothing_is_no_report(told: Any) -> None:
    assert read(told).reading() is None
    assert read(told).anomalies == (told is not None and not isinstance(told, dict))


def test_the_largest_figure_of_each_field_counts_and_never_a_sum() -> None:
    reading = read(usage(50, 1_000), usage(50, 900), usage(40, 2_000)).reading()
    assert reading is not None
    assert reading.usage == {"input_tokens": 50, "output_tokens": 2_000, "output_image_tokens": 2_000}


def test_what_an_svg_took_is_added_to_what_its_picture_did() -> None:
    """That of the SVG is text."""
    reading = read(usage(), {"svg_usage": SVG}, {"svg_usage": SVG}).reading()
    assert reading is not None
    assert reading.usage == {
        "input_tokens": 550,
        "output_tokens": 1_956,
        "reasoning_tokens": 300,
        "output_image_tokens": 1_056,
    }
    alone = read(None, {"svg_usage": SVG}).reading()
    assert alone is not None
    assert alone.usage == {"input_tokens": 500, "output_tokens": 900, "reasoning_tokens": 300}


def test_an_svgs_odd_figures_are_anomalies_too() -> None:
    report = read(usage(), {"svg_usage": {"output_tokens": -1}}, {"svg_usage": 7})
    assert report.anomalies == 2
    assert report.reading() == read(usage()).reading()
