"""Names that a JSON object has twice: readers differ in which of the two they take."""

import re
from typing import Final

# A name is a string that a colon follows. Strings are taken one after the other, so that no quote within one
# or at its beginning is taken for its end.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*+(:?)')


def has_repeats(text: bytes, value: object) -> bool:
    """Whether an object in a JSON text has a name twice, at any depth; `value` is what was read of it."""
    return names_in_text(text) != names_in_value(value)


def names_in_text(text: bytes) -> int:
    """How many names the objects of a JSON text have, those that occur twice counted twice."""
    return _STRING.findall(text).count(b":")


def names_in_value(value: object) -> int:
    """How many names the objects of a decoded value have."""
    count, rest = 0, [value]
    while rest:
        item = rest.pop()
        if type(item) is dict:
            count += len(item)
            rest.extend(item.values())
        elif type(item) is list:
            rest.extend(item)
    return count
