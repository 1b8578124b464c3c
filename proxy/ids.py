"""Names for new things: a prefix for the kind, then 26 characters that sort by the time of creation.

The characters are a ULID in lower case: 10 of Crockford's base 32 for 48 bits of milliseconds, 16 for 80
random bits. Sorted ids keep inserts at the end of an index, and 80 bits make a guess or a collision hopeless.
"""

import hashlib
import os
from typing import Final

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in ascending ASCII order, so that ids sort as their bits do."""

# One lookup yields two characters, and one `bytes.translate` turns sixteen random bytes into sixteen
# characters of five random bits each. That is several times faster than to divide a 128-bit number.
_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)
_FROM_BYTE = bytes(ord(ALPHABET[byte % 32]) for byte in range(256))
_END_OF_TIME_MS = 1 << 48
_CHANCE_BYTES: Final = 16
_DRAWN_AT_ONCE: Final = 256

# To ask the system costs as much as all else about an id, so it is asked for many at once. A fork must not
# name things as its parent does.
_drawn: list[bytes] = []
os.register_at_fork(after_in_child=_drawn.clear)


def new_id(prefix: str, now_us: int) -> str:
    """Return `prefix`, an underscore and 26 characters, for example `call_01k2h7n3x4c9b8m0z5q6r7s8t9`.

    Ids of one prefix sort by `now_us` (microseconds since the epoch), those of one millisecond by chance.
    Raises `ValueError` for a time before 1970 or past the year 10889, which 48 bits cannot hold.
    """
    ms = now_us // 1_000
    if not 0 <= ms < _END_OF_TIME_MS:
        raise ValueError(f"time out of range for an id: {now_us} us")
    pairs = _PAIRS
    chance = _chance().translate(_FROM_BYTE).decode("ascii")
    return (
        f"{prefix}_{pairs[ms >> 40]}{pairs[ms >> 30 & 1023]}{pairs[ms >> 20 & 1023]}"
        f"{pairs[ms >> 10 & 1023]}{pairs[ms & 1023]}{chance}"
    )


def _chance() -> bytes:
    """Sixteen random bytes that nobody else gets; threads may ask at once."""
    try:
        return _drawn.pop()
    except IndexError:
        many = os.urandom(_CHANCE_BYTES * _DRAWN_AT_ONCE)
        _drawn.extend(many[at : at + _CHANCE_BYTES] for at in range(_CHANCE_BYTES, len(many), _CHANCE_BYTES))
        return many[:_CHANCE_BYTES]


def digest_of(secret: str) -> str:
    """The SHA-256 of a secret in hex. A secret is random, so nobody can guess it from a plain digest."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
