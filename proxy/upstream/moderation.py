"""Answers 403 about what the caller has sent: a caller can help those, and gets them as they are."""

import re
from typing import Final

from proxy.upstream.error_text import error_text

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
    said = error_text(body) or ""
    return bool(_ABOUT_THE_CONTENT.search(said)) and not _ABOUT_THE_ACCOUNT.search(said)
