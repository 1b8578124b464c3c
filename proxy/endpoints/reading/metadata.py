"""What callers write beside a request for themselves: OpenAI's `metadata`, as much of it as is kept."""

from typing import Final

import msgspec

from proxy.endpoints.reading.body import JsonBody, beginning, members_of
from proxy.endpoints.reading.fields import text_of
from proxy.errors import Refusal

MEMBERS_MAX: Final = 16
KEY_CHARS_MAX: Final = 64
VALUE_CHARS_MAX: Final = 512
BYTES_MAX: Final = 4_096
"""How much is kept of all members together, as JSON; those behind are left out."""


def metadata_of(body: JsonBody) -> str:
    """The texts in `metadata` as a JSON object, as far as they are kept; empty where there are none.

    Whatever a caller writes there, it is never refused. What cannot be printed is left out.
    """
    raw = body.members.get("metadata")
    if raw is None or not beginning(raw).startswith(b"{"):
        return ""
    try:
        members = members_of(raw) or {}
    except Refusal:
        return ""
    kept: dict[str, str] = {}
    size = 2
    for key, value in list(members.items())[:MEMBERS_MAX]:
        text = text_of(value)
        name = _printable(key, KEY_CHARS_MAX)
        if text is None or not name:
            continue
        text = _printable(text, VALUE_CHARS_MAX)
        size += len(msgspec.json.encode([name, text])) + 1
        if size > BYTES_MAX:
            break
        kept[name] = text
    return msgspec.json.encode(kept).decode() if kept else ""


def _printable(text: str, most: int) -> str:
    return "".join(character for character in text[:most] if character.isprintable())
