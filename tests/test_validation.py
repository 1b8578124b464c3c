"""What is wrong with plain data, and what would be right: the same search for files and for requests."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.api.admin.bodies import AccountChange, KeyChange, NewAccount, NewGrant, NewKey
from proxy.validation import did_you_mean, faults_of, is_visible_ascii, path_text, wanted, wants

BODIES = (AccountChange, KeyChange, NewAccount, NewGrant, NewKey)
NAMES = sorted({field for body in BODIES for field in body.__struct_fields__} | {"day", "rpm", "colour"})
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**6),
    st.sampled_from(["", "a", "8", "none", "active", "2030-01-01T00:00:00Z"]),
)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(NAMES),
    LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.sampled_from(NAMES), LEAVES, max_size=3),
    max_size=4,
)


@pytest.mark.parametrize("body", BODIES)
@given(raw=OBJECTS)
def test_faults_are_found_where_the_decoder_finds_one(
    body: type[msgspec.Struct], raw: dict[str, Any]
) -> None:
    """There is a fault if and only if the decoder refuses, since the search runs beside it."""
    try:
        msgspec.convert(raw, body, strict=True)
    except msgspec.ValidationError:
        assert list(faults_of(raw, body, strict=True))
    else:
        assert not list(faults_of(raw, body, strict=True))


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    items: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=9)]], wants("one to two digits", min_length=1)]


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner
    size: Literal["s", "m"] | None = None


@pytest.mark.parametrize(
    ("raw", "kind", "path", "words"),
    [
        ({}, "missing", "inner", "a mapping"),
        ({"inner": {}}, "missing", "inner.items", "one to two digits"),
        ({"inner": {"items": [1, 10]}}, "value", "inner.items[1]", "a whole number from 1 to 9"),
        ({"inner": {"items": []}}, "value", "inner.items", "one to two digits"),
        ({"inner": {"items": {}}}, "kind", "inner.items", "one to two digits"),
        ({"inner": {"items": [1], "more": 2}}, "unknown", "inner.more", ""),
        ({"inner": None}, "kind", "inner", "a mapping"),
        ({"inner": {"items": [1]}, "size": "l"}, "value", "size", "'m' or 's'"),
        ({"inner": {"items": [1]}, "size": ["s"]}, "kind", "size", "'m' or 's'"),
    ],
)
def test_a_fault_says_where_it_is_and_what_would_be_right(
    raw: object, kind: str, path: str, words: str
) -> None:
    """The path to it, its kind, and what is wanted there."""
    [fault] = faults_of(raw, Outer, strict=True)
    assert (fault.kind, path_text(fault.path), fault.wanted) == (kind, path, words)


def test_every_fault_is_found_in_the_order_of_the_data() -> None:
    """What is missing comes after what is there."""
    raw = {"size": 1, "colour": "red"}
    assert [path_text(fault.path) for fault in faults_of(raw, Outer, strict=True)] == [
        "size",
        "colour",
        "inner",
    ]


def test_a_type_is_told_in_words() -> None:
    """By its bounds, and by words of its own where it has any."""
    assert wanted(int | str | None) == "a whole number or text"
    assert wanted(Annotated[int, msgspec.Meta(ge=0, le=9)]) == "a whole number from 0 to 9"
    assert wanted(list[Annotated[str, wants("a day")]]) == "a list, each a day"


@pytest.mark.parametrize(
    ("text", "visible"), [("sk-1~!", True), ("", False), ("a b", False), ("\u00e9", False)]
)
def test_visible_ascii_can_be_sent_in_a_header(text: str, visible: bool) -> None:
    assert is_visible_ascii(text) is visible


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("server", "port"), "server.port"),
        (("routes", 0, "targets", 12, "model"), "routes[0].targets[12].model"),
        (("a", "x\ny"), r"a.'x\ny'"),
    ],
)
def test_a_path_reads_as_one_writes_it_and_keeps_to_its_line(path: tuple[str | int, ...], text: str) -> None:
    assert path_text(path) == text


def test_the_nearest_name_is_offered_and_else_all_of_them() -> None:
    assert did_you_mean("opnai", ["openai", "demo"]) == "did you mean 'openai'?"
    assert did_you_mean("x", ["openai", "demo"]) == "there is 'openai', 'demo'"
    assert did_you_mean("x", []) == "there is none"
    assert did_you_mean("x", [f"name-{n}" for n in range(99)]).endswith(", 'name-15', ...")
