"""A form's fields are read once, in one way, and a form goes up as it came but for what is changed."""

import json
import os
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.reading.form import FIELDS_BYTES_MAX, FILES_MAX, FormBody, Kinds, read_form
from proxy.endpoints.reading.multipart import HEAD_BYTES_MAX, PARTS_MAX, read_parts
from proxy.errors import Refusal
from tests.endpoints.forms import HEADERS, field, file, form

BOUNDARY = b"b-7"
KINDS: Kinds = {
    "stream": "flag",
    "n": "number",
    "file": "file",
    "image": "files",
    "include": "list",
    "chunking_strategy": "object",
}


def read(*parts: bytes) -> FormBody:
    return read_form(form(*parts), HEADERS, KINDS)


READ = [
    ([field("model", "m")], {"model": "m"}),
    ([field("prompt", 'a "b"\r\n\u00e4')], {"prompt": 'a "b"\r\n\u00e4'}),
    ([field("model", "m", "Content-Type: text/plain; charset=utf-8")], {"model": "m"}),
    ([field("model", "m", "Content-Type: text/plain")], {"model": "m"}),
    ([field("model", "")], {"model": ""}),
    ([field("stream", "true")], {"stream": True}),
    ([field("stream", "False")], {"stream": False}),
    ([field("n", "2")], {"n": 2}),
    ([field("n", "-2.5")], {"n": -2.5}),
    ([field("frobnicate", "true")], {"frobnicate": "true"}),
    ([file("file", b"RIFF")], {"file": 4}),
    ([file("image", b"a"), field("n", "1"), file("image", b"bc")], {"image": [1, 2], "n": 1}),
    ([file("image[]", b"a"), file("image[]", b"bc")], {"image": [1, 2]}),
    ([field("include[]", "a"), field("include[]", "a")], {"include": ["a", "a"]}),
    ([field("include", "a"), field("include", "b")], {"include": ["a", "b"]}),
    ([field("include", "a")], {"include": ["a"]}),
    ([field("chunking_strategy", "auto")], {"chunking_strategy": "auto"}),
    (
        [field("chunking_strategy[type]", "server_vad"), field("chunking_strategy[threshold]", "0.5")],
        {"chunking_strategy": {"type": "server_vad", "threshold": "0.5"}},
    ),
    ([], {}),
]


@pytest.mark.parametrize(("parts", "meant"), READ)
def test_fields_are_read_as_the_members_of_a_json_body(parts: list[bytes], meant: dict[str, object]) -> None:
    members = read(*parts).members
    assert {name: members[name] for name in members} == meant


REFUSED = [
    ("model", [field("model", "a"), field("model", "a")]),
    ("model", [field("model", "a"), field("model[]", "b")]),
    ("Model", [field("model", "a"), field("Model", "b")]),
    ("model", [field("model[]", "a")]),
    ("model", [field("model[x]", "a")]),
    ("model", [field("model", b"\xff")]),
    ("model", [field("model", "m", "Content-Type: text/plain; charset=utf-16")]),
    ("model", [field("model", "m", "Content-Type: application/json")]),
    ("model", [file("model", b"m")]),
    ("stream", [field("stream", "1")]),
    ("stream", [field("stream", "")]),
    ("stream", [field("stream[]", "true")]),
    ("n", [field("n", "1_000")]),
    ("n", [field("n", "01")]),
    ("n", [field("n", " 1")]),
    ("n", [field("n", "1e2")]),
    ("n", [field("n", "\u0662")]),
    ("n", [field("n", "NaN")]),
    ("file", [field("file", "RIFF")]),
    ("file", [file("file", b"a"), file("file", b"b")]),
    ("file", [file("file[]", b"a")]),
    ("image", [file("image", b"a"), file("image[]", b"b")]),
    ("image", [file("image[0]", b"a")]),
    ("include", [field("include", "a"), field("include[]", "b")]),
    ("include", [field("include[a]", "a")]),
    ("chunking_strategy", [field("chunking_strategy", "auto"), field("chunking_strategy[type]", "x")]),
    ("chunking_strategy", [field("chunking_strategy[a]", "x"), field("chunking_strategy[a]", "y")]),
    ("chunking_strategy", [field("chunking_strategy[a]", "x"), field("chunking_strategy[]", "y")]),
    ("chunking_strategy", [field("chunking_strategy[]", "x")]),
    ("chunking_strategy", [file("chunking_strategy[a]", b"x")]),
    (None, [file("image", b"a")] * (FILES_MAX + 1)),
    (None, [field("prompt", "a" * FIELDS_BYTES_MAX), field("model", "m")]),
]


@pytest.mark.parametrize(("param", "parts"), REFUSED)
def test_a_field_that_can_be_read_in_two_ways_is_refused_by_name(
    param: str | None, parts: list[bytes]
) -> None:
    """Given twice, in two forms, in another case, as a file or not: upstreams differ in what they take."""
    with pytest.raises(Refusal) as refused:
        read(*parts)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


HEAD = len('Content-Disposition: form-data; name="image"; filename=""\r\n\r\n') + 2


@pytest.mark.parametrize(
    ("most", "made"),
    [
        (PARTS_MAX, lambda most: [field("include", "a")] * most),
        (FILES_MAX, lambda most: [file("image", b"a")] * most),
        (FIELDS_BYTES_MAX, lambda most: [field("model", "m"), field("prompt", "a" * (most - 1))]),
        (HEAD_BYTES_MAX, lambda most: [file("image", b"a", "x" * (most - HEAD))]),
    ],
    ids=["parts", "files", "bytes of fields", "bytes of a head"],
)
def test_a_form_has_no_more_parts_files_and_bytes_than_are_bounded(
    most: int, made: Callable[[int], list[bytes]]
) -> None:
    """As many as are allowed are read, and one more is refused."""
    assert read(*made(most)).parts
    with pytest.raises(Refusal) as refused:
        read(*made(most + 1))
    assert refused.value.code == "invalid_value"


def test_to_read_a_form_takes_no_memory_beside_its_body() -> None:
    """However large its files are: where they lie is all that is noted of them."""
    data = form(field("model", "m"), *[file("image", bytes(2_000_000))] * 8)
    read_form(data, HEADERS, KINDS)
    tracemalloc.start()
    try:
        read_form(data, HEADERS, KINDS)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 65_536


def test_a_file_is_found_and_not_copied() -> None:
    sound = os.urandom(100)
    body = read(field("model", "m"), file("file", sound, "x.mp3"))
    (part,) = body.files("file")
    content = body.content(part)
    assert (bytes(content), content.obj, part.filename) == (sound, body.data, "x.mp3")
    assert body.files("model") == []


def test_a_form_that_is_not_changed_is_the_very_same_bytes() -> None:
    body = read(field("model", "m"), file("file", b"x"))
    assert body.patched({}) is body.data


CHANGES = [
    ({"model": "n"}, [field("n", "1"), field("model", "n"), file("file", b"x")]),
    ({"model": None}, [field("n", "1"), file("file", b"x")]),
    ({"n": None, "model": None}, [file("file", b"x")]),
    ({"user": "u"}, [field("n", "1"), field("model", "m"), file("file", b"x"), field("user", "u")]),
    ({"user": None}, [field("n", "1"), field("model", "m"), file("file", b"x")]),
]


@pytest.mark.parametrize(("changes", "meant"), CHANGES)
def test_only_what_is_changed_differs(changes: dict[str, str | None], meant: list[bytes]) -> None:
    """Fields come before and after the file, in any order."""
    body = read(field("n", "1"), field("model", "m"), file("file", b"x"))
    assert body.patched(changes) == form(*meant)
    assert read().patched({"model": "m"}) == form(field("model", "m"))


def test_all_parts_of_a_list_are_left_out_or_replaced_as_one() -> None:
    body = read(field("include[]", "a"), field("n", "1"), field("include[]", "b"))
    assert body.patched({"include": None}) == form(field("n", "1"))
    assert body.patched({"include": "c"}) == form(field("include", "c"), field("n", "1"))


def test_no_replaced_text_can_end_its_part() -> None:
    """A client chooses the boundary, and could choose one that the name of a target's model holds."""
    with pytest.raises(Refusal) as refused:
        read(field("model", "m")).patched({"model": "x--b-7--"})
    assert (refused.value.code, refused.value.param) == ("invalid_value", "model")


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: "--b-7" not in text)
NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(st.dictionaries(NAMES, TEXTS), st.dictionaries(NAMES, st.none() | TEXTS), st.binary(max_size=50))
def test_what_is_changed_reads_as_it_was_changed(
    texts: dict[str, str], changes: dict[str, str | None], sound: bytes
) -> None:
    sound = sound.replace(b"--b-7", b"")
    body = read(*(field(name, text) for name, text in texts.items()), file("file", sound))
    again = read_form(body.patched(changes), HEADERS, KINDS)
    wanted = {name: text for name, text in (texts | changes).items() if text is not None}
    assert {name: again.members[name] for name in again.members} == {**wanted, "file": len(sound)}
    (part,) = again.files("file")
    assert again.content(part) == sound
    assert json.loads(bytes(again.members.members["file"])) == part.size_bytes
    assert len(read_parts(again.data, BOUNDARY)) == len(wanted) + 1
