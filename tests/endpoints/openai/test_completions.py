"""A completion request: prompts in four shapes, its own default bound, choices for each prompt."""

import json
from typing import Any

import pytest

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.generation import GenerationAsk
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from proxy.metering.prompts import prompt_tokens
from proxy.metering.tokens import count_text
from tests.endpoints.events import event, fed

MODEL = "gpt-3.5-turbo-instruct"


def read(**members: Any) -> GenerationAsk:
    ask = ENDPOINTS["/v1/completions"].read(json.dumps({"model": MODEL, **members}).encode())
    assert isinstance(ask, GenerationAsk)
    return ask


@pytest.mark.parametrize(
    ("members", "choices"),
    [
        ({}, 1),
        ({"prompt": None}, 1),
        ({"prompt": "a"}, 1),
        ({"prompt": "a", "n": 3}, 3),
        ({"prompt": "a", "n": 3, "best_of": 5}, 5),
        ({"prompt": "a", "best_of": 5}, 5),
        ({"prompt": "a", "best_of": 0}, 1),
        ({"prompt": "a", "n": 2.0, "best_of": 0}, 2),
        ({"prompt": []}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"prompt": ["a", "b"], "n": 3}, 6),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]], "n": 2}, 4),
        ({"prompt": [[1, 2]] * 40_000}, 40_000),
        ({"prompt": [7] * 100_000}, 1),
        ({"prompt": ['ab"c'] * 40_000}, 40_000),
    ],
)
def test_each_prompt_is_answered_by_as_many_choices(members: dict[str, Any], choices: int) -> None:
    assert read(**members).ceiling().choices == choices


@pytest.mark.parametrize(
    "members", [{"best_of": -1}, {"best_of": 129}, {"prompt": 7}, {"prompt": {}}, {"echo": "x"}]
)
def test_an_impossible_value_is_refused_by_name(members: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        read(**members)
    assert (refused.value.code, refused.value.param) == ("invalid_value", next(iter(members)))


PROMPTS: list[object] = [
    None,
    "",
    "Once upon a time",
    "é" * 9,
    [],
    ["a", ""],
    [1, 2, 3],
    [[1, 2], [3], []],
    ["a", [1, 2]],
    [[1, 2], [3]] * 25_000,
    [5] * 100_000,
    ["Once upon a time"] * 20_000,
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: str(prompt)[:20])
def test_the_prompt_is_bounded_and_counted_in_all_shapes(prompt: object) -> None:
    ask = read(prompt=prompt)
    exact = ask.ceiling_exact().fixed["input_tokens"]
    assert exact == prompt_tokens(prompt, MODEL)
    assert exact <= ask.ceiling().fixed["input_tokens"] <= 1 + len(json.dumps(prompt))


def test_a_suffix_is_input_too() -> None:
    ask = read(prompt="Once", suffix="happily ever after")
    assert ask.ceiling_exact().fixed["input_tokens"] == count_text("Once", MODEL) + count_text(
        "happily ever after", MODEL
    )
    assert ask.ceiling().fixed["input_tokens"] >= len("Once" + "happily ever after")


def test_without_a_bound_the_api_answers_sixteen_tokens() -> None:
    assert read().ceiling().bound == 16
    assert read(max_tokens=None).ceiling().bound == 16
    assert read(max_tokens=5).ceiling().bound == 5


@pytest.mark.parametrize("members", [{}, {"max_tokens": None}, {"n_predict": None}])
def test_the_apis_own_bound_goes_up_as_well(members: dict[str, Any]) -> None:
    """Some upstreams have no such bound of their own, and answer without end."""
    found = json.loads(read(**members).forward_body(ForwardPlan(MODEL)))
    assert found == {"model": MODEL, "max_tokens": 16}


@pytest.mark.parametrize("value", [0, -1])
def test_no_bound_is_none_of_the_apis_and_the_rate_cards_is_held(value: int) -> None:
    """0 asks OpenAI for nothing and some other upstreams for as much as comes."""
    ask = read(max_tokens=value)
    assert ask.ceiling().bound is None
    assert json.loads(ask.forward_body(ForwardPlan(MODEL)))["max_tokens"] == value
    assert json.loads(ask.forward_body(ForwardPlan(MODEL, output_bound=9)))["max_tokens"] == (
        9 if value else 1
    )


@pytest.mark.parametrize(("members", "bound"), [({}, 10), ({"max_tokens": 90}, 10), ({"max_tokens": 5}, 5)])
def test_a_clamped_bound_has_the_only_name_this_api_knows(members: dict[str, Any], bound: int) -> None:
    found = json.loads(read(**members).forward_body(ForwardPlan(MODEL, output_bound=10)))
    assert found == {"model": MODEL, "max_tokens": bound}


def test_a_clamp_above_the_default_leaves_it() -> None:
    assert json.loads(read().forward_body(ForwardPlan(MODEL, output_bound=99)))["max_tokens"] == 16


def test_a_streams_usage_is_asked_for() -> None:
    found = json.loads(read(stream=True).forward_body(ForwardPlan(MODEL)))
    assert found["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("stream", [True, False])
def test_an_echoed_prompt_is_no_output(stream: bool) -> None:
    ask = read(prompt=["Once", "Twice", [1, 2]], n=2, echo=True, stream=stream)
    texts = ["Once upon", "Once more", "Twice as", "Twice", "ids", "ids"]
    choices = [{"index": index, "text": text, "finish_reason": "stop"} for index, text in enumerate(texts)]
    reply = {"choices": choices}
    tally = ask.tally()
    fed(tally, [event(reply) if stream else json.dumps(reply).encode()])
    tally.finish()
    assert tally.output_text() == " upon more asidsids"
    assert tally.produced_size == 19


def test_without_echo_a_repeated_prompt_is_output() -> None:
    tally = read(prompt="Once", stream=True).tally()
    fed(tally, [event({"choices": [{"index": 0, "text": "Once"}]})])
    assert tally.output_text() == "Once"
