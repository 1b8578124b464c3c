"""Long strings can be left in a JSON text, and what is read of it is the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.reading.long_text import (
    BrokenText,
    LongName,
    LongText,
    decode,
    mask_lone_surrogates,
    restore,
    restored_bytes,
    shorten,
)
from proxy.endpoints.reading.steps import STEP_BYTES as WINDOW_BYTES
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
        b'["a","b"' + b" " * 4 * SURE_BYTES + b',"c"]',
        b"[" + b"1," * 4 * SURE_BYTES + b'"c"]',
        b"[" + b'"a",' * SURE_BYTES + b'"c"]',
    ],
)
def test_what_is_no_long_string_stays(data: bytes) -> None:
    assert shorten(data) == (data, ())


TEXTS = [
    " " * 4 * SURE_BYTES,
    "\n" * SURE_BYTES,
    "\\" * SURE_BYTES,
    '"' * SURE_BYTES,
    '\\"' * SURE_BYTES,
    "é" * SURE_BYTES,
    "\ud800" * SURE_BYTES,
    "x\udc00\ud800" * SURE_BYTES,
    "😀" * SURE_BYTES,
    'Of all sorts: é, 😀, "quoted", escaped \\ and\tlong.\n' * (SURE_BYTES // 8),
    LONG + "\n",
    LONG + "\\",
    '"' + LONG,
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:9]))
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("shift", range(0, 12, 5))
def test_a_long_string_of_any_characters_is_read_piece_by_piece(
    text: str, ascii_only: bool, shift: int
) -> None:
    """No piece ends within a character, an escape or a pair of them."""
    text = "x" * shift + text
    data = json.dumps([text, "x"], ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    if not ascii_only and "\ud800" in text:
        return  # Such a text has no UTF-8.
    short, texts = shorten(data)
    (found,) = texts
    assert "".join(found.pieces()) == str(found) == text
    assert all(0 < len(piece) <= WINDOW_BYTES for piece in found.pieces())
    assert found[:300] == text[:300]
    assert (found[5:9], found[-9:], found[3]) == (text[5:9], text[-9:], text[3])
    assert found.encode("utf-8", "surrogatepass") == text.encode("utf-8", "surrogatepass")
    assert len(found) >= len(text)
    assert restore(short, texts) == data


@pytest.mark.parametrize("at", [0, 5, WINDOW_BYTES - 3, WINDOW_BYTES + 1, 3 * WINDOW_BYTES])
@pytest.mark.parametrize("bad", [b"\n", b"\0", b"\\x", b"\\u12g4", b"\\u12"])
def test_what_is_no_json_string_is_found_at_its_place(at: int, bad: bytes) -> None:
    data = b'["' + "é".encode() * 8 + b"x" * at + bad + b"x" * 4 * WINDOW_BYTES + b'"]'
    with pytest.raises(BrokenText) as caught:
        shorten(data)
    assert abs(caught.value.at - (2 + 16 + at)) <= 6


@pytest.mark.parametrize("blanks", [0, 1, 3 * WINDOW_BYTES])
def test_a_long_name_is_found_whatever_comes_before_its_colon(blanks: int) -> None:
    with pytest.raises(LongName) as caught:
        shorten(b'[1,{"' + LONG.encode() + b'"' + b" " * blanks + b":1}]")
    assert caught.value.at == 4


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


@pytest.mark.parametrize(
    "plain", [LONG, 'A "fare", é, 😀 and so on\n' * 20_000, "\n 7 up, no cut - - " * 30_000]
)
def test_the_counter_of_tokens_sees_no_difference(plain: str) -> None:
    text = decode(*shorten(quoted(plain)))
    assert isinstance(text, LongText)
    assert Counter().count(text, "gpt-4o") == Counter().count(plain, "gpt-4o")


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
