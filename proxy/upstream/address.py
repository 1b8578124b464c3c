"""Where a request goes at an upstream, with the credential in the query when it belongs there."""

from functools import lru_cache
from urllib.parse import quote, unquote_plus

from proxy.upstream.routes import Upstream


def request_target(upstream: Upstream, path: str, query: str) -> str:
    """What stands in the request line, percent-encoded as the client had it. `path` begins with `/`.

    `query` has no `?`. The query field that holds the upstream's credential is the upstream's alone: what the
    client put there, however it was encoded, is taken out.
    """
    credential = upstream.credential
    if credential is not None and credential.query is not None:
        query = _with_field(query, credential.query, credential.value)
    prefix = _path_of(upstream.base_url)
    return f"{prefix}{path}?{query}" if query else f"{prefix}{path}"


def origin(base_url: str) -> str:
    """Scheme and authority of a base URL."""
    scheme, mark, rest = base_url.partition("://")
    return f"{scheme}{mark}{rest.partition('/')[0]}"


@lru_cache(maxsize=256)
def _path_of(base_url: str) -> str:
    return base_url.removeprefix(origin(base_url))


def _with_field(query: str, name: str, value: str) -> str:
    kept = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) != name]
    return "&".join([*kept, f"{quote(name, safe='')}={quote(value, safe='')}"])
