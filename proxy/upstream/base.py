"""The seam to upstreams: a request, its answer, and the failures before the first byte."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from proxy.upstream.routes import Target

FailureCode = Literal[
    "upstream_unreachable", "upstream_timeout", "upstream_failed", "upstream_invalid", "upstream_denied"
]


class UpstreamFailure(Exception):  # noqa: N818 - the upstream failed, not Farebox.
    """A target could not answer, or broke off. `code` is one of `errors.CODES`.

    `untouched`: no byte of the request can have been acted on, so it may be sent elsewhere.
    """

    def __init__(self, code: FailureCode, message: str, *, untouched: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.untouched = untouched


class UpstreamRequest(msgspec.Struct, frozen=True):
    """A request to an upstream. `path` begins with `/` and follows the base URL; `query` has no `?`.

    `headers` are the caller's, as received; the HTTP client strips and replaces those that must not pass.
    `repeatable`: it may be sent again although the upstream may have acted on it.
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
        """The body as it comes. After a cancel, another call continues where this one stopped.

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
