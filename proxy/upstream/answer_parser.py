"""The parser of answers: bytes of a connection in, heads and bodies out, one answer after the other."""

from collections.abc import Callable
from typing import Final

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict, istr

HEAD_MAX_BYTES: Final = 65_536
"""How long a head may be, and what comes between two parts of a body."""
HEADER_MAX_BYTES: Final = 16_384
HEADERS_MAX: Final = 128
_STATUS_MIN: Final = 100
_SWITCHING_PROTOCOLS: Final = 101
BODILESS: Final = frozenset({204, 304})
_LENGTH: Final = istr("Content-Length")
_CODINGS: Final = istr("Transfer-Encoding")


class NotHttp(Exception):  # noqa: N818 - it says what came.
    """What came is not HTTP, or a head beyond all bounds."""


class AnswerHead(msgspec.Struct, frozen=True):
    """The head of an answer. `keeps`: the upstream would take another request on the connection."""

    status: int
    headers: CIMultiDict[str]
    keeps: bool


class AnswerParser:
    """Parses the answers of one connection; `begin` comes before each.

    `head` is that of the answer, once it has come, and not of an interim one. `pieces` are those of its body
    that nobody has taken yet: whoever takes them clears the list. `complete` is whether the answer has come
    whole, and `excess` whether more followed, after which the connection cannot be used again.

    httptools calls the methods whose names begin with `on_`. Each piece of a body goes straight to the list.
    """

    __slots__ = (
        "_bare_bytes",
        "_fields",
        "_http",
        "_is_head",
        "complete",
        "excess",
        "head",
        "on_body",
        "pieces",
    )

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.on_body: Callable[[bytes], None] = self.pieces.append
        self._http = self._new_parser()
        self.begin(is_head=False)

    def begin(self, *, is_head: bool) -> None:
        """An answer comes next. `is_head`: no body follows its head."""
        self._is_head = is_head
        self._fields: list[tuple[bytes, bytes]] = []
        self._bare_bytes = 0
        self.head: AnswerHead | None = None
        self.complete = self.excess = False

    def feed(self, data: bytes) -> None:
        """Parse the next bytes. Raises NotHttp."""
        try:
            self._http.feed_data(data)
        except HttpParserUpgrade:
            self.complete = self.excess = True
        except HttpParserError:
            if not self.complete:
                raise NotHttp from None
            self.excess = True
        head = self.head
        if head is not None and (self._is_head or head.status in BODILESS):
            self._without_body(head)
        if head is None or not (self.pieces or self.complete):
            self._bare_bytes += len(data)
            if self._bare_bytes > HEAD_MAX_BYTES:
                raise NotHttp
        else:
            self._bare_bytes = 0

    @property
    def ends_with_connection(self) -> bool:
        """Whether the body is whole if its connection ends now, as one without a length is."""
        head = self.head
        return head is not None and _LENGTH not in head.headers and _CODINGS not in head.headers

    def on_message_begin(self) -> None:
        """Something begins. Raises NotHttp behind an answer, so that nothing of it is taken for its body."""
        if self.head is not None:
            raise NotHttp

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of a head; those that follow a body in chunks are passed over."""
        if self.head is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """A head has come. Raises NotHttp for a status that no answer has."""
        status = self._http.get_status_code()
        if status < _STATUS_MIN:
            raise NotHttp
        fields, self._fields = self._fields, []
        if self.head is not None or (status < 200 and status != _SWITCHING_PROTOCOLS):
            return
        self.head = AnswerHead(status, CIMultiDict(_decoded(fields)), self._http.should_keep_alive())

    def on_message_complete(self) -> None:
        """An answer has come whole, if it is no interim one. Raises NotHttp for one of these with a body."""
        if self.head is not None:
            self.complete = True
        elif self.pieces:
            raise NotHttp

    def _without_body(self, head: AnswerHead) -> None:
        """End an answer that has no body. Only the head of one to HEAD may tell of one all the same."""
        told = not self.complete and (not self._is_head or _CODINGS in head.headers)
        self.excess = self.excess or told or bool(self.pieces)
        self.complete = True
        self.pieces.clear()
        self._http = self._new_parser()

    def _new_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        # What servers get wrong and no reader takes in two ways.
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        return parser


def _decoded(fields: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """The fields of a head as text. Raises NotHttp."""
    if len(fields) > HEADERS_MAX:
        raise NotHttp
    for _, value in fields:
        if len(value) > HEADER_MAX_BYTES or b"\0" in value:
            raise NotHttp
    return [
        (name.decode("utf-8", "surrogateescape"), value.rstrip(b" \t").decode("utf-8", "surrogateescape"))
        for name, value in fields
    ]
