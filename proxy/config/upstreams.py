"""Upstreams as written to upstreams as used: addresses without surprises, headers that can be sent."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from proxy.config.faults import Findings, Path
from proxy.config.shape import UpstreamShape
from proxy.upstream.routes import Credential, Upstream

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE: Final = re.compile(r"[!-~]([\t -~]*[!-~])?\Z")
_QUERY_NAME: Final = re.compile(r"[A-Za-z0-9._~-]+\Z")
_HOST: Final = re.compile(r"[A-Za-z0-9_-]([A-Za-z0-9._-]*[A-Za-z0-9_-])?\Z|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\Z")

# What frames a message or belongs to one connection is the HTTP client's to send.
_FRAMING: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SENDABLE: Final = "must be visible ASCII without line breaks, and no blanks around it"


def build_upstreams(shapes: Mapping[str, UpstreamShape], findings: Findings) -> dict[str, Upstream]:
    """The upstreams by name, but for those whose `when` is empty. Faults are noted in `findings`."""
    built = {}
    for name, shape in shapes.items():
        path: Path = ("upstreams", name)
        fault = url_fault(shape.base_url)
        if fault is not None:
            findings.fault((*path, "base_url"), fault, shape.base_url)
        headers = _headers(shape, (*path, "headers"), findings)
        credential = _credential(shape, (*path, "credential"), findings)
        if is_left_out(shape):
            continue
        built[name] = Upstream(
            name=name,
            base_url=shape.base_url.removesuffix("/"),
            credential=credential,
            headers=headers,
            include_usage=shape.include_usage,
            output_bound_field=shape.output_bound_field,
            connect_seconds=shape.connect_seconds,
            first_byte_seconds=shape.first_byte_seconds,
            idle_seconds=shape.idle_seconds,
            keepalive_seconds=shape.keepalive_seconds,
        )
    return built


def is_left_out(shape: UpstreamShape) -> bool:
    """Whether an upstream is not to be used, because what it waits for is empty."""
    return shape.when is not None and not shape.when.strip()


def url_fault(text: str) -> str | None:
    """What makes a base URL unfit, or None. It is appended to as text, so nothing may follow its path."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return "must be ASCII without blanks; write other hosts in punycode"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URL with a valid host and port"
    checks = (
        (parts.scheme not in ("http", "https"), "must begin with https:// or http://"),
        ("@" in parts.netloc, "must not hold a user or password; put them under credential or headers"),
        (not _HOST.match(host) or port == 0, "is not a URL with a valid host and port"),
        ("?" in text or "#" in text, "must not have a query or a fragment"),
        (_has_odd_segments(parts.path), "must not have empty segments, '.' or '..' in its path"),
    )
    return next((message for found, message in checks if found), None)


def _has_odd_segments(path: str) -> bool:
    segments = path.removesuffix("/").split("/")[1:]
    return "\\" in path or any(segment in ("", ".", "..") for segment in segments)


def _headers(shape: UpstreamShape, path: Path, findings: Findings) -> tuple[tuple[str, str], ...]:
    credential = shape.credential
    taken = {credential.header.lower(): "credential"} if credential and credential.query is None else {}
    for name, value in shape.headers.items():
        place = (*path, name)
        if not _HEADER_NAME.match(name):
            findings.fault(place, "is not a header name")
        elif name.lower() in _FRAMING:
            findings.fault(place, "is a header that Farebox sets itself")
        elif name.lower() in taken:
            findings.fault(place, f"is set by {taken[name.lower()]} already")
        if not _HEADER_VALUE.match(value):
            findings.fault(place, _SENDABLE if value else "is empty")
        taken.setdefault(name.lower(), f"headers.{name}")
    return tuple(shape.headers.items())


def _credential(upstream: UpstreamShape, path: Path, findings: Findings) -> Credential | None:
    shape = upstream.credential
    if shape is None:
        return None
    if not shape.value.strip():
        if not is_left_out(upstream):
            findings.fault((*path, "value"), "is empty; without a credential, leave `credential` out")
    elif not _HEADER_VALUE.match(shape.value):
        findings.fault((*path, "value"), _SENDABLE)
    if shape.query is not None:
        _query_faults(shape.query, path, findings)
        return Credential(shape.value, query=shape.query)
    if not _HEADER_NAME.match(shape.header) or shape.header.lower() in _FRAMING:
        findings.fault((*path, "header"), "is not the name of a header that can be set")
    if shape.scheme and not _HEADER_VALUE.match(shape.scheme):
        findings.fault((*path, "scheme"), _SENDABLE)
    return Credential(f"{shape.scheme} {shape.value}".lstrip(), shape.header)


def _query_faults(query: str, path: Path, findings: Findings) -> None:
    if not _QUERY_NAME.match(query):
        findings.fault(
            (*path, "query"), "is not the name of a query field: letters, digits, '.', '_', '~', '-'"
        )
    for other in ("header", "scheme"):
        if findings.lines.has((*path, other)):
            findings.fault((*path, other), "has no effect on a credential that is sent in the query")
