"""A chat request: what it asks for, what it can cost, and what goes upstream."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.generation import GenerationAsk
from proxy.endpoints.openai.members import OUTPUT_BOUNDS
from proxy.endpoints.reading.depth import DEPTH_MAX
from proxy.endpoints.reading.repeats import names_in_value
from proxy.endpoints.reading.steps import count_names
from proxy.endpoints.registry import ENDPOINTS, TABLES
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from proxy.errors import Refusal
from proxy.metering.prompts import chat_bound, chat_tokens, content_parts, media_total
from tests.endpoints.events import DONE, fed, usage_event

MESSAGES = [{"role": "user", "content": "Hello, world"}]
ENDPOINT = ENDPOINTS["/v1/chat/completions"]
AS_IS = ForwardPlan("gpt-4o", include_usage=False)
CARDS_BOUND = 100
DEEP = (b"messages", b"response_format", b"prompt", b"suffix", b"input", b"system")
TOOLS = {"/v1/chat/completions": (b"tools",)}
"""Where tools of no known form are not refused."""
NESTING = [
    path
    for path, endpoint in ENDPOINTS.items()
    if endpoint.name in TABLES and not endpoint.name.startswith(("audio.", "images."))
]
"""Where something is read that may be nested: forms, and what is to be spoken or drawn, are not."""


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
        ({"max_completion_tokens": 5, "max_tokens": 9}, 5),
        ({"max_completion_tokens": 9, "max_tokens": 5}, 5),
        ({"max_tokens": None}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": -1, "n_predict": 7}, 7),
        ({"max_tokens": 0}, None),
        ({"max_output_tokens": 1e2}, 100),
    ],
)
def test_the_output_bound_is_the_least_that_is_named_and_none_is_the_cards(
    members: dict[str, Any], bound: int | None
) -> None:
    assert read(**members).ceiling().bound == bound


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n_predict", "n", "thinking_budget"])
@pytest.mark.parametrize("value", [True, 1.5, "5", [], 10**10])
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
    media = media_total(map(content_parts, value["messages"]), "gpt-4o")
    assert ask.ceiling().fixed == {"input_tokens": chat_bound(len(data), media)}
    assert ask.ceiling_exact().fixed == {"input_tokens": chat_tokens(value, "gpt-4o")}
    assert ask.ceiling_exact().fixed["input_tokens"] <= ask.ceiling().fixed["input_tokens"]


def test_the_length_to_count_leaves_long_images_out() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 50_000}}]
    assert read(messages=[{"role": "user", "content": parts}]).input_text_length() < 1_000
    assert read().input_text_length() == len(json.dumps({"model": "gpt-4o", "messages": MESSAGES}))


@pytest.mark.parametrize("path", NESTING)
def test_what_is_nested_as_deep_as_can_be_is_bounded_and_counted(path: str) -> None:
    """Whatever is let through can be counted: its depth never depends on the stack that is left."""
    deep = b"[" * (DEPTH_MAX - 1) + b'"x"' + b"]" * (DEPTH_MAX - 1)
    members = dict.fromkeys((*DEEP, b"documents", *TOOLS.get(path, ())), deep) | {b"query": b'"q"'}
    ask = ENDPOINTS[path].read(b'{"model":"m",%b}' % b",".join(b'"%b":%b' % each for each in members.items()))
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
    data = b'{"n":9,"max_tokens":9000,"model":"dear","messages":[],"model":"gpt-4o","max_tokens":9,"n":1}'
    ask = read(data)
    assert (ask.model, ask.ceiling().bound, ask.ceiling().choices) == ("gpt-4o", 9, 1)
    assert ask.forward_body(AS_IS) == b'{"n":1,"model":"gpt-4o","messages":[],"max_completion_tokens":9}'


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
        ({"max_tokens": None}, {"max_completion_tokens": 50}),
        ({"max_tokens": -1}, {"max_completion_tokens": 50}),
        ({"max_tokens": 0}, {"max_completion_tokens": 1}),
        ({"max_tokens": 90}, {"max_completion_tokens": 50}),
        ({"max_completion_tokens": 90}, {"max_completion_tokens": 50}),
        ({"max_tokens": 90, "max_completion_tokens": 70}, {"max_completion_tokens": 50}),
        ({"max_tokens": 90, "max_completion_tokens": 20}, {"max_completion_tokens": 20}),
    ],
)
def test_a_clamped_bound_takes_the_place_of_each_that_the_client_named(
    members: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = sent(read(**members), ForwardPlan("gpt-4o", output_bound=50))
    assert {name: value for name, value in found.items() if name.startswith("max_")} == expected


BOUND_VALUES = st.none() | st.integers(-2, 60) | st.sampled_from([1e1, 20.0])


@given(
    st.dictionaries(st.sampled_from(sorted(OUTPUT_BOUNDS)), BOUND_VALUES),
    st.sampled_from(["max_tokens", "max_completion_tokens"]),
    st.none() | st.integers(1, 50),
)
def test_a_bound_goes_up_under_the_upstreams_own_name_and_is_never_more_than_is_held(
    members: dict[str, Any], own: str, clamped: int | None
) -> None:
    """Whatever the client calls its bound: the upstream sees one, the one that the ceiling has."""
    ask = read(**members)
    held = ask.ceiling().bounded(CARDS_BOUND).clamped(clamped or CARDS_BOUND).bound
    found = sent(ask, ForwardPlan("gpt-4o", output_bound=clamped, output_bound_field=own))
    up = {name: value for name, value in found.items() if name in OUTPUT_BOUNDS}
    assert up.keys() <= {own}
    assert held is not None
    if up.get(own) is None or up[own] <= 0:
        # For some upstreams that is no bound: then as much is held as the rate card says at most.
        assert held == CARDS_BOUND
        assert clamped is None
    else:
        assert 1 <= up[own] <= held


@pytest.mark.parametrize(
    "members",
    [
        {"thinking_budget": 500},
        {"thinking": {"type": "enabled", "budget_tokens": 500}},
        {"reasoning": {"max_tokens": 5e2}},
        {"thinking_config": {"thinking_budget": 500}},
    ],
)
def test_a_budget_for_thinking_is_held_beside_the_bound_of_each_choice(members: dict[str, Any]) -> None:
    """Some upstreams count it within the bound, and some beside it."""
    assert read(**members, max_tokens=10, n=2).ceiling().usage["output_tokens"] == 2 * (10 + 500)
    assert read(**dict.fromkeys(members), max_tokens=10).ceiling().usage["output_tokens"] == 10


def test_what_a_model_may_reject_of_a_prediction_is_held_beside_the_bound() -> None:
    prediction = {"type": "content", "content": "x = 1\n" * 100}
    held = read(prediction=prediction, max_tokens=10, n=2).ceiling().usage["output_tokens"]
    assert held == 2 * (10 + len(json.dumps(prediction)))


@pytest.mark.parametrize("name", ["n", "best_of"])
def test_a_number_of_choices_is_sent_as_it_was_read(name: str) -> None:
    data = b'{"model":"gpt-4o","messages":[],"%b":3.0}' % name.encode()
    assert read(data).ceiling().choices == 3
    assert read(data).forward_body(AS_IS) == data.replace(b"3.0", b"3")


TWICE = [
    b'{"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}',
    b'{"stream":true,"stream_options":{"include_usage":false,"include_\\u0075sage":true}}',
    b'{"thinking":{"budget_tokens":5,"budget_tokens":9000}}',
    b'{"tools":[{"type":"web_search","type":"function","function":{"name":"f"}}]}',
]


@pytest.mark.parametrize("members", TWICE)
def test_within_what_decides_only_the_value_that_was_read_is_sent(members: bytes) -> None:
    """Of a name given twice an object upstream holds one: the one that was priced."""
    data = b'{"model":"gpt-4o","messages":[],' + members[1:]
    body = read(data).forward_body(AS_IS)
    assert json.loads(body) == json.loads(data)
    assert count_names(body) == names_in_value(json.loads(body))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"stream": True, "stream_options": {"Include_Usage": True}}, "stream_options.Include_Usage"),
        ({"thinking": {"Budget_tokens": 9}}, "thinking.Budget_tokens"),
        ({"reasoning": {"MAX_TOKENS": 9}}, "reasoning.MAX_TOKENS"),
        ({"tools": [{"Type": "web_search", "function": {}}]}, "tools[].Type"),
    ],
)
def test_within_what_decides_a_name_in_another_case_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(**members)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


def test_what_is_given_twice_within_a_text_counts_with_all_its_bytes() -> None:
    """An upstream may read the long one, whatever was counted."""
    long = b'{"role":"user","content":"%b","content":"x"}' % (b"word " * 500)
    tool = b'{"type":"function","function":{"name":"f","description":"%b","description":"x"}}' % (
        b"word " * 500
    )
    for data in (
        b'{"model":"gpt-4o","messages":[' + long + b"]}",
        b'{"model":"gpt-4o","messages":[],"tools":[' + tool + b"]}",
    ):
        ask = read(data)
        assert 2_500 <= ask.ceiling_exact().fixed["input_tokens"] <= ask.ceiling().fixed["input_tokens"]


def test_the_tally_fits_what_was_asked_for() -> None:
    assert isinstance(read(stream=True).tally(), StreamTally)
    assert isinstance(read(stream=False).tally(), WholeTally)
    kept = read(stream=True).tally(keep_usage=True)
    fed(kept, [usage_event(), DONE])
    assert b'"cost":"0.01"' in kept.tail("0.01")


IMAGES = ("generations", "edits", "variations")


def test_every_endpoint_is_found_by_its_path() -> None:
    names = {path: (endpoint.name, endpoint.upstream_path) for path, endpoint in ENDPOINTS.items()}
    assert names == {
        "/v1/chat/completions": ("chat.completions", "/chat/completions"),
        "/v1/completions": ("completions", "/completions"),
        "/v1/embeddings": ("embeddings", "/embeddings"),
        "/v1/responses": ("responses", "/responses"),
        "/v1/responses/compact": ("responses.compact", "/responses/compact"),
        "/v1/responses/input_tokens": ("responses.input_tokens", "/responses/input_tokens"),
        "/v1/audio/speech": ("audio.speech", "/audio/speech"),
        "/v1/audio/transcriptions": ("audio.transcriptions", "/audio/transcriptions"),
        "/v1/audio/translations": ("audio.translations", "/audio/translations"),
        "/v1/messages": ("messages", "/messages"),
        "/v1/messages/count_tokens": ("messages.count_tokens", "/messages/count_tokens"),
        **{f"/v1/images/{name}": (f"images.{name}", f"/images/{name}") for name in IMAGES},
        "/v1/moderations": ("moderations", "/moderations"),
        "/v1/rerank": ("rerank", "/rerank"),
        "/v2/rerank": ("rerank.v2", "/rerank"),
    }
    assert all(endpoint.path == path for path, endpoint in ENDPOINTS.items())
