import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.images import HEAD_BYTES, family_of, image_data, image_data_tokens

ELSEWHERE = "https://example.com/picture.png"
SIDES = st.integers(1, 20_000)
MODELS = st.sampled_from(
    [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-5",
        "gpt-4.1-mini",
        "o4-mini",
        "gpt-5.4",
        "gpt-6-astra",
        "claude-3",
        "llama",
    ]
)
DETAILS = st.sampled_from(["low", "high", "auto", "original"])


def png_url(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\0" * 500
    return "data:image/png;base64," + base64.b64encode(head).decode()


def image(url: object, detail: object = "high") -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}


def bound(model: str, size: tuple[int, int], detail: str = "high") -> int:
    return image_data_tokens(image_data(image(png_url(*size), detail)), model)


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        ((1, 1), 255),
        ((512, 512), 255),
        ((513, 512), 425),
        ((768, 768), 765),
        ((1_024, 1_024), 765),
        ((1_920, 1_080), 1_105),
        ((2_048, 4_096), 1_105),
        ((4_096, 2_048), 1_105),
        ((768, 2_048), 1_445),
        ((100, 40_000), 765),
    ],
)
def test_tiled_models_count_squares_of_the_scaled_image(size: tuple[int, int], tokens: int) -> None:
    assert bound("gpt-4o", size) == tokens


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [
        ("gpt-4o", 85, 765),
        ("chatgpt-4o-latest", 85, 765),
        ("openai/gpt-4.1", 85, 765),
        ("gpt-4-turbo", 85, 765),
        ("ft:gpt-4o-2024-08-06:acme", 85, 765),
        ("gpt-4o-mini-2024-07-18", 2_833, 25_501),
        ("gpt-5", 70, 630),
        ("gpt-5.1-2025-11-13", 70, 630),
        ("o1-pro", 75, 675),
        ("computer-use-preview", 65, 581),
    ],
)
def test_tiled_families_differ_in_base_and_tile(model: str, low: int, high: int) -> None:
    assert bound(model, (1_024, 1_024), "low") == low
    assert bound(model, (1_024, 1_024)) == bound(model, (1_024, 1_024), "auto") == high


@pytest.mark.parametrize(
    ("model", "detail", "size", "tokens"),
    [
        ("gpt-4.1-mini", "high", (1_024, 1_024), 1_659),  # 32 x 32 patches, 1.62 each
        ("gpt-4.1-mini", "high", (33, 32), 4),  # 2 patches
        ("gpt-4.1-mini", "high", (8_000, 8_000), 6_636),  # scaled to 64 x 64 patches
        ("gpt-5-mini", "high", (8_000, 8_000), 2_489),  # 1,536 patches at most
        ("gpt-5-nano", "low", (1_024, 1_024), 2_520),  # detail makes no difference
        ("o4-mini", "auto", (1_024, 1_024), 1_762),
        ("gpt-5.2", "high", (1_024, 1_024), 1_229),
        ("gpt-5.4-mini", "high", (8_000, 8_000), 3_000),  # 2,500 patches at most
        ("gpt-5.4", "auto", (8_000, 8_000), 3_000),
        ("gpt-5.5", "low", (8_000, 8_000), 308),  # scaled to 16 x 16 patches
        ("gpt-5.5", "auto", (8_000, 8_000), 12_000),  # 10,000 patches at most
        ("gpt-5.6-sol", "auto", (8_000, 8_000), 36_000),  # unscaled, 30,000 patches at most
        ("gpt-5.6-sol", "strange", (8_000, 8_000), 36_000),  # the worst of its details
        ("gpt-6-astra", "original", (320, 320), 120),
        ("claude-3-5-sonnet-latest", "auto", (1_092, 1_092), 1_521),
        ("claude-3-5-sonnet-latest", "auto", (8_000, 8_000), 1_568),
        ("claude-opus-4-7", "auto", (8_000, 8_000), 4_784),
    ],
)
def test_patch_models_count_patches_up_to_their_limit(
    model: str, detail: str, size: tuple[int, int], tokens: int
) -> None:
    assert bound(model, size, detail) == tokens


@pytest.mark.parametrize(
    ("model", "detail", "tokens"),
    [
        ("gpt-4o", "high", 1_445),
        ("gpt-4o", "low", 85),
        ("gpt-4o-mini", "auto", 48_169),
        ("gpt-5-mini", "high", 2_489),
        ("gpt-5.5", "low", 308),
        ("claude-sonnet-5", "auto", 4_784),
        ("qwen-vl", "auto", 16_384),
    ],
)
def test_an_image_of_unknown_size_is_the_worst_of_its_family(model: str, detail: str, tokens: int) -> None:
    assert image_data_tokens(image_data(image(ELSEWHERE, detail)), model) == tokens


@given(MODELS, DETAILS, SIDES, SIDES)
def test_no_image_takes_more_than_the_worst_case(model: str, detail: str, width: int, height: int) -> None:
    known = family_of(model).tokens((width, height), detail)
    assert 0 < known <= family_of(model).tokens(None, detail)
    assert known == family_of(model).tokens((height, width), detail)


def test_unknown_names_of_the_openai_scheme_count_as_the_dearest_family() -> None:
    assert family_of("gpt-5.3") is family_of("gpt-7") is family_of("o9-mini") is family_of("gpt-6-astra")
    assert family_of("gpt-5.3") is not family_of("gpt-5")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": png_url(1_024, 1_024)},
        {"type": "image_url", "image_url": {"url": png_url(1_024, 1_024).replace("data:", "DATA:")}},
        {"type": "input_image", "image_url": png_url(1_024, 1_024), "detail": "high"},
        {"type": "image", "source": {"type": "base64", "data": png_url(1_024, 1_024).partition(",")[2]}},
    ],
)
def test_every_way_to_hold_an_image_is_understood(part: dict[str, object]) -> None:
    assert image_data_tokens(image_data(part), "gpt-4o") == 765


def test_only_the_beginning_of_the_file_is_read() -> None:
    """A frame header behind more than 48 KiB of other segments counts as unknown."""
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 512, 512) + b"\0" * 40
    filler = b"\xff\xe2\x40\x00" + b"x" * (0x4000 - 2)
    near, far = (
        image("data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8" + filler * times + frame).decode())
        for times in (2, 4)
    )
    assert len(filler) * 2 < HEAD_BYTES < len(filler) * 4
    assert image_data_tokens(image_data(near), "gpt-4o") == 255
    assert image_data_tokens(image_data(far), "gpt-4o") == 1_445


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"type": "image_url"},
        image(None, 5),
        image(ELSEWHERE, ["low"]),
        image(""),
        image("data:"),
        image("data:image/png;base64"),
        image("data:image/png;base64,"),
        image("data:image/png;base64,é\ud800"),
        image("data:image/png;base64,abc"),
        image("data:image/svg+xml,<svg/>"),
        image(png_url(1, 1).replace(";base64", "")),
        {"type": "image", "source": {"type": "url", "url": ELSEWHERE}},
        {"type": "image", "source": {"data": 5}},
        {"type": "image", "source": "x"},
        {"type": "image_url", "image_url": [1]},
    ],
)
def test_odd_parts_count_as_images_of_unknown_size(part: dict[str, object]) -> None:
    assert image_data_tokens(image_data(part), "gpt-4o") == 1_445
