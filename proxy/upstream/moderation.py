"""Answers 403 about what the caller has sent: a caller can help those, and gets them as they are."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

_SAID_IN: Final = ("code", "detail", "error", "message", "status", "type")
_TEXT_LENGTH: Final = 2_000
_ABOUT_THE_CONTENT: Final = re.compile(
    r"moderat|flagged|safety|guardrail|content[ _-]?(filter|management|policy|policies|violat)"
    r"|violat\w* (our |the )?(usage|content|use)|usage[ _-]?(guideline|polic)|prohibited|inappropriate"
    r"|sensitive[ _-]?(content|words?)|data_inspection"
)
# Farebox's account can be barred for what its callers have sent, which is its operator's business.
_ABOUT_THE_ACCOUNT: Final = re.compile(
    r"\b(account|api[ _-]?keys?|billing|credentials?|organi[sz]ation|project|subscription|workspace)\b"
)


def is_moderation(body: bytes) -> bool:
    """Whether the body of a 403 says that the content of the call is at fault, and nothing of the account.

    Only what the error says counts, not what it quotes of the call in other members.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    said = " ".join(_said(answer)).lower() if isinstance(answer, dict) else ""
    return bool(_ABOUT_THE_CONTENT.search(said)) and not _ABOUT_THE_ACCOUNT.search(said)


def _said(answer: Mapping[str, Any]) -> Iterator[str]:
    for name in _SAID_IN:
        value = answer.get(name)
        if isinstance(value, str):
            yield value[:_TEXT_LENGTH]
        elif name == "error" and isinstance(value, dict):
            yield from (text[:_TEXT_LENGTH] for key in _SAID_IN if isinstance(text := value.get(key), str))
