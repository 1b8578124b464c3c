"""A request to an upstream as bytes."""

import re
from functools import lru_cache
from typing import Final

import msgspec
from yarl import URL

from proxy.upstream.address import origin, request_target
from proxy.upstream.base import UpstreamRequest
from proxy.upstream.connection import RequestBytes
from proxy.upstream.headers import as_sent, has_unsendable, upward
from proxy.upstream.pool import ConnectionPool
from proxy.upstream.redaction import Redaction, secrets_of
from proxy.upstream.routes import Upstream

_BODILESS_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_NEVER_IN_A_LINE: Final = re.compile(r"[\x00-\x20\x7f]")


class Destination(msgspec.Struct, frozen=True):
    """What every request to one upstream has in common; `own_lines` are those of the headers `own_names`."""

    upstream: Upstream
    origin: str
    host: str
    own_names: tuple[str, ...]
    own_lines: bytes
    redaction: Redaction
    pool: ConnectionPool


def destination_of(upstream: Upstream, pool: ConnectionPool) -> Destination:
    """The destination of an upstream whose connections come from `pool`.

    Raises ValueError for a header of its own that would break every request.
    """
    own = [("Accept-Encoding", "identity"), *upstream.headers]
    credential = upstream.credential
    if credential is not None and credential.query is None:
        own.append((credential.header, credential.value))
    lines = as_sent("".join(f"{name}: {value}\r\n" for name, value in own))
    if has_unsendable(lines, b"\r\n" * len(own)):
        raise ValueError(f"the upstream {upstream.name!r} has a header that would break its requests")
    host = URL(upstream.base_url).host_port_subcomponent or ""
    names = tuple(name for name, _ in own)
    redaction = Redaction(secrets_of(upstream))
    return Destination(upstream, origin(upstream.base_url), host, names, lines, redaction, pool)


def request_bytes(destination: Destination, request: UpstreamRequest) -> RequestBytes:
    """The bytes of a request. Raises ValueError for a path, method or header that would break them."""
    method = request.method
    target = request_target(destination.upstream, request.path, request.query)
    head = _beginning(method, target, destination.host)
    head += upward(request.headers, destination.own_names)
    head += destination.own_lines
    if request.body or method not in _BODILESS_METHODS:
        head += b"Content-Length: %d\r\n" % len(request.body)
    return RequestBytes(head + b"\r\n", request.body, method == "HEAD")


def closing(request: RequestBytes) -> RequestBytes:
    """The same request, asking the upstream to close the connection after it."""
    return msgspec.structs.replace(request, head=request.head[:-2] + b"Connection: close\r\n\r\n")


@lru_cache(maxsize=256)
def _beginning(method: str, target: str, host: str) -> bytes:
    """The request line, and that of the host."""
    if _NEVER_IN_A_LINE.search(target) or not method.isalpha():
        raise ValueError("a path or method that would break the request line")
    return as_sent(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n")
