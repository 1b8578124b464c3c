"""Upstreams of a file as upstreams in use: checked addresses, headers that can be sent."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from proxy.config.faults import Findings
from proxy.config.schema import UpstreamSchema
from proxy.endpoints.registry import forward_fault
from proxy.upstream.routes import Credential, Upstream
from proxy.validation import Path

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE: Final = re.compile(r"[!-~]([\t -~]*[!-~])?\Z")
_QUERY_NAME: Final = re.compile(r"[A-Za-z0-9._~-]+\Z")
_HOST: Final = re.compile(r"[A-Za-z0-9_-]([A-Za-z0-9._-]*[A-Za-z0-9_-])?\Z|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\Z")

# Headers that frame a message or belong to one connection, which the HTTP client sets.
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


def build_upstreams(schemas: Mapping[str, UpstreamSchema], findings: Findings) -> dict[str, Upstream]:
    """The upstreams by name, without those whose `when` is empty. Faults go to `findings`."""
    built = {}
    for name, schema in schemas.items():
        path: Path = ("upstreams", name)
        fault = url_fault(schema.base_url)
        if fault is not None:
            findings.fault((*path, "base_url"), fault, schema.base_url)
        headers = _headers(schema, (*path, "headers"), findings)
        credential = _credential(schema, (*path, "credential"), findings)
        _check_forward(schema, (*path, "forward"), findings)
        if is_left_out(schema):
            continue
        built[name] = Upstream(
            name=name,
            base_url=schema.base_url.removesuffix("/"),
            credential=credential,
            headers=headers,
            include_usage=schema.include_usage,
            output_bound_field=schema.output_bound_field,
            forward=frozenset(schema.forward),
            connect_seconds=schema.connect_seconds,
            first_byte_seconds=schema.first_byte_seconds,
            idle_seconds=schema.idle_seconds,
            keepalive_seconds=schema.keepalive_seconds,
            list_models_seconds=schema.list_models_seconds,
        )
    return built


def own_upstreams(
    schemas: Mapping[str, UpstreamSchema], upstreams: Mapping[str, Upstream], findings: Findings
) -> dict[str, dict[str, Upstream]]:
    """The upstreams with the credentials of accounts' own, by account and then by the upstream's name.

    Each has a name of its own, under which objects that are made there are known.
    """
    own: dict[str, dict[str, Upstream]] = {}
    for name, schema in schemas.items():
        for account_id, said in schema.own_keys.items():
            path: Path = ("upstreams", name, "own_keys", account_id)
            credential = _credential(replace(schema, credential=said), path, findings)
            taken = {header.lower() for header in schema.headers}
            if credential is not None and credential.query is None and credential.header.lower() in taken:
                findings.fault((*path, "header"), "is set by headers already", credential.header)
            if name in upstreams:
                own.setdefault(account_id, {})[name] = replace(
                    upstreams[name],
                    name=f"{name}/{account_id}",
                    credential=credential,
                    account_id=account_id,
                    list_models_seconds=None,
                )
    return own


def is_left_out(schema: UpstreamSchema) -> bool:
    """Whether an upstream is not used, because its `when` is empty."""
    return schema.when is not None and not schema.when.strip()


def _check_forward(schema: UpstreamSchema, path: Path, findings: Findings) -> None:
    """Refuse names that Farebox reads itself: another value of them would make the hold untrue."""
    for index, name in enumerate(schema.forward):
        if name in schema.forward[:index]:
            findings.fault((*path, index), "is there already", name)
        elif (fault := forward_fault(name)) is not None:
            findings.fault((*path, index), fault, name)


def url_fault(text: str) -> str | None:
    """Why a base URL cannot be used, or None. Paths are appended to it, so nothing may follow its own."""
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


def _headers(schema: UpstreamSchema, path: Path, findings: Findings) -> tuple[tuple[str, str], ...]:
    credential = schema.credential
    taken = {credential.header.lower(): "credential"} if credential and credential.query is None else {}
    for name, value in schema.headers.items():
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
    return tuple(schema.headers.items())


def _credential(upstream: UpstreamSchema, path: Path, findings: Findings) -> Credential | None:
    schema = upstream.credential
    if schema is None:
        return None
    if not schema.value.strip():
        if not is_left_out(upstream):
            findings.fault((*path, "value"), "is empty; without a credential, leave `credential` out")
    elif not _HEADER_VALUE.match(schema.value):
        findings.fault((*path, "value"), _SENDABLE)
    if schema.query is not None:
        _query_faults(schema.query, path, findings)
        return Credential(schema.value, query=schema.query)
    if not _HEADER_NAME.match(schema.header) or schema.header.lower() in _FRAMING:
        findings.fault((*path, "header"), "is not the name of a header that can be set")
    if schema.scheme and not _HEADER_VALUE.match(schema.scheme):
        findings.fault((*path, "scheme"), _SENDABLE)
    return Credential(f"{schema.scheme} {schema.value}".lstrip(), schema.header)


def _query_faults(query: str, path: Path, findings: Findings) -> None:
    if not _QUERY_NAME.match(query):
        findings.fault(
            (*path, "query"), "is not the name of a query field: letters, digits, '.', '_', '~', '-'"
        )
    for other in ("header", "scheme"):
        if findings.lines.has((*path, other)):
            findings.fault((*path, other), "has no effect on a credential that is sent in the query")
