"""Names for new things: a prefix for the kind, then 26 characters that sort by the time of creation.

The characters are a ULID in lower case: 10 of Crockford's base 32 for 48 bits of milliseconds, 16 for 80
random bits. Sorted ids keep inserts at the end of an index, and 80 bits make a guess or a collision hopeless.
"""

import hashlib
import os
from functools import lru_cache
from typing import Final

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in ascending ASCII order, so that ids sort as their bits do."""

# One lookup yields two characters, and one `bytes.translate` turns random bytes into as many
# characters of five random bits each. That is several times faster than to divide a 128-bit number.
_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)
_FROM_BYTE = bytes(ord(ALPHABET[byte % 32]) for byte in range(256))
_END_OF_TIME_MS = 1 << 48
_CHANCE_CHARACTERS: Final = 16
_DRAWN_AT_ONCE: Final = 256

# To ask the system costs as much as all else about an id, so it is asked for many at once. A fork must not
# name things as its parent does.
_drawn: list[str] = []
os.register_at_fork(after_in_child=_drawn.clear)


def new_id(prefix: str, now_us: int) -> str:
    """Return `prefix`, an underscore and 26 characters, for example `call_01k2h7n3x4c9b8m0z5q6r7s8t9`.

    Ids of one prefix sort by `now_us` (microseconds since the epoch), those of one millisecond by chance.
    Raises `ValueError` for a time before 1970 or past the year 10889, which 48 bits cannot hold.
    """
    ms = now_us // 1_000
    try:
        chance = _drawn.pop()
    except IndexError:
        chance = _draw()
    return f"{prefix}_{_of_second(ms >> 10)}{_PAIRS[ms & 1023]}{chance}"


def first_id(prefix: str, at_us: int) -> str:
    """What no id of a prefix that is made at `at_us` or later comes before, and every earlier one does."""
    ms = -(-at_us // 1_000)
    return f"{prefix}_{_of_second(ms >> 10)}{_PAIRS[ms & 1023]}"


def made_at_us(id_: str) -> int:
    """The time that an id was made at, to the millisecond."""
    ms = 0
    for character in id_.rpartition("_")[2][:10]:
        ms = ms * 32 + ALPHABET.index(character)
    return ms * 1_000


@lru_cache(maxsize=4)
def _of_second(seconds: int) -> str:
    """The characters that all ids of 1,024 milliseconds begin with."""
    if not 0 <= seconds << 10 < _END_OF_TIME_MS:
        raise ValueError(f"time out of range for an id: {seconds << 10} ms")
    return "".join(_PAIRS[seconds >> bits & 1023] for bits in (30, 20, 10, 0))


def _draw() -> str:
    """Sixteen random characters that nobody else gets, and more for those who ask next, also in threads."""
    many = os.urandom(_CHANCE_CHARACTERS * _DRAWN_AT_ONCE).translate(_FROM_BYTE).decode("ascii")
    first, *rest = (many[at : at + _CHANCE_CHARACTERS] for at in range(0, len(many), _CHANCE_CHARACTERS))
    _drawn.extend(rest)
    return first


def digest_of(secret: str) -> str:
    """The SHA-256 of a secret in hex. A secret is random, so nobody can guess it from a plain digest."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
