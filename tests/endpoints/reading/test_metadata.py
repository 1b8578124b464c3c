"""What is kept of `metadata` is bounded, and whatever it holds, nothing is refused for it."""

import json

import pytest

from proxy.endpoints.reading.body import read_body
from proxy.endpoints.reading.metadata import (
    BYTES_MAX,
    KEY_CHARS_MAX,
    MEMBERS_MAX,
    VALUE_CHARS_MAX,
    metadata_of,
)


def kept(metadata: object) -> object:
    found = metadata_of(read_body(json.dumps({"metadata": metadata}).encode()))
    assert len(found.encode()) <= BYTES_MAX
    return json.loads(found) if found else ""


def test_texts_are_kept_as_they_are() -> None:
    assert kept({"team": "fares", "ride": 'a "b" é'}) == {"team": "fares", "ride": 'a "b" é'}


@pytest.mark.parametrize(
    "metadata", [None, 7, "x", ["a"], {}, {"a": 7, "b": None, "c": {"d": "e"}}, {"\n": "x"}]
)
def test_what_is_no_text_is_not_kept(metadata: object) -> None:
    assert kept(metadata) == ""


def test_what_cannot_be_printed_is_left_out() -> None:
    assert kept({"a\u0000b": "x\u202ey\n"}) == {"ab": "xy"}


def test_no_more_is_kept_than_there_may_be() -> None:
    many = kept({f"key {number}": "x" for number in range(MEMBERS_MAX + 5)})
    assert isinstance(many, dict)
    assert list(many) == [f"key {number}" for number in range(MEMBERS_MAX)]
    assert kept({"k" * 900: "v" * 9_000}) == {"k" * KEY_CHARS_MAX: "v" * VALUE_CHARS_MAX}
    wide = kept({f"key {number}": "\u20ac" * 600 for number in range(16)})
    assert isinstance(wide, dict)
    assert list(wide) == ["key 0", "key 1"]


def test_names_that_are_no_text_refuse_nothing() -> None:
    assert metadata_of(read_body(b'{"metadata": {"\\ud800": "x"}}')) == ""
    assert metadata_of(read_body(b'{"model": "m"}')) == ""
