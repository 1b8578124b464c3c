"""What is wrong with a body: where it stops to be one, and the refusals that say so."""

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Final

import msgspec

from proxy.endpoints.reading.depth import DEPTH_MAX
from proxy.endpoints.reading.long_text import LongText, marks
from proxy.endpoints.reading.steps import STEP_BYTES, first_byte
from proxy.errors import Refusal

_FAULT: Final = re.compile(r"(?:JSON is malformed: )?(.*?)(?: \(byte (\d+)\))?\Z", re.DOTALL)

# What people write that is no JSON, by the byte at which decoding stops.
_HINTS: Final[Mapping[bytes, str]] = {
    b"N": "NaN and None are not JSON, write null",
    b"I": "infinities are not JSON",
    b"'": "strings take double quotes",
    b"T": "write true in lower case",
    b"F": "write false in lower case",
    b"/": "comments are not JSON",
}


def utf8_fault(data: bytes) -> int | None:
    """Where `data` stops to be UTF-8; None if all of it is."""
    if data.isascii():
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(data), STEP_BYTES):
        step = data[at : at + STEP_BYTES]
        try:
            decoder.decode(step, final=at + STEP_BYTES >= len(data))
        except UnicodeDecodeError as fault:
            # The decoder reads the bytes of a character again that the step before has cut.
            return at + fault.start - (len(fault.object) - len(step))
    return None


def syntax_refusal(part: bytes, fault: msgspec.DecodeError, place: Callable[[int], int]) -> Refusal:
    """The refusal of what is no JSON; `place` tells where a byte of `part` is in the whole body."""
    found = _FAULT.match(str(fault))
    what, where = (found[1], found[2]) if found else (str(fault), None)
    if where is None:
        # The decoder gives no place for a text that ends within an escape either.
        return no_object("it ends too early")
    at = int(where)
    hint = _HINTS.get(part[at : at + 1])
    return no_object(f"{what} at byte {place(at)}{f' ({hint})' if hint else ''}")


def offset(short: bytes, texts: Sequence[LongText], at: int) -> int:
    """Where the byte at `at` of the shortened text is in the whole one."""
    before = takewhile(lambda mark: mark[0] < at, marks(short)) if texts else ()
    return at + sum(len(texts[number]) + 2 - (end - start) for start, end, number in before)


def kind_of(short: bytes) -> str:
    """What a JSON text is that is no object."""
    return {b"[": "an array", b'"': "a string", b"n": "null", b"t": "true", b"f": "false"}.get(
        first_byte(short), "a number"
    )


def too_deep() -> Refusal:
    """The refusal of a body that is nested too deeply."""
    return no_object(f"it is nested more than {DEPTH_MAX} deep")


def too_many(name: str, what: str, most: int) -> Refusal:
    """The refusal of a member that holds more than is read."""
    return Refusal(
        "invalid_value", f"`{name}` holds at least {most + 1} {what}; {most} is the most.", param=name
    )


def no_object(what: str) -> Refusal:
    """The refusal of a body that is no JSON object."""
    return Refusal("invalid_json", f"The body is not a JSON object: {what}.")
