"""Denials: answers by which an upstream refuses Farebox's own credential, and which upstreams do so now.

No caller can help it, and none may see it. Another target of the route may have a credential that is good.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from proxy.upstream.moderation import is_moderation

READ_BYTES: Final = 65_536
"""How much of an error is read to find out what it is about."""

# The credential is not known, or nothing is left on its account, whatever the body says.
_ALWAYS: Final = frozenset({401, 402})
_SAID_IN: Final = ("code", "type", "status", "message", "detail")
_TEXT_LENGTH: Final = 2_000
_ABOUT_US: Final = re.compile(
    r"\b(api[ _-]?|access[ _-]?|secret[ _-]?|subscription[ _-]?)?(key|token|credential)s?\b"
    r"|permission|authenticat|not[ _]authori[sz]ed|unauthori[sz]ed|(does|do) not have access"
)


def needs_reading(status: int) -> bool:
    """Whether only the body tells if an answer of this status is a denial."""
    return status in (403, 429)


def is_denial(status: int, body: bytes) -> bool:
    """Whether an answer refuses the credential: 401, 402, a 403 about key or permission, a quota's 429.

    `body` may be the beginning of it. A 403 about what the caller has written is not one.
    """
    if status in _ALWAYS:
        return True
    if status == 429:
        return "insufficient_quota" in _said(body)
    if status == 403:
        return bool(_ABOUT_US.search(_said(body))) and not is_moderation(body)
    return False


def _said(body: bytes) -> str:
    """What an error says in words, in lower case: not what it quotes of the request in other members."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:_TEXT_LENGTH].decode("utf-8", "replace").lower()
    error: Any = answer.get("error", answer) if isinstance(answer, dict) else answer
    if not isinstance(error, dict):
        return str(error)[:_TEXT_LENGTH].lower()
    return " ".join(str(error.get(member, ""))[:_TEXT_LENGTH] for member in _SAID_IN).lower()


class Denials:
    """The upstreams that refuse the credential now.

    `on_denial` gets the name of an upstream and the status once when that begins, `on_end` the name when the
    upstream has answered well again.
    """

    def __init__(
        self,
        *,
        on_denial: Callable[[str, int], None] | None = None,
        on_end: Callable[[str], None] | None = None,
    ) -> None:
        self._on_denial = on_denial
        self._on_end = on_end
        self._denying: set[str] = set()

    def denied(self, upstream: str, status: int) -> None:
        """An upstream has refused the credential."""
        if upstream not in self._denying:
            self._denying.add(upstream)
            if self._on_denial is not None:
                self._on_denial(upstream, status)

    def answered(self, upstream: str, status: int) -> None:
        """An upstream has answered; with a 2xx it accepts the credential."""
        if self._denying and 200 <= status < 300 and upstream in self._denying:
            self._denying.discard(upstream)
            if self._on_end is not None:
                self._on_end(upstream)
