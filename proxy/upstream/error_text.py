"""What an upstream's error says in words, to find out what it is about."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

_SAID_IN: Final = ("code", "detail", "error", "message", "status", "type")
_TEXT_LENGTH: Final = 2_000
_ANY: Final = msgspec.json.Decoder()
_TEXT: Final = msgspec.json.Decoder(str)

LARGE_BYTES: Final = 65_536
"""Of a larger error only the members that count are decoded: the rest could take long."""

_NOTHING: Final = msgspec.Raw()
_Said: Final = msgspec.defstruct("_Said", [(name, msgspec.Raw, _NOTHING) for name in _SAID_IN])
_SAID: Final = msgspec.json.Decoder(_Said)


def error_text(body: bytes) -> str | None:
    """The words of an error in lower case; None for what is no JSON object, or cannot be read.

    Only members that say what is wrong count, not those that quote the call.
    """
    try:
        if len(body) > LARGE_BYTES:
            return " ".join(_large_words(body)).lower()
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


def _large_words(error: bytes | msgspec.Raw, *, is_inner: bool = False) -> Iterator[str]:
    """The same words of a large error. Raises DecodeError for what is no JSON object."""
    said = _SAID.decode(error)
    for name in _SAID_IN:
        value: msgspec.Raw = getattr(said, name)
        first = bytes(memoryview(value)[:1])
        if first == b'"':
            yield _TEXT.decode(value)[:_TEXT_LENGTH]
        elif first == b"{" and name == "error" and not is_inner:
            yield from _large_words(value, is_inner=True)


def _words(error: Mapping[str, Any]) -> Iterator[str]:
    for name in _SAID_IN:
        value = error.get(name)
        if isinstance(value, str):
            yield value[:_TEXT_LENGTH]
        elif name == "error" and isinstance(value, dict):
            yield from (text[:_TEXT_LENGTH] for key in _SAID_IN if isinstance(text := value.get(key), str))
