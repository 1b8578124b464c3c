"""Which headers of a request go to the upstream, and which of its answer go to the client.

Headers that are not named here pass unchanged. Farebox adds its own after the stripping, so a client can
neither send nor remove them, not even by naming them in `Connection`.
"""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import compress
from typing import Final

Field = tuple[str, str]

UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no header value may hold: they would break the message."""

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

# Farebox frames the request and answers Expect itself. Headers that authenticate or identify the client stop
# here, and so does the choice of an organization: it belongs to the operator's account.
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

# Beside the framing, these describe the upstream account that all clients share, the upstream's software, or
# the origin, which is Farebox's own.
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
"""Statuses whose Retry-After is about the call. With others it is about the shared upstream account."""

_RENAMED: Final = {"x-request-id": "x-upstream-request-id"}
_DIGESTS: Final = frozenset({"content-digest", "content-md5", "digest", "repr-digest"})


def upward(headers: Iterable[Field], own: Collection[Field]) -> list[Field]:
    """The client's `headers` that may go to an upstream, in order, then `own`, which replace the client's."""
    fields = _beyond_one_hop(headers)
    goes = _goes_up(tuple([name for name, _ in fields]), tuple([name for name, _ in own]))
    return [*compress(fields, goes), *own]


def downward(status: int, headers: Iterable[Field], *, origin: str, undone: bool) -> list[Field]:
    """The upstream's `headers` that may go to the client, in order.

    `origin` is the upstream's scheme and authority: a `Location` on it would send the client past Farebox and
    reveal an inner address. `undone`: a content encoding was removed, which makes digests wrong.
    """
    waits = status in RETRY_AFTER_STATUSES
    passed = []
    for name, value in _beyond_one_hop(headers):
        name_down = _name_down(name, undone, waits)
        if name_down is None or (len(name) == 8 and name.lower() == "location" and _is_on(origin, value)):
            continue
        # A printable value can be sent, and that check is much faster.
        if value.isprintable() or not UNSENDABLE.search(value):
            passed.append((name_down, value))
    return passed


def _beyond_one_hop(headers: Iterable[Field]) -> list[Field]:
    """The fields without those that `Connection` names, which are for one hop only."""
    fields = list(headers)
    lists = [value for name, value in fields if len(name) == 10 and name.lower() == "connection"]
    if not lists:
        return fields
    named = {token.strip().lower() for value in lists for token in value.split(",")}
    return [field for field in fields if field[0].lower() not in named]


# All send the same few names again and again, so a cache is cheaper than a search. The bound
# is for clients that send others.
@lru_cache(maxsize=256)
def _goes_up(names: tuple[str, ...], own: tuple[str, ...]) -> tuple[bool, ...]:
    """For each of `names`, whether it goes to the upstream."""
    stopped = _NOT_UP | {name.lower() for name in own}
    lowered = [name.lower() for name in names]
    return tuple(name not in stopped and not name.startswith(_NOT_UP_PREFIXES) for name in lowered)


@lru_cache(maxsize=1024)
def _name_down(name: str, undone: bool, waits: bool) -> str | None:  # noqa: FBT001 - keywords cost time here.
    """The name of a field for the client, None for one that does not pass."""
    lower = name.lower()
    if lower in _NOT_DOWN or lower.startswith(_NOT_DOWN_PREFIXES):
        return None
    if (undone and lower in _DIGESTS) or (not waits and lower in _RETRY_AFTER):
        return None
    return _RENAMED.get(lower, name)


def _is_on(origin: str, location: str) -> bool:
    """Whether an absolute or scheme-relative `location` has the upstream's authority."""
    authority = origin.partition("//")[2].lower()
    before, mark, after = location.strip().lower().partition("//")
    if not mark or before not in ("", "http:", "https:"):
        return False
    rest = after.removeprefix(authority)
    return rest != after and (not rest or rest[0] in "/?#:")
