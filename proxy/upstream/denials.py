"""Denials: answers by which an upstream refuses Farebox's own credential, and which upstreams do so now.

No caller can help it, and none may see it. Another target of the route may have a credential that is good.
"""

import re
from collections.abc import Callable
from typing import Final

from proxy.upstream.error_text import error_text, raw_text
from proxy.upstream.moderation import is_moderation

READ_BYTES: Final = 65_536
"""How much of an error is read to find out what it is about."""

# The credential is not known, or nothing is left on its account, whatever the body says.
_ALWAYS: Final = frozenset({401, 402})
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
    said = error_text(body)
    return raw_text(body) if said is None else said


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
