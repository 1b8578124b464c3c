"""What an upstream's error says in words, to find out what it is about."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

_SAID_IN: Final = ("code", "detail", "error", "message", "status", "type")
_TEXT_LENGTH: Final = 2_000
_ANY: Final = msgspec.json.Decoder()


def error_text(body: bytes) -> str | None:
    """The words of an error in lower case; None for what is no JSON object, or cannot be read.

    Only members that say what is wrong count, not those that quote the call.
    """
    try:
        answer = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # Google's answers are lists of one error.
    errors = [
        error for error in (answer if isinstance(answer, list) else [answer]) if isinstance(error, dict)
    ]
    return " ".join(word for error in errors for word in _words(error)).lower() if errors else None


def raw_text(body: bytes) -> str:
    """The beginning of what is no JSON object, in lower case."""
    return body[:_TEXT_LENGTH].decode("utf-8", "replace").lower()


def _words(error: Mapping[str, Any]) -> Iterator[str]:
    for name in _SAID_IN:
        value = error.get(name)
        if isinstance(value, str):
            yield value[:_TEXT_LENGTH]
        elif name == "error" and isinstance(value, dict):
            yield from (text[:_TEXT_LENGTH] for key in _SAID_IN if isinstance(text := value.get(key), str))
