"""A text that is walked in steps is read as a decoder reads the whole, wherever the steps end."""

import json
import re
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.endpoints.reading import steps
from proxy.endpoints.reading.steps import (
    PART_BYTES_MAX,
    TooLong,
    checked,
    count_names,
    count_values,
    counts_more_items,
    each_member,
    first_byte,
    holds,
    items,
    nests,
)

RAW = msgspec.json.Decoder(msgspec.Raw)

SCALARS = st.sampled_from([1, -1.5, None, True, "", "a", 'q"\\', "\\\\", "[{,", "}]:", "é", "\n"])
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b,", 'c"', "d\\", "[", ""]), inner, max_size=4)
    ),
    max_leaves=30,
)
TEXTS = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(),
    JSON,
    st.booleans(),
    st.sampled_from([None, 1]),
)


@pytest.fixture(autouse=True, scope="module")
def short_steps() -> Iterator[None]:
    """Steps of sixteen bytes, so that all that can happen at the end of one happens in a short text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "STEP_BYTES", 16)
        yield


def decoded(part: bytes, _at: int) -> bytes:
    RAW.decode(part)
    return part


def is_json(text: bytes) -> bool:
    try:
        RAW.decode(text)
    except msgspec.DecodeError:
        return False
    return True


@given(TEXTS)
def test_json_is_sound_in_parts_and_stays_as_it_is(text: bytes) -> None:
    assert checked(text, decoded) is text


@settings(max_examples=400)
@given(TEXTS, st.integers(0), st.sampled_from(b'[]{},:"\\1 '), st.sampled_from(["drop", "put", "add"]))
def test_a_text_is_sound_in_parts_exactly_if_it_is_as_a_whole(
    text: bytes, at: int, byte: int, how: str
) -> None:
    """A byte too few, too many, or of another kind, anywhere."""
    at %= len(text)
    text = text[:at] + (b"" if how == "drop" else bytes([byte])) + text[at + (how != "add") :]
    try:
        checked(text, decoded)
        sound = True
    except msgspec.DecodeError:
        sound = False
    assert sound == is_json(text)


def test_what_the_check_puts_in_place_of_a_part_is_in_the_result() -> None:
    text = b'[["a","bb"],{"c":["a",1]},"a"' + b',"x"' * 20 + b"]"
    assert checked(text, lambda part, _at: part.replace(b'"a"', b'"z"')) == text.replace(b'"a"', b'"z"')


def fault_at(text: bytes) -> int | None:
    try:
        RAW.decode(text)
    except msgspec.DecodeError as fault:
        place = re.search(r"\(byte (\d+)\)", str(fault))
        return int(place[1]) if place else None
    return None


@given(TEXTS, st.integers(0))
def test_a_fault_is_at_the_same_place_in_its_part(text: bytes, at: int) -> None:
    text = text[: at % len(text)] + b"!" + text[at % len(text) :]
    found = []

    def note(part: bytes, begins_at: int) -> bytes:
        place = fault_at(part)
        if place is not None:
            found.append(begins_at + place)
        return part

    checked(text, note)
    expected = fault_at(text)
    assert found[:1] == ([] if expected is None else [expected])


@given(st.lists(JSON, max_size=9), st.sampled_from([None, 1]))
def test_items_are_those_of_the_array(value: list[object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()
    assert [msgspec.json.decode(item) for item in items(text)] == value
    for most in range(1, 12):
        assert counts_more_items(text, most) == (len(value) > most)


@given(st.dictionaries(st.text(max_size=20), JSON, max_size=6), st.booleans())
def test_members_are_those_of_the_object(value: dict[str, object], ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    try:
        found = {name: msgspec.json.decode(raw) for name, raw in each_member(text)}
    except TooLong:
        assert max(len(json.dumps(name).encode()) for name in value) > 10
    else:
        assert found == value


def test_a_name_that_occurs_twice_is_given_twice() -> None:
    assert [(name, bytes(raw)) for name, raw in each_member(b'{"a":1,"a":[2,3]}')] == [
        ("a", b"1"),
        ("a", b"[2,3]"),
    ]


def test_values_are_counted_by_their_commas_and_brackets_outside_of_strings() -> None:
    text = b'[{"a":"[[,,{{"},[],1,2]'
    assert count_values(text) == 6


def test_the_first_byte_is_found_behind_any_blanks() -> None:
    assert first_byte(b" \r\n\t" * 50 + b"x ") == b"x"
    assert first_byte(b" " * 50) == first_byte(b"") == b""


@pytest.mark.parametrize("long", [b" " * PART_BYTES_MAX, b"1" * PART_BYTES_MAX])
def test_blanks_and_numbers_without_end_are_too_long(long: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "STEP_BYTES", 65_536)
        with pytest.raises(TooLong) as caught:
            checked(b"[0," + long + b"]", decoded)
    assert caught.value.at == 3


@given(TEXTS)
def test_a_text_nests_where_a_member_holds_an_array_or_an_object(text: bytes) -> None:
    def nested(value: object) -> bool:
        if isinstance(value, dict):
            return any(isinstance(inner, dict | list) for inner in value.values())
        return isinstance(value, list) and any(map(nested, value))

    assert nests(text) == nested(json.loads(text))


@given(TEXTS)
def test_names_are_counted_wherever_the_steps_end(text: bytes) -> None:
    pairs: list[object] = []
    json.loads(text, object_pairs_hook=pairs.extend)
    assert count_names(text) == len(pairs)
    assert count_names(b'[{"a":1,"a":":"},' + text + b"]") == len(pairs) + 2


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_word_is_found_wherever_the_steps_end(before: int, after: int) -> None:
    assert holds(b"-" * before + b"search" + b"-" * after, re.compile(b"search"))
    assert not holds(b"-" * before + b"sear" + b"-" * after, re.compile(b"search"))
