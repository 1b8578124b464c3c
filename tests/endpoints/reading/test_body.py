"""A JSON body is read without changing it, and refused with a reason when it is none."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, patched, read_body
from proxy.endpoints.reading.body_faults import utf8_fault
from proxy.endpoints.reading.long_text import LongText
from proxy.endpoints.reading.steps import STEP_BYTES
from proxy.errors import Refusal

IMAGE = "data:image/png;base64," + "iVBORw0K" * 20_000
PADDING = b" " * LARGE_BYTES
"""Makes a body large enough to be read in steps."""

REFUSED = [
    (b"", "it is empty"),
    (b"  \n", "it ends too early"),
    (b"[]", "it is an array"),
    (b' "x"', "it is a string"),
    (b"null", "it is null"),
    (b"true", "it is true"),
    (b"7", "it is a number"),
    (b'{"a":1', "it ends too early"),
    (b'{"a":"\\', "it ends too early"),
    (b'{"a":1}x', "trailing characters at byte"),
    (b'{"a":1}{"a":1}', "trailing characters at byte"),
    (b'{"a":1,}', "trailing comma"),
    (b'{"a":[1,]}', "trailing comma"),
    (b'{"a":NaN}', "NaN and None are not JSON"),
    (b'{"a":-Infinity}', "invalid character at byte 6 (infinities are not JSON)"),
    (b'{"a":[Infinity]}', "infinities are not JSON"),
    (b"{'a':1}", "double quotes"),
    (b'{"a":True}', "write true in lower case"),
    (b'{"a":1 // note\n}', "comments are not JSON"),
    (b"{a:1}", "object keys must be strings at byte 1"),
    (b'{"a":01}', "invalid number"),
    (b'{"a":"\n"}', "invalid character at byte 6"),
    (b'{"a":"\\x"}', "invalid escaped character"),
    (b'{"a":"\\u12g4"}', "invalid character in unicode escape"),
    (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
    ('{"a":1}'.encode("utf-16"), "not UTF-8 at byte 0"),
    (b'{"a":"\xc3"}', "not UTF-8 at byte 6"),
    (b'{"a":"\xed\xa0\x80"}', "not UTF-8 at byte 6"),
    (b'{"\\ud800":1}', "a member's name is no proper text"),
    (b'{"a":"\\ud800","b":1', "it ends too early"),
    (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested more than 128 deep"),
    (b'{"a":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "nested more than 128 deep"),
    (b'{"b":"\\ud800","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested more than 128 deep"),
]


@pytest.mark.parametrize(("data", "reason"), REFUSED)
def test_what_is_no_json_object_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_body(data)
    assert refused.value.code == "invalid_json"
    assert reason in refused.value.message


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        (b'"\\ud800"', "\ud800"),
        (b'"\\uDC00\\ud83d\\ude00\\ud83d"', "\udc00\N{GRINNING FACE}\ud83d"),
        (b'"\\\\ud800 \\\\\\ud800"', "\\ud800 \\\ud800"),
        (b'"\\ud800\\ud83d\\ude00"', "\ud800\N{GRINNING FACE}"),
        (b'{"\\ud800":["\\udfff"]}', {"\ud800": ["\udfff"]}),
        (b"1e999", float("inf")),
        (b"1" * 40, int("1" * 40)),
        (b"1" * 5_000, float("inf")),
        (b'" \\/ \\u00e9 "', " / é "),
    ],
)
def test_legal_json_that_decoders_dislike_is_taken_and_kept(value: bytes, decoded: object) -> None:
    body = read_body(b'{"a": ' + value + b',"b":1}')
    assert body["a"] == decoded
    assert body.patched({}) == b'{"a":' + value + b',"b":1}'
    assert body.bytes_of("a") == len(value)


def test_of_a_name_that_occurs_twice_only_the_last_is_read_and_sent() -> None:
    body = read_body(b'{"model":"cheap","n":1,"model":"dear","\\u0061":1,"a":2}')
    assert dict(body) == {"model": "dear", "n": 1, "a": 2}
    assert body.patched({}) == b'{"model":"dear","n":1,"a":2}'


def test_changed_members_stay_in_place_new_ones_come_last_and_others_are_as_they_came() -> None:
    body = read_body(b'{"a" : 1.50 , "b":[ 1,  2 ],"c":"\\u00e9"}')
    assert body.patched({"a": b"2", "d": b"{}"}) == b'{"a":2,"b":[ 1,  2 ],"c":"\\u00e9","d":{}}'
    assert body.patched({"b": None, "x": None}) == b'{"a":1.50,"c":"\\u00e9"}'
    assert patched({}, {"a": b"1"}) == b'{"a":1}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=5)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]))
def test_any_object_is_read_as_json_reads_it_and_every_value_keeps_its_bytes(
    value: dict[str, object], ascii_only: bool, indent: int | None
) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    body = read_body(data)
    assert dict(body) == value
    assert json.loads(body.patched({})) == value
    assert all(bytes(raw) in data for raw in body.members.values())
    assert all(body.bytes_of(name) == len(bytes(raw)) for name, raw in body.members.items())


@given(st.text('\\ud8Dc0aeF"u', max_size=40))
def test_a_string_is_taken_exactly_if_json_takes_it(text: str) -> None:
    """Backslashes, surrogates and half escapes in every order; Python's own reader is the judge."""
    data = f'{{"a":"{text}"}}'.encode()
    try:
        expected = json.loads(data)
    except ValueError:
        with pytest.raises(Refusal):
            read_body(data)
    else:
        if set(expected) == {"a"}:
            body = read_body(data)
            assert dict(body) == expected
            assert json.loads(body.patched({})) == expected


def large(content: object) -> bytes:
    return json.dumps({"model": "m", "messages": content}).encode() + PADDING


def test_long_images_stay_where_they_are_and_are_sent_as_they_came() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}},
        {"type": "text", "text": "é"},
    ]
    data = large([{"role": "user", "content": parts}, {"role": "user", "content": parts}])
    body = read_body(data)
    assert body.size_bytes == len(data)
    assert body.short_bytes < 1_000 + len(PADDING)
    assert json.loads(body.patched({})) == json.loads(data)
    assert IMAGE.encode() not in body.members["messages"].__reduce__()[1][0]
    assert body.bytes_of("messages") == len(json.dumps(json.loads(data)["messages"]))
    messages = body["messages"]
    assert isinstance(messages, list)
    url = messages[1]["content"][0]["image_url"]["url"]
    assert len(url) == len(IMAGE)
    assert str(url) == IMAGE
    assert url[:30] == IMAGE[:30]


def test_a_lone_surrogate_beside_a_long_image_is_taken() -> None:
    data = large([{"content": "\ud800"}, {"content": [{"image_url": {"url": IMAGE}}]}])
    body = read_body(data)
    messages = body["messages"]
    assert isinstance(messages, list)
    assert messages[0] == {"content": "\ud800"}
    assert json.loads(body.patched({"model": b'"n"'})) == {
        "model": "n",
        "messages": json.loads(data)["messages"],
    }


@pytest.mark.parametrize("blanks", [0, 1, 2 * STEP_BYTES])
def test_a_name_as_long_as_an_image_is_refused(blanks: int) -> None:
    data = large({"b": {IMAGE: 1}}).replace(b'":', b'"' + b" " * blanks + b":")
    with pytest.raises(Refusal, match="the member's name at byte") as refused:
        read_body(data)
    assert refused.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b'{"a":"%s","b":NaN}', "NaN"),
        (b'{"a":"%s","b":1,}', "trailing comma"),
        (b'{"a":["%s" 1]}', "expected ',' or ']'"),
        (b'{"a":"%s","b":"\xff0\xff"}', "not UTF-8"),
        (b'{"a":"%s","b":"\\ud800\n"}', "invalid character"),
    ],
)
def test_a_fault_beside_a_long_image_is_found_at_its_place(broken: bytes, reason: str) -> None:
    data = broken.replace(b"%s", IMAGE.encode() * 2)
    with pytest.raises(Refusal) as refused:
        read_body(data + PADDING)
    assert reason in refused.value.message
    place = int(refused.value.message.split("at byte ")[1].split(" ")[0].rstrip("."))
    assert len(IMAGE) * 2 < place <= len(data)


def test_base64_outside_of_a_string_is_a_fault() -> None:
    data = b'{"a":"x"' + IMAGE.encode() * 2 + b'","b":1}' + PADDING
    with pytest.raises(Refusal, match="expected ',' or '}' at byte 8"):
        read_body(data)


def test_a_long_text_stays_where_it_is_and_is_read_as_it_is() -> None:
    text = 'No image: é, "quoted", escaped \\ and long. ' * 20_000
    body = read_body(large([{"content": text}]))
    (message,) = body.items_of("messages")
    assert isinstance(message, dict)
    assert str(message["content"]) == text
    assert body.short_bytes < 1_000 + len(PADDING)


@given(
    st.lists(
        st.sampled_from(
            [IMAGE, "QUJD" * 20_000, "short", 'a"b' * 30_000, "\\" * 70_000, "x, y " * 20_000, "é" * 40_000]
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_any_mix_of_long_strings_is_read_as_json_reads_it(texts: list[str], ascii_only: bool) -> None:
    value = {"messages": texts, "b": {"c": texts[0]}}
    body = read_body(json.dumps(value, ensure_ascii=ascii_only).encode() + PADDING)
    assert json.loads(body.patched({})) == value
    assert body["b"] == value["b"]
    found = list(map(str, body.items_of("messages")))
    assert found == texts
    assert body["messages"] == found or any(isinstance(text, LongText) for text in body.items_of("messages"))


@pytest.mark.parametrize("at", [0, 1, STEP_BYTES - 2, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3x", b"\xed\xa0\x80", b"\xf0\x9f\x98"])
def test_the_place_that_is_no_utf8_is_found_across_steps(at: int, bad: bytes) -> None:
    assert utf8_fault(b"x" * at + bad + b"x" * 9) == at
    assert utf8_fault(b"x" * at + bad) == at
    assert utf8_fault(b"x" * at + "😀".encode() + b"x" * 9) is None


def test_a_body_is_a_mapping_of_decoded_values() -> None:
    body = read_body(b'{"a":[1],"b":null}')
    assert isinstance(body, JsonBody)
    assert (list(body), len(body), body.get("c"), "b" in body) == (["a", "b"], 2, None, True)
    assert isinstance(body.members["a"], msgspec.Raw)
    assert body.bytes_of("c") == 0
