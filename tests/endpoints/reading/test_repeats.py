"""A name that an object has twice is noticed at any depth, however the JSON is written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.reading.repeats import has_repeats

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a\\":{}[], ', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('a\\":', max_size=4), inner, max_size=4)
    ),
)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_json_without_repeats_has_none(value: object, ascii_only: bool, indent: int | None) -> None:
    assert not has_repeats(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(), value)


@given(JSON, st.text('a\\":', max_size=4), JSON)
def test_a_repeat_is_found_whatever_stands_around_it(outer: object, name: str, inner: object) -> None:
    quoted, value = json.dumps(name), json.dumps(inner)
    text = f"[{json.dumps(outer)}, {{{quoted}: {value}, {quoted} :{value}}}]"
    assert has_repeats(text.encode(), json.loads(text))


@pytest.mark.parametrize(
    "text", ['{"a":1,"\\u0061":2}', '[{"b":{"a":1,\n"a"\t:2}}]', '{"a\\\\":1,"a\\\\":1}']
)
def test_however_a_name_is_written_twice_it_is_found(text: str) -> None:
    assert has_repeats(text.encode(), json.loads(text))
