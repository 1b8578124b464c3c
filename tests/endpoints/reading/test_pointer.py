"""A JSON pointer leads to one value, or to none, and never to one of two."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.reading.body import read_body
from proxy.endpoints.reading.pointer import OddName, pointer_of, value_in
from proxy.errors import Refusal

DOCUMENT = {
    "usage": {"credits": 2.5, "more": [{"n": 1}, {"n": 2}]},
    "a/b": {"m~n": "x"},
    "": {"": 7},
    "é": 1,
    "flag": False,
    "long": "x" * 70_000,
    "after": 5,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/usage/credits", b"2.5"),
        ("/usage/more/1/n", b"2"),
        ("/usage/more", b'[{"n": 1}, {"n": 2}]'),
        ("/a~1b/m~0n", b'"x"'),
        ("//", b"7"),
        ("/é", b"1"),
        ("/flag", b"false"),
        ("/after", b"5"),
        ("/usage/more/2/n", None),
        ("/usage/more/01/n", None),
        ("/usage/more/-", None),
        ("/usage/credits/n", None),
        ("/absent", None),
        ("/usage/absent/credits", None),
    ],
)
def test_a_pointer_leads_to_the_bytes_of_a_value(pointer: str, value: bytes | None) -> None:
    found = value_in(read_body(json.dumps(DOCUMENT).encode()), pointer_of(pointer))
    assert (None if found is None else bytes(found)) == value


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        *((text, "begins with '/'") for text in ("", "usage", "a/b")),
        *((text, "neither ~0 nor ~1") for text in ("/~", "/a~2", "/a~")),
        (f"/{'x' * 65}", "longer than 64 characters"),
    ],
)
def test_what_is_no_pointer_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        pointer_of(text)


@pytest.mark.parametrize(
    "document",
    [
        b'{"usage": {"credits": 1, "credits": 2}}',
        b'{"usage": {"credits": 1, "Credits": 2}}',
        b'{"usage": {"CREDITS": 2}}',
        b'{"usage": {"credits": 1}, "Usage": {"credits": 2}}',
        rb'{"usage": {"credits": 1, "\u0063redits": 2}}',
    ],
)
def test_a_name_that_can_be_read_in_two_ways_leads_nowhere(document: bytes) -> None:
    """Twice, in another case, or once with escapes: upstreams differ in which they read."""
    with pytest.raises(OddName):
        value_in(read_body(document), pointer_of("/usage/credits"))


def test_a_value_of_too_many_others_is_not_walked() -> None:
    body = read_body(b'{"usage": [' + b"0," * 300_000 + b"0]}")
    with pytest.raises(Refusal):
        value_in(body, pointer_of("/usage/299999"))


NAMES = st.text(max_size=5)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.text(max_size=5) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=4), st.data())
def test_every_value_of_a_document_has_a_pointer(document: dict[str, Any], data: st.DataObject) -> None:
    """Names are escaped as RFC 6901 says, and indexes are those of the array."""
    value: Any = document
    text = ""
    while value and isinstance(value, dict | list) and (not text or data.draw(st.booleans())):
        step = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        value = value[step]
        text += "/" + str(step).replace("~", "~0").replace("/", "~1")
    try:
        found = value_in(read_body(json.dumps(document).encode()), pointer_of(text))
    except OddName:
        return  # Two names that differ only in case.
    assert found is not None
    assert json.loads(bytes(found)) == value
