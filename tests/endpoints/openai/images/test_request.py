"""Requests for pictures: what is to be drawn and what is given bound the ceiling, as JSON and as a form."""

import base64
import json
from typing import Any

import pytest

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.openai.images.ask import FRAMING_TOKENS, ImageAsk
from proxy.endpoints.openai.images.given import PICTURES_MAX
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from proxy.metering.pictures import given_tokens, given_tokens_max
from proxy.metering.tokens import COUNTER
from tests.endpoints.openai.images.answers import FORM_HEAD, data_url, form, png

GENERATIONS, EDITS, VARIATIONS = (f"/v1/images/{name}" for name in ("generations", "edits", "variations"))
JSON_HEAD = (("content-type", "application/json; charset=utf-8"),)
PROMPT = "A cat with a ticket in its paw"
SQUARE, WIDE = (1_024, 1_024), (1_536, 1_024)
LEAST = {"model": "m", "prompt": PROMPT}


def read(path: str = GENERATIONS, **members: Any) -> ImageAsk:
    ask = ENDPOINTS[path].read(json.dumps(LEAST | members).encode(), JSON_HEAD)
    assert isinstance(ask, ImageAsk)
    return ask


def read_form(*fields: tuple[str, str | bytes], path: str = EDITS) -> ImageAsk:
    least = (("model", "m"), ("prompt", PROMPT)) if path == EDITS else (("model", "m"),)
    ask = ENDPOINTS[path].read(form(*least, *fields), FORM_HEAD)
    assert isinstance(ask, ImageAsk)
    return ask


def hidden(ask: ImageAsk) -> dict[str, int]:
    return {each.member: each.hidden["input_tokens"] for each in ask.features if not each.kept}


def text_max(ask: ImageAsk) -> int:
    return ask.input_text_length() + FRAMING_TOKENS


def test_a_plain_request_is_bounded_by_its_prompt_and_one_picture() -> None:
    ask = read()
    ceiling = ask.ceiling()
    assert ceiling.fixed == {"input_tokens": len(json.dumps(PROMPT)) + FRAMING_TOKENS, "images": 1}
    assert (ceiling.elastic, ceiling.bound, ceiling.choices, ceiling.beside) == ("output_tokens", None, 1, 0)
    assert (ceiling.firm, ceiling.either) == (True, True)
    tokens = COUNTER.count(PROMPT, "m")
    assert ask.ceiling_exact().fixed == {"input_tokens": tokens + FRAMING_TOKENS, "images": 1}
    assert ask.estimate("m") == {"input_tokens": tokens, "images": 0}
    assert (ask.stream, ask.features, ask.end_user) == (False, (), "")


DRAWN: list[tuple[dict[str, Any], int, int, int]] = [
    ({}, 1, 1, 0),
    ({"n": None}, 1, 1, 0),
    ({"n": 4}, 4, 4, 0),
    ({"n": 4e0}, 4, 4, 0),
    ({"stream": True, "partial_images": 3}, 1, 1, 300),
    ({"stream": True, "partial_images": 2, "n": 2}, 2, 2, 400),
    ({"output_format": "gif"}, 1, 9, 0),
    ({"output_format": "GIF", "frame_count": 16, "n": 2}, 2, 32, 0),
    ({"frame_count": 16}, 1, 1, 0),
    ({"output_format": "svg"}, 1, 2, 0),
]


@pytest.mark.parametrize(("members", "images", "choices", "beside"), DRAWN)
def test_all_that_is_to_be_drawn_is_in_the_ceiling(
    members: dict[str, Any], images: int, choices: int, beside: int
) -> None:
    """Each picture, each frame of one, what is written from one, and each that is not finished.

    A prompt is read for each picture.
    """
    ceiling = read(**members).ceiling()
    assert ceiling.fixed == {"input_tokens": images * text_max(read()), "images": images}
    assert (ceiling.choices, ceiling.beside) == (choices, beside)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("n", value) for value in (-1, 129, 1.5, "2", [1], True)),
        *(("partial_images", value) for value in (-1, 17, "1")),
        *(("frame_count", value) for value in (-1, 65)),
        *(("stream", value) for value in ("true", 1)),
        *(("prompt", value) for value in (None, 7, ["a"], {"text": "a"})),
        *(("model", value) for value in (None, "", 7)),
        *(("size", value) for value in (1024, "", " 1024x1024", "1024x1024 ", "01024x1024", "1024x01024")),
        *(
            ("size", value)
            for value in ("1024 x 1024", "1024\u00d71024", "\uff11024x1024", "a" * 65, ["1024x1024"])
        ),
        *(("quality", value) for value in (7, "\u212aeen", "high\u0000")),
        *(("image", value) for value in ([{"image_url": "a"}] * (PICTURES_MAX + 1), {"Image_url": "a"})),
        *(("images", value) for value in ([{"image_url": {"URL": "a"}}], [{"FILE_ID": "a"}])),
    ],
)
def test_what_cannot_be_read_or_could_be_read_as_another_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Refusal) as caught:
        read(**{name: value})
    assert caught.value.code == "invalid_value"
    assert (caught.value.param or "").startswith(name)


def test_a_picture_with_a_name_twice_is_refused() -> None:
    body = b'{"model":"m","prompt":"A","images":[{"image_url":"%b","image_url":"https://host/a"}]}'
    with pytest.raises(Refusal) as caught:
        ENDPOINTS[EDITS].read(body % data_url(png(8, 8)).encode(), JSON_HEAD)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "images")


def test_a_price_may_depend_on_parameters_with_the_apis_defaults() -> None:
    """Whatever the case they are written in. `auto` is a value of its own."""
    usual = {
        "size": "auto",
        "quality": "auto",
        "background": "auto",
        "output_format": "png",
        "input_fidelity": "low",
        "complexity": "default",
    }
    assert read().parameters == read(size=None, quality=None).parameters == usual
    said = {"size": "1024X1536", "quality": "HIGH", "output_format": "webp"}
    lower = {"size": "1024x1536", "quality": "high", "output_format": "webp"}
    assert read(**said).parameters == usual | lower
    assert read_form(("image", png(8, 8)), *said.items()).parameters == usual | lower


@pytest.mark.parametrize("path", [GENERATIONS, EDITS])
def test_a_picture_within_json_is_bounded_by_its_size(path: str) -> None:
    """Of its file only the head is read, and none of it counts as text."""
    url = data_url(png(*WIDE, bytes(200_000)))
    forms: list[dict[str, Any]] = [
        {"images": [{"image_url": url}]},
        {"image": url},
        {"image": [{"type": "input_image", "image_url": {"url": url, "detail": "high"}}]},
    ]
    for members in forms:
        ask = read(path, **members)
        most = text_max(read()) + FRAMING_TOKENS + given_tokens_max(WIDE)
        assert ask.ceiling().fixed["input_tokens"] == most
        assert (ask.given, ask.features) == ((WIDE,), ())
        tokens = COUNTER.count(PROMPT, "m") + given_tokens(WIDE, keeps_features=False)
        assert ask.estimate("m")["input_tokens"] == tokens


def test_what_keeps_features_takes_more() -> None:
    plain, kept = (
        read(EDITS, image=data_url(png(*SQUARE)), input_fidelity=fidelity).estimate("m")
        for fidelity in ("low", "high")
    )
    assert kept["input_tokens"] - plain["input_tokens"] == 4_160


HIDDEN: list[tuple[dict[str, Any], dict[str, int]]] = [
    ({"images": [{"image_url": "https://host/a.png"}]}, {"images": 1}),
    ({"images": [{"file_id": "file-1"}, {"file_id": "file-2"}]}, {"images": 2}),
    ({"images": [{"file_id": "file-1", "image_url": data_url(png(8, 8))}]}, {"images": 1}),
    (
        {"image": "data:image/png;base64,QUJD", "mask": {"image_url": "https://host/b.png"}},
        {"image": 1, "mask": 1},
    ),
    ({"image": ["https://host/a.png"], "n": 3}, {"image": 3}),
    ({"image": base64.b64encode(png(8, 8)).decode()}, {"image": 1}),
    ({"images": [{"image_url": data_url(png(8, 8)), "scale": 9}]}, {"images": 1}),
    ({"image": data_url(b"GIF89a\x08\x00\x08\x00" + bytes(100))}, {"image": 1}),
    ({"images": []}, {}),
    ({"image": None, "mask": None}, {}),
    ({"output_format": "svg"}, {"output_format: svg": 1}),
]


@pytest.mark.parametrize(("members", "expected"), HIDDEN)
def test_what_a_request_only_refers_to_takes_the_allowance(
    members: dict[str, Any], expected: dict[str, int]
) -> None:
    """For each picture that is drawn from it, and so does a picture whose size cannot be told."""
    ask = read(EDITS, **members)
    assert hidden(ask) == expected
    assert all(each.needs[0] == "input_allowance_tokens" for each in ask.features if not each.kept)


def test_the_files_of_a_form_are_bounded_by_their_sizes() -> None:
    """Masks, too; all of them are read for each picture."""
    ask = read_form(
        ("image[]", png(*SQUARE)), ("image[]", png(*WIDE, bytes(10**6))), ("mask", png(*SQUARE)), ("n", "2")
    )
    assert ask.given == (SQUARE, WIDE, SQUARE)
    most = text_max(read()) + sum(FRAMING_TOKENS + given_tokens_max(size) for size in ask.given)
    assert ask.ceiling().fixed == {"input_tokens": 2 * most, "images": 2}
    assert ask.features == ()


def test_a_file_whose_size_cannot_be_told_takes_the_allowance() -> None:
    ask = read_form(("image", png(*SQUARE)), ("mask", b"GIF89a"), ("markup", b""), ("n", "3"))
    assert (ask.given, hidden(ask)) == ((SQUARE,), {"mask": 3, "markup": 3})


def test_a_form_is_read_as_json_is() -> None:
    """Fields may come after their files."""
    ask = read_form(
        ("image", png(*SQUARE)),
        *(
            ("n", "2"),
            ("stream", "True"),
            ("partial_images", "1"),
            ("user", "u-1"),
            ("service_tier", "priority"),
        ),
    )
    assert (ask.model, ask.stream, ask.end_user) == ("m", True, "u-1")
    assert (ask.drawn.count, ask.drawn.unfinished) == (2, 1)
    assert [feature.needs for feature in ask.features] == [("service_tiers.priority",)]


@pytest.mark.parametrize(
    ("field", "param"),
    [
        (("n", "many"), "n"),
        (("n", "200"), "n"),
        (("stream", "yes"), "stream"),
        (("size", "01024x1024"), "size"),
        (("Model", "other"), "Model"),
        (("mask", "https://host/a.png"), "mask"),
        (("prompt", b"a file"), "prompt"),
    ],
)
def test_a_field_that_cannot_be_read_is_refused_by_name(field: tuple[str, str | bytes], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_form(("image", png(8, 8)), field)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


def test_a_file_that_nobody_knows_is_not_known_to_cost_nothing() -> None:
    (found,) = read_form(("image", png(8, 8)), ("sketch", "x")).features
    assert (found.name, found.known, found.needs) == ("sketch", False, ())
    with pytest.raises(Refusal):
        read_form(("image", png(8, 8)), ("sketch", png(8, 8)))


def test_an_svg_by_a_model_of_the_callers_choice_has_no_price() -> None:
    """In a form it comes in pieces."""
    for ask in (
        read(output_format="svg", svg={"model": "gpt-6"}),
        read_form(("image", png(8, 8)), ("svg[model]", "gpt-6"), ("output_format", "svg")),
    ):
        assert {feature.name: feature.needs for feature in ask.features}["svg"] == ()
    (written,) = read(output_format="svg").features
    assert written.needs == ("input_allowance_tokens", "rates.output_tokens")


def test_variations_need_no_prompt_and_take_forms_alone() -> None:
    ask = read_form(("image", png(*SQUARE)), ("n", "2"), ("size", "256x256"), path=VARIATIONS)
    assert ask.ceiling().fixed["images"] == 2
    assert ask.parameters["size"] == "256x256"
    assert ask.ceiling_exact() == ask.ceiling()
    assert ask.estimate("m")["input_tokens"] == given_tokens(SQUARE, keeps_features=False)
    for head in (JSON_HEAD, ()):
        with pytest.raises(Refusal) as caught:
            ENDPOINTS[VARIATIONS].read(json.dumps(LEAST).encode(), head)
        assert (caught.value.code, caught.value.param) == ("invalid_value", "content-type")


@pytest.mark.parametrize(
    "head",
    [
        (("content-type", "application/x-www-form-urlencoded"),),
        (("content-type", "text/plain"),),
        (*JSON_HEAD, ("Content_Type", "multipart/form-data; boundary=x")),
        (("content-type", "multipart/mixed; boundary=x"),),
    ],
)
def test_an_edit_is_json_or_a_form_and_nothing_that_could_be_either(head: Any) -> None:
    """An upstream could read another body out of the same bytes."""
    with pytest.raises(Refusal) as caught:
        ENDPOINTS[EDITS].read(json.dumps(LEAST).encode(), head)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "content-type")


def test_only_the_model_ever_changes() -> None:
    data = b'{"model":"m", "prompt":"A", "size":"AUTO"}'
    ask = ENDPOINTS[GENERATIONS].read(data)
    assert ask.forward_body(ForwardPlan("m", output_bound=5)) == b'{"model":"m","prompt":"A","size":"AUTO"}'
    assert ask.forward_body(ForwardPlan("n")) == b'{"model":"n","prompt":"A","size":"AUTO"}'
    fields: tuple[tuple[str, str | bytes], ...] = (("image", png(8, 8)), ("n", "2"))
    given = form(("model", "m"), ("prompt", PROMPT), *fields)
    ask = ENDPOINTS[EDITS].read(given, FORM_HEAD)
    assert ask.forward_body(ForwardPlan("m", output_bound=5)) is given
    renamed = ask.forward_body(ForwardPlan("painter"))
    assert renamed == given.replace(b"\r\n\r\nm\r\n", b"\r\n\r\npainter\r\n", 1)


def test_a_large_picture_goes_up_as_it_came() -> None:
    body = json.dumps(LEAST | {"image": data_url(png(8, 8, bytes(300_000)))}).encode()
    ask = ENDPOINTS[EDITS].read(body, JSON_HEAD)
    assert json.loads(ask.forward_body(ForwardPlan("n"))) == json.loads(body) | {"model": "n"}
