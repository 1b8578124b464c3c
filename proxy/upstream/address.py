"""The target of a request line, with the credential in the query if the upstream wants it there."""

from functools import lru_cache
from urllib.parse import quote, unquote_plus

from proxy.upstream.routes import Upstream


def request_target(upstream: Upstream, path: str, query: str) -> str:
    """The target of the request line, percent-encoded as the caller had it. `path` begins with `/`.

    `query` has no `?`. The field that carries the upstream's credential is removed from the caller's query
    first, however the caller wrote it.
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


def _name_of(field: str) -> str:
    """The name of a field of a query as the most generous server reads it: `key[]` and ` KEY` are `key`."""
    return unquote_plus(field.partition("=")[0]).partition("[")[0].strip().casefold()


@lru_cache(maxsize=256)
def _path_of(base_url: str) -> str:
    return base_url.removeprefix(origin(base_url))


def _with_field(query: str, name: str, value: str) -> str:
    folded = name.casefold()
    kept = [part for part in query.split("&") if part and folded not in map(_name_of, part.split(";"))]
    return "&".join([*kept, f"{quote(name, safe='')}={quote(value, safe='')}"])
