"""A form's parts are where every reader of forms finds them, or the form is refused."""

import email.policy
import os
import re
from collections.abc import Iterable, Sequence
from email.parser import BytesParser

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from python_multipart.multipart import MultipartParser, parse_options_header

from proxy.endpoints.reading.multipart import (
    HEAD_BYTES_MAX,
    PARTS_MAX,
    BodyPart,
    boundary_of,
    read_parts,
)
from proxy.endpoints.reading.steps import STEP_BYTES
from proxy.errors import Refusal

Found = list[tuple[str, bool, bytes]]
"""Of each part its name, whether it is a file, and what it holds."""

BOUNDARY = b"b-7"
FILE = b'name="file"; filename="a.wav"'
NAMES = st.sampled_from(["model", "file", "stream", "include[]", "chunking_strategy[type]", "a.b-c_d"])
CONTENTS = st.lists(
    st.sampled_from([b"\r\n", b"\n", b"\r", b"--", b"-", b"b-7", b"b-", b"\0\xff", b"", b"Hi", b":"])
).map(b"".join)
FILENAMES = st.none() | st.sampled_from(["a.wav", "\u00e4 b.mp3", "C:\\sounds\\a.wav", "a;b.ogg", "name=x"])


def written(parts: Iterable[tuple[str, str | None, bytes]], boundary: bytes = BOUNDARY) -> bytes:
    """A form as most clients write it."""
    pieces = []
    for name, filename, content in parts:
        head = f'Content-Disposition: form-data; name="{name}"'
        if filename is not None:
            head += f'; filename="{filename}"\r\nContent-Type: audio/wav'
        pieces.append(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head.encode(), content))
    return b"".join((*pieces, b"--%b--\r\n" % boundary))


def one(head: bytes, content: bytes = b"x") -> bytes:
    """A form of one part with this head."""
    return b"--b-7\r\n%b\r\n\r\n%b\r\n--b-7--\r\n" % (head, content)


def here(data: bytes, parts: Sequence[BodyPart]) -> Found:
    return [(part.name, part.filename is not None, data[part.start : part.stop]) for part in parts]


def as_pythons_mail_reader(data: bytes, boundary: bytes) -> Found:
    head = b'Content-Type: multipart/form-data; boundary="%b"\r\n\r\n' % boundary
    message = BytesParser(policy=email.policy.compat32).parsebytes(head + data)
    found: Found = []
    for part in message.walk():
        if part is not message:
            name, content = (
                part.get_param("name", header="content-disposition"),
                part.get_payload(decode=True),
            )
            assert isinstance(content, bytes)
            found.append((str(name), part.get_filename() is not None, content))
    return found


def as_starlettes_reader(data: bytes, boundary: bytes) -> Found:
    """The reader of starlette, and so of vLLM and all that is built on FastAPI."""
    found: Found = []
    state: dict[str, bytes] = {}

    def add(key: str, chunk: bytes, start: int, end: int) -> None:
        state[key] = state.get(key, b"") + chunk[start:end]

    def end_header() -> None:
        if state.pop("field", b"").lower() == b"content-disposition":
            state["disposition"] = state.get("value", b"")
        state.pop("value", None)

    def end_part() -> None:
        _, options = parse_options_header(state.get("disposition", b""))
        found.append((options[b"name"].decode(), b"filename" in options, state.get("data", b"")))
        state.clear()

    parser = MultipartParser(
        boundary,
        {
            "on_header_field": lambda chunk, start, end: add("field", chunk, start, end),
            "on_header_value": lambda chunk, start, end: add("value", chunk, start, end),
            "on_header_end": end_header,
            "on_part_data": lambda chunk, start, end: add("data", chunk, start, end),
            "on_part_end": end_part,
        },
    )
    parser.write(data)
    parser.finalize()
    return found


@given(st.lists(st.tuples(NAMES, FILENAMES, CONTENTS), max_size=4))
def test_what_clients_write_is_read_as_it_was_meant(parts: list[tuple[str, str | None, bytes]]) -> None:
    """Contents may have anything in them but the boundary."""
    data = written(parts)
    if any(b"--b-7" in content for _, _, content in parts):
        with pytest.raises(Refusal):
            read_parts(data, BOUNDARY)
        return
    meant = [(name, filename is not None, content) for name, filename, content in parts]
    assert here(data, read_parts(data, BOUNDARY)) == meant


SNIPPETS = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"--b-7", b"\r\n--b-7\r\n", b"\n--b-7\n", b"\r\n--b-7--\r\n"),
        *(b"--b-7--", b"-", b"--", b" ", b"\t", b'"', b"'", b"\\", b'\\"', b";", b"=", b":", b"\0", b"\xff"),
        *(b'; name="model"', b"; name=model", b'; filename="x"', b"; filename*=utf-8''x", b'; name*="x"'),
        *(b"\r\nContent-Type: text/plain", b"\r\nContent-Type: multipart/mixed; boundary=c"),
        *(b"\r\nContent-Disposition: form-data; name=model", b"\r\n folded", b"content-length: 1\r\n"),
        *(b"\r\nContent-Length: 2", b"\r\nContent-Transfer-Encoding: base64", b"\r\nContent-Encoding: gzip"),
        *(b"Content-Disposition", b"form-data", b"name", b"FORM-DATA", b"Name", b"_", b"%22", b"[]", b""),
    ]
)
EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 6), SNIPPETS), max_size=3)


@example([("model", None, b"x"), ("file", "a.wav", b"RIFF")], [(40, 0, b'\\"')])
@given(st.lists(st.tuples(NAMES, FILENAMES, CONTENTS), min_size=1, max_size=3), EDITS)
def test_a_form_is_read_as_others_read_it_or_refused(
    parts: list[tuple[str, str | None, bytes]], edits: list[tuple[int, int, bytes]]
) -> None:
    """Whatever is done to a form: what is read of it is what two readers of others read."""
    data = written(parts)
    for at, cut, snippet in edits:
        data = data[:at] + snippet + data[at + cut :]
    try:
        found = here(data, read_parts(data, BOUNDARY))
    except Refusal:
        return
    assert found == as_pythons_mail_reader(data, BOUNDARY)
    assert found == as_starlettes_reader(data, BOUNDARY)


@example(b"--", b"--b-7")
@given(st.binary(max_size=200), st.sampled_from([b"--b-7\r\n", b"", b"--b-7"]))
def test_any_bytes_are_refused_in_the_same_way(noise: bytes, begins: bytes) -> None:
    """Only a form that has no part is read: its boundary and two hyphens."""
    data = begins + noise
    if data in {b"--b-7--", b"--b-7--\r\n"}:
        assert read_parts(data, BOUNDARY) == ()
        return
    with pytest.raises(Refusal) as refused:
        read_parts(data, BOUNDARY)
    assert refused.value.code == "invalid_value"


READ = [
    (b'Content-Disposition: form-data; name="file"; filename="a.wav"', ("file", "a.wav")),
    (b"content-disposition: form-data; name=file; filename=a.wav; filename*=utf-8''a.wav", ("file", "a.wav")),
    (b'Content-Disposition:form-data;name="file";filename="\xff"', ("file", "\ufffd")),
    (b'Content-Disposition: form-data; filename="a%22b.wav"; name="file"', ("file", "a%22b.wav")),
    (b"Content-Type: text/plain\r\nContent-Disposition: form-data; name=model", ("model", None)),
    (b"Content-Disposition: form-data; name=model\r\nContent-Length: 1", ("model", None)),
    (b"Content-Disposition: form-data; name=model\r\nContent-Transfer-Encoding: 8bit", ("model", None)),
]


@pytest.mark.parametrize(("head", "meant"), READ)
def test_what_clients_have_in_a_head_is_read(head: bytes, meant: tuple[str, str | None]) -> None:
    """As curl, .NET, Go, OkHttp and Apache's client write it."""
    (part,) = read_parts(one(head), BOUNDARY)
    assert (part.name, part.filename) == meant


REFUSED = [
    (b"", "does not begin"),
    (b"--b-7", "does not end"),
    (b"--b-7\r\n", "does not end"),
    (b"\r\n--b-7--\r\n", "does not begin"),
    (b"preamble\r\n--b-7--\r\n", "does not begin"),
    (b"--b-7--\r\nepilogue", "does not end"),
    (b"--b-7--\r\n--b-7--\r\n", "after the boundary of part 1"),
    (written([("a", None, b"x")])[:-8], "does not end"),
    (written([("a", None, b"x\n--b-7\ny")]), "within a part"),
    (written([("a", None, b"x--b-7")]), "within a part"),
    (written([("a", None, b"x")]).replace(b"\r\n", b"\n"), "within a part"),
    (b"--b-7 \r\n" + written([("a", None, b"x")])[7:], "no line's end"),
    (b"--b-7x\r\n" + written([("a", None, b"x")])[7:], "no line's end"),
    (b"--b-7\r\nContent-Disposition: form-data; name=a\r\n\r\n--b-7--\r\n", "no head"),
    (b"--b-7\r\n--b-7--\r\n", "no head"),
    (one(b""), "odd, not known"),
    (one(b"X-A: b"), "odd, not known"),
    (one(b"Content-Type: text/plain"), "no `Content-Disposition"),
    (one(b"Content-Disposition: attachment; name=a"), "no `Content-Disposition"),
    (one(b"Content-Disposition: form-data"), "the name of part 1"),
    (one(b"Content-Disposition: form-data; name="), "is odd, or names"),
    (one(b'Content-Disposition: form-data; name=""'), "the name of part 1"),
    (one(b'Content-Disposition: form-data; name="_charset_"'), "the name of part 1"),
    (one(b'Content-Disposition: form-data; name="mod\xc3\xa9l"'), "the name of part 1"),
    (one(b'Content-Disposition: form-data; name="a[b][c]"'), "the name of part 1"),
    (one(b'Content-Disposition: form-data; name="a" x'), "is odd, or names"),
    (one(b'Content-Disposition: form-data; name="a'), "is odd, or names"),
    (one(b'Content-Disposition: form-data; name="a";'), "is odd, or names"),
    (one(b'Content-Disposition: form-data; name="a"; name="b"'), "is odd, or names"),
    (one(b'Content-Disposition: form-data; Name="a"'), "is odd, or names"),
    (one(b"Content-Disposition: form-data; name=a; name*=utf-8''b"), "another parameter"),
    (one(b"Content-Disposition: form-data; name=a; filename*=utf-8''b"), "another parameter"),
    (one(b'Content-Disposition: form-data; name=a; filename=""'), "a file's name that is empty"),
    (one(b'Content-Disposition: form-data; name=a; filename="b\\"; name=c'), "names something"),
    (one(b'Content-Disposition: form-data; name=a; filename="b\\"; x="c"'), "a file's name"),
    (one(b'Content-Disposition: form-data; name=a; filename="b; name=c"'), "a file's name"),
    (one(b"Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b"), "there twice"),
    (one(b"Content-Disposition: form-data; name=a\n x"), "odd, not known"),
    (one(b"Content-Disposition: form-data;\r\n name=a"), "odd, not known"),
    (one(b"Content-Disposition: form-data; name=a\0"), "odd, not known"),
    (one(b"Content-Disposition: form-data; name=a\r\nContent-Encoding: gzip"), "odd, not known"),
    (one(b"Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64"), "`a` is encoded"),
    (one(b"Content-Disposition: form-data; name=a\r\nContent-Length: 2"), "another length"),
    (one(b"Content-Disposition: form-data; name=a\r\nContent-Type: Multipart/Mixed; boundary=c"), "its own"),
    (one(b"Content-Disposition: form-data; name=a\r\nContent-Type: message/rfc822"), "its own"),
    (one(b'Content-Disposition: form-data; name=a; filename="%b"' % (b"x" * HEAD_BYTES_MAX)), "no head"),
    (written([("a", None, b"x")] * (PARTS_MAX + 1)), "more than"),
]


@pytest.mark.parametrize(("data", "reason"), REFUSED)
def test_what_readers_differ_about_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Refusal, match=re.escape(reason)) as refused:
        read_parts(data, BOUNDARY)
    assert refused.value.code == "invalid_value"


def test_as_many_parts_as_allowed_are_read() -> None:
    assert len(read_parts(written([("a", None, b"x")] * PARTS_MAX), BOUNDARY)) == PARTS_MAX


@pytest.mark.parametrize("before", range(STEP_BYTES - 40, STEP_BYTES + 40))
def test_a_boundary_is_found_wherever_it_is(before: int) -> None:
    """A body is searched in steps, and a boundary may lie in two of them."""
    data = written([("file", "a", b"-" * before), ("model", None, b"m")])
    assert [part.name for part in read_parts(data, BOUNDARY)] == ["file", "model"]


def test_what_an_sdk_sends_is_read() -> None:
    """The HTTP client of OpenAI's SDK writes the form."""
    sound = os.urandom(3 * STEP_BYTES)
    request = httpx2.Request(
        "POST",
        "http://host/",
        data={"model": "whisper-1", "include[]": ["logprobs", "x"]},
        files=[("file", ('\u00e4".wav', sound, "audio/wav"))],
    )
    data = request.read()
    parts = read_parts(data, boundary_of(list(request.headers.items())))
    assert [part.name for part in parts] == ["model", "include[]", "include[]", "file"]
    assert data[parts[3].start : parts[3].stop] == sound
    assert (parts[3].filename, parts[3].content_type) == ("\u00e4%22.wav", "audio/wav")


FORM = "multipart/form-data; boundary="


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        (FORM + "b-7", b"b-7"),
        (FORM + '"b-7"', b"b-7"),
        (FORM + '"a=b/(c):d"', b"a=b/(c):d"),
        ("Multipart/Form-Data;boundary=x", b"x"),
        ("multipart/form-data; charset=utf-8; boundary=x", b"x"),
        (FORM + "----WebKitFormBoundaryAb1; charset=UTF-8", b"----WebKitFormBoundaryAb1"),
        (FORM + "a" * 70, b"a" * 70),
    ],
)
def test_a_boundary_is_read(value: str, boundary: bytes) -> None:
    assert boundary_of([("Accept", "x"), ("CONTENT-TYPE", value)]) == boundary


@pytest.mark.parametrize(
    "values",
    [
        *(
            [],
            ["application/json"],
            ["multipart/form-data"],
            [FORM],
            [FORM + '""'],
            ["multipart/mixed; boundary=x"],
        ),
        *(
            [FORM + "x; boundary=y"],
            [FORM + "x", FORM + "x"],
            [FORM + "x\ud800"],
            [FORM + "a b"],
            [FORM + '"a b"'],
        ),
        *([FORM + "a" * 71], [FORM + '"x'], [FORM + "a/b"], [FORM + '"a\\"b"'], [FORM + "x; charset=utf-7"]),
        *([FORM + "x, " + FORM + "y"], ["multipart/form-data; boundary*=utf-8''x"], [FORM + "\u0131"]),
    ],
)
def test_a_head_without_one_usable_boundary_is_refused(values: list[str]) -> None:
    with pytest.raises(Refusal) as refused:
        boundary_of([("Content-Type", value) for value in values])
    assert (refused.value.code, refused.value.param) == ("invalid_value", "content-type")


def test_a_head_under_a_name_that_some_take_for_it_counts_as_another() -> None:
    with pytest.raises(Refusal):
        boundary_of([("Content-Type", FORM + "x"), ("Content_Type", FORM + "y")])
