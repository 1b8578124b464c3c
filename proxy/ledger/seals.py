"""Seals: digests over what never changes in a row, so that an audit notices when it has.

A seal is no proof against somebody who can write the database and knows this text. It shows a slip of the
hand, a statement that changed more than it should, and bits that a disk has turned.
"""

import hashlib
from struct import Struct
from typing import Final

import msgspec

SealedValue = str | int | None
_encode: Final = msgspec.json.Encoder().encode
_BEGINNING: Final = Struct(">q")


def seal_of(*values: SealedValue) -> int:
    """The seal of values in this order: 64 bits of their SHA-256, with a sign, as a database has integers."""
    seal: int
    (seal,) = _BEGINNING.unpack_from(hashlib.sha256(_encode(values)).digest())
    return seal


def newer_values(*values: SealedValue) -> tuple[SealedValue, ...]:
    """The values of columns that are newer than seals, as far as they are in one.

    They are up to the last that has anything, so that seals from before such a column stay as they are.
    """
    if not any(values):
        return ()
    while not values[-1]:
        values = values[:-1]
    return values
