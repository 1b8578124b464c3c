"""The seam to upstreams: what is sent, what comes back, and how it can fail before the first byte."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from proxy.upstream.routes import Target

FailureCode = Literal[
    "upstream_unreachable", "upstream_timeout", "upstream_failed", "upstream_invalid", "upstream_denied"
]


class UpstreamFailure(Exception):  # noqa: N818 - a failure of somebody else's, named for who.
    """A target could not answer, or broke off. `code` is one of `errors.CODES`.

    `untouched` tells that no byte of the request can have been acted on, so that it may be sent elsewhere.
    """

    def __init__(self, code: FailureCode, message: str, *, untouched: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.untouched = untouched


class UpstreamRequest(msgspec.Struct, frozen=True):
    """A request on its way up. `path` begins with `/` and follows the base URL; `query` has no `?`.

    `headers` are the client's own, as received; the client strips and replaces what must not pass.
    `repeatable` tells that it may be sent again although it may have been acted on.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    repeatable: bool = True


class Answer(Protocol):
    """An upstream's answer: status and headers have arrived, the body has not.

    `headers` are those that may go to the client; content encodings are already undone.
    """

    status: int
    headers: list[tuple[str, str]]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; after a cancel it may be asked for again, and goes on where it was.

        Raises UpstreamFailure when it stalls or breaks off.
        """
        ...

    def close(self) -> None:
        """Stop the upstream at once, unless the body was read to its end; idempotent, never blocks."""
        ...


class UpstreamClient(Protocol):
    """Sends one request to one target."""

    async def send(self, target: Target, request: UpstreamRequest) -> Answer:
        """The target's answer, of whatever status. Raises UpstreamFailure when there is none."""
        ...
