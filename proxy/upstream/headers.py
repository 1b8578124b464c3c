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

UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
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
    fields = _beyond_one_hop(headers)
    goes = _goes_up(tuple([name for name, _ in fields]), tuple([name for name, _ in own]))
    return [*compress(fields, goes), *own]


def downward(status: int, headers: Iterable[Field], *, origin: str, undone: bool) -> list[Field]:
    """The upstream's `headers` that may go to the client, in order.

    `origin` is the upstream's scheme and authority: a `Location` on it would send the client past Farebox and
    tell an inner address. `undone` says that a content encoding was removed, which voids digests.
    """
    waits = status in RETRY_AFTER_STATUSES
    passed = []
    for name, value in _beyond_one_hop(headers):
        name_down = _name_down(name, undone, waits)
        if name_down is None or (len(name) == 8 and name.lower() == "location" and _is_on(origin, value)):
            continue
        # What can be printed can be sent, and that is told much faster.
        if value.isprintable() or not UNSENDABLE.search(value):
            passed.append((name_down, value))
    return passed


def _beyond_one_hop(headers: Iterable[Field]) -> list[Field]:
    """The fields that are not meant for one hop because `Connection` names them."""
    fields = list(headers)
    lists = [value for name, value in fields if len(name) == 10 and name.lower() == "connection"]
    if not lists:
        return fields
    named = {token.strip().lower() for value in lists for token in value.split(",")}
    return [field for field in fields if field[0].lower() not in named]


# Clients and upstreams send the same few names over and over, which makes remembering cheaper than looking;
# the bound is for those who send others.
@lru_cache(maxsize=256)
def _goes_up(names: tuple[str, ...], own: tuple[str, ...]) -> tuple[bool, ...]:
    """For each of `names`, whether it goes up."""
    stopped = _NOT_UP | {name.lower() for name in own}
    lowered = [name.lower() for name in names]
    return tuple(name not in stopped and not name.startswith(_NOT_UP_PREFIXES) for name in lowered)


@lru_cache(maxsize=1024)
def _name_down(name: str, undone: bool, waits: bool) -> str | None:  # noqa: FBT001 - keywords cost time here.
    """What a field is called on its way down, None for one that stays."""
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
