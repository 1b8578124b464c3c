"""How deep a JSON text is nested is told from its bytes, exactly, quickly, and without a stack."""

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.reading.body import read_body
from proxy.endpoints.reading.depth import DEPTH_MAX, is_too_deep
from proxy.endpoints.reading.long_text import decode
from proxy.endpoints.reading.steps import STEP_BYTES
from proxy.endpoints.tallies.cost import with_cost
from proxy.endpoints.tallies.part import SHORT_BYTES, read_part
from proxy.errors import Refusal

TRAPS = st.text('[]{}"\\/bu,: x', max_size=6)
VALUES = st.recursive(
    TRAPS | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TRAPS, inner, max_size=3),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    """How deep a decoded value is nested, told the slow way."""
    if not isinstance(value, list | dict):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth_of, inner), default=0)


@given(VALUES, st.integers(0, 12), st.integers(0, 40))
def test_the_depth_of_every_text_is_told_exactly(value: object, around: int, before: int) -> None:
    """Whatever brackets, quotes and backslashes its strings hold, and wherever a step ends."""
    for _ in range(around):
        value = [value]
    depth = depth_of(value)
    for padding in (b"", b" " * (STEP_BYTES - before), b'"\\\\' * 3 + b'"' + b" " * (STEP_BYTES - before)):
        text = padding + json.dumps(value).encode()
        assert not is_too_deep(text, depth)
        if depth:
            assert is_too_deep(text, depth - 1)


@pytest.mark.parametrize("shift", range(4))
def test_a_backslash_at_the_end_of_a_step_escapes_the_next_ones_first_byte(shift: int) -> None:
    text = b'"' + b"x" * (STEP_BYTES - 2 - shift) + b'\\"[[[' + b'\\\\",[1]'
    assert not is_too_deep(b"[" + text + b"]", 2)
    assert is_too_deep(b"[" + text + b"]", 1)


def deep(levels: int, inner: bytes = b"1") -> bytes:
    return b"[" * levels + inner + b"]" * levels


@pytest.mark.parametrize("beside", [b"1", b"[]," * 40_000 + b"1", b'{"a":[{}]},' * 20_000 + b"1"])
@pytest.mark.parametrize("strings", [b'"x"', b'"\\n\\"[[\\\\"'])
def test_a_body_may_be_nested_as_deep_as_the_bound_and_no_deeper(beside: bytes, strings: bytes) -> None:
    """The bound is a number of Farebox's and holds on every interpreter; what is read can be decoded."""
    within = deep(DEPTH_MAX - 2, b"[" + strings + b"]")
    body = read_body(b'{"b":[' + beside + b'],"a":' + within + b"}")
    assert depth_of(body["a"]) == DEPTH_MAX - 1
    with pytest.raises(Refusal, match=f"is nested more than {DEPTH_MAX} deep") as refused:
        read_body(b'{"b":[' + beside + b'],"a":[' + within + b"]}")
    assert refused.value.code == "invalid_json"


def test_a_body_at_the_bound_is_decoded_with_marks_and_surrogates() -> None:
    body = b'{"a":' + deep(DEPTH_MAX - 1, b'"\\ud800"') + b',"b":"' + b"QUJD" * 100_000 + b'"}'
    assert depth_of(read_body(body)["a"]) == DEPTH_MAX - 1
    assert depth_of(decode(deep(DEPTH_MAX), ())) == DEPTH_MAX


def test_a_reply_that_is_nested_deeper_is_not_read() -> None:
    """It is passed on as it is, and what it says of itself counts for nothing."""
    for levels, is_read in ((DEPTH_MAX - 1, True), (DEPTH_MAX, False), (100_000, False)):
        reply = b'{"usage":{"a":1},"x":' + deep(levels) + b',"pad":"' + b"x" * SHORT_BYTES + b'"}'
        assert (read_part(reply) is not None) == is_read
        assert (with_cost(reply, "0.01") is not None) == is_read
    assert read_part(b'{"x":' + deep(SHORT_BYTES // 2 - 10) + b"}") is not None


LARGE_BYTES = 16_000_000
LARGE: dict[str, Callable[[int], bytes]] = {
    "nested": lambda size: b'{"a":' + deep(size // 2) + b"}",
    "flat": lambda size: b'{"a":[' + b"[]," * (size // 3) + b"1]}",
    "flat below the bound": lambda size: b'{"a":' + deep(DEPTH_MAX - 2, b"{}," * (size // 3) + b"1") + b"}",
    "in strings": lambda size: b'{"a":[' + b'"[",' * (size // 4) + b"1]}",
    "quotes": lambda size: b'{"a":[' + b"[]," * DEPTH_MAX + b'"",' * (size // 3) + b"1]}",
    "backslashes": lambda size: b'{"a":[' + b"[]," * DEPTH_MAX + b'"' + b"\\\\" * (size // 2) + b'"]}',
}


@pytest.mark.parametrize("kind", LARGE)
def test_the_largest_texts_take_no_longer_than_their_length(kind: str) -> None:
    """A quarter of the largest body takes a good deal less than a second of processor time."""
    text = LARGE[kind](LARGE_BYTES)
    before = time.thread_time()
    assert is_too_deep(text) == (kind == "nested")
    assert time.thread_time() - before < 0.75
