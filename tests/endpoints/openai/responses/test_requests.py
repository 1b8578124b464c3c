"""Requests for responses: what is held for them, what they turn on, and what goes upstream."""

import base64
import json
from typing import Any

import pytest

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.features import ALLOWANCE
from proxy.endpoints.registry import ENDPOINTS
from proxy.endpoints.tallies.sighted import is_id
from proxy.errors import Refusal
from tests.endpoints.openai.responses.requests import (
    AS_IS,
    ENDPOINT,
    FUNCTION,
    is_refused,
    needs,
    read,
    said,
    sent,
    written,
)

PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x04\x00\x00\x00\x04\x00\x08\x02"
PICTURE = "data:image/png;base64," + base64.b64encode(PNG_HEAD + b"x" * 90_000).decode()
SCREEN = {"type": "computer_screenshot"}
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4 " + b"x" * 90_000).decode()


def test_the_ceiling_is_the_bytes_and_the_bound() -> None:
    """A token is a byte at least."""
    ask = read(max_output_tokens=100)
    ceiling = ask.ceiling()
    assert len(written()) <= ceiling.usage["input_tokens"] <= len(written()) + 40
    assert (ceiling.elastic, ceiling.bound, ceiling.choices) == ("output_tokens", 100, 1)
    exact = ask.ceiling_exact().usage["input_tokens"]
    assert 2 <= exact <= 12
    assert 2 <= ask.estimate("gpt-5")["input_tokens"] <= 12


def test_without_a_bound_the_one_of_the_rate_card_holds() -> None:
    assert read().ceiling().bound is None


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "maxOutputTokens", "n_predict"])
def test_the_bound_goes_up_under_its_own_name_alone(name: str) -> None:
    ask = read(**{name: 5, "max_output_tokens": 9})
    assert ask.ceiling().bound == 5
    body = sent(ask)
    assert body["max_output_tokens"] == 5
    assert name not in body
    assert sent(read(**{name: 7}), ForwardPlan("there", 3)) == {
        "model": "there",
        "input": "Say hello",
        "max_output_tokens": 3,
    }


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"stream": True},
        {"temperature": 0.5, "metadata": {"a": "b"}, "include": ["reasoning.encrypted_content"]},
        {"instructions": "Be brief.", "text": {"format": {"type": "text"}}, "reasoning": {"effort": "low"}},
        {"store": False, "truncation": "auto", "stream_options": {"include_obfuscation": False}},
        {"background": False, "previous_response_id": None, "conversation": None, "prompt": None},
    ],
)
def test_the_body_goes_on_as_it_came_if_nothing_has_to_change(extra: dict[str, Any]) -> None:
    ask = read(**extra)
    assert ask.forward_body(AS_IS) == written(**extra)
    assert ask.features == ()


def test_the_model_goes_up_under_its_name_there() -> None:
    assert sent(read(), ForwardPlan("here"))["model"] == "here"


def test_a_stream_tells_its_usage_without_being_asked() -> None:
    assert "stream_options" not in sent(read(stream=True), ForwardPlan("there", include_usage=True))


@pytest.mark.parametrize(
    "members",
    [
        {"access_programs": {"cyber": "daybreak_red"}},
        {"background_options": {"completion_window": "1h"}},
        {"models": ["a", "b"]},
        {"unheard_of": True},
        {"input": [{"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}]},
        {"input": [{"type": "tool_search_output", "tools": [{"type": "mcp", "server_url": "x"}]}]},
        {"input": [{"type": "configuration_update", "reasoning": {"effort": "max"}}]},
    ],
)
def test_what_no_rate_card_prices_is_refused(members: dict[str, Any]) -> None:
    assert is_refused(read(**members))


@pytest.mark.parametrize(
    "members",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}, "background": True},
        {"conversation": {"id": "conv_1"}, "stream": True},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"context_management": [{"type": "compaction", "compact_threshold": 1000}]},
        {"input": said({"type": "input_file", "file_id": "file_1"})},
        {"input": said({"type": "input_file", "file_url": "https://host/a.pdf"})},
        {"input": said({"type": "input_file", "file_data": "https://host/a.pdf"})},
        {"input": said({"type": "input_image", "file_id": "file_1"})},
        {"input": said({"type": "input_image", "image_url": "data:text/plain,x"})},
        {"input": said({"type": "input_video", "video_url": "https://host/a.mp4"})},
        {"input": said({"type": "input_text", "text": "x", "unheard_of": 1})},
        {"input": [{"type": "unheard_of"}]},
        {"input": [{"role": "user", "content": "x", "unheard_of": 1}]},
        {"input": [{"type": "compaction_trigger"}]},
        {"input": [{"type": "image_generation_call", "id": "ig_1", "status": "completed"}]},
        {"input": [{"type": "function_call_output", "output": [{"type": "input_file", "file_id": "f"}]}]},
        {
            "input": [
                {"type": "computer_call_output", "output": {"type": "computer_screenshot", "file_id": "f"}}
            ]
        },
        {"input": [[{"role": "user", "content": "x"}]]},
    ],
)
def test_what_the_body_only_refers_to_takes_the_allowance(members: dict[str, Any]) -> None:
    assert needs(read(**members)) == {ALLOWANCE}


@pytest.mark.parametrize(
    "items",
    [
        "Say hello",
        [{"role": "user", "content": "Say hello"}],
        said({"type": "input_text", "text": "Say"}, {"type": "input_image", "image_url": PICTURE}),
        said({"type": "input_image", "image_url": "https://host/a.png", "detail": "low"}),
        said({"type": "input_file", "filename": "a.pdf", "file_data": PDF}),
        [
            {"type": "message", "role": "user", "content": "x", "id": "msg_0", "status": "completed"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "QUJD"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "found"},
            {"type": "function_call_output", "output": [{"type": "input_text", "text": "found"}]},
            {"type": "web_search_call", "status": "completed", "action": {"type": "search"}},
            {"type": "mcp_approval_request", "id": "x", "arguments": "{}", "name": "f", "server_label": "s"},
            {"type": "computer_call_output", "output": SCREEN | {"image_url": PICTURE}},
            {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True},
            {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "go"},
            {"type": "local_shell_call_output", "id": "x", "output": "done"},
            {"type": "tool_search_output", "tools": [FUNCTION]},
        ],
    ],
)
def test_what_the_body_shows_needs_nothing(items: object) -> None:
    assert read(input=items).features == ()


def test_a_picture_takes_what_its_size_does_wherever_it_stands() -> None:
    """Its text is none that a model reads."""
    for items in (
        said({"type": "input_image", "image_url": PICTURE}),
        [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": PICTURE}]}],
        [{"type": "computer_call_output", "output": SCREEN | {"image_url": PICTURE}}],
    ):
        ask = read(model="gpt-4o", input=items)
        assert 700 < ask.ceiling().usage["input_tokens"] < 3_000
        assert 700 < ask.estimate("gpt-4o")["input_tokens"] < 3_000


def test_a_request_is_counted_like_the_chat_that_says_the_same() -> None:
    tool = {"name": "look_up", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}
    items = [
        {"role": "user", "content": "Where is it?"},
        {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": '{"q":"it"}'},
        {"type": "function_call_output", "call_id": "c", "output": "There."},
    ]
    ask = read(model="gpt-4o", instructions="Be brief.", input=items, tools=[{"type": "function", **tool}])
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where is it?"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "function": {"name": "look_up", "arguments": '{"q":"it"}'}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "There."},
    ]
    body = {"model": "gpt-4o", "messages": messages, "tools": [{"type": "function", "function": tool}]}
    chat = ENDPOINTS["/v1/chat/completions"].read(json.dumps(body).encode())
    difference = ask.estimate("gpt-4o")["input_tokens"] - chat.estimate("gpt-4o")["input_tokens"]
    assert abs(difference) <= 4


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"service_tier": "priority"}, "service_tiers.priority"),
        ({"prompt_cache_options": {"ttl": "12h"}}, "rates.cache_write_12h_tokens"),
        ({"prompt_cache_options": {"ttl": "a year"}}, "rates.cache_write_12h_tokens"),
    ],
)
def test_what_has_another_rate_needs_it(members: dict[str, Any], key: str) -> None:
    assert needs(read(**members)) == {key}


def test_what_is_cached_for_the_usual_time_needs_nothing() -> None:
    assert read(prompt_cache_options={"mode": "explicit", "ttl": "30m"}).features == ()


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": ...}, "model"),
        ({"input": 7}, "input"),
        ({"input": {"role": "user"}}, "input"),
        ({"stream": "yes"}, "stream"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"max_tool_calls": 0, "tools": [{"type": "web_search"}]}, "max_tool_calls"),
        ({"max_tool_calls": 5_000, "tools": [{"type": "web_search"}]}, "max_tool_calls"),
        ({"Input": "x"}, "Input"),
        ({"Background": True}, "Background"),
        ({"tools": {"type": "web_search"}}, "tools"),
        ({"tools": ["web_search"]}, "tools"),
        ({"tools": [{"type": "function", "Name": "x"}]}, "tools[].Name"),
        ({"input": [{"Role": "user", "content": "x"}]}, "input[].Role"),
        ({"prompt_cache_options": "long"}, "prompt_cache_options"),
        ({"conversation": 1}, "conversation"),
        ({"conversation": ["conv_1"]}, "conversation"),
        ({"conversation": {}}, "conversation"),
        ({"conversation": {"id": None}}, "conversation"),
        ({"conversation": {"id": "conv_1", "more": 1}}, "conversation"),
        ({"conversation": {"Id": "conv_1"}}, "conversation.Id"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"instructions": [{"type": "item_reference", "id": "msg_1"}]}, "instructions"),
        ({"input": [1] * 100_000}, "input"),
    ],
)
def test_what_cannot_be_read_safely_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(**members)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


@pytest.mark.parametrize(
    ("name", "twice"),
    [
        ("input", b'[{"role":"user","content":"a","content":[{"type":"input_file","file_id":"f"}]}]'),
        ("input", b'[{"type":"message","type":"item_reference","role":"user","content":"x"}]'),
        ("tools", b'[{"type":"function","type":"web_search","name":"f"}]'),
        ("tools", b'[{"type":"namespace","tools":[{"type":"function","type":"mcp"}]}]'),
        ("prompt_cache_options", b'{"ttl":"30m","ttl":"12h"}'),
    ],
)
def test_a_name_given_twice_is_refused(name: str, twice: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        ENDPOINT.read(written(**{name: ...})[:-1] + b',"%b":%b}' % (name.encode(), twice))
    assert caught.value.param == name


NAMING: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"previous_response_id": "resp_1"}, [("response", "resp_1")]),
    (
        {"input": [{"type": "item_reference", "id": "msg_1"}, {"type": "item_reference", "id": "rs_1"}]},
        [("response.item", "msg_1"), ("response.item", "rs_1")],
    ),
    ({"input": [{"type": "item_reference", "id": "msg_1"}] * 500}, [("response.item", "msg_1")]),
    ({"input": [{"type": "item_reference"}]}, [("response.item", "None")]),
]


SHOWN: Any = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text"}]}


@pytest.mark.parametrize("conversation", ["conv_1", {"id": "conv_1"}])
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/input_tokens"])
def test_what_goes_into_a_conversation_has_no_id_but_the_accounts_own(path: str, conversation: Any) -> None:
    """There it could be found by it; elsewhere an item that shows all of itself may have any."""
    for members, named in (
        ({}, []),
        ({"conversation": None}, []),
        ({"conversation": conversation}, [("conversation", "conv_1"), ("response.item", "msg_1")]),
    ):
        found = ENDPOINTS[path].read(written(input=[SHOWN], **members)).features
        assert [(each.refers.kind, each.refers.id) for each in found if each.refers] == named


def test_a_conversation_goes_up_as_it_was_read() -> None:
    """No upstream can find another id in it."""
    body = written(conversation=...)[:-1] + b',"conversation":{"id":"other","id":"mine"}}'
    ask = ENDPOINT.read(body)
    assert [each.refers.id for each in ask.features if each.refers] == ["mine"]
    assert ask.forward_body(AS_IS).count(b'"id"') == 1


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/compact", "/v1/responses/input_tokens"])
@pytest.mark.parametrize(("members", "named"), NAMING)
def test_what_the_upstream_keeps_is_named(path: str, members: Any, named: list[tuple[str, str]]) -> None:
    """Only the account that has it may do so, in a request that is free as well."""
    found = ENDPOINTS[path].read(written(**members)).features
    assert [(each.refers.kind, each.refers.id) for each in found if each.refers] == named


@pytest.mark.parametrize("members", [{"background_options": {"a": 1}}, {"unheard_of": 1}])
def test_a_count_takes_nothing_that_no_call_may(members: dict[str, Any]) -> None:
    (found,) = ENDPOINTS["/v1/responses/input_tokens"].read(written(**members)).features
    assert (found.needs, found.optional) == ((), False)


@pytest.mark.parametrize("members", [{"service_tier": "priority"}, {"tools": [{"type": "web_search"}]}])
def test_a_count_needs_no_price_for_what_is_not_carried_out(members: dict[str, Any]) -> None:
    ask = ENDPOINTS["/v1/responses/input_tokens"].read(written(**members))
    assert ask.features == ()
    assert ask.forward_body(AS_IS) == written(**members)


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({"type": "item_reference"}, "id"),
        ({"type": "web_search_call"}, "id"),
        ({"type": "mcp_approval_response"}, "approval_request_id"),
        ({"type": "code_interpreter_call"}, "container_id"),
    ],
)
def test_more_references_than_are_looked_up_are_refused(item: dict[str, Any], name: str) -> None:
    """Whatever names them; the same one may be named as often as the caller likes."""
    with pytest.raises(Refusal) as caught:
        read(input=[item | {name: f"a_{number}"} for number in range(257)])
    assert (caught.value.code, caught.value.param) == ("invalid_value", "input")
    named = [each.refers.id for each in read(input=[item | {name: "a_1"}] * 500).features if each.refers]
    assert named == ["a_1"]


@pytest.mark.parametrize("odd", [7, ["x"], {"id": "x"}, True])
def test_what_is_no_text_is_the_id_of_nothing(odd: object) -> None:
    """Although an upstream should read it as one."""
    for item in (
        {"type": "item_reference", "id": odd},
        {"type": "reasoning", "id": odd},
        {"type": "code_interpreter_call", "container_id": odd},
        {"type": "mcp_approval_response", "approval_request_id": odd},
    ):
        approval = {"type": "mcp_approval_request", "id": odd}
        named = [each.refers.id for each in read(input=[approval, item]).features if each.refers]
        assert named
        assert not any(map(is_id, named))


@pytest.mark.parametrize("odd", [7, True, ["resp_1"], {"id": "resp_1"}])
def test_an_earlier_response_that_cannot_be_read_is_refused(odd: object) -> None:
    with pytest.raises(Refusal) as caught:
        read(previous_response_id=odd)
    assert caught.value.param == "previous_response_id"


def test_the_end_user_is_told() -> None:
    assert read(user="alice").end_user == "alice"


def test_a_compaction_is_held_for_like_a_response() -> None:
    endpoint = ENDPOINTS["/v1/responses/compact"]
    ask = endpoint.read(written())
    assert ask.ceiling().elastic == "output_tokens"
    assert ask.forward_body(AS_IS) == written()
    tally = ask.tally()
    tally.feed(json.dumps({"object": "response.compaction", "output": [{"type": "compaction"}]}).encode())
    assert tally.complete
    (found,) = endpoint.read(written(tools=[{"type": "web_search"}])).features
    assert not found.known
    with pytest.raises(Refusal):
        endpoint.read(written(Input="x"))


def test_a_count_is_free_and_goes_on_as_it_came() -> None:
    ask = ENDPOINTS["/v1/responses/input_tokens"].read(written())
    assert ask.forward_body(AS_IS) == written()
    assert ask.ceiling().usage == {"requests": 0}
    tally = ask.tally()
    tally.feed(b'{"object":"response.input_tokens","input_tokens":14}')
    reading = tally.reported()
    assert tally.complete
    assert reading is not None
    assert reading.usage == {"requests": 0}
