"""The ceiling from a body's length holds for every body, however odd, and stays near for ordinary ones."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.metering.prompts import chat_bound, chat_tokens, content_parts, media_total

MODELS = st.sampled_from(["gpt-4", "gpt-4o", "gpt-3.5-turbo-0301", "gpt-4o-mini", "unheard-of"])
TEXT = st.text(st.characters(codec=None), max_size=12)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT)
ANY = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


def shaped(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Objects with some of these fields, each of which may also be of any other shape."""
    loose = {name: st.one_of(field, field, field, ANY) for name, field in fields.items()}
    return st.fixed_dictionaries({}, optional=loose)


def listed(item: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(st.one_of(item, item, item, ANY), max_size=4)


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 800, 600) + b"\0" * 600
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
URLS = st.sampled_from(["https://example.com/a.png", PNG_URL, "data:é,x", "data:"])
KINDS = st.sampled_from(
    ["text", "refusal", "image_url", "input_image", "image", "input_audio", "file", "input_file", "new"]
)
PARTS = shaped(
    type=KINDS,
    text=TEXT,
    refusal=TEXT,
    image_url=st.one_of(URLS, shaped(url=URLS, detail=st.sampled_from(["low", "high", "auto"]))),
    source=shaped(data=URLS),
    input_audio=shaped(data=URLS, format=st.sampled_from(["wav", "mp3"])),
    file=shaped(file_data=URLS, file_id=TEXT),
    detail=TEXT,
)
CALLED = shaped(name=TEXT, arguments=TEXT, input=TEXT)
MESSAGES = shaped(
    role=st.sampled_from(["user", "assistant", ""]),
    name=TEXT,
    content=st.one_of(TEXT, listed(PARTS)),
    tool_calls=listed(shaped(id=TEXT, function=CALLED, custom=CALLED)),
    function_call=CALLED,
    tool_call_id=TEXT,
)
PROPERTY = shaped(type=TEXT, description=TEXT, enum=listed(TEXT), items=ANY)
PROPERTIES = st.dictionaries(TEXT, st.one_of(PROPERTY, ANY), max_size=4)
FUNCTION = shaped(
    name=TEXT, description=TEXT, parameters=shaped(properties=PROPERTIES, required=listed(TEXT))
)
CHOICE = st.one_of(st.just("none"), CALLED, shaped(function=CALLED))
BODIES = shaped(
    messages=listed(MESSAGES),
    tools=listed(shaped(type=TEXT, function=FUNCTION)),
    functions=listed(FUNCTION),
    tool_choice=CHOICE,
    function_call=CHOICE,
    response_format=shaped(type=st.just("json_schema"), json_schema=ANY),
)


def bound(body: dict[str, Any], raw_bytes: int, model: str) -> int:
    """As a chat's endpoint finds it."""
    messages = body.get("messages")
    media = media_total(map(content_parts, messages) if isinstance(messages, list) else (), model)
    return chat_bound(raw_bytes, media)


def check(raw: str, model: str) -> None:
    body = json.loads(raw)
    raw_bytes = len(raw.encode("utf-8", "surrogatepass"))
    assert chat_tokens(body, model) <= bound(body, raw_bytes, model)


@settings(max_examples=300)
@given(BODIES, MODELS)
def test_no_body_has_more_tokens_than_its_bound(body: dict[str, object], model: str) -> None:
    check(json.dumps(body, ensure_ascii=False, separators=(",", ":")), model)


def test_the_emptiest_body_stays_below_its_bound() -> None:
    for raw in ("{}", '{"messages":[]}', '{"messages":0}', '{"tools":[]}', '{"functions":[{"name":""}]}'):
        check(raw, "gpt-4")


FUNCTIONS = '{"functions":[%s]}'
PROPERTIES_OF_ONE = '{"functions":[{"name":"","parameters":{"properties":{%s}}}]}'
ENUM_OF_ONE = '{"functions":[{"name":"","parameters":{"properties":{"":{"enum":[%s]}}}}]}'
MESSAGES_ONLY = '{"messages":[%s]}'
PARTS_ONLY = '{"messages":[{"content":[%s]}]}'
CALLS_ONLY = '{"messages":[{"tool_calls":[%s]}]}'
SCHEMA = '{"response_format":{"type":"json_schema","json_schema":[%s]}}'


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o", "gpt-3.5-turbo-0301"])
@pytest.mark.parametrize(
    ("frame", "item"),
    [
        *((MESSAGES_ONLY, item) for item in ("{}", "[]", "0", '""', "null", '{"":0}', '{"name":""}', "1e15")),
        *((MESSAGES_ONLY, item) for item in ("[9e-7]", "-1E300", "1e9", '"\\ud800"', '{"":[[[{}]]]}')),
        *((FUNCTIONS, item) for item in ("{}", "0", '"^"', '{"name":""}', '{"name":"^"}', '{"name":0}')),
        *((PROPERTIES_OF_ONE, item) for item in ('"$":0', '"$":{}', '"$":[]', '"$":null', '"$":""')),
        *(
            (PROPERTIES_OF_ONE, item)
            for item in ('"$":{"enum":[]}', '"$":{"enum":["",""]}', '"$":{"type":[]}')
        ),
        *((ENUM_OF_ONE, item) for item in ("0", '"^"', '""', "null", "[]", "{}", "1e15")),
        *((PARTS_ONLY, item) for item in ("{}", '"^"', "0", '{"type":"text"}', '{"text":"^"}', "1e15")),
        *((PARTS_ONLY, f'{{"type":"{kind}"}}') for kind in ("image_url", "file", "input_audio", "video_url")),
        (PARTS_ONLY, '{"type":"input_audio","input_audio":{"data":""}}'),
        (PARTS_ONLY, '{"type":"image_url","image_url":"data:"}'),
        (PARTS_ONLY, '{"type":"file","file_data":""}'),
        *((CALLS_ONLY, item) for item in ("{}", "0", '{"function":{}}', '{"custom":{"":0}}')),
        *((SCHEMA, item) for item in ("0", '"^"', "1e15", "{}", '{"":""}', "1.0e5")),
    ],
)
def test_much_with_as_little_punctuation_as_possible_stays_below_it(
    frame: str, item: str, model: str
) -> None:
    """Two hundred items outweigh the frame's punctuation; `$` gives each that is a member a key."""
    items = (item.replace("$", chr(0x100 + n)) for n in range(200))
    check(frame.replace("%s", ",".join(items)), model)


@pytest.mark.parametrize("choice", ['"none"', '{"name":""}', '{"function":{"name":""}}', "{}", "1e15"])
def test_choices_with_as_little_punctuation_as_possible_stay_below_it(choice: str) -> None:
    check(f'{{"tool_choice":{choice},"function_call":{choice}}}', "gpt-4")


def test_the_file_of_an_image_is_not_taken_for_text() -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG + b"\0" * 100_000).decode()
    part = {"type": "image_url", "image_url": {"url": url}}
    body = {"messages": [{"role": "user", "content": [part, part]}]}
    assert 2 * 765 <= bound(body, len(json.dumps(body)), "gpt-4o") < 2 * 765 + 200


def test_a_body_without_files_is_bounded_by_its_bytes() -> None:
    body: dict[str, object] = {"messages": [{"role": "user", "content": "x" * 1_000}]}
    size = len(json.dumps(body))
    assert bound(body, size, "gpt-4o") == size + 3


def test_the_bound_is_found_without_reading_any_text() -> None:
    """Objects that cannot be read as text stand where texts would be."""
    body = {"messages": [{"role": object(), "content": object()}, object()], "tools": object()}
    assert bound(body, 100, "gpt-4o") == 103
