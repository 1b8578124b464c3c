"""What matters in a large reply is read as it is in a small one, and the rest is not decoded."""

import json
from typing import Any

import pytest

from proxy.endpoints.reading.body import LARGE_BYTES
from proxy.endpoints.reading.values import VALUES_MAX
from proxy.endpoints.tallies.members import Part
from proxy.endpoints.tallies.part import read_part
from tests.endpoints.events import usage

PADDING = {"padding": [0.125] * LARGE_BYTES}
LOGPROBS = {"content": [{"token": "a,[{", "bytes": [97], "top_logprobs": [{"token": "b"}] * 20}] * 200}
CHOICES: list[Any] = [
    {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"},
    {"index": 1, "message": {"content": "Hi", "reasoning": "é"}, "logprobs": LOGPROBS},
    {"index": 2, "message": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}] * 3}},
    {"index": 3, "text": "\ud800 half", "logprobs": None},
    {"index": 4, "message": {"content": [{"type": "text", "text": "part"}, {"type": "image", "data": "x"}]}},
    {
        "index": 5,
        "message": {"function_call": {"name": "f", "arguments": "{}"}, "audio": {"transcript": "t"}},
    },
    {"index": 6, "delta": {"refusal": "no"}},
    {"index": 7},
]


def read(reply: dict[str, Any]) -> Part:
    part = read_part(json.dumps(reply).encode())
    assert part is not None
    return part


@pytest.mark.parametrize("more", [0, 1, 300], ids=["as they are", "some twice", "many"])
def test_choices_of_a_large_reply_are_read_as_those_of_small_ones(more: int) -> None:
    choices = CHOICES + CHOICES[:1] * more
    expected = [choice for item in choices for choice in read({"choices": [item]}).choices or ()]
    assert read({"choices": choices, **PADDING}).choices == expected


def test_what_does_not_matter_of_a_large_choice_is_left_out() -> None:
    message = {
        "content": "Hi",
        "annotations": [{}] * 50_000,
        "tool_calls": CHOICES[2]["message"]["tool_calls"],
    }
    big = {"index": 1, "message": message, "logprobs": [LOGPROBS] * 9, "finish_reason": "stop"}
    small = {**big, "message": {**message, "annotations": []}, "logprobs": None}
    found, expected = ((read({"choices": [choice]}).choices or [])[0] for choice in (big, small))
    assert (found.index, found.texts(), found.calls()) == (1, expected.texts(), expected.calls())
    assert (found.finish_reason, len(found.texts())) == ("stop", 7)


def test_texts_of_any_length_and_sort_are_all_there() -> None:
    long = ["prose, é and 😀 \n" * 9_000, "QUJD" * 40_000, "\ud800" * 40_000, '"\\' * 60_000]
    part = read({"choices": [{"index": at, "message": {"content": text}} for at, text in enumerate(long)]})
    assert [list(map(str, choice.texts())) for choice in part.choices or ()] == [[text] for text in long]


def test_arguments_that_are_an_object_count_whole_however_long_their_strings_are() -> None:
    """Some servers give them so, and not as text."""
    call = {
        "function": {"name": "f", "arguments": {"text": "x" * 3 * LARGE_BYTES, "list": ["é" * LARGE_BYTES]}}
    }
    part = read({"choices": [{"index": 0, "message": {"tool_calls": [call]}}]})
    (name, arguments) = (part.choices or [])[0].texts()
    assert (name, json.loads(str(arguments))) == ("f", call["function"]["arguments"])


@pytest.mark.parametrize("word", [b"NaN", b"-Infinity", b'"\\ud800"', b'"\xff"', b"1e999"])
def test_what_upstreams_write_that_is_no_json_makes_no_large_reply_unreadable(word: bytes) -> None:
    reply = json.dumps(
        {"choices": CHOICES[:2], "usage": usage(7, 3), **PADDING, "x": ["NaN", "MARK"]}
    ).encode()
    part = read_part(reply.replace(b'"MARK"', word))
    assert part is not None
    assert (part.usage, len(part.choices or ())) == (usage(7, 3), 2)


@pytest.mark.parametrize("name", ["usage", "error", "x_groq", "object", "type"])
def test_a_member_that_is_far_too_large_counts_as_odd(name: str) -> None:
    part = read({"choices": [], name: {"a": [0] * LARGE_BYTES}})
    assert part.failed == (name == "error")
    assert (part.usage is True) == (name == "usage")


def test_many_choices_with_log_probabilities_are_read() -> None:
    """What is skipped is not counted."""
    values = [{"index": at, "text": "a", "logprobs": {"tokens": [1] * 9_000}} for at in range(60)]
    assert len(read({"choices": values}).choices or ()) == 60


@pytest.mark.parametrize(
    "choices",
    [
        [{}] * (VALUES_MAX + 1),
        [{"message": {"tool_calls": [{}] * (VALUES_MAX + 1)}}],
        [{"message": {"tool_calls": [{}] * 20_000}}] * 20,
        [{"message": {"content": [{"text": ""}] * VALUES_MAX}}],
    ],
    ids=["choices", "calls", "calls of several", "parts"],
)
def test_more_than_is_decoded_is_not_read(choices: list[object]) -> None:
    assert read_part(json.dumps({"choices": choices}).encode()) is None
