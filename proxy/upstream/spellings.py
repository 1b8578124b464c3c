"""The spellings in which an upstream may repeat a secret.

A URL has it percent-encoded, an error in JSON has it escaped, a page has character references, a trace of the
request has it in base64. Encodings may lie in one another, and each character may be written in its own way:
so text is compared in its plain form, in which every spelling of a character is the same.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus

_ROUNDS: Final = 4
"""How deep encodings of different kinds may lie in one another."""
# Runs are taken whole, so that no text takes more than one pass for each round.
_ESCAPE: Final = re.compile(
    rb"%(?:25)*([0-9a-f]{2})"
    rb"|\\+(?:u\{?(?:00)*([0-9a-f]{2})\}?|x([0-9a-f]{2})|([nrtbf])|)"
    rb"|&(?:amp;)*(?:#x0*([0-9a-f]{2});|#0*([0-9]{2,3});|(lt|gt|quot|apos|amp|sol|plus|equals);)"
)
_PERCENT, _BACKSLASH, _AMPERSAND = b"%\\&"
_BLANKS: Final = 4
_DECIMAL: Final = 6
_NAMED: Final = 7
_NAMES: Final = {
    b"lt": b"<",
    b"gt": b">",
    b"quot": b'"',
    b"apos": b"'",
    b"amp": b"&",
    b"sol": b"/",
    b"plus": b"+",
    b"equals": b"=",
}
# A query has `+` for a space, and base64 for URLs has `-` and `_` for `+` and `/`. Case is no difference.
_SAME: Final = bytes(range(256)).lower().translate(bytes.maketrans(b"-+_", b"  /"))


def plain(data: bytes) -> str:
    """The text without encodings and in lower case, with one sign for those that stand for one another.

    A character is a byte: to look for one text in another takes a fraction of what it takes with bytes.
    """
    if _PERCENT in data or _BACKSLASH in data or _AMPERSAND in data:
        data = _unescaped(data)
    return data.translate(_SAME).decode("latin-1")


def _unescaped(data: bytes) -> bytes:
    for _ in range(_ROUNDS):
        data = data.lower()
        decoded = _ESCAPE.sub(_character, data)
        if decoded == data:
            break
        data = decoded
    return data


def as_sent(secret: str) -> tuple[bytes, ...]:
    """The secret as a request has it, and as an answer repeats that in a URL or in JSON; mostly it is one."""
    escaped = json.dumps(secret)[1:-1]
    forms = (
        *(secret, quote(secret), quote(secret, safe=""), quote_plus(secret)),
        *(escaped, escaped.replace("/", r"\/")),
    )
    return tuple(form.encode() for form in dict.fromkeys(forms))


def as_encoded(secret: str) -> Iterator[bytes]:
    """The secret in hexadecimal, and what of its base64 does not depend on the text around it."""
    data = secret.encode()
    yield data.hex().encode()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data)
        yield encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]


def _character(match: re.Match[bytes]) -> bytes:
    place, found = match.lastindex, match[match.lastindex or 0]
    if place is None:
        return b""
    if place == _BLANKS:
        return b" "
    if place == _NAMED:
        return _NAMES[found]
    return bytes([int(found, 10 if place == _DECIMAL else 16) % 256])
