"""The cost of a call, put into the usage object of its reply; every other byte stays as it was."""

from typing import Final

import msgspec

from proxy.endpoints.reading.body import BYTE_ORDER_MARK, Members, beginning, patched
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.long_text import mask_lone_surrogates
from proxy.endpoints.tallies.sse import with_data

_OBJECT: Final = msgspec.json.Decoder(Members)
_PLACES_MAX: Final = 8
"""How many copies of the usage object are tried before the reply is left alone."""


def event_with_cost(event: bytes, data: bytes, cost: str) -> bytes:
    """As `with_cost`, for the JSON `data` of an event, which may be on several lines."""
    changed = with_cost(data, cost)
    if changed == data:
        return event
    before, found, after = event.partition(data)
    return before + changed + after if found else with_data(event, changed)


def with_cost(reply: bytes, cost: str) -> bytes:
    """`reply` with a member `cost`, a decimal string, in the usage object at its top level, or in Groq's own.

    It takes the place of an upstream's own figure. What is no JSON object, or has no usage object, is left as
    it is.
    """
    if reply.startswith(BYTE_ORDER_MARK):
        return BYTE_ORDER_MARK + with_cost(reply.removeprefix(BYTE_ORDER_MARK), cost)
    usage = None if is_too_deep(reply) else _top_level_usage(reply)
    if usage is None:
        return reply
    wanted = _usage_with_cost(usage, cost)
    # The same bytes may stand deeper in the reply as well; only one of the places is the right one.
    at = reply.rfind(usage)
    for _ in range(_PLACES_MAX):
        if at < 0:
            break
        changed = b"".join((reply[:at], wanted, reply[at + len(usage) :]))
        if _top_level_usage(changed) == wanted:
            return changed
        at = reply.rfind(usage, 0, at)
    return reply


def _top_level_usage(reply: bytes) -> bytes | None:
    """The bytes of the usage object, None if there is none."""
    try:
        members = _OBJECT.decode(mask_lone_surrogates(reply) or reply)
        usage = _object_in(members, "usage")
        groq = _object_in(members, "x_groq") if usage is None else None
        return usage if groq is None else _object_in(_OBJECT.decode(groq), "usage")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _object_in(members: Members, name: str) -> bytes | None:
    value = members.get(name)
    return bytes(value) if value is not None and beginning(value).startswith(b"{") else None


def _usage_with_cost(usage: bytes, cost: str) -> bytes:
    members, written = _OBJECT.decode(usage), msgspec.json.encode(cost)
    if "cost" in members:
        return patched(members, {"cost": written})
    end = len(usage[:-1].rstrip())
    return b"".join((usage[:end], b"," if members else b"", b'"cost":', written, usage[end:]))
