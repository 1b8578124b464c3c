"""A moderation: texts, or parts as of a chat's message; its reply has no output that is counted."""

import base64
import json
from typing import Any

import pytest

from proxy.endpoints.base import ForwardPlan, Reading
from proxy.endpoints.openai.moderations import DEFAULT_MODEL, ModerationAsk
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from proxy.metering.prompts import prompt_tokens
from tests.endpoints.events import cut, fed

MODEL = "mistral-moderation-latest"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x04\x00\x00\x00\x04\x00\x08\x06\x00\x00\x00"
"""The head of a picture of 1,024 x 1,024."""
DATA_URL = "data:image/png;base64," + base64.b64encode(PNG + bytes(90_000)).decode()


def read(**members: Any) -> ModerationAsk:
    ask = ENDPOINTS["/v1/moderations"].read(json.dumps({"model": MODEL, "input": "Hi", **members}).encode())
    assert isinstance(ask, ModerationAsk)
    return ask


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


TEXTS: list[object] = ["", "Is this bad?", [], ["a", "", "b"], ["Is this bad? " * 9_000], "QUJD" * 50_000]


@pytest.mark.parametrize("value", TEXTS, ids=lambda value: str(value)[:20])
def test_texts_are_bounded_and_counted(value: object) -> None:
    ask = read(input=value)
    counted = ask.ceiling_exact().usage["input_tokens"]
    assert counted == prompt_tokens(value, MODEL) == ask.estimate(MODEL)["input_tokens"]
    assert counted <= ask.ceiling().usage["input_tokens"]
    assert ask.features == ()


@pytest.mark.parametrize("url", ["https://host/a.png", DATA_URL])
def test_a_picture_is_bounded_by_what_a_picture_can_take_and_not_by_its_bytes(url: str) -> None:
    ask = read(input=[{"type": "text", "text": "Is this bad?"}, picture(url)])
    most, exact, likely = ask.ceiling().usage, ask.ceiling_exact().usage, ask.estimate(MODEL)
    assert 3 < likely["input_tokens"] <= exact["input_tokens"] <= most["input_tokens"] < 50_000
    assert ask.features == ()
    assert ask.input_text_length() < 300


@pytest.mark.parametrize(
    "part",
    [{"type": "video_url", "video_url": {"url": "https://host/a"}}, {"type": "smell"}, {"x": 1}, ["a"]],
)
def test_a_part_whose_size_nothing_tells_takes_the_allowance(part: object) -> None:
    (feature,) = read(input=[{"type": "text", "text": "a"}, part]).features
    assert (feature.name, feature.needs) == ("input", ("input_allowance_tokens",))


@pytest.mark.parametrize("model", [{}, {"model": None}])
def test_a_call_without_a_model_is_for_the_one_that_the_api_takes(model: dict[str, None]) -> None:
    data = json.dumps({**model, "input": "Hi"}, separators=(",", ":")).encode()
    ask = ENDPOINTS["/v1/moderations"].read(data)
    assert ask.model == DEFAULT_MODEL
    assert ask.forward_body(ForwardPlan(DEFAULT_MODEL)) == data
    assert json.loads(ask.forward_body(ForwardPlan("other")))["model"] == "other"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"input": ["a"] * 65_537}, "input"),
        ({"input": [{"type": "text", "Text": "a"}]}, "input[].Text"),
    ],
)
def test_what_is_no_moderation_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(**members)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


def test_a_name_given_twice_in_a_part_is_refused() -> None:
    with pytest.raises(Refusal, match="one name twice"):
        ENDPOINTS["/v1/moderations"].read(b'{"input":[{"type":"text","text":"a","text":"b"}]}')


VERDICT = {"id": "modr-1", "model": MODEL, "results": [{"flagged": False, "usage": {"prompt_tokens": 5}}]}


@pytest.mark.parametrize("cuts", [[], [1], [3, 50], [70], list(range(1, 60))])
@pytest.mark.parametrize(
    ("usage", "reading"),
    [
        ({}, None),
        ({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, Reading({"input_tokens": 9})),
        ({"usage": {"prompt_tokens": -9}}, None),
    ],
)
def test_a_verdict_waits_and_may_report_usage(
    usage: dict[str, Any], reading: Reading | None, cuts: list[int]
) -> None:
    data = json.dumps(VERDICT | usage).encode()
    tally = read().tally()
    assert fed(tally, cut(data, cuts)) == b""
    assert (tally.complete, tally.failed, tally.reported()) == (True, False, reading)
    assert (tally.produced(9, MODEL), tally.tail()) == ({}, data)


@pytest.mark.parametrize("data", [b'{"results": [', b"[]", b"", b'{"error": {"message": "no"}}'])
def test_what_is_cut_or_an_error_is_not_complete(data: bytes) -> None:
    tally = read().tally()
    fed(tally, [data] if data else [])
    assert not tally.complete
