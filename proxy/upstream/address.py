"""Where a request goes: the URL at an upstream, with the credential in its query when it belongs there."""

from urllib.parse import quote, unquote_plus

from proxy.upstream.routes import Upstream


def address(upstream: Upstream, path: str, query: str) -> str:
    """The whole URL, percent-encoded as the client had it. `path` begins with `/`, `query` has no `?`.

    The query field that holds the upstream's credential is the upstream's alone: what the client put there,
    however it was encoded, is taken out.
    """
    credential = upstream.credential
    if credential is not None and credential.query is not None:
        query = _with_field(query, credential.query, credential.value)
    return f"{upstream.base_url}{path}?{query}" if query else f"{upstream.base_url}{path}"


def origin(base_url: str) -> str:
    """Scheme and authority of a base URL."""
    scheme, mark, rest = base_url.partition("://")
    return f"{scheme}{mark}{rest.partition('/')[0]}"


def _with_field(query: str, name: str, value: str) -> str:
    kept = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) != name]
    return "&".join([*kept, f"{quote(name, safe='')}={quote(value, safe='')}"])
