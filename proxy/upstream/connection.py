"""One connection to an upstream: a request goes out over it, and its answer comes in.

It uses aiohttp's connector and parser, and not the rest of its client: redirects, cookies, authorization and
tracing must not happen here, and with a task for every body they take more time than all the rest.
"""

import asyncio
import math
from typing import Final, Protocol

import msgspec
from aiohttp import (
    ClientConnectionError,
    ClientOSError,
    ClientPayloadError,
    ServerDisconnectedError,
    StreamReader,
)

from proxy.tasks import Tasks
from proxy.upstream.aiohttp_client import (
    EMPTY_PAYLOAD,
    AnswerParser,
    ClientProtocol,
    ConnectorLease,
    HttpProcessingError,
    RawResponseMessage,
    answer_parser,
    end_lease,
    ends_whole,
    has_leftover,
    parsed,
    write_body,
)

_INLINE_BYTES: Final = 32_768
"""Bodies up to this size fit in the transport's buffer, so writing them never waits."""
_SWITCHING_PROTOCOLS: Final = 101
_BODILESS: Final = frozenset({204, 304})


class RequestBytes(msgspec.Struct, frozen=True):
    """A request as it is written. `head` has the length of the body, and ends with an empty line."""

    head: bytes
    body: bytes
    is_head: bool


AnswerParts = tuple[RawResponseMessage, StreamReader]
"""The head of an answer, and its body to come."""


class Keeper(Protocol):
    """The owner of a connection between two requests."""

    def keep(self, connection: "Connection") -> None:
        """A whole answer has come over the connection, and another request may follow."""
        ...

    def forget(self, connection: "Connection") -> None:
        """The connection has ended, kept or not."""
        ...


class Connection(ClientProtocol):
    """A connection to an upstream. It serves one request at a time, and may be kept for the next.

    `error` is why it broke, None before that; `heard` is whether any byte came since the last request. One
    timer serves all waits and is set again only when it fires: a timer for each wait would cost too much.
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
        "_timer",
        "_timer_at",
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
        self._due = self._timer_at = math.inf

    async def exchange(
        self, request_bytes: RequestBytes, *, first_byte_seconds: float, tasks: Tasks
    ) -> AnswerParts:
        """Send a request and wait for the head of its answer. A failure closes the connection.

        Raises TimeoutError after `first_byte_seconds`, HttpProcessingError for an answer that is not HTTP,
        and ClientError when the connection breaks.
        """
        coming = self.coming()
        self.watch(first_byte_seconds)
        self.parser = parser = answer_parser(self, is_head=request_bytes.is_head)
        self._ask(request_bytes, tasks)
        try:
            reply = await coming
        except BaseException:
            # If the answer came whole just then, the connection may already serve another request.
            if self.parser is parser:
                self.stop()
            raise
        if reply is None:
            assert self.error is not None, "an answer or an error ends the wait for the head"
            raise self.error
        return reply

    def watch(self, seconds: float) -> None:
        """After so many seconds, fail with a TimeoutError if a caller still waits, or close if idle.

        Each call replaces the one before.
        """
        self._due = due = self.loop.time() + seconds
        if due < self._timer_at:
            self._set_timer(due)

    def coming(self) -> asyncio.Future[AnswerParts | None]:
        """A future that is done as soon as a head or a part of a body has come, or the connection broke."""
        self._waiter = waiter = self.loop.create_future()
        return waiter

    def is_usable(self) -> bool:
        """Whether an idle connection may be used again now."""
        transport = self.transport
        return transport is not None and not transport.is_closing() and self.loop.time() < self._due

    def stop(self) -> None:
        """Close at once, without sending what is buffered; idempotent."""
        self._break_off(ClientConnectionError("stopped"))

    def data_received(self, data: bytes) -> None:
        """Parse the next bytes. Bytes that no request asked for close the connection.

        The next request would take them for its answer.
        """
        parser = self.parser
        if parser is None:
            if data:
                self.stop()
            return
        self.heard = True
        try:
            messages = parsed(parser, data)
        except HttpProcessingError as error:
            self._break_off(error)
            return
        for message, content in messages:
            self._begin(message, content)
        if self._content is not None:
            if self._content.is_eof():
                self._end(parser)
            self._wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended. That completes a body without a length, and breaks off any other."""
        if self.error is None:
            self.error = ClientOSError(*exc.args) if isinstance(exc, OSError) else ServerDisconnectedError()
        if (
            self.parser is not None
            and self._content is not None
            and (exc is not None or not ends_whole(self.parser))
        ):
            self.error = ClientPayloadError()
        self.parser = None
        self._content = None
        self.reading_paused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)
        self._wake()
        self._keeper.forget(self)
        end_lease(self._lease, exc)

    def _ask(self, request_bytes: RequestBytes, tasks: Tasks) -> None:
        self.heard = False
        self._is_head = request_bytes.is_head
        self._answered = False
        self._upload = None
        transport = self.transport
        assert transport is not None, "only a usable connection is asked"
        if len(request_bytes.body) <= _INLINE_BYTES:
            transport.write(request_bytes.head + request_bytes.body)
        else:
            transport.write(request_bytes.head)
            self._upload = tasks.spawn(write_body(self, request_bytes.body), name="upload")
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def _begin(self, message: RawResponseMessage, content: StreamReader) -> None:
        """The head of an answer has come. Interim answers before it are skipped."""
        if self._answered:
            self._keepable = False
        elif message.code >= 200 or message.code == _SWITCHING_PROTOCOLS:
            bodiless = self._is_head or message.code in _BODILESS
            # A body that must not be there is not read, so the connection cannot be used again.
            whole = not bodiless or content.is_eof()
            self._keepable = whole and message.code >= 200 and not message.should_close
            self._content = EMPTY_PAYLOAD if bodiless else content
            self._answered = True
            self._wake((message, self._content))

    def _end(self, parser: AnswerParser) -> None:
        """The answer has come whole: keep the connection if it can be used again."""
        self.parser = None
        self._content = None
        if self._upload is not None and not self._upload.done():
            # The upstream would read the rest of this request as the beginning of the next.
            self.stop()
        elif self._keepable and not has_leftover(parser):
            self._keeper.keep(self)
        elif self.transport is not None:
            self.transport.close()

    def _break_off(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self.parser = None
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

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self.loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        """The timer has fired: end the wait or the idle connection if it is due, else set the timer again."""
        self._timer = None
        self._timer_at = math.inf
        if self.loop.time() < self._due:
            self._set_timer(self._due)
        elif self._waiter is not None and not self._waiter.done():
            self._break_off(TimeoutError())
        elif self.parser is None and self.transport is not None:
            self.transport.close()
