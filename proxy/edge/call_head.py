"""The head of an ordinary call, in the one form that all servers read alike.

Whatever has another form is for aiohttp to read or to refuse: this is no parser of HTTP, but the part of it
that clients of these APIs send, so small that it can be seen to have one meaning.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

import msgspec

HEAD_MAX_BYTES: Final = 8_190
"""Longer heads are read by aiohttp, which bounds each of their lines by this."""
FIELDS_MAX: Final = 64
_LENGTH_DIGITS: Final = 9

# No space around a name or behind a value, no sign beyond ASCII, no line that goes on in the next. Each part
# takes all that it can and gives nothing back, so that no head takes more than one pass.
_HEAD: Final = re.compile(
    rb"POST (/[!-~]*+) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t ]*+(?:[!-~]++(?:[\t ]++[!-~]++)*+)?+\r\n)++)"
    rb"\r\n"
)
_FIELD: Final = re.compile(r"([^:]++):[\t ]*+([^\r]*+)\r\n")
_NEVER: Final = frozenset(
    {
        "content-encoding",
        "expect",
        # Some read it as they read Connection.
        "proxy-connection",
        "sec-websocket-key1",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields by which a request is no ordinary one."""


class CallHead(msgspec.Struct, frozen=True, gc=False):
    """A head of so many bytes, behind which `length` bytes of a body follow. Values are empty for none."""

    path: str
    fields: tuple[tuple[str, str], ...]
    size: int
    length: int
    authorization: str
    api_key: str
    include: str
    run: str


def call_head(data: bytes, paths: Collection[str]) -> CallHead | None:
    """The head at the beginning of `data`, if it is that of an ordinary POST to one of `paths`; else None."""
    found = _HEAD.match(data, 0, HEAD_MAX_BYTES)
    if found is None or (path := found[1].decode("ascii")) not in paths:
        return None
    fields = _FIELD.findall(found[2].decode("ascii"))
    names, values = zip(*fields, strict=True)
    places = _places(names)
    if places is None:
        return None
    texts = [values[place] if place >= 0 else "" for place in places]
    length, connection, authorization, api_key, include, run = texts
    if not _is_length(length) or (connection and connection.lower() != "keep-alive"):
        return None
    return CallHead(path, tuple(fields), found.end(), int(length), authorization, api_key, include, run)


_WANTED: Final = (
    "content-length",
    "connection",
    "authorization",
    "x-api-key",
    "x-farebox-include",
    "x-farebox-run",
)


# All send the same few names again and again. The bound is for clients that send others.
@lru_cache(maxsize=256)
def _places(names: tuple[str, ...]) -> tuple[int, ...] | None:
    """Where the fields are that are looked at, -1 for none; None where no ordinary call has such fields."""
    lower = [name.lower() for name in names]
    if len(set(lower)) < len(lower) or len(lower) > FIELDS_MAX or not _NEVER.isdisjoint(lower):
        return None
    if "host" not in lower or "content-length" not in lower:
        return None
    return tuple(lower.index(name) if name in lower else -1 for name in _WANTED)


def _is_length(text: str) -> bool:
    """Whether this is a number of bytes as everybody writes it."""
    return text.isdigit() and len(text) <= _LENGTH_DIGITS and (text[0] != "0" or text == "0")
