"""Ordinary heads: what is read here is read by aiohttp as well, to the byte, and the rest is left to it."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from aiohttp.http_writer import HttpVersion11
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.call_head import FIELDS_MAX, HEAD_MAX_BYTES, call_head

PATH = "/v1/chat/completions"
PATHS = frozenset({PATH, "/v1/messages"})
LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
LENGTH = b"Content-Length: 2\r\n"
ORDINARY = LINE + HOST + LENGTH + b"\r\n"


def with_field(field: bytes) -> bytes:
    return LINE + HOST + LENGTH + field + b"\r\n\r\n"


def test_an_ordinary_head_is_read() -> None:
    """Its fields as they were written, and those that are looked at; the body's bytes are left."""
    data = (
        LINE + b"host:x\r\nAuthorization:  Bearer sk\r\nX-API-Key: other\r\nContent-Length: 12\r\n"
        b"x-farebox-include: Cost\r\nX-Farebox-Run: r 1\r\nConnection: Keep-Alive\r\nX-Empty:\r\n\r\n"
    )
    head = call_head(data + b"{}", PATHS)
    assert head is not None
    assert (head.path, head.size, head.length) == (PATH, len(data), 12)
    assert (head.authorization, head.api_key, head.include, head.run) == ("Bearer sk", "other", "Cost", "r 1")
    assert head.fields == (
        ("host", "x"),
        ("Authorization", "Bearer sk"),
        ("X-API-Key", "other"),
        ("Content-Length", "12"),
        ("x-farebox-include", "Cost"),
        ("X-Farebox-Run", "r 1"),
        ("Connection", "Keep-Alive"),
        ("X-Empty", ""),
    )


@pytest.mark.parametrize(
    "data",
    [
        *(ORDINARY[:end] for end in range(len(ORDINARY))),
        ORDINARY.replace(b"POST", b"GET"),
        ORDINARY.replace(b"POST", b"post"),
        ORDINARY.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ORDINARY.replace(b"/v1/chat", b"http://x/v1/chat"),
        ORDINARY.replace(b"completions", b"completions?a=b"),
        ORDINARY.replace(b"completions", b"completions/"),
        ORDINARY.replace(b"completions", b"%63ompletions"),
        ORDINARY.replace(b"\r\n", b"\n"),
        b"\r\n" + ORDINARY,
        LINE + LENGTH + b"\r\n",
        LINE + HOST + b"\r\n",
        *map(
            with_field,
            [
                b"Content-Length: 2",
                b"content-length: 3",
                b"host: y",
                b"Transfer-Encoding: chunked",
                b"Expect: 100-continue",
                b"Connection: close",
                b"Connection: keep-alive, X-A",
                b"Proxy-Connection: close",
                b"Upgrade: h2c",
                b"Content-Encoding: gzip",
                b"Trailer: X",
                b"X-A: 1\r\nx-a: 2",
                b"X-A: 1 ",
                b"X-A : 1",
                b" X-A: 1",
                b"X-A: 1\r\n folded",
                b"X-A: \x00",
                b"X-A: a\rb",
                b"X-A: a\nX-B: b",
                b"X-A: \xc3\xa9",
                b"X-A",
                b": 1",
                b"X A: 1",
                b"X-A: " + b"y" * HEAD_MAX_BYTES,
                b"\r\n".join(b"X-%d: 1" % number for number in range(FIELDS_MAX)),
            ],
        ),
        *(
            LINE + HOST + b"Content-Length: " + length + b"\r\n\r\n"
            for length in (b"", b"+2", b"-2", b"02", b"0x2", b"2,2", b"2 2", b"1e1", b"9" * 10, b"\xb2")
        ),
    ],
)
def test_any_other_head_is_left_to_aiohttp(data: bytes) -> None:
    """However small the difference is: here nothing is refused, only not known."""
    assert call_head(data + b"\r\n{}", PATHS) is None or not data.endswith(b"\r\n\r\n")
    assert call_head(data, PATHS) is None


def by_aiohttp(data: bytes) -> tuple[object, ...] | None:
    """Method, path, fields and length as aiohttp reads them, if Farebox takes them from it; else None."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(
            web.RequestHandler(web.Server(_never, loop=loop), loop=loop),
            loop,
            65_536,
            max_line_size=8_190,
            max_field_size=8_190,
            max_headers=128,
            auto_decompress=False,
        )
        messages, upgraded, _ = parser.feed_data(data)
        ((message, content),) = messages
        assert not upgraded
        assert not message.should_close
        assert message.version == HttpVersion11
        length = int(message.headers["Content-Length"])
        assert content.total_bytes == length
        return message.method, message.url.raw_path, tuple(message.headers.items()), length
    except HttpProcessingError:
        return None
    finally:
        loop.close()


async def _never(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("nothing is handled")


NAMES = st.sampled_from(
    [
        "Host",
        "host",
        "Content-Length",
        "X-A",
        "x-a",
        "Authorization",
        "Connection",
        "Proxy-Connection",
        "Keep-Alive",
        "Accept",
        "X_B",
        "Cookie",
        "T!",
    ]
) | st.text(st.characters(codec="ascii"), min_size=1, max_size=6)
VALUES = st.sampled_from(["x", "2", "keep-alive", "close", "Bearer a", "", " a", "a ", "a b\tc"]) | st.text(
    st.characters(codec="latin-1"), max_size=8
)


@given(
    fields=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    space=st.sampled_from(["", " ", "\t", "  "]),
    end=st.sampled_from(["\r\n", "\r\n", "\n"]),
    path=st.sampled_from([PATH, "/v1/messages", "/v1/messages?x", "/v1//messages", "*"]),
)
def test_what_is_read_here_is_read_alike_by_aiohttp(
    fields: list[tuple[str, str]], space: str, end: str, path: str
) -> None:
    """The same method, path, fields and length, and no framing that Farebox refuses."""
    lines = [f"POST {path} HTTP/1.1", "Host: h", "Content-Length: 2"]
    lines += [f"{name}:{space}{value}" for name, value in fields]
    data = (end.join(lines) + end + end).encode("latin-1") + b"{}"
    head = call_head(data, PATHS)
    if head is not None:
        assert data[head.size :] == b"{}"
        assert ("POST", head.path, head.fields, head.length) == by_aiohttp(data)


@given(st.data())
def test_no_changed_byte_makes_two_readings(data: st.DataObject) -> None:
    """A head with any byte put in, taken out or replaced is read as aiohttp reads it, or is left to it."""
    head = LINE + HOST + b"Authorization: Bearer sk-1\r\nX-A: b c\r\n" + LENGTH + b"\r\n"
    place, byte = data.draw(st.integers(0, len(head) - 1)), data.draw(st.binary(max_size=2))
    changed = head[:place] + byte + head[place + data.draw(st.integers(0, 1)) :] + b"{}"
    found = call_head(changed, PATHS)
    if found is not None and found.length + found.size == len(changed):
        assert ("POST", found.path, found.fields, found.length) == by_aiohttp(changed)


@pytest.mark.parametrize("repeated", [b"X-A: b\r\n", b"X: ", b"a ", b"\t", b":", b"\r\n ", b"\r"])
def test_no_head_takes_more_than_one_pass(repeated: bytes) -> None:
    """A head of any pattern is decided about in a step a byte, and no more of it is looked at."""
    data = LINE + HOST + b"X: " + repeated * (HEAD_MAX_BYTES * 10)
    assert call_head(data, PATHS) is None
