"""A request to an upstream as bytes."""

import re
from functools import lru_cache
from typing import Final

import msgspec
from yarl import URL

from proxy.upstream.address import origin, request_target
from proxy.upstream.base import UpstreamRequest
from proxy.upstream.connection import RequestBytes
from proxy.upstream.headers import UNSENDABLE, Field, upward
from proxy.upstream.pool import ConnectionPool
from proxy.upstream.redaction import Redaction, secrets_of
from proxy.upstream.routes import Upstream

_BODILESS_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_NEVER_IN_A_LINE: Final = re.compile(r"[\x00-\x20\x7f]")


class Destination(msgspec.Struct, frozen=True):
    """What every request to one upstream has in common."""

    upstream: Upstream
    origin: str
    host: str
    own_headers: tuple[Field, ...]
    redaction: Redaction
    pool: ConnectionPool


def destination_of(upstream: Upstream, pool: ConnectionPool) -> Destination:
    """The destination of an upstream whose connections come from `pool`."""
    own: list[Field] = [("Accept-Encoding", "identity"), *upstream.headers]
    credential = upstream.credential
    if credential is not None and credential.query is None:
        own.append((credential.header, credential.value))
    host = URL(upstream.base_url).host_port_subcomponent or ""
    redaction = Redaction(secrets_of(upstream))
    return Destination(upstream, origin(upstream.base_url), host, tuple(own), redaction, pool)


def request_bytes(destination: Destination, request: UpstreamRequest) -> RequestBytes:
    """The bytes of a request. Raises ValueError for a path, method or header that would break them."""
    method = request.method
    lines = [
        _line(method, request_target(destination.upstream, request.path, request.query)),
        f"Host: {destination.host}",
    ]
    lines += map(": ".join, upward(request.headers, destination.own_headers))
    if request.body or method not in _BODILESS_METHODS:
        lines.append(f"Content-Length: {len(request.body)}")
    # A printable text holds no control character, and that check is much faster.
    if not "".join(lines).isprintable() and any(map(UNSENDABLE.search, lines)):
        raise ValueError("a header field that would break the request")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return RequestBytes(head.encode("utf-8", "ignore"), request.body, method == "HEAD")


def closing(request: RequestBytes) -> RequestBytes:
    """The same request, asking the upstream to close the connection after it."""
    return msgspec.structs.replace(request, head=request.head[:-2] + b"Connection: close\r\n\r\n")


@lru_cache(maxsize=256)
def _line(method: str, target: str) -> str:
    if _NEVER_IN_A_LINE.search(target) or not method.isalpha():
        raise ValueError("a path or method that would break the request line")
    return f"{method} {target} HTTP/1.1"
