"""One connection to an upstream: a request goes out over it, and its answer comes in.

This stands on the connections that aiohttp makes and on its parser, and leaves the rest of its client out.
What that adds (redirects, cookies, authentication, tracing, a task for every body) must not happen here, and
takes more time than all the rest of a request.
"""

import asyncio
import math
from contextlib import suppress
from typing import Final, Protocol

import msgspec
from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ServerDisconnectedError,
    StreamReader,
)
from aiohttp.base_protocol import BaseProtocol
from aiohttp.connector import Connection as ConnectorLease
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpParser, HttpResponseParser, RawResponseMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD

from proxy.tasks import Tasks

STATUS_LINE_MAX_BYTES: Final = 8_190
HEADER_MAX_BYTES: Final = 16_384
HEADERS_MAX: Final = 128

_READ_BUFFER_BYTES: Final = 65_536
_INLINE_BYTES: Final = 32_768
"""Bodies up to this size fit in the transport's own buffer, so that writing them never waits."""
_PIECE_BYTES: Final = 65_536
_SWITCHING_PROTOCOLS: Final = 101
_BODILESS: Final = frozenset({204, 304})


class RequestBytes(msgspec.Struct, frozen=True):
    """A request as it is written; `head` tells the body's length and ends with an empty line."""

    head: bytes
    body: bytes
    is_head: bool


AnswerParts = tuple[RawResponseMessage, StreamReader]
"""The head of an answer, and the body to be."""


class Keeper(Protocol):
    """Where a wire waits between requests."""

    def keep(self, connection: "Connection") -> None:
        """A whole answer has come over it, and another may follow."""
        ...

    def forget(self, connection: "Connection") -> None:
        """It has ended, kept or not."""
        ...


class Connection(BaseProtocol):
    """A connection that was made for one request and may be kept for others, one at a time.

    `error` is why it broke, None before that; `heard` tells whether anything came since the last request. One
    timer serves every wait and is set anew only when it goes off, for a timer for each would cost too much.
    """

    __slots__ = (
        "_answered",
        "_content",
        "_due",
        "_early",
        "_is_head",
        "_keepable",
        "_keeper",
        "_lease",
        "_looks_at",
        "_timer",
        "_upload",
        "_waiter",
        "error",
        "heard",
    )

    def __init__(self, lease: ConnectorLease, early: bytes, keeper: Keeper) -> None:
        super().__init__(asyncio.get_running_loop())
        self.error: Exception | None = None
        self.heard = False
        self._lease = lease
        self._early = early
        self._keeper = keeper
        self._keepable = False
        self._is_head = False
        self._answered = False
        self._content: StreamReader | None = None
        self._upload: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[AnswerParts | None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._looks_at = math.inf

    async def exchange(
        self, request_bytes: RequestBytes, *, first_byte_seconds: float, tasks: Tasks
    ) -> AnswerParts:
        """Send a request and wait for the head of its answer. A wire that fails is broken off.

        Raises TimeoutError after `first_byte_seconds`, HttpProcessingError for an answer that is not HTTP,
        and ClientError when the connection breaks.
        """
        coming = self.coming()
        self.watch(first_byte_seconds)
        self._parser = parser = self._parser_of_answer(request_bytes)
        self._ask(request_bytes, tasks)
        try:
            reply = await coming
        except BaseException:
            # The answer may have come whole just then, and the wire be somebody else's by now.
            if self._parser is parser:
                self.stop()
            raise
        if reply is None:
            assert self.error is not None, "an answer or an error ends the wait for the head"
            raise self.error
        return reply

    def watch(self, seconds: float) -> None:
        """Break off with a TimeoutError if somebody still waits in so many seconds, and close if idle then.

        Every call takes the place of the one before.
        """
        self._due = due = self._loop.time() + seconds
        if due < self._looks_at:
            self._look_at(due)

    def coming(self) -> asyncio.Future[AnswerParts | None]:
        """What is done as soon as a head or some of a body has come, or the wire has broken."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def is_usable(self) -> bool:
        """Whether a kept wire may be used again now."""
        transport = self.transport
        return transport is not None and not transport.is_closing() and self._loop.time() < self._due

    def stop(self) -> None:
        """Break off at once, without waiting for what is unsent or for a farewell; idempotent."""
        self._break_off(ClientConnectionError("stopped"))

    def data_received(self, data: bytes) -> None:
        """Read on in the answer. What nobody asked for ends the wire: it would be taken for the next one."""
        parser = self._parser
        if parser is None:
            if data:
                self.stop()
            return
        self.heard = True
        try:
            messages, _, _ = parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - whatever the parser cannot read is not HTTP.
            self._break_off(error if isinstance(error, HttpProcessingError) else HttpProcessingError())
            return
        for message, content in messages:
            self._begin(message, content)
        if self._content is not None:
            if self._content.is_eof():
                self._end(parser)
            self._wake()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp calls it so.
        """Go on after a pause. A reader says so whenever it has read, mostly without one."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended, and with it a body without length, or else what was expected."""
        if self.error is None:
            self.error = ClientOSError(*exc.args) if isinstance(exc, OSError) else ServerDisconnectedError()
        if self._parser is not None and self._content is not None and not _ends_well(self._parser, exc):
            self.error = ClientPayloadError()
        self._parser = None
        self._content = None
        self._reading_paused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)
        self._wake()
        self._keeper.forget(self)
        if self._lease.protocol is not None:
            self._lease.protocol.connection_lost(exc)
            self._lease.close()

    def _parser_of_answer(self, request_bytes: RequestBytes) -> HttpParser[RawResponseMessage]:
        """What reads one answer; as long as it is the wire's, the request and its wire belong together."""
        return HttpResponseParser(
            self,
            self._loop,
            _READ_BUFFER_BYTES,
            payload_exception=ClientPayloadError,
            response_with_body=not request_bytes.is_head,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=STATUS_LINE_MAX_BYTES,
            max_field_size=HEADER_MAX_BYTES,
            max_headers=HEADERS_MAX,
        )

    def _ask(self, request_bytes: RequestBytes, tasks: Tasks) -> None:
        self.heard = False
        self._is_head = request_bytes.is_head
        self._answered = False
        self._upload = None
        transport = self.transport
        assert transport is not None, "only a usable wire is asked"
        if len(request_bytes.body) <= _INLINE_BYTES:
            transport.write(request_bytes.head + request_bytes.body)
        else:
            transport.write(request_bytes.head)
            self._upload = tasks.spawn(
                _write(StreamWriter(self, self._loop), request_bytes.body), name="upload"
            )
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def _begin(self, message: RawResponseMessage, content: StreamReader) -> None:
        """The head of an answer has come; the interim ones before it are not of interest."""
        if self._answered:
            self._keepable = False
        elif message.code >= 200 or message.code == _SWITCHING_PROTOCOLS:
            bodiless = self._is_head or message.code in _BODILESS
            # A body where none may be is not read, and what comes of it must not be the next answer.
            whole = not bodiless or content.is_eof()
            self._keepable = whole and message.code >= 200 and not message.should_close
            self._content = EMPTY_PAYLOAD if bodiless else content
            self._answered = True
            self._wake((message, self._content))

    def _end(self, parser: HttpParser[RawResponseMessage]) -> None:
        """The answer has come whole: keep the connection if it can be used again."""
        self._parser = None
        self._content = None
        if self._upload is not None and not self._upload.done():
            # What is left of the request would be read as the beginning of the next one.
            self.stop()
        elif self._keepable and not _has_begun(parser):
            self._keeper.keep(self)
        elif self.transport is not None:
            self.transport.close()

    def _break_off(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self._parser = None
        self._content = None
        if self.transport is not None:
            self.transport.abort()
        self._wake()

    def _wake(self, reply: AnswerParts | None = None) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(reply)

    def _look_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """End a wait that has lasted long enough; else look again when it may have."""
        self._timer = None
        self._looks_at = math.inf
        if self._loop.time() < self._due:
            self._look_at(self._due)
        elif self._waiter is not None and not self._waiter.done():
            self._break_off(TimeoutError())
        elif self._parser is None and self.transport is not None:
            self.transport.close()


def _ends_well(parser: HttpParser[RawResponseMessage], exc: BaseException | None) -> bool:
    """Whether a body is whole now that its connection has ended: one without length, by a farewell."""
    if exc is not None:
        return False
    try:
        parser.feed_eof()
    except Exception:  # noqa: BLE001 - whatever the parser misses, the body is not whole.
        return False
    return True


def _has_begun(parser: HttpParser[RawResponseMessage]) -> bool:
    """Whether the beginning of another answer came right behind a whole one."""
    try:
        return parser.feed_eof() is not None
    except Exception:  # noqa: BLE001 - whatever it was, it was not nothing.
        return True


async def _write(writer: StreamWriter, body: bytes) -> None:
    """Write a long body as fast as it is read, beside the wait for the answer, which may come early.

    A connection that breaks ends it; whoever waits for the answer is told why.
    """
    with suppress(ClientError, OSError):
        view = memoryview(body)
        for start in range(0, len(view), _PIECE_BYTES):
            await writer.write(view[start : start + _PIECE_BYTES])
        await writer.drain()
