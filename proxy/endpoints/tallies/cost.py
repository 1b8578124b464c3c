"""The cost of a call, put into the usage object of its reply; every other byte stays as it was."""

from typing import Final

import msgspec

from proxy.endpoints.reading.body import Members, patched
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.long_text import mask_lone_surrogates, restore
from proxy.endpoints.reading.steps import STEP_BYTES, TooLong, first_byte, item_spans, member_name, slices

_OBJECT: Final = msgspec.json.Decoder(Members)


def event_with_cost(event: bytes, data: bytes, cost: str) -> bytes:
    """As `with_cost`, for the JSON `data` of an event; an event with data on several lines stays as it is."""
    before, found, after = event.partition(data)
    return before + with_cost(found, cost) + after if found else event


def with_cost(reply: bytes, cost: str) -> bytes:
    """`reply`, which is JSON, with a member `cost`, a decimal string, in the usage object at its top level.

    It takes the place of an upstream's own figure. What is no JSON object, or has no usage object of an
    ordinary size, is left as it is.
    """
    place = _usage_place(reply)
    if place is None:
        return reply
    start, stop = place
    try:
        usage = _usage_with_cost(reply[start:stop], cost)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return reply  # It has NaN.
    # A join of short slices lets other threads run while it copies much.
    return b"".join((*slices(reply, 0, start), usage, *slices(reply, stop, len(reply))))


def _usage_place(reply: bytes) -> tuple[int, int] | None:
    """Where the usage object begins and ends, of several the last one; None if there is none."""
    if first_byte(reply) != b"{" or is_too_deep(reply):
        return None
    place = None
    view = memoryview(reply)
    for start, stop in item_spans(view):
        try:
            name, value_at = member_name(view[start:stop])
        except (TooLong, UnicodeDecodeError, msgspec.DecodeError):
            continue  # A name that is no text, or absurdly long, is not this one.
        if name == "usage":
            begin = start + value_at
            value = reply[begin : min(stop, begin + STEP_BYTES)].rstrip()
            is_object = stop - begin <= STEP_BYTES and value.startswith(b"{")
            place = (begin, begin + len(value)) if is_object else None
    return place


def _usage_with_cost(usage: bytes, cost: str) -> bytes:
    members, written = _OBJECT.decode(mask_lone_surrogates(usage) or usage), msgspec.json.encode(cost)
    if "cost" in members:
        return restore(patched(members, {"cost": written}), ())
    end = len(usage[:-1].rstrip())
    return b"".join((usage[:end], b"," if members else b"", b'"cost":', written, usage[end:]))
