"""The exceptions of the HTTP library as failures: a code, words, and whether the request was untouched.

Its own messages are not passed on: they hold inner addresses, and URLs with credentials in the query.
"""

import errno
from typing import Final

import msgspec
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientPayloadError,
    ConnectionTimeoutError,
    ServerDisconnectedError,
)

from proxy.upstream.answer_parser import NotHttp
from proxy.upstream.base import FailureCode, UpstreamFailure
from proxy.upstream.inflate import BrokenEncoding


class _Meaning(msgspec.Struct, frozen=True):
    code: FailureCode
    said: str
    untouched: bool = False


# The first match counts, so a subclass stands before its base.
_MEANINGS: Final[tuple[tuple[type[BaseException], _Meaning], ...]] = (
    (
        ConnectionTimeoutError,
        _Meaning("upstream_unreachable", "did not accept a connection in time", untouched=True),
    ),
    (
        ClientConnectorDNSError,
        _Meaning("upstream_unreachable", "has a host name that does not resolve", untouched=True),
    ),
    (
        ClientConnectorCertificateError,
        _Meaning("upstream_unreachable", "has a certificate that cannot be trusted", untouched=True),
    ),
    (ClientConnectorSSLError, _Meaning("upstream_unreachable", "failed the TLS handshake", untouched=True)),
    (ClientConnectorError, _Meaning("upstream_unreachable", "could not be connected to", untouched=True)),
    (TimeoutError, _Meaning("upstream_timeout", "sent nothing in time")),
    (NotHttp, _Meaning("upstream_invalid", "answered with something that is not HTTP")),
    (BrokenEncoding, _Meaning("upstream_invalid", "compressed its answer in a way that cannot be read")),
    (ServerDisconnectedError, _Meaning("upstream_failed", "closed the connection without an answer")),
    (ClientPayloadError, _Meaning("upstream_failed", "broke off its answer")),
    (ClientError, _Meaning("upstream_failed", "broke the connection")),
    (OSError, _Meaning("upstream_failed", "broke the connection")),
)

FAILURES: Final = tuple(kind for kind, _ in _MEANINGS)
"""Every exception that `failure_of` takes."""


def failure_of(error: BaseException, upstream_name: str) -> UpstreamFailure:
    """The failure that `error`, one of `FAILURES`, means. Its message names the upstream and no address."""
    meaning = next(meaning for kind, meaning in _MEANINGS if isinstance(error, kind))
    number = errno.errorcode.get(getattr(error, "errno", None) or 0)
    why = f" ({number})" if number else ""
    return UpstreamFailure(
        meaning.code, f"The upstream {upstream_name!r} {meaning.said}{why}.", untouched=meaning.untouched
    )
