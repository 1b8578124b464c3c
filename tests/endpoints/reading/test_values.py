"""Large values are decoded in short steps, and are what any decoder makes of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.reading import values
from proxy.endpoints.reading.values import value_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=30,
)


@given(VALUES, st.integers(0, 3), st.sampled_from([0, 5, 20]), st.sampled_from([None, 1]))
def test_a_value_is_the_same_however_much_of_it_is_large(
    value: object, levels: int, step: int, indent: int | None
) -> None:
    """Level by level, and below some levels in one pass."""
    text = json.dumps(value, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "STEP_BYTES", step)
        assert value_of(text, (), levels) == value


@pytest.mark.parametrize("name", ["a", "b" * 70_000])
def test_what_is_nested_deeply_is_decoded_in_one_pass(name: str) -> None:
    value: object = ["x" * 1_000] * 200
    for _ in range(40):
        value = {"a": 1, "deeper": [0, value]}
    assert value_of(json.dumps(value).encode(), ()) == value
    assert value_of(json.dumps([name, value]).encode(), ()) == [name, value]
