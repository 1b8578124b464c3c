"""Requests that two servers could read differently, although the parser takes them: they are refused.

The parser refuses most of them itself: lengths that contradict one another, a second `Host`, folded lines.
"""

from typing import Final

from aiohttp import hdrs, web

from proxy.edge.aiohttp_server import HttpVersion10, HttpVersion11
from proxy.edge.auth import API_KEY_HEADER

_VERSIONS: Final = frozenset({HttpVersion10, HttpVersion11})
_SINGULAR: Final = (hdrs.AUTHORIZATION, API_KEY_HEADER, hdrs.CONTENT_ENCODING, hdrs.EXPECT)
"""Fields of which one server would read the first, and another the last."""


def framing_fault(request: web.BaseRequest) -> str | None:
    """What is wrong with a request's version or headers, as a sentence for the client; None for nothing."""
    version, headers = request.version, request.headers
    if version is not HttpVersion11 and version not in _VERSIONS:
        return f"HTTP/{version.major}.{version.minor} is not spoken here: send the request as HTTP/1.1."
    if hdrs.TRANSFER_ENCODING in headers:
        if version == HttpVersion10:
            return "Transfer-Encoding does not exist in HTTP/1.0: send a Content-Length."
        if headers[hdrs.TRANSFER_ENCODING].strip().lower() != "chunked":
            return "The only Transfer-Encoding that is taken is `chunked`, by itself."
    for name in _SINGULAR:
        if name in headers and len(headers.getall(name)) > 1:
            return f"The header {name} may be sent only once."
    return None
