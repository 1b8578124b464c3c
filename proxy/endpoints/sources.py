"""Sources: where the figures of a call are told."""

from typing import Final, Literal

import msgspec

from proxy.endpoints.reading.pointer import Pointer
from proxy.errors import Refusal

Place = Literal["answer", "answer_header", "request", "request_header", "query"]
"""Where a figure is: at a JSON pointer of the answer or of the request, in a header of either, or in a field
of the request's query."""

OF_REQUESTS: Final[frozenset[Place]] = frozenset({"request", "request_header", "query"})


class Source(msgspec.Struct, frozen=True):
    """Where one figure of a call is told. `name` is the pointer, header or field as it is configured."""

    place: Place
    name: str
    pointer: Pointer = ()


SHOWN_CHARACTERS: Final = 64


def shown(told: str) -> str:
    """A value of a request as a message shows it: in one line, and no longer than a figure can be."""
    return repr(told if len(told) <= SHOWN_CHARACTERS else f"{told[:SHOWN_CHARACTERS]}…")


def wrong(source: Source, what: str) -> Refusal:
    """The refusal of a request for what is wrong at a source of it."""
    return Refusal("invalid_value", f"`{source.name}` {what}.", param=source.name)
