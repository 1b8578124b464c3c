"""Whether an admin key is easy to guess."""

import re
from typing import Final

MIN_CHARS: Final = 16
MIN_DIFFERENT_CHARS: Final = 5
MIN_OWN_CHARS: Final = 8

# Words that people put where a key belongs, longest first. A key of little else is easy to guess.
_KNOWN_WORDS: Final = re.compile(
    "administrator|placeholder|quickstart|0123456789|1234567890|changeme|password|default|example|farebox"
    "|letmein|litellm|replace|change|master|please|secret|123456|admin|token|1234|demo|here|root|test|your"
    "|123|api|fbx|key|me|sk"
)


def admin_key_fault(key: str) -> str | None:
    """Why an admin key is easy to guess, or None."""
    if not key:
        return "is empty"
    letters = re.sub(r"[^a-z0-9]", "", key.lower())
    own = _KNOWN_WORDS.sub("", letters)
    if len(own) < MIN_OWN_CHARS and 2 * len(own) < len(letters):
        return "is a well-known default"
    if len(key) < MIN_CHARS:
        return f"has fewer than {MIN_CHARS} characters"
    return "repeats a few characters" if len(set(key)) < MIN_DIFFERENT_CHARS else None
