"""What a request turns on is the same whether it is read at once or, above 64 KB, in steps."""

import json
from typing import Any

import pytest

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.reading.body import LARGE_BYTES
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal

BLANKS = b" " * (LARGE_BYTES + 1)
TEXT = b'"' + b"a: [b, {c " * 900 + b'",'
WIDE: list[tuple[str, bytes]] = [
    (
        "chat/completions",
        b'"messages":[],"tools":[%s{"type":"web_search"},{"type":"function","function":{}}]',
    ),
    ("chat/completions", b'"messages":[],"tools":[%s{"type":"code","x":1},{"type":"web_search"}]'),
    ("chat/completions", b'"messages":[],"tools":[%s1,{"type":"search"}]'),
    ("chat/completions", b'"messages":[],"tools":{%s"type":"web_search"}'),
    ("chat/completions", b'"messages":[],"plugins":[%s{"id":"web"},{"id":"file"}]'),
    ("chat/completions", b'"messages":[],"thinking":{%s"budget_tokens":5}'),
    ("chat/completions", b'"messages":[],"thinking":[%s]'),
    ("chat/completions", b'"messages":[%s{"role":"user","content":[{"type":"video_url","video_url":{}}]}]'),
    ("chat/completions", b'"messages":[%s{"role":"user","content":"a: [b"}]'),
    ("chat/completions", b'"messages":[%s[1],{"audio":{"id":"a"}}]'),
    ("completions", b'"prompt":[%s"a{",{"url":"b"},[{}]]'),
    ("embeddings", b'"input":[%s"a",{"image":"b"}]'),
]


def body(members: bytes, between: bytes) -> bytes:
    return b'{"model":"m",' + members.replace(b"%s", between) + b"}"


@pytest.mark.parametrize(("family", "members"), WIDE)
def test_features_and_bounds_are_those_of_the_same_request_in_few_bytes(family: str, members: bytes) -> None:
    endpoint = ENDPOINTS[f"/v1/{family}"]
    small, large = endpoint.read(body(members, b"")), endpoint.read(body(members, BLANKS))
    assert large.features == small.features
    assert large.ceiling().elastic_total == small.ceiling().elastic_total
    sent = [json.loads(ask.forward_body(ForwardPlan("m"))) for ask in (small, large)]
    assert sent[0] == sent[1]


@pytest.mark.parametrize("texts", [1, 9])
def test_text_that_looks_like_an_object_hides_nothing(texts: int) -> None:
    ask = ENDPOINTS["/v1/completions"].read(body(b'"prompt":[%s"b"]', TEXT * texts))
    assert ask.features == ()
    ask = ENDPOINTS["/v1/chat/completions"].read(body(b'"messages":[%s"b"]', TEXT * texts))
    assert ask.features == ()


@pytest.mark.parametrize("between", [b"", BLANKS])
@pytest.mark.parametrize(
    ("members", "param"),
    [
        (b'"messages":[%s{"content":[{"type":"text","text":"a","text":"b"}]}]', "messages"),
        (b'"messages":[%s{"content":[],"\\u0063ontent":"b"}]', "messages"),
        (b'"messages":[%s{"content":[{"Type":"text"}]}]', "messages[].content[].Type"),
        (b'"messages":[],"tools":[%s{"Type":"web_search"}]', "tools[].Type"),
        (b'"messages":[],"thinking":{%s"Budget_tokens":1}', "thinking.Budget_tokens"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(members: bytes, param: str, between: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        ENDPOINTS["/v1/chat/completions"].read(body(members, between))
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


@pytest.mark.parametrize("between", [b"", BLANKS])
def test_of_a_tools_names_given_twice_the_one_that_was_read_is_sent(between: bytes) -> None:
    tool = b'{"type":"web_search",%s"type":"function","function":{"name":"f"}}' % between
    ask = ENDPOINTS["/v1/chat/completions"].read(body(b'"messages":[],"tools":[' + tool + b"]", b""))
    sent: dict[str, Any] = json.loads(ask.forward_body(ForwardPlan("m")))
    assert ask.features == ()
    assert b"web_search" not in ask.forward_body(ForwardPlan("m"))
    assert sent["tools"] == [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize("at", range(LARGE_BYTES - 12, LARGE_BYTES + 2))
def test_a_word_for_searches_is_found_across_steps(at: int) -> None:
    before = b'{"a":[' + b'"----",' * ((at - 20) // 7)
    plugin = before + b'"' + b"-" * (at - len(before) - 9) + b'"],"b":"xsearchx"}'
    assert abs(plugin.index(b"search") - at) <= 1
    ask = ENDPOINTS["/v1/chat/completions"].read(body(b'"messages":[],"plugins":[' + plugin + b"]", b""))
    assert [feature.surcharges for feature in ask.features] == [{"web_searches": 1}]
