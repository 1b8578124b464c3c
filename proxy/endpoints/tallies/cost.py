"""The cost of a call, put into the usage object of its reply; every other byte stays as it was."""

from typing import Final

import msgspec

from proxy.endpoints.reading.body import BYTE_ORDER_MARK, Members, patched
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.long_text import mask_lone_surrogates, restore
from proxy.endpoints.reading.steps import STEP_BYTES, TooLong, first_byte, item_spans, member_name, slices
from proxy.endpoints.tallies.sse import with_data

_OBJECT: Final = msgspec.json.Decoder(Members)
_NAMES: Final = frozenset({"usage", "x_groq"})


def event_with_cost(event: bytes, data: bytes, cost: str) -> bytes:
    """As `with_cost`, for the JSON `data` of an event, which may be on several lines."""
    changed = with_cost(data, cost)
    if changed == data:
        return event
    before, found, after = event.partition(data)
    return before + changed + after if found else with_data(event, changed)


def with_cost(reply: bytes, cost: str) -> bytes:
    """`reply`, which is JSON, with a member `cost`, a decimal string, in its usage object.

    That is the one at its top level, or else Groq's own.

    It takes the place of an upstream's own figure. What is no JSON object, or has no usage object of an
    ordinary size, is left as it is.
    """
    if reply.startswith(BYTE_ORDER_MARK):
        return BYTE_ORDER_MARK + with_cost(reply.removeprefix(BYTE_ORDER_MARK), cost)
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
    """Where the usage object begins and ends; None if there is none."""
    if first_byte(reply) != b"{" or is_too_deep(reply):
        return None
    places = _object_places(reply)
    if "usage" in places or "x_groq" not in places:
        return places.get("usage")
    start, stop = places["x_groq"]
    place = _object_places(reply[start:stop]).get("usage")
    return None if place is None else (start + place[0], start + place[1])


def _object_places(reply: bytes) -> dict[str, tuple[int, int]]:
    """Where the objects in these members begin and end, if they are of an ordinary size; the last of each."""
    places: dict[str, tuple[int, int]] = {}
    view = memoryview(reply)
    for start, stop in item_spans(view):
        try:
            name, value_at = member_name(view[start:stop])
        except (TooLong, UnicodeDecodeError, msgspec.DecodeError):
            continue  # A name that is no text, or absurdly long, is not one of these.
        if name in _NAMES:
            begin = start + value_at
            value = reply[begin : min(stop, begin + STEP_BYTES)].rstrip()
            places.pop(name, None)
            if stop - begin <= STEP_BYTES and value.startswith(b"{"):
                places[name] = (begin, begin + len(value))
    return places


def _usage_with_cost(usage: bytes, cost: str) -> bytes:
    members, written = _OBJECT.decode(mask_lone_surrogates(usage) or usage), msgspec.json.encode(cost)
    if "cost" in members:
        return restore(patched(members, {"cost": written}), ())
    end = len(usage[:-1].rstrip())
    return b"".join((usage[:end], b"," if members else b"", b'"cost":', written, usage[end:]))
