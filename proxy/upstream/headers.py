"""Which headers of a request go to the upstream, and which of its answer go to the client.

Headers that are not named here pass unchanged. Farebox adds its own after the stripping, so a client can
neither send nor remove them, not even by naming them in `Connection`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final

import msgspec

from proxy.upstream.redaction import Redaction

Field = tuple[str, str]

UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no header value may hold: they would break the message."""
_SENDABLE: Final = bytes(byte for byte in range(256) if not UNSENDABLE.match(chr(byte)))

_CONNECTION: Final = "connection"
_HOP_BY_HOP: Final = frozenset(
    {
        _CONNECTION,
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Stopped(msgspec.Struct, frozen=True):
    """Fields of requests that stop here, and why: by whole names, by beginnings, or by a word in the name."""

    why: str
    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    words: str = ""

    def has(self, name: str) -> bool:
        """Whether a name in lower case, with hyphens, is one of these."""
        return (
            name in self.names
            or name.startswith(self.prefixes)
            or bool(self.words and re.search(rf"(?:^|-)(?:{self.words})(?:-|\Z)", name))
        )


# A server may take `_` in a name for `-`, so that the table has both in each of its names.
NOT_UP: Final = (
    Stopped("Farebox frames the request, and serves one connection at a time.", _HOP_BY_HOP),
    Stopped(
        "They describe a body, a host or a wish that Farebox answers itself.",
        _names("accept-encoding content-encoding content-length expect host"),
    ),
    Stopped(
        "They authenticate the client, to Farebox or to somebody else, and are not for the upstream.",
        _names("cookie cookie2 dpop x-ms-client-principal x-wsse"),
        prefixes=("proxy-", "x-amz-", "x-amzn-", "x-goog-", "ocp-apim-", "cf-access-", "aeg-"),
        words=r"api-?key|auth|authorization|credentials?|jwt|key\Z|pass(?:word|wd|phrase)?|sas|secret|"
        r"session(?:-?id)?|signature(?:-input)?|(?:auth|access|csrf|id|session|user|xsrf)-?token|token\Z",
    ),
    Stopped(
        "They choose a part of the operator's account.",
        _names(
            """
            anthropic-organization-id anthropic-user-profile-id anthropic-workspace-id openai-organization
            openai-project
            """
        ),
    ),
    Stopped(
        "They would have the upstream carry out another method than the one that was checked and priced.",
        _names("x-http-method x-method"),
        words="method-override|override-method",
    ),
    Stopped(
        "They would have the upstream serve another path or host than the one that was checked and priced.",
        _names("base-url destination http-url proxy request-uri x-host x-http-destinationurl x-http-host"),
        prefixes=("x-accel-", "x-envoy-", "x-original-", "x-proxy-", "x-request-ur", "x-rewrite-", "x-waws-"),
        words="(?:host|path|uri|url)-override|override-(?:host|path|uri|url)",
    ),
    Stopped(
        "They say who the client is; an upstream that believed them would believe any client.",
        _names("forwarded front-end-https via x-forwarded x-originating-ip x-scheme x-url-scheme"),
        prefixes=("cf-", "fastly-", "fly-", "x-appengine-", "x-authenticated-", "x-forwarded-", "x-vercel-"),
        words="client-?ip|real-ip|remote-(?:addr|ip|user)|(?:client|ssl)-(?:cert|verify|dn|s-dn)",
    ),
    Stopped("They are Farebox's own.", prefixes=("x-farebox-",)),
)
"""What of a request does not go up, by the reason. Everything that is not named here does."""

_GOES_UP: Final = frozenset({"idempotency-key", "x-idempotency-key"})
"""Their names end like those of credentials."""

# Beside the framing, these describe the upstream account that all clients share, the upstream's software, or
# the origin, which is Farebox's own; or they would give orders to a server in front of Farebox.
_NOT_DOWN: Final = _HOP_BY_HOP | {
    "alt-svc",
    "clear-site-data",
    "content-encoding",
    "content-length",
    "expect-ct",
    "nel",
    "openai-organization",
    "openai-project",
    "report-to",
    "reporting-endpoints",
    "server",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "via",
    "www-authenticate",
    "x-lighttpd-send-file",
    "x-reproxy-url",
    "x-sendfile",
    "x-sendfile2",
}
_NOT_DOWN_PREFIXES: Final = (
    "anthropic-organization-",
    "anthropic-ratelimit-",
    "cf-",
    "proxy-",
    "x-accel-",
    "x-farebox-",
    "x-ratelimit-",
)

_RETRY_AFTER: Final = frozenset({"retry-after", "retry-after-ms"})
RETRY_AFTER_STATUSES: Final = frozenset({202, 429, 503})
"""Statuses whose Retry-After is about the call. With others it is about the shared upstream account."""

_RENAMED: Final = dict.fromkeys(("x-request-id", "request-id"), "x-upstream-request-id")
_LEADING: Final = frozenset({"content-location", "link", "location", "refresh"})
"""Fields whose value is an address to go to."""
_DIGESTS: Final = frozenset({"content-digest", "content-md5", "digest", "repr-digest"})


def upward(headers: Sequence[Field], own: tuple[str, ...]) -> bytes:
    """The lines of the client's `headers` that may go to an upstream, in order, without those named `own`.

    Raises ValueError for a field that would break the request.
    """
    if not headers:
        return b""
    names, values = zip(*headers, strict=True)
    up = _names_up(names, own)
    if up.has_connection and (kept := _beyond_one_hop(headers)) is not headers:
        return upward(kept, own)
    lines = as_sent(up.lines % values)
    if has_unsendable(lines, up.ends):
        raise ValueError("a header field that would break the request")
    return lines


def downward(
    status: int, headers: Iterable[Field], *, origin: str, redaction: Redaction, undone: bool
) -> list[Field]:
    """The upstream's `headers` that may go to the client, in order; none of them tells a secret.

    `origin` is the upstream's scheme and authority: a `Location` on it would send the client past Farebox and
    reveal an inner address. `undone`: a content encoding was removed, which makes digests wrong.
    """
    fields = list(headers)
    if not fields:
        return fields
    names, values = zip(*fields, strict=True)
    down = _names_down(names, undone, status in RETRY_AFTER_STATUSES)
    if down.has_connection and (kept := _beyond_one_hop(fields)) is not fields:
        return downward(status, kept, origin=origin, redaction=redaction, undone=undone)
    passed = list(zip(down.names, down.chosen(values), strict=True))
    if down.leads:
        leads = _leads_to(origin).search
        passed = [
            (name, value)
            for name, value in passed
            if name.lower() not in _LEADING or not leads(as_sent(value).decode())
        ]
    # No escape and no secret reaches across a line's end, so that all are searched as one.
    tells, head = redaction.is_told_by, as_sent(down.lines % values)
    if tells(head):
        passed = [(name, value) for name, value in passed if not tells(as_sent(f"{name}: {value}"))]
    if has_unsendable(head, down.ends):
        passed = [(name, value) for name, value in passed if not UNSENDABLE.search(value)]
    return passed


def has_unsendable(head: bytes, ends: bytes) -> bool:
    """Whether a head holds a control character beside the `ends` of its lines."""
    return head.translate(None, _SENDABLE) != ends


def as_sent(text: str) -> bytes:
    """The bytes of a head, which is sent without what is no text: bytes that came and are no UTF-8."""
    return text.encode("utf-8", "ignore")


def _beyond_one_hop(headers: Sequence[Field]) -> Sequence[Field]:
    """The fields without `Connection` and those that it names; the same where these do not pass anyhow."""
    lists = [value for name, value in headers if name.lower() == _CONNECTION]
    named = {token.strip().lower() for value in lists for token in value.split(",")}
    if named <= _HOP_BY_HOP:
        return headers
    named.add(_CONNECTION)
    return [field for field in headers if field[0].lower() not in named]


class _Up(msgspec.Struct, frozen=True):
    """Which fields of a request go up: their lines, with a place for each value.

    The values of others have a place that shows nothing. `ends` are the ends of the lines alone.
    """

    lines: str
    ends: bytes
    has_connection: bool


_NOT_SHOWN: Final = "%.0s"


def _shown(name: str) -> str:
    """The line of a field, with a place for its value."""
    return f"{name.replace('%', '%%')}: %s\r\n"


# All send the same few names again and again, so a cache is cheaper than a search. The bound
# is for clients that send others.
@lru_cache(maxsize=256)
def _names_up(names: tuple[str, ...], own: tuple[str, ...]) -> _Up:
    replaced = {_as_read(name) for name in own}
    goes = [not (read in replaced or _stops(read)) for read in map(_as_read, names)]
    lines = [_shown(name) if passes else _NOT_SHOWN for name, passes in zip(names, goes, strict=True)]
    return _Up("".join(lines), b"\r\n" * sum(goes), _have_connection(names))


def _have_connection(names: tuple[str, ...]) -> bool:
    return any(name.lower() == _CONNECTION for name in names)


def leads(name: str) -> bool:
    """Whether a field of an answer by this name is an address, which may not come down."""
    return name.lower() in _LEADING


def goes_up(name: str) -> bool:
    """Whether a header of this name goes up when a client sends it."""
    return not _stops(_as_read(name))


def _stops(name: str) -> bool:
    return name not in _GOES_UP and any(kind.has(name) for kind in NOT_UP)


def _as_read(name: str) -> str:
    """A name as the most generous server reads it."""
    return name.lower().replace("_", "-")


class _Down(msgspec.Struct, frozen=True):
    """Which fields of an answer pass, under what names.

    `chosen` picks their values out of all. `lines` and `ends` are as in `_Up`. With `leads` one of them has
    an address.
    """

    lines: str
    ends: bytes
    has_connection: bool
    names: tuple[str, ...]
    chosen: Callable[[Sequence[str]], Sequence[str]]
    leads: bool


@lru_cache(maxsize=256)
def _names_down(names: tuple[str, ...], undone: bool, waits: bool) -> _Down:  # noqa: FBT001 - keywords cost time here.
    named = [_name_down(name, undone=undone, waits=waits) for name in names]
    lines = "".join(_NOT_SHOWN if name is None else _shown(name) for name in named)
    passes = tuple(name for name in named if name is not None)
    chosen = _chooser([place for place, name in enumerate(named) if name is not None])
    leads = any(name.lower() in _LEADING for name in passes)
    return _Down(lines, b"\r\n" * len(passes), _have_connection(names), passes, chosen, leads)


def _chooser(places: list[int]) -> Callable[[Sequence[str]], Sequence[str]]:
    """What picks the values at some places."""
    return itemgetter(*places) if len(places) > 1 else lambda values: [values[place] for place in places]


def _name_down(name: str, *, undone: bool, waits: bool) -> str | None:
    lower = name.lower()
    if lower in _NOT_DOWN or lower.startswith(_NOT_DOWN_PREFIXES):
        return None
    if (undone and lower in _DIGESTS) or (not waits and lower in _RETRY_AFTER):
        return None
    return _RENAMED.get(lower, name)


@lru_cache(maxsize=256)
def _leads_to(origin: str) -> re.Pattern[str]:
    """What finds an absolute or scheme-relative address that has the upstream's authority."""
    scheme, _, authority = origin.partition("://")
    authority = authority.removesuffix({"http": ":80", "https": ":443"}.get(scheme.lower(), ""))
    return re.compile(
        rf"(?:\A|[^0-9A-Za-z+.:/-]|https?:)//(?:[^/?#\s]*@)?{re.escape(authority)}(?![0-9A-Za-z.-])",
        re.IGNORECASE,
    )
