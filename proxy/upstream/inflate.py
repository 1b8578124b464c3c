"""Decompression of an answer as it comes, in pieces of bounded size."""

import zlib
from collections.abc import Iterator
from typing import Final, Literal, Protocol

PIECE_BYTES: Final = 262_144
"""The largest piece, so that a few bytes cannot become gigabytes in memory."""

Coding = Literal["gzip", "deflate"]

_CODINGS: Final[dict[str, Coding]] = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_DEFLATE_METHOD: Final = 8
_GZIP_BITS: Final = zlib.MAX_WBITS + 16
_ZLIB_BITS: Final = zlib.MAX_WBITS
_RAW_BITS: Final = -zlib.MAX_WBITS


class BrokenEncoding(Exception):  # noqa: N818 - named for what is broken, as the other failures are.
    """The bytes do not match their content encoding, end too early, or the encoding is unknown."""


class _Stream(Protocol):
    """The type of `zlib.decompressobj()`, which has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def coding_of(content_encoding: str) -> Coding | None:
    """The coding to undo for a `Content-Encoding`, None when there is none. Raises BrokenEncoding."""
    name = content_encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name not in _CODINGS:
        raise BrokenEncoding("a content encoding that was not asked for")
    return _CODINGS[name]


class Inflater:
    """Decompresses one body: `feed` its bytes as they come, and `finish` after the last."""

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self._stream: _Stream | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """`data` decompressed, in pieces of at most `PIECE_BYTES`. Raises BrokenEncoding."""
        full = False
        while data or full:
            if self._stream is None:
                self._stream = zlib.decompressobj(self._window_bits(data))
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise BrokenEncoding("the body is not what its content encoding says") from error
            if piece:
                yield piece
            data = self._rest(self._stream)
            # The decompressor may hold back output although it has taken all of its input.
            full = len(piece) == PIECE_BYTES and self._stream is not None

    def finish(self) -> None:
        """Check that the body is whole; an empty one is. Raises BrokenEncoding."""
        if self._stream is not None and not self._stream.eof:
            raise BrokenEncoding("the compressed body ends too early")

    def _window_bits(self, data: bytes) -> int:
        """The format for zlib to expect: `deflate` should have zlib's frame, and often has none."""
        if self._coding == "gzip":
            return _GZIP_BITS
        return _ZLIB_BITS if data[0] & 0x0F == _DEFLATE_METHOD else _RAW_BITS

    def _rest(self, stream: _Stream) -> bytes:
        """The input that is left. A gzip body may hold several members, one after the other."""
        if not stream.eof:
            return stream.unconsumed_tail
        if stream.unused_data and self._coding != "gzip":
            raise BrokenEncoding("bytes follow the compressed body")
        if stream.unused_data:
            self._stream = None
        return stream.unused_data
