"""Which header fields of a request go up to an upstream, and which of its answer come down to the client.

Whatever is not named here passes as it is. What Farebox adds itself is added after the stripping, so a client
can neither send nor remove it, not even by naming it in `Connection`.
"""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import compress
from typing import Final

Field = tuple[str, str]

_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What no value of a header may hold: a server of ours would have to refuse to send it."""

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# The framing is our own, and so is the answer to Expect. Everything that authenticates somebody, or tells
# who the client is, stays here; so does the choice of an organization, for that is the operator's account.
_NOT_UP: Final = _HOP_BY_HOP | {
    "accept-encoding",
    "api-key",
    "authorization",
    "cf-connecting-ip",
    "client-ip",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "openai-organization",
    "openai-project",
    "true-client-ip",
    "via",
    "x-api-key",
    "x-client-ip",
    "x-goog-api-key",
    "x-real-ip",
}
_NOT_UP_PREFIXES: Final = ("proxy-", "x-farebox-", "x-forwarded-")

# Beside the framing, these tell of the account that all clients share upstream, of the upstream's own
# software, or speak to browsers about the origin, which is ours.
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
}
_NOT_DOWN_PREFIXES: Final = (
    "anthropic-organization-",
    "anthropic-ratelimit-",
    "cf-",
    "proxy-",
    "x-farebox-",
    "x-ratelimit-",
)

_RETRY_AFTER: Final = frozenset({"retry-after", "retry-after-ms"})
RETRY_AFTER_STATUSES: Final = frozenset({202, 429, 503})
"""Where a time to come back is about the call, and not about the account that all clients share upstream."""

_RENAMED: Final = {"x-request-id": "x-upstream-request-id"}
_DIGESTS: Final = frozenset({"content-digest", "content-md5", "digest", "repr-digest"})


def upward(headers: Iterable[Field], own: Collection[Field]) -> list[Field]:
    """The client's `headers` that may go to an upstream, in order, and then `own`, which replace theirs."""
    fields = tuple(headers)
    own_names = tuple([name for name, _ in own])
    goes = _goes_up(tuple([name for name, _ in fields]), own_names, _named_by_connection(fields))
    return [*compress(fields, goes), *own]


def downward(status: int, headers: Iterable[Field], *, origin: str, undone: bool) -> list[Field]:
    """The upstream's `headers` that may go to the client, in order.

    `origin` is the upstream's scheme and authority: a `Location` on it would send the client past Farebox and
    tell an inner address. `undone` says that a content encoding was removed, which voids digests.
    """
    fields = list(headers)
    stopped = _named_by_connection(fields)
    if undone:
        stopped |= _DIGESTS
    if status not in RETRY_AFTER_STATUSES:
        stopped |= _RETRY_AFTER
    passed = []
    for name, value in fields:
        if not _comes_down(name):
            continue
        lower = name.lower()
        if lower in stopped or (lower == "location" and _is_on(origin, value)) or _UNSENDABLE.search(value):
            continue
        passed.append((_RENAMED.get(lower, name), value))
    return passed


def _named_by_connection(fields: Iterable[Field]) -> frozenset[str]:
    """The lower-case names of the fields that are meant for one hop because `Connection` names them."""
    named: frozenset[str] = frozenset()
    for name, value in fields:
        if len(name) == 10 and name.lower() == "connection":
            named |= {token.strip().lower() for token in value.split(",")}
    return named


# Clients and upstreams send the same few names over and over, which makes remembering cheaper than looking;
# the bound is for those who send others.
@lru_cache(maxsize=256)
def _goes_up(names: tuple[str, ...], own: tuple[str, ...], stopped: frozenset[str]) -> tuple[bool, ...]:
    """For each of `names`, whether it goes up."""
    stopped |= _NOT_UP | {name.lower() for name in own}
    lowered = [name.lower() for name in names]
    return tuple(name not in stopped and not name.startswith(_NOT_UP_PREFIXES) for name in lowered)


@lru_cache(maxsize=1024)
def _comes_down(name: str) -> bool:
    lower = name.lower()
    return lower not in _NOT_DOWN and not lower.startswith(_NOT_DOWN_PREFIXES)


def _is_on(origin: str, location: str) -> bool:
    """Whether an absolute or scheme-relative `location` has the upstream's authority."""
    authority = origin.partition("//")[2].lower()
    before, mark, after = location.strip().lower().partition("//")
    if not mark or before not in ("", "http:", "https:"):
        return False
    rest = after.removeprefix(authority)
    return rest != after and (not rest or rest[0] in "/?#:")
