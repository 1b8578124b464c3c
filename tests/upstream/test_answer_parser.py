"""The parser of answers: however bytes are cut, it reads one answer, and says what is none."""

import asyncio
from itertools import pairwise

import pytest
from aiohttp import ClientPayloadError
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError as RefusedByAiohttp
from aiohttp.http_parser import HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.answer_parser import (
    HEAD_MAX_BYTES,
    HEADER_MAX_BYTES,
    HEADERS_MAX,
    AnswerParser,
    NotHttp,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def parser(*, is_head: bool = False) -> AnswerParser:
    made = AnswerParser()
    made.begin(is_head=is_head)
    return made


def taken(made: AnswerParser) -> bytes:
    data = b"".join(made.pieces)
    made.pieces.clear()
    return data


def test_a_head_is_there_before_its_body_comes() -> None:
    """The answer is complete with the last byte of its length."""
    made = parser()
    made.feed(HEAD[:20])
    assert not made.head
    made.feed(HEAD[20:] + b"ab")
    assert made.head is not None
    assert (made.head.status, made.head.headers["content-length"], made.head.keeps) == (200, "4", True)
    assert (taken(made), made.complete) == (b"ab", False)
    made.feed(b"cd")
    assert (taken(made), made.complete, made.excess) == (b"cd", True, False)


def test_one_answer_follows_the_other() -> None:
    """Nothing of the one before is in the next."""
    made = AnswerParser()
    for body in (b"abcd", b"efgh"):
        made.begin(is_head=False)
        made.feed(HEAD + body)
        assert (taken(made), made.complete, made.excess) == (body, True, False)


@pytest.mark.parametrize(
    "leftover", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le", HEAD + b"next", b"SSH-2.0", b"\0"]
)
@pytest.mark.parametrize("connection", [b"", b"Connection: close\r\n"])
def test_what_follows_a_whole_answer_is_noticed_and_is_not_its_body(
    leftover: bytes, connection: bytes
) -> None:
    """Whatever it is: the connection is not used again, and the answer is what it was."""
    made = parser()
    made.feed(HEAD[:-2] + connection + b"\r\nabcd" + leftover)
    assert (taken(made), made.complete, made.excess) == (b"abcd", True, True)


@pytest.mark.parametrize(
    ("head", "ends"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n", True),
        (HEAD, False),
        (CHUNKED + b"4\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", False),
        (b"HTTP/1.1 200 O", False),
    ],
)
def test_only_a_body_without_a_length_ends_with_its_connection(head: bytes, ends: bool) -> None:
    """A length that is not reached, or chunks without the last one, are a broken answer."""
    made = parser()
    made.feed(head + b"ab" if head.endswith(b"\n") else head)
    assert (made.complete, made.ends_with_connection) == (False, ends)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (HEADERS_MAX + 1) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (HEADER_MAX_BYTES + 1) + b"\r\n\r\n",
        CHUNKED + b"xyz\r\n",
    ],
)
def test_what_is_not_http_or_beyond_all_bounds_is_one_error(data: bytes) -> None:
    """Bytes of another protocol, heads that can be read in two ways, and too many or too long fields."""
    with pytest.raises(NotHttp):
        parser().feed(data)


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"HTTP/1.1 200 ", b"O" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"X" * 1000),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000),
        (b"", INTERIM),
        (CHUNKED + b"4", b";" + b"x" * 999),
        (CHUNKED + b"0\r\n", b"X: " + b"y" * 995 + b"\r\n"),
        (CHUNKED + b"0\r\nX: ", b"y" * 1000),
    ],
    ids=["reason", "name", "value", "interim answers", "chunk extension", "trailers", "trailer"],
)
def test_nothing_beside_a_body_goes_on_for_ever(begins: bytes, goes_on: bytes) -> None:
    """Whatever an upstream may send without an end is ended when it is longer than any head."""
    made = parser()
    made.feed(begins)
    with pytest.raises(NotHttp):
        _feed_again_and_again(made, goes_on)


def _feed_again_and_again(made: AnswerParser, goes_on: bytes) -> None:
    for _ in range(HEAD_MAX_BYTES // len(goes_on) + 2):
        made.feed(goes_on)


def test_a_body_in_very_many_chunks_has_no_such_bound() -> None:
    """What frames them is forgotten with each part of the body."""
    made = parser()
    made.feed(CHUNKED)
    for _ in range(HEAD_MAX_BYTES // 4):
        made.feed(b"1;aaaa\r\n")
        made.feed(b"x\r\n")
        assert taken(made) == b"x"


def test_a_content_encoding_is_left_alone() -> None:
    """The body is undone elsewhere, in bounded pieces."""
    made = parser()
    made.feed(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab")
    assert taken(made) == b"ab"


@pytest.mark.parametrize(
    "head", [HEAD, b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]
)
def test_the_answer_to_head_has_no_body(head: bytes) -> None:
    """Its length is that of a body that does not come; the next answer has one."""
    made = parser(is_head=True)
    made.feed(head)
    assert (made.complete, made.excess, taken(made)) == (True, False, b"")
    made.begin(is_head=False)
    made.feed(HEAD + b"abcd")
    assert (made.complete, made.excess, taken(made)) == (True, False, b"abcd")


@pytest.mark.parametrize("status", [b"200 OK", b"304 Not Modified", b"204 No Content"])
def test_a_body_where_none_may_be_is_excess(status: bytes) -> None:
    """It is not passed on, and what comes later on the connection is not believed."""
    made = parser(is_head=status.startswith(b"200"))
    made.feed(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nabcd")
    assert (made.complete, made.excess, taken(made)) == (True, True, b"")


@pytest.mark.parametrize("head", [b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 304 No\r\nETag: x\r\n\r\n"])
def test_an_answer_without_a_body_is_complete_with_its_head(head: bytes) -> None:
    """Nothing more is waited for."""
    made = parser()
    made.feed(head)
    assert (made.complete, made.excess) == (True, False)


def test_interim_answers_are_passed_over() -> None:
    """Also when they come with the answer, and none of their fields is among its own."""
    made = parser()
    made.feed(INTERIM)
    assert not made.head
    made.feed(INTERIM + HEAD + b"abcd")
    assert made.head is not None
    assert (made.head.status, list(made.head.headers), taken(made)) == (200, ["Content-Length"], b"abcd")


@pytest.mark.parametrize("status", [b"000", b"099", b"150", b"199"])
@pytest.mark.parametrize(
    "body", [b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
def test_no_other_body_gets_into_that_of_an_answer(status: bytes, body: bytes) -> None:
    """What comes before an answer has no body, or is none."""
    made = parser()
    with pytest.raises(NotHttp):
        made.feed(b"HTTP/1.1 " + status + b" X\r\n" + body + HEAD + b"abcd")
    assert not made.complete


def test_another_protocol_ends_the_use_of_a_connection() -> None:
    """A 101 is an answer, and what follows it is not read."""
    made = parser()
    made.feed(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabcd")
    assert made.head is not None
    assert (made.head.status, made.complete, made.excess, taken(made)) == (101, True, True, b"")


def test_fields_behind_a_body_are_passed_over() -> None:
    """A trailer cannot change a head that is believed already."""
    made = parser()
    made.feed(CHUNKED + b"4\r\nabcd\r\n0\r\nContent-Type: text/evil\r\n\r\n")
    assert made.head is not None
    assert (list(made.head.headers), made.complete, made.excess) == (["Transfer-Encoding"], True, False)


FIELDS = st.sampled_from(
    [
        b"Content-Type: text/event-stream",
        b"X-A:   padded \t ",
        b"X-A: again",
        b"x-utf: \xc3\xa9 \xff",
        b"Connection: close",
        b"Keep-Alive: timeout=5",
        b"X-Empty:",
    ]
)
PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]))
    status = draw(st.sampled_from([b"200 OK", b"200", b"404 Not Found", b"500 \xe9", b"299 "]))
    fields, pieces = draw(st.lists(FIELDS, max_size=5)), draw(PIECES)
    end = draw(st.sampled_from([b"\r\n", b"\n"]))
    if draw(st.booleans()):
        fields.append(b"Transfer-Encoding: chunked")
        body = b"".join(
            b"%x%b\r\n%b\r\n" % (len(p), draw(st.sampled_from([b"", b" ", b";a=b"])), p) for p in pieces
        )
        body += b"0\r\n\r\n"
    else:
        body = b"".join(pieces)
        fields.append(b"Content-Length: %d" % len(body))
    return version + b" " + status + end + b"".join(field + end for field in fields) + end + body


def by_aiohttp(answer: bytes) -> tuple[int, list[tuple[str, str]], bool, bytes] | None:
    """The answer as aiohttp's parser reads it: another reader with other callbacks; None where it refuses."""
    loop = asyncio.new_event_loop()
    try:
        read = HttpResponseParser(
            BaseProtocol(loop),
            loop,
            65_536,
            payload_exception=ClientPayloadError,
            read_until_eof=True,
            auto_decompress=False,
        )
        messages, _, _ = read.feed_data(answer)
        ((head, content),) = messages
        body = content.read_nowait() if content.total_bytes else b""
        assert content.is_eof()
        return head.code, list(head.headers.items()), not head.should_close, body
    except RefusedByAiohttp:
        return None
    finally:
        loop.close()


@given(answer=answers(), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_an_answer_is_read_as_aiohttp_reads_it_however_it_is_cut(answer: bytes, cuts: list[int]) -> None:
    """Status, fields, body, and whether the connection may be kept."""
    made = parser()
    places = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
    seen: tuple[int, list[tuple[str, str]], bool, bytes] | None = None
    try:
        for start, end in pairwise(places):
            made.feed(answer[start:end])
        assert made.complete
        assert not made.excess
        assert made.head is not None
        seen = made.head.status, list(made.head.headers.items()), made.head.keeps, taken(made)
    except NotHttp:
        pass
    assert seen == by_aiohttp(answer)
