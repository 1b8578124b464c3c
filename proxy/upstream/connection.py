"""One connection to an upstream: a request goes out over it, and its answer comes in.

Connections are made by aiohttp's connector. Redirects, cookies, authorization and tracing, as its client has
them, must not happen here.
"""

import asyncio
import math
from typing import Final, Protocol, cast

import msgspec
from aiohttp import ClientConnectionError, ClientOSError, ClientPayloadError, ServerDisconnectedError

from proxy.tasks import Tasks
from proxy.upstream.aiohttp_client import ConnectorLease, end_lease
from proxy.upstream.answer_parser import AnswerHead, AnswerParser, NotHttp

_INLINE_BYTES: Final = 32_768
"""Bodies up to this size fit in the transport's buffer, so writing them never waits."""
_PIECE_BYTES: Final = 65_536
_UNREAD_MAX_BYTES: Final = 131_072
"""How much of an answer is taken from the system before somebody reads it, and a piece more."""


class RequestBytes(msgspec.Struct, frozen=True):
    """A request as it is written. `head` has the length of the body, and ends with an empty line."""

    head: bytes
    body: bytes
    is_head: bool


class Incoming:
    """The body of an answer as it comes. `pieces` came and were not taken; `ended`: no more follows."""

    __slots__ = ("_connection", "ended", "pieces")

    def __init__(self, connection: "Connection", pieces: list[bytes]) -> None:
        self._connection = connection
        self.pieces = pieces
        self.ended = False

    def take(self) -> bytes:
        """All that has come since it was asked last."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if not self.ended:
            self._connection.taken()
        return data

    def end(self) -> None:
        """All of it has come. What was not taken stays here; the connection's own list is for others."""
        self.ended = True
        pieces, self.pieces = self.pieces, self.pieces[:]
        pieces.clear()


AnswerParts = tuple[AnswerHead, Incoming]
"""The head of an answer, and its body to come."""


class Keeper(Protocol):
    """The owner of a connection between two requests."""

    def keep(self, connection: "Connection") -> None:
        """A whole answer has come over the connection, and another request may follow."""
        ...

    def forget(self, connection: "Connection") -> None:
        """The connection has ended, kept or not."""
        ...


class Connection(asyncio.Protocol):
    """A connection to an upstream. It serves one request at a time, and may be kept for the next.

    `error` is why it broke, None before that; `heard` is whether any byte came since the last request. One
    timer serves all waits and is set again only when it fires: a timer for each wait would cost too much.
    """

    __slots__ = (
        "_answers",
        "_asked",
        "_drained",
        "_due",
        "_early",
        "_incoming",
        "_keeper",
        "_lease",
        "_loop",
        "_paused",
        "_timer",
        "_timer_at",
        "_transport",
        "_unread_bytes",
        "_upload",
        "_waiter",
        "error",
        "heard",
    )

    def __init__(self, lease: ConnectorLease, early: bytes, keeper: Keeper) -> None:
        self._loop = asyncio.get_running_loop()
        self.error: Exception | None = None
        self.heard = False
        self._lease = lease
        self._early = early
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._answers = AnswerParser()
        self._asked: RequestBytes | None = None
        self._incoming: Incoming | None = None
        self._unread_bytes = 0
        self._paused = False
        self._upload: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[AnswerParts | None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._timer_at = math.inf

    async def exchange(
        self, request_bytes: RequestBytes, *, first_byte_seconds: float, tasks: Tasks
    ) -> AnswerParts:
        """Send a request and wait for the head of its answer. A failure closes the connection.

        Raises TimeoutError after `first_byte_seconds`, NotHttp for an answer that is not HTTP, and
        ClientError when the connection breaks.
        """
        coming = self.coming()
        self.watch(first_byte_seconds)
        self._ask(request_bytes, tasks)
        try:
            parts = await coming
        except BaseException:
            # If the answer came whole just then, the connection may already serve another request.
            if self._asked is request_bytes:
                self.stop()
            raise
        if parts is None:
            assert self.error is not None, "an answer or an error ends the wait for the head"
            raise self.error
        return parts

    def watch(self, seconds: float) -> None:
        """After so many seconds, fail with a TimeoutError if a caller still waits, or close if idle.

        Each call replaces the one before.
        """
        self._due = due = self._loop.time() + seconds
        if due < self._timer_at:
            self._set_timer(due)

    def coming(self) -> asyncio.Future[AnswerParts | None]:
        """A future that is done as soon as a head or a part of a body has come, or the connection broke."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def taken(self) -> None:
        """All that came of the body has been taken: more may come."""
        self._unread_bytes = 0
        if self._paused:
            self._paused = False
            if self._transport is not None:
                self._transport.resume_reading()

    def is_usable(self) -> bool:
        """Whether an idle connection may be used again now."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and self._loop.time() < self._due

    def stop(self) -> None:
        """Close at once, without sending what is buffered; idempotent."""
        self._break_off(ClientConnectionError("stopped"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse the next bytes. Bytes that no request asked for close the connection.

        The next request would take them for its answer.
        """
        if self._asked is None:
            if data:
                self.stop()
            return
        self.heard = True
        parser, incoming = self._answers, self._incoming
        try:
            parser.feed(data)
        except NotHttp as error:
            self._break_off(error)
            return
        if incoming is None:
            if parser.head is None:
                return
            self._incoming = incoming = Incoming(self, parser.pieces)
            self._wake((parser.head, incoming))
        if parser.complete:
            self._end(parser, incoming)
        elif parser.pieces:
            self._unread_bytes += len(data)
            if self._unread_bytes > _UNREAD_MAX_BYTES:
                self._pause()
        self._wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended. That completes a body without a length, and breaks off any other."""
        if self.error is None:
            self.error = ClientOSError(*exc.args) if isinstance(exc, OSError) else ServerDisconnectedError()
        if self._asked is not None and self._incoming is not None:
            if exc is None and self._answers.ends_with_connection:
                self._incoming.end()
            else:
                self.error = ClientPayloadError()
        self._forget_answer()
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.resume_writing()
        self._wake()
        self._keeper.forget(self)
        end_lease(self._lease, exc)

    def pause_writing(self) -> None:
        """The upstream reads more slowly than an upload is written."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """More of an upload may be written."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def _ask(self, request_bytes: RequestBytes, tasks: Tasks) -> None:
        self.heard = False
        self._asked = request_bytes
        self._upload = None
        self._answers.begin(is_head=request_bytes.is_head)
        transport = self._transport
        assert transport is not None, "only a usable connection is asked"
        if len(request_bytes.body) <= _INLINE_BYTES:
            transport.write(request_bytes.head + request_bytes.body)
        else:
            transport.write(request_bytes.head)
            self._upload = tasks.spawn(self._write_long(request_bytes.body), name="upload")
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    async def _write_long(self, body: bytes) -> None:
        """Write a long body as fast as the upstream reads it. A connection that ends, ends the writing."""
        view = memoryview(body)
        for start in range(0, len(view), _PIECE_BYTES):
            transport = self._transport
            if transport is None or transport.is_closing():
                return
            transport.write(view[start : start + _PIECE_BYTES])
            # An upstream that takes everything at once would keep the loop from other calls.
            await asyncio.sleep(0)
            if self._drained is not None:
                await self._drained

    def _end(self, parser: AnswerParser, incoming: Incoming) -> None:
        """The answer has come whole: keep the connection if it can be used again."""
        incoming.end()
        self.taken()
        self._forget_answer()
        if self._upload is not None and not self._upload.done():
            # The upstream would read the rest of this request as the beginning of the next.
            self.stop()
        elif parser.head is not None and parser.head.keeps and not parser.excess:
            self._keeper.keep(self)
        elif self._transport is not None:
            self._transport.close()

    def _break_off(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self._forget_answer()
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _forget_answer(self) -> None:
        self._asked = None
        self._incoming = None

    def _pause(self) -> None:
        """Take no more from the system before somebody reads what came."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _wake(self, parts: AnswerParts | None = None) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(parts)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        """The timer has fired: end the wait or the idle connection if it is due, else set the timer again."""
        self._timer = None
        self._timer_at = math.inf
        if self._loop.time() < self._due:
            self._set_timer(self._due)
        elif self._waiter is not None and not self._waiter.done():
            self._break_off(TimeoutError())
        elif self._asked is None and self._transport is not None:
            self._transport.close()
