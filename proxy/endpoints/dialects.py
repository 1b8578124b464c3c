"""Dialects: the shape that clients expect of errors, and the header in which they look for an id."""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from proxy.errors import Refusal


class Dialect(Protocol):
    """How Farebox speaks for itself. `id_header` is where clients look for a request's id."""

    id_header: str

    def error(self, refusal: Refusal, request_id: str) -> bytes:
        """A refusal as the JSON of a response."""
        ...

    def error_event(self, refusal: Refusal, request_id: str) -> bytes:
        """A refusal as the last event of a stream that has begun."""
        ...


class OpenAIDialect:
    """OpenAI's: `{"error": {"message", "type", "param", "code"}}`."""

    id_header = "x-request-id"

    def error(self, refusal: Refusal, request_id: str) -> bytes:
        """See `Dialect.error`."""
        return refusal.body(request_id)

    def error_event(self, refusal: Refusal, request_id: str) -> bytes:
        """See `Dialect.error_event`. OpenAI's events have no name."""
        return b"data: %b\n\n" % refusal.body(request_id)


class AnthropicDialect:
    """Anthropic's: `{"type": "error", "error": {"type", "message"}, "request_id"}`, with our code beside."""

    id_header = "request-id"

    def error(self, refusal: Refusal, request_id: str) -> bytes:
        """See `Dialect.error`."""
        error = {
            "type": _TYPES.get(refusal.kind.status, "api_error"),
            "message": refusal.message,
            "code": refusal.code,
            "param": refusal.param,
            **refusal.details,
        }
        return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})

    def error_event(self, refusal: Refusal, request_id: str) -> bytes:
        """See `Dialect.error_event`. Its clients pass over data without the name of an event."""
        return b"event: error\ndata: %b\n\n" % self.error(refusal, request_id)


_TYPES: Final[Mapping[int, str]] = {
    **dict.fromkeys((400, 405, 408, 409, 415), "invalid_request_error"),
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""Anthropic's types of errors, by the status of the refusal."""

ANTHROPIC_TYPES: Final = frozenset({*_TYPES.values(), "api_error"})
"""All types of errors that refusals have in Anthropic's shape."""

OPENAI: Final = OpenAIDialect()
ANTHROPIC: Final = AnthropicDialect()
_SHARED: Final = "/v1/models"
_BY_PREFIX: Final[Mapping[str, Dialect]] = {"/v1/messages": ANTHROPIC}


def asks_anthropic(headers: Mapping[str, str]) -> bool:
    """Whether a client of a path that both makers have is Anthropic's. The names are of any case."""
    return "anthropic-version" in headers or ("x-api-key" in headers and "authorization" not in headers)


def dialect_of(path: str, headers: Mapping[str, str] | None = None) -> Dialect:
    """The dialect of those who call a path, whether anything is served there or not.

    Where both makers have the path, the `headers` tell.
    """
    if headers is not None and path.startswith(_SHARED) and asks_anthropic(headers):
        return ANTHROPIC
    for prefix, dialect in _BY_PREFIX.items():
        if path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
            return dialect
    return OPENAI
