"""Members of a request are checked, and a wrong one is named with what would be right."""

import json
from collections.abc import Callable

import pytest

from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, read_body
from proxy.errors import Refusal


def body(**members: object) -> JsonBody:
    return read_body(json.dumps(members).encode())


def refusal(read: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as refused:
        read()
    assert refused.value.code == "invalid_value"
    return refused.value


@pytest.mark.parametrize(
    "model", ["m", "gpt-4o", "openai/gpt-4o:extended", "ft:gpt-4o:acme", "模型 7", "x" * 256]
)
def test_a_model_is_any_printable_name(model: str) -> None:
    assert fields.model_of(body(model=model)) == model


@pytest.mark.parametrize(
    "model", ["", " ", "x" * 257, 7, None, True, ["m"], {}, "a\nb", "a\x00", "\ud800", "\u200b"]
)
def test_anything_else_is_no_model(model: object) -> None:
    refused = refusal(lambda: fields.model_of(body(model=model)))
    assert refused.param == "model"
    assert "a string of 1 to 256 printable characters" in refused.message


def test_a_missing_model_is_said_to_be_missing() -> None:
    assert refusal(lambda: fields.model_of(body())).message.startswith("`model` is missing; it must be")


@pytest.mark.parametrize(("value", "read"), [(True, True), (False, False), (None, False)])
def test_a_flag_is_true_false_or_null(value: object, read: bool) -> None:
    assert fields.flag(body(stream=value), "stream") is read
    assert fields.flag(body(), "stream") is False


@pytest.mark.parametrize("value", ["true", 1, 0, [], {}, "x" * 500])
def test_nothing_else_is_a_flag(value: object) -> None:
    refused = refusal(lambda: fields.flag(body(stream=value), "stream"))
    assert refused.param == "stream"
    assert refused.message.endswith("; it must be true or false.")
    assert len(refused.message) < 150


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0", 0),
        ("1", 1),
        ("128", 128),
        ("128.0", 128),
        ("1e2", 100),
        ("1.2E+1", 12),
        ("-0.0", 0),
        ("null", None),
    ],
)
def test_a_whole_number_is_one_however_it_is_written(text: str, read: int | None) -> None:
    """What goes upstream is the integer that was read, so that no one reads another."""
    request = read_body(b'{"n":' + text.encode() + b"}")
    assert fields.whole(request, "n", 128) == read
    assert json.loads(request.patched({})) == {"n": read}
    assert read is None or request.patched({}) == b'{"n":%d}' % read
    assert fields.whole(body(), "n", 128) is None


@pytest.mark.parametrize(
    "text", ["-1", "129", "1.5", "1e-1", "1e3", '"1"', "true", "[]", "{}", "9" * 30, "9" * 5_000, "1e999"]
)
def test_nothing_else_is_a_whole_number(text: str) -> None:
    refused = refusal(lambda: fields.whole(read_body(b'{"n":' + text.encode() + b"}"), "n", 128))
    assert refused.param == "n"
    assert "it must be a whole number from 0 to 128" in refused.message
    assert refused.message.startswith(f"`n` is {text[:50]}")
    assert len(refused.message) < 150


@pytest.mark.parametrize("value", ["x", 1, True, []])
def test_stream_options_are_an_object(value: object) -> None:
    assert refusal(lambda: fields.stream_options(body(stream_options=value))).param == "stream_options"
    assert fields.stream_options(body(stream_options=None)) == {}
    assert list(fields.stream_options(body(stream_options={"a": 1}))) == ["a"]


def test_a_value_in_a_message_is_shortened_even_when_it_is_no_text() -> None:
    refused = refusal(
        lambda: fields.flag(read_body(b'{"stream":"\\ud800' + "é".encode() * 400 + b'"}'), "stream")
    )
    assert len(refused.message) < 150
    refused.body("id").decode()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"jane"', "jane"),
        ('"caf\\u00e9 \\n\\u0000\\u202etab\\t"', "café tab"),
        (f'"{"x" * 300}"', "x" * 256),
        ('"\\ud800"', ""),
        ("null", ""),
        ("7", ""),
        ('["a"]', ""),
    ],
)
def test_an_end_user_is_what_can_be_kept_of_it(written: str, read: str) -> None:
    """Whatever a caller writes there, it is never refused, and what is kept fits a database and a log."""
    assert fields.end_user(read_body(f'{{"user":{written}}}'.encode())) == read


def test_a_safety_identifier_is_an_end_user_before_user_is() -> None:
    """OpenAI's newer name for it; one that says nothing leaves the other."""
    assert fields.end_user(body(user="jane", safety_identifier="hash-7")) == "hash-7"
    assert fields.end_user(body(user="jane", safety_identifier=None)) == "jane"
    assert fields.end_user(body(safety_identifier="hash-7")) == "hash-7"


def test_nobody_is_named_where_there_is_no_member() -> None:
    assert fields.end_user(body()) == ""
