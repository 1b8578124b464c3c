import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.json_text import json_text

NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.builds(lambda digits, exponent: digits * 10.0**exponent, st.integers(-99, 99), st.integers(-99, 99)),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=20,
)


@given(JSON)
def test_the_text_decodes_to_the_value(value: object) -> None:
    """A float may be written without a point, so all numbers are compared as floats."""
    decoded = json.loads(json_text(value), parse_int=float)
    assert decoded == json.loads(json.dumps(value), parse_int=float)


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_no_way_to_write_a_number_is_shorter(literal: str) -> None:
    assert len(json_text(json.loads(literal))) <= len(literal)


@given(JSON)
def test_no_encoder_writes_less(value: object) -> None:
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert len(json_text(value)) <= len(compact)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, "x", None, True]}, '{"a":[1,"x",null,true]}'),
        ([], "[]"),
        ({}, "{}"),
        ("é\n\ud800", '"é\\n\ud800"'),
        (1e15, "1e15"),
        (0.5, "0.5"),
        (-1.0, "-1"),
        (1e-7, "1e-7"),
        (math.inf, "1e309"),
        (-math.inf, "-1e309"),
        (math.nan, "NaN"),
        (b"raw", "\"b'raw'\""),
    ],
)
def test_the_text_is_compact_and_plain(value: object, text: str) -> None:
    assert json_text(value) == text


def test_depth_does_not_matter() -> None:
    value: object = 1
    for _ in range(20_000):
        value = [value]
    assert json_text(value) == "[" * 20_000 + "1" + "]" * 20_000
