"""A chat request: what it asks for, what it can cost, and what goes upstream."""

import json
from typing import Any

import pytest

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.openai.generation import GenerationAsk
from proxy.endpoints.reading.depth import DEPTH_MAX
from proxy.endpoints.registry import ENDPOINTS
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from proxy.errors import Refusal
from proxy.metering.prompts import chat_bound, chat_tokens
from tests.endpoints.events import DONE, fed, usage_event

MESSAGES = [{"role": "user", "content": "Hello, world"}]
ENDPOINT = ENDPOINTS["/v1/chat/completions"]
AS_IS = ForwardPlan("gpt-4o", include_usage=False)
DEEP = (b"messages", b"tools", b"response_format", b"prompt", b"suffix", b"input")


def read(data: bytes | None = None, **members: Any) -> GenerationAsk:
    data = data or json.dumps({"model": "gpt-4o", "messages": MESSAGES, **members}).encode()
    ask = ENDPOINT.read(data)
    assert isinstance(ask, GenerationAsk)
    return ask


def sent(ask: GenerationAsk, plan: ForwardPlan) -> dict[str, Any]:
    found = json.loads(ask.forward_body(plan))
    assert isinstance(found, dict)
    return found


def test_a_plain_request_asks_for_one_answer_without_a_bound() -> None:
    ask = read()
    assert (ask.model, ask.stream, ask.ceiling().choices, ask.ceiling().bound) == ("gpt-4o", False, 1, None)


@pytest.mark.parametrize(
    ("members", "bound"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 5}, 5),
        ({"max_completion_tokens": None, "max_tokens": 5}, 5),
        ({"max_completion_tokens": 5, "max_tokens": 9}, 9),
        ({"max_completion_tokens": 9, "max_tokens": 5}, 9),
        ({"max_tokens": None}, None),
    ],
)
def test_the_output_bound_is_the_most_that_any_upstream_may_take_it_for(
    members: dict[str, Any], bound: int | None
) -> None:
    assert read(**members).ceiling().bound == bound


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "5", [], 10**10])
def test_an_impossible_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(Refusal) as refused:
        read(**{name: value})
    assert (refused.value.code, refused.value.param) == ("invalid_value", name)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"stream": 1}, "stream"),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options"),
    ],
)
def test_a_wrong_type_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(**members)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


def test_choices_are_as_many_as_asked_for() -> None:
    assert read(n=3).ceiling().choices == 3
    assert read(n=None).ceiling().choices == 1


REQUESTS: list[dict[str, Any]] = [
    {},
    {"tools": [{"type": "function", "function": {"name": "QUJD" * 50_000, "description": "QUJD" * 50_000}}]},
    {
        "messages": [
            {"role": "user", "name": "QUJD" * 50_000, "content": [{"type": "odd", "x": "QUJD" * 50_000}]}
        ]
    },
    {"messages": []},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Grüße " * 50}]}]},
    {"messages": [{"role": "user", "content": "\ud800"}]},
    {"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]},
    {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 50_000},
                    },
                    {"type": "input_audio", "input_audio": {"data": "UklGRg==" * 50_000, "format": "wav"}},
                    {"type": "text", "text": "QUJD" * 50_000},
                ],
            }
        ]
    },
]


@pytest.mark.parametrize("members", REQUESTS)
def test_the_input_is_bounded_and_counted_as_the_meter_of_prompts_does(members: dict[str, Any]) -> None:
    """However long its images are, reading a request changes neither figure."""
    value = {"model": "gpt-4o", "messages": MESSAGES, **members}
    data = json.dumps(value).encode()
    ask = read(data)
    assert ask.ceiling().fixed == {"input_tokens": chat_bound(value, len(data), "gpt-4o")}
    assert ask.ceiling_exact().fixed == {"input_tokens": chat_tokens(value, "gpt-4o")}
    assert ask.ceiling_exact().fixed["input_tokens"] <= ask.ceiling().fixed["input_tokens"]


def test_the_length_to_count_leaves_long_images_out() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 50_000}}]
    assert read(messages=[{"role": "user", "content": parts}]).input_text_length() < 1_000
    assert read().input_text_length() == len(json.dumps({"model": "gpt-4o", "messages": MESSAGES}))


@pytest.mark.parametrize("path", sorted(ENDPOINTS))
def test_what_is_nested_as_deep_as_can_be_is_bounded_and_counted(path: str) -> None:
    """Whatever is let through can be counted: its depth never depends on the stack that is left."""
    deep = b"[" * (DEPTH_MAX - 1) + b'"x"' + b"]" * (DEPTH_MAX - 1)
    ask = ENDPOINTS[path].read(
        b'{"model":"m",' + b",".join(b'"%b":%b' % (name, deep) for name in DEEP) + b"}"
    )
    assert 0 < ask.ceiling_exact().fixed["input_tokens"] <= ask.ceiling().fixed["input_tokens"]


def test_the_body_goes_on_as_it_came_if_nothing_has_to_change() -> None:
    data = (
        b'{"model":"gpt-4o","messages":[ {"role" : "user","content":"\\u00e9 \\ud800"} ],"temperature":1.0}'
    )
    assert read(data).forward_body(AS_IS) == data
    assert read(data).forward_body(ForwardPlan("gpt-4o")) == data


def test_the_model_is_renamed_in_place() -> None:
    data = b'{"n":1,"model":"gpt-4o","messages":[ ]}'
    assert read(data).forward_body(ForwardPlan('o"x')) == b'{"n":1,"model":"o\\"x","messages":[ ]}'


def test_only_the_value_that_was_read_is_sent() -> None:
    data = b'{"max_tokens":9000,"model":"dear","messages":[],"model":"gpt-4o","max_tokens":9}'
    ask = read(data)
    assert (ask.model, ask.ceiling().bound) == ("gpt-4o", 9)
    assert ask.forward_body(AS_IS) == b'{"max_tokens":9,"model":"gpt-4o","messages":[]}'


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, {"include_usage": True}),
        ({}, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        (
            {"include_usage": None, "include_obfuscation": False},
            {"include_usage": True, "include_obfuscation": False},
        ),
    ],
)
def test_a_streams_usage_is_asked_for_if_the_client_did_not(options: object, expected: object) -> None:
    ask = read(stream=True, stream_options=options)
    assert sent(ask, ForwardPlan("gpt-4o"))["stream_options"] == expected
    assert sent(ask, AS_IS)["stream_options"] == options
    assert fed(ask.tally(), [usage_event(), DONE]) == b""


def test_the_clients_own_wish_for_usage_is_left_alone() -> None:
    options = {"include_usage": True, "include_obfuscation": False}
    ask = read(stream=True, stream_options=options)
    assert sent(ask, ForwardPlan("gpt-4o"))["stream_options"] == options
    assert fed(ask.tally(), [usage_event(), DONE]) == usage_event()


@pytest.mark.parametrize("options", [{"include_usage": True}, "nonsense", [1]])
def test_stream_options_without_a_stream_are_the_upstreams_business(options: object) -> None:
    assert sent(read(stream_options=options), ForwardPlan("gpt-4o"))["stream_options"] == options


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, {"max_completion_tokens": 50}),
        ({"max_tokens": None}, {"max_tokens": None, "max_completion_tokens": 50}),
        ({"max_tokens": 90}, {"max_tokens": 50}),
        ({"max_completion_tokens": 90}, {"max_completion_tokens": 50}),
        ({"max_tokens": 90, "max_completion_tokens": 70}, {"max_tokens": 50, "max_completion_tokens": 50}),
        ({"max_tokens": 90, "max_completion_tokens": 20}, {"max_tokens": 50, "max_completion_tokens": 20}),
    ],
)
def test_a_clamped_bound_replaces_each_that_the_client_named(
    members: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = sent(read(**members), ForwardPlan("gpt-4o", output_bound=50))
    assert {name: value for name, value in found.items() if name.startswith("max_")} == expected


def test_the_upstream_decides_what_a_new_bound_is_called() -> None:
    plan = ForwardPlan("gpt-4o", output_bound=50, output_bound_field="max_tokens")
    assert sent(read(), plan)["max_tokens"] == 50


def test_the_tally_fits_what_was_asked_for() -> None:
    assert isinstance(read(stream=True).tally(), StreamTally)
    assert isinstance(read(stream=False).tally(), WholeTally)
    kept = read(stream=True).tally(keep_usage=True)
    fed(kept, [usage_event(), DONE])
    assert b'"cost":"0.01"' in kept.tail("0.01")


def test_every_endpoint_is_found_by_its_path() -> None:
    names = {path: (endpoint.name, endpoint.upstream_path) for path, endpoint in ENDPOINTS.items()}
    assert names == {
        "/v1/chat/completions": ("chat.completions", "/chat/completions"),
        "/v1/completions": ("completions", "/completions"),
        "/v1/embeddings": ("embeddings", "/embeddings"),
    }
    assert all(endpoint.path == path for path, endpoint in ENDPOINTS.items())
