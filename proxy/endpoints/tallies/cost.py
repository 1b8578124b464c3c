"""The cost of a call, put into the usage object of its reply; every other byte stays as it was."""

from itertools import chain
from typing import Final

import msgspec

from proxy.endpoints.base import Cost
from proxy.endpoints.reading.body import BYTE_ORDER_MARK, Members, patched
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.long_text import mask_lone_surrogates, restore
from proxy.endpoints.reading.steps import (
    STEP_BYTES,
    Text,
    TooLong,
    first_byte,
    item_spans,
    joined,
    member_name,
    slices,
)
from proxy.endpoints.tallies.lines import data_span, name_and_data, with_data
from proxy.endpoints.tallies.sse import Splitter

_OBJECT: Final = msgspec.json.Decoder(Members)
_RESPONSE: Final = "response"
_HOLDERS: Final = ("x_groq", _RESPONSE)
"""Objects that may have the usage of a reply that has none at its top level."""
_NAMES: Final = frozenset({"usage", *_HOLDERS})

_Patch = tuple[int, int, bytes]
"""Where a part of a text begins and ends, and what takes its place."""


def put_cost_in_last(kept: list[bytes], cost: Cost) -> None:
    """Make events of pieces, the first of which end with one, with the cost in the last that has a usage.

    Each large piece is let go of as soon as the next form of it is there.
    """
    splitter = Splitter(limit_bytes=sum(map(len, kept)))
    events: list[bytes] = []
    kept.reverse()
    while kept:
        piece = kept.pop()
        events += chain.from_iterable(map(splitter.feed, slices(piece, 0, len(piece))))
    del piece
    events.append(splitter.finish())
    for at in reversed(range(len(events))):
        if (pieces := event_with_cost(events[at], cost)) is not None:
            events[at : at + 1] = pieces
            break
    kept += events


def event_with_cost(event: bytes, cost: Cost) -> list[bytes] | None:
    """As `with_cost`, for the JSON that the data of an event is, which may be on several lines."""
    span = data_span(event)
    if span is None:
        data = name_and_data(event)[1] or b""
        pieces = with_cost(data, cost)
        return None if pieces is None else [with_data(event, joined(pieces))]
    begin, end = span
    patch = _patch(memoryview(event)[begin:end], cost)
    if patch is None:
        return None
    start, stop, usage = patch
    return _pieces(event, (begin + start, begin + stop, usage))


def with_cost(reply: bytes, cost: Cost) -> list[bytes] | None:
    """`reply`, which is JSON, with a member `cost`, a decimal string, in its usage object: in pieces.

    So that who joins them may have let go of `reply`, which is large where there are pictures in it. The
    usage object is the one at its top level, or else Groq's own, or that of the response that an event ends.

    The cost takes the place of an upstream's own figure. None for what is to be left as it is: it is no JSON
    object, or has no usage object of an ordinary size.
    """
    patch = _patch(memoryview(reply), cost)
    return None if patch is None else _pieces(reply, patch)


def _pieces(text: bytes, patch: _Patch) -> list[bytes]:
    start, stop, usage = patch
    return [*slices(text, 0, start), usage, *slices(text, stop, len(text))]


def _patch(reply: memoryview, cost: Cost) -> _Patch | None:
    """What to change in a reply; None for nothing."""
    begin = len(BYTE_ORDER_MARK) if bytes(reply[: len(BYTE_ORDER_MARK)]) == BYTE_ORDER_MARK else 0
    place = _usage_place(reply[begin:])
    if place is None:
        return None
    start, stop = begin + place[0], begin + place[1]
    try:
        return start, stop, _usage_with_cost(bytes(reply[start:stop]), cost)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # It has NaN.


def _usage_place(reply: Text) -> tuple[int, int] | None:
    """Where the usage object begins and ends; None if there is none."""
    if first_byte(reply) != b"{" or is_too_deep(reply):
        return None
    places = _object_places(reply)
    holder = next((name for name in _HOLDERS if name in places), None)
    if "usage" in places or holder is None:
        return places.get("usage")
    start, stop = places[holder]
    place = _object_places(reply[start:stop]).get("usage")
    return None if place is None else (start + place[0], start + place[1])


def _object_places(reply: Text) -> dict[str, tuple[int, int]]:
    """Where the objects in these members begin and end; the last of each. A large usage is none."""
    places: dict[str, tuple[int, int]] = {}
    view = memoryview(reply)
    for start, stop in item_spans(view):
        try:
            name, value_at = member_name(view[start:stop])
        except (TooLong, UnicodeDecodeError, msgspec.DecodeError):
            continue  # A name that is no text, or absurdly long, is not one of these.
        if name in _NAMES:
            begin = start + value_at
            value = bytes(reply[begin : min(stop, begin + STEP_BYTES)]).rstrip()
            places.pop(name, None)
            is_short = stop - begin <= STEP_BYTES
            if value.startswith(b"{") and (is_short or name == _RESPONSE):
                places[name] = (begin, begin + len(value) if is_short else stop)
    return places


def _usage_with_cost(usage: bytes, cost: Cost) -> bytes:
    members = _OBJECT.decode(mask_lone_surrogates(usage) or usage)
    told = {"cost": cost} if isinstance(cost, str) else cost
    written = {name: msgspec.json.encode(value) for name, value in told.items()}
    if not written.keys().isdisjoint(members):
        return restore(patched(members, written), ())
    end = len(usage[:-1].rstrip())
    added = b",".join(b'"%b":%b' % (name.encode(), value) for name, value in written.items())
    return b"".join((usage[:end], b"," if members else b"", added, usage[end:]))
