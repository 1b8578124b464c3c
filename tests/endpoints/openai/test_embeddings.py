"""An embeddings request and its reply, whose vectors are never decoded."""

import base64
import json
import random
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import ForwardPlan, Reading
from proxy.endpoints.openai.embeddings import EmbeddingAsk, read_vectors, without_vectors
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from proxy.metering.prompts import prompt_tokens
from tests.endpoints.events import cut, fed

MODEL = "text-embedding-3-small"


def read(**members: Any) -> EmbeddingAsk:
    ask = ENDPOINTS["/v1/embeddings"].read(json.dumps({"model": MODEL, **members}).encode())
    assert isinstance(ask, EmbeddingAsk)
    return ask


INPUTS: list[object] = [
    "",
    "Hello, world",
    [],
    ["Hello", "", "world"],
    [1, 2, 3],
    [[1, 2], [3], []],
    ["Hello", [1, 2]],
    [[1, 2], [3]] * 25_000,
    [5] * 100_000,
    ['Hello, "world"\n'] * 20_000,
    "QUJD" * 50_000,
]


@pytest.mark.parametrize("value", INPUTS, ids=lambda value: str(value)[:20])
def test_the_input_is_bounded_and_counted_in_all_shapes(value: object) -> None:
    ask = read(input=value)
    exact = ask.ceiling_exact().fixed["input_tokens"]
    assert exact == prompt_tokens(value, MODEL)
    assert exact <= ask.ceiling().fixed["input_tokens"] <= 1 + len(json.dumps(value))


@pytest.mark.parametrize("members", [{}, {"input": None}, {"input": 7}, {"input": {"text": "x"}}])
def test_an_input_is_a_string_or_an_array(members: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        read(**members)
    assert (refused.value.code, refused.value.param) == ("invalid_value", "input")


def test_only_the_model_ever_changes() -> None:
    data = b'{"model":"m","input":[ "a" ],"encoding_format":"base64"}'
    ask = ENDPOINTS["/v1/embeddings"].read(data)
    assert ask.forward_body(ForwardPlan("m", output_bound=5)) == data
    assert ask.forward_body(ForwardPlan("n", output_bound=5)) == data.replace(b'"m"', b'"n"')
    assert (ask.stream, ask.ceiling().choices, ask.ceiling().bound) == (False, 1, None)
    assert ask.input_text_length() == ask.ceiling().fixed["input_tokens"] == 1 + len(b'[ "a" ]')


def reply(vectors: list[object], **more: object) -> bytes:
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return json.dumps({"object": "list", "data": data, "model": MODEL, "usage": usage, **more}).encode()


def test_a_reply_waits_and_reports_its_input() -> None:
    tally = read(input="x").tally()
    body = reply([[0.5, -1e-9], "AAAA"])
    assert fed(tally, cut(body, [3, 50])) == b""
    assert tally.complete
    assert tally.reported() == Reading({"input_tokens": 7})
    assert (tally.output_text(), tally.produced_size) == ("", 0)
    assert tally.tail() == body


def test_the_cost_goes_into_the_usage() -> None:
    tally = read(input="x").tally(keep_usage=True)
    fed(tally, [reply([[0.5]])])
    assert tally.tail("0.01") == reply([[0.5]]).replace(
        b'"total_tokens": 7', b'"total_tokens": 7,"cost":"0.01"'
    )


def test_an_error_in_a_successful_reply_is_no_success() -> None:
    tally = read(input="x").tally()
    fed(tally, [b'{"error":{"message":"overloaded"}}'])
    assert tally.failed
    assert not tally.complete


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data":[', b"<html>"])
def test_what_is_no_json_object_is_not_complete(body: bytes) -> None:
    tally = read(input="x").tally()
    fed(tally, [body])
    assert not tally.complete
    assert tally.reported() is None


def vectors(kind: str, width: int, chance: random.Random) -> list[object]:
    numbers = [[chance.uniform(-1, 1) * 10 ** chance.randint(-9, 0) for _ in range(width)] for _ in range(3)]
    if kind == "numbers":
        return list(numbers)
    return [base64.b64encode(array("f", row).tobytes()).decode() for row in numbers]


@pytest.mark.parametrize("kind", ["numbers", "base64"])
@pytest.mark.parametrize("indent", [None, 1])
@given(st.integers(0, 3_000), st.integers())
def test_without_its_vectors_a_reply_says_the_same(
    kind: str, indent: int | None, width: int, seed: int
) -> None:
    value = json.loads(reply(vectors(kind, width, random.Random(seed))))
    body = json.dumps(value, indent=indent).encode()
    short = without_vectors(body)
    found = json.loads(short)
    assert {name: found[name] for name in ("object", "model", "usage")} == {
        name: value[name] for name in ("object", "model", "usage")
    }
    assert [item["index"] for item in found["data"]] == list(range(3))
    assert [type(item["embedding"]) for item in found["data"]] == [
        type(item["embedding"]) for item in value["data"]
    ]


@pytest.mark.parametrize("kind", ["numbers", "base64"])
def test_a_large_reply_is_cut_to_little_before_it_is_read(kind: str) -> None:
    body = reply(vectors(kind, 1_536, random.Random(7)) * 40)
    part = read_vectors(body)
    assert part is not None
    assert part.usage == {"prompt_tokens": 7, "total_tokens": 7}
    assert len(without_vectors(body)) < len(body) / 2
