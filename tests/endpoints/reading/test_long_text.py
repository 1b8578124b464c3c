"""Long base64 strings can be left in a JSON text, and what is read of it is the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.reading.long_text import (
    WINDOW_BYTES,
    LongText,
    decode,
    mask_lone_surrogates,
    restore,
    restored_bytes,
    shorten,
)
from proxy.metering.parts import media_of
from proxy.metering.tokens import Counter

LONG = "QUJD" * WINDOW_BYTES
SURE_BYTES = 2 * WINDOW_BYTES


def quoted(text: str) -> bytes:
    return json.dumps(text).encode()


@pytest.mark.parametrize(
    "prefix", ["", "data:image/png;base64,", "data:audio/wav;rate=8000;base64,", "data:,"]
)
@pytest.mark.parametrize("offset", [0, 1, WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1])
def test_a_long_base64_string_is_found_wherever_it_begins(prefix: str, offset: int) -> None:
    text = prefix + "A" * SURE_BYTES
    data = b"[" + b" " * offset + quoted(text) + b',"x"]'
    short, texts = shorten(data)
    assert [str(found) for found in texts] == [text]
    assert len(short) < offset + 50
    assert restore(short, texts) == data
    assert restored_bytes(short, texts) == len(data)
    assert decode(short, texts) == [text[:1_024], "x"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"A" * 4 * SURE_BYTES,
        b'["' + b"A" * 4 * SURE_BYTES,
        b'["A' + b" " * 4 * SURE_BYTES + b'"]',
        b'["' + b"\\n" * 4 * SURE_BYTES + b'"]',
        b'["' + "é".encode() * 4 * SURE_BYTES + b'"]',
        b'["' + b"A" * 4 * SURE_BYTES + b"\n" + b'"]',
        b'["' + b"A" * 4 * SURE_BYTES + b"\\" + b'"]',
        b'["a","b"' + b" " * 4 * SURE_BYTES + b',"c"]',
        b'["\\"' + b"A" * 4 * SURE_BYTES + b'"]',
        b"[" + b"1," * 4 * SURE_BYTES + b'"c"]',
    ],
)
def test_what_is_no_base64_string_stays(data: bytes) -> None:
    assert shorten(data) == (data, ())


def test_strings_keep_their_order_and_places() -> None:
    value = {"a": [LONG, {"b": "data:x/y;base64," + LONG}], "c": LONG + "=", "d": 1.5, "e": None}
    short, texts = shorten(json.dumps(value).encode())
    found = decode(short, texts)
    assert json.loads(restore(short, texts)) == value
    assert isinstance(found, dict)
    assert [str(found["a"][0]), str(found["a"][1]["b"]), str(found["c"])] == [
        LONG,
        "data:x/y;base64," + LONG,
        LONG + "=",
    ]


SLICES = st.slices(2_000)


@given(st.integers(0, 2_000), SLICES, st.integers(-2_000, 1_999))
def test_a_long_text_is_sliced_as_the_string_it_stands_for(length: int, part: slice, index: int) -> None:
    plain = ("0123456789abcdefghijklmnopqrstuvwxyz" * 60)[:length]
    text = LongText(b"[" + plain.encode() + b"]", 1, 1 + length)
    assert len(text) == len(plain)
    assert bool(text) == bool(plain)
    assert text[part] == plain[part]
    assert str(text) == plain
    assert text.encode() == plain.encode()
    assert b"".join(text.steps()) == plain.encode()
    if -length <= index < length:
        assert text[index] == plain[index]
    else:
        with pytest.raises(IndexError):
            text[index]


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64," + LONG}}, ("image_url", "url")),
        ({"type": "input_audio", "input_audio": {"data": LONG, "format": "wav"}}, ("input_audio", "data")),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0" + LONG}},
            ("file", "file_data"),
        ),
    ],
)
def test_the_meter_of_media_sees_no_difference(part: dict[str, object], place: tuple[str, str]) -> None:
    found = decode(*shorten(json.dumps(part).encode()))
    assert isinstance(found, dict)
    assert isinstance(found[place[0]][place[1]], LongText)
    assert media_of(found, "gpt-4o") == media_of(part, "gpt-4o")


def test_the_counter_of_tokens_sees_no_difference() -> None:
    text = decode(*shorten(quoted(LONG)))
    assert isinstance(text, LongText)
    assert Counter().count(text, "gpt-4o") == Counter().count(LONG, "gpt-4o")


HALVES = st.sampled_from([r"\ud83d", r"\uDE00", r"\\", r"\u0041", "ud83d", "x", r"\n", r"\uDBFF", r"\udc00"])


@given(st.lists(HALVES, max_size=12).map("".join))
def test_exactly_the_lone_surrogates_are_masked(text: str) -> None:
    data = f'"{text}"'.encode()
    masked = mask_lone_surrogates(data)
    value = json.loads(data)
    lone = sum("\ud800" <= character <= "\udfff" for character in value)
    assert (masked or b"").count(b"\xff") == lone
    assert restore(masked or data, ()) == data
    assert decode(masked or data, ()) == value
