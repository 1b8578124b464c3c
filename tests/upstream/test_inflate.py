"""A content encoding is undone as the bytes come, whole or not at all, and a little at a time."""

import asyncio
import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.client import HttpUpstreams
from proxy.upstream.inflate import PIECE_BYTES, BrokenEncoding, Coding, Inflater, coding_of
from tests.upstream.calls import fetched, refused_by, to, upstream_request
from tests.upstream.scripted import STREAM_HEAD, Connection, answering, http_answer, http_chunk, scripted


def _raw(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


ENCODERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress, "raw": _raw}
FORMS = st.sampled_from(sorted(ENCODERS))


def coding(form: str) -> Coding:
    return "gzip" if form == "gzip" else "deflate"


@given(form=FORMS, data=st.binary(max_size=200), repeats=st.integers(1, 5_000), cut=st.integers(1, 50))
def test_what_was_compressed_comes_back(form: str, data: bytes, repeats: int, cut: int) -> None:
    """However the bytes are split, they stand for the same body, in pieces of a bounded size."""
    whole = data * repeats
    encoded = ENCODERS[form](whole)
    inflater = Inflater(coding(form))
    pieces = [
        piece
        for start in range(0, len(encoded), cut)
        for piece in inflater.feed(encoded[start : start + cut])
    ]
    inflater.finish()
    assert b"".join(pieces) == whole
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)


@given(form=FORMS, data=st.binary(min_size=1, max_size=300), missing=st.integers(1, 10))
def test_a_body_that_ends_too_early_is_broken(form: str, data: bytes, missing: int) -> None:
    """A compressed body without its end is not taken for a whole one."""
    encoded = ENCODERS[form](data)
    inflater = Inflater(coding(form))
    list(inflater.feed(encoded[: max(1, len(encoded) - missing)]))
    with pytest.raises(BrokenEncoding):
        inflater.finish()


def test_gzip_may_have_several_members() -> None:
    """Members follow one another and stand for one body, also when one ends with a chunk."""
    inflater = Inflater("gzip")
    members = [gzip.compress(b"one"), gzip.compress(b"two") + gzip.compress(b"three")]
    assert [piece for member in members for piece in inflater.feed(member)] == [b"one", b"two", b"three"]
    inflater.finish()


@pytest.mark.parametrize(
    ("form", "data"),
    [("gzip", b"plain text"), ("deflate", b"\x78plain"), ("deflate", zlib.compress(b"x") + b"more")],
)
def test_other_bytes_are_broken(form: Coding, data: bytes) -> None:
    """Bytes that do not match the encoding are refused and never passed on."""
    with pytest.raises(BrokenEncoding):
        list(Inflater(form).feed(data))


def test_a_bomb_comes_apart_in_pieces() -> None:
    """A hundred kilobytes that stand for a hundred megabytes never take more than a piece at once."""
    bomb = zlib.compress(bytes(100_000_000))
    assert len(bomb) < 100_000
    assert max(len(piece) for piece in Inflater("deflate").feed(bomb)) == PIECE_BYTES


def test_the_names_of_encodings() -> None:
    """Those known have two names for gzip; an encoding that was not asked for is broken."""
    assert [coding_of(name) for name in ("", " Identity", "gzip", "X-GZIP", "deflate")] == [
        None,
        None,
        "gzip",
        "gzip",
        "deflate",
    ]
    for name in ("br", "zstd", "gzip, deflate", "unknown"):
        with pytest.raises(BrokenEncoding):
            coding_of(name)


@pytest.mark.parametrize(("name", "form"), [("gzip", "gzip"), ("deflate", "deflate"), ("deflate", "raw")])
async def test_the_client_undoes_an_encoding_it_did_not_ask_for(
    client: HttpUpstreams, name: str, form: str
) -> None:
    """The body comes down plain, and no header speaks of the encoding."""
    encoded = ENCODERS[form](b"data: hello\n\n")
    whole = http_answer(encoded, f"Content-Encoding: {name}", "Content-MD5: of-the-encoded")
    async with scripted(answering(whole)) as upstream:
        answer = await client.send(to(upstream), upstream_request())
        assert b"".join([chunk async for chunk in answer.chunks()]) == b"data: hello\n\n"
        assert answer.headers == []
        answer.close()


async def test_a_compressed_stream_comes_down_event_by_event(client: HttpUpstreams) -> None:
    """What the upstream has flushed is handed on before the end."""
    compressor = zlib.compressobj(wbits=31)
    first = compressor.compress(b"data: 1\n\n") + compressor.flush(zlib.Z_SYNC_FLUSH)
    last = compressor.compress(b"data: 2\n\n") + compressor.flush()
    head = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    go = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(head + http_chunk(first))
        await go.wait()
        await connection.send(http_chunk(last) + b"0\r\n\r\n")

    async with scripted(script) as upstream:
        answer = await client.send(to(upstream), upstream_request())
        chunks = answer.chunks()
        assert await anext(chunks) == b"data: 1\n\n"
        go.set()
        assert [chunk async for chunk in chunks] == [b"data: 2\n\n"]
        answer.close()


async def test_a_bomb_is_refused_at_the_largest_size() -> None:
    """The size of an answer is that of the plain bytes."""
    client = HttpUpstreams(max_reply_bytes=1_000_000)
    await client.open()
    bomb = http_answer(gzip.compress(bytes(1_000_001)), "Content-Encoding: gzip")
    whole = http_answer(gzip.compress(bytes(1_000_000)), "Content-Encoding: gzip")
    async with scripted(answering(bomb, whole)) as upstream:
        assert (await refused_by(client, to(upstream))).code == "upstream_invalid"
    async with scripted(answering(whole)) as upstream:
        assert await fetched(client, to(upstream)) == (200, bytes(1_000_000))
        await client.close()
